"""What the library does unasked, told through `logging`, to the logger "procshare".

Nobody who wants to know has configured a handler without importing `logging`. So it is not imported here: where
nobody else has, there is nobody to tell.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from procshare.backends.shm.looking import KINDS, SHARED

if TYPE_CHECKING:
    import logging

    from procshare._segments import SegmentInfo
    from procshare.backends.shm.looking import Look

LOST_LOCK, LOST_READING, LOST_PERMITS, LOST_LEASE = range(4)  # enum death in _native/native.h
_LOCKED = {
    "counter": "the last commit stands",
    "value": "the last commit stands",
    "array": "its contents are whole",
    "queue": "what was put and taken stands",
    "condition": "what it protects may be half done",
    "semaphore": "its permits are counted again",
    "bounded_semaphore": "its permits are counted again",
    "barrier": "it breaks if the dead one was a party",
    "rwlock": "what it protects may be half written",
}
_LOCK = "what it protects may be half done, and `owner_died` tells its holder so"
_TAKEN_BACK = {
    LOST_READING: ("while reading", "it counts as a reader no longer"),
    LOST_PERMITS: ("with permits", "they are free again"),
    LOST_LEASE: ("with an item on lease", "the item is at the front of the queue again"),
}


def _logger() -> logging.Logger | None:
    there: Any = sys.modules.get("logging")
    if there is None:
        return None
    logger: logging.Logger = there.getLogger("procshare")
    if not logger.handlers:
        logger.addHandler(there.NullHandler())
    return logger


def owners_died(notes: list[tuple[str, int, int, int, bool, bool]], more: int) -> None:
    """Log what was taken over from the dead: name, kind, pid or 0, what was lost, if it is a half-written array, and if
    that goes on all the same; and how many more there were. See _native/deaths.c."""
    if (logger := _logger()) is None:
        return
    for name, number, pid, lost, half, proceeds in notes:
        kind = KINDS.get(number, "object")
        if lost in _TAKEN_BACK:
            when, now = _TAKEN_BACK[lost]
        else:
            when, now = "with the lock", _after_lock(kind, half, proceeds)
        logger.warning("%s (%s): %s %s; this process took it back: %s", name, kind, _who(pid), when, now)
    if more:
        logger.warning("%d more owners were found dead at the same time", more)


def _who(pid: int) -> str:
    if pid == os.getpid():
        return "a thread of this process ended"
    return f"process {pid} died" if pid else "its holder died or ended"


def _after_lock(kind: str, half: bool, proceeds: bool) -> str:
    if half and proceeds:
        return "its contents may be half written, and are used as they are (on_owner_death='proceed')"
    if half:
        return "its contents may be half written; see to them, then call recover()"
    return _LOCKED.get(kind, _LOCK if kind in ("lock", "rlock") else "the last commit stands")


def removed(info: SegmentInfo, seen: Look) -> None:
    """Log that a segment was cleared away."""
    if (logger := _logger()) is not None:
        why = "handed over or opened, and nobody has it" if seen.flags & SHARED else "its creator is gone"
        logger.info(
            "removed %s (%s, %d bytes): %s; no living process is attached", info.segment, info.kind, info.size, why
        )
