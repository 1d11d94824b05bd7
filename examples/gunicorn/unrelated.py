"""Processes that do not know each other count together, by name: as the workers of a web server do.

A server such as gunicorn starts its workers itself, so nothing can be passed to them. Each opens the counter by its
name: the first to come makes it, the last to leave removes it. Here four interpreters started by `subprocess` stand
for the workers.

    python unrelated.py                    starts four workers and prints the total
    python unrelated.py NAME REQUESTS      is one worker
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

from procshare import NotFound, SharedCounter

WORKERS = 4
REQUESTS = 1_000


class Served(NamedTuple):
    """What the server counted."""

    total: int
    gone: bool
    """Whether the counter went with the last process that had it open."""


def serve(name: str, requests: int) -> None:
    """One worker: count every request."""
    with SharedCounter.open(name) as hits:
        for _ in range(requests):
            hits.increment()


def main() -> Served:
    """Start the workers, wait for them, and read what they counted together."""
    name = f"requests-{os.getpid()}"
    command = [sys.executable, __file__, name, str(REQUESTS)]
    with SharedCounter.open(name) as hits:
        workers = [subprocess.Popen(command) for _ in range(WORKERS)]
        for worker in workers:
            worker.wait()
        total = hits.value
    try:
        SharedCounter.attach(name).close()
        gone = False
    except NotFound:
        gone = True
    print(f"{WORKERS} unrelated processes served {total:,} requests together")
    print("the counter is gone with the last of them" if gone else "the counter is still there")
    return Served(total, gone)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve(sys.argv[1], int(sys.argv[2]))
    else:
        main()
