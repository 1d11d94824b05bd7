"""gunicorn reads this file in the folder that it is started in."""

from __future__ import annotations

import os
from typing import Any

from procshare import SharedCounter

workers = 4


def on_starting(server: Any) -> None:
    """Hold the counter open in the master, which uses no application code: it outlives every generation of workers."""
    server.hits = SharedCounter.open(os.environ.get("HITS", "my-app-hits"))
