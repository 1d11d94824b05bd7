"""The `procshare` command, run as a user runs it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import procshare

if TYPE_CHECKING:
    from collections.abc import Generator

DEADLINE = 50
SMALL = ["--workers", "2", "--increments", "2000", "--files", "40"]


@contextmanager
def nothing_left_behind() -> Generator[None]:
    """Whatever a command does, and however it ends, /dev/shm is as it was."""
    before = set(os.listdir("/dev/shm"))
    yield
    deadline = time.monotonic() + 3  # not at once: other programs of this machine come and go in there as well
    while left := set(os.listdir("/dev/shm")) - before:
        assert time.monotonic() < deadline, left


def environment() -> dict[str, str]:
    """That of this process, with this procshare, and with warnings as errors in workers too."""
    source = str(Path(procshare.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error"}


def python(*args: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments to its end."""
    command = [sys.executable, *args]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=DEADLINE, check=False)


def command(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the `procshare` command to its end."""
    return python("-m", "procshare.cli", *args)


def patched_demo(patch: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a small demo, forked, after these lines have changed its insides."""
    script = f"""
import os, signal
from procshare.cli import demo_channels, demo_counting, demo_files, demo_words, main
parent = os.getpid()
{patch}
main({["demo", "--start-method", "fork", *SMALL, *args]!r})
"""
    return python("-c", script)


def outcome(ran: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON object that a command printed."""
    assert ran.stdout.count("\n") == 1
    return json.loads(ran.stdout)
