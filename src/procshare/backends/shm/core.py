"""The compiled core, or its test build where PROCSHARE_FAULT names a point to die at ("-": none yet).

Everything of this backend that is written in C comes from here, so that the two are never mixed in a process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING or not os.environ.get("PROCSHARE_FAULT"):
    from procshare import _native as native
else:
    from procshare import _native_faults as native

__all__ = ["native"]
