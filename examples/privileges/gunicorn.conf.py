"""gunicorn reads this file in the folder that it is started in, as root; its workers become another user."""

from __future__ import annotations

import os

import shared

workers = 4
user = int(os.environ.get("WORKER", "65534"))  # nobody
group = shared.GROUP
