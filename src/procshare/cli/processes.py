"""Processes, as /proc tells of them: what a pid runs, and who has a file mapped."""

from __future__ import annotations

import os
from pathlib import Path

from procshare.cli.layout import visible

PROC = Path("/proc")
SHM = "/dev/shm"
_LONGEST = 200  # characters of a command line that are worth reading


def command_line(pid: int) -> str:
    """What a process runs; empty where that cannot be read: it is gone, or in another PID namespace."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="backslashreplace").split("\0")
    except OSError:
        return ""
    text = visible(" ".join(word for word in words if word))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def told(pid: int) -> str:
    """A pid and what it runs."""
    line = command_line(pid)
    return f"pid {pid} ({line})" if line else f"pid {pid}"


def file_of(name: str) -> str:
    """The file of an object that has a segment of its own."""
    own = f"procshare.{os.geteuid()}."
    return f"{SHM}/{name}" if name.startswith(("procshare-", own)) else f"{SHM}/{own}{name}"


def mapping(path: str) -> tuple[int, ...]:
    """The processes that have a file mapped, as far as this user may look."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", str(status.st_ino)
    found: list[int] = []
    for entry in PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            maps = (entry / "maps").read_text(errors="replace")
        except OSError:
            continue
        if any(tuple(line.split()[3:5]) == place for line in maps.splitlines()):
            found.append(int(entry.name))
    return tuple(sorted(found))
