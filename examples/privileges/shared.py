"""What all workers share: made by the master, which imports this module before it forks and is root then."""

from __future__ import annotations

import os

from procshare import SharedCounter, SharedDict

GROUP = int(os.environ.get("GROUP", "65534"))  # nogroup; your server has a group of its own

hits = SharedCounter(mode=0o660, group=GROUP)
pages = SharedDict[str, int](mode=0o660, group=GROUP)
