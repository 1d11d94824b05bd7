"""Names of segments, attaching by name, and what happens at a process's first segment and at its exit.

Where the C core needs Python it calls the functions named in `native.configure`: `started` before a process's first
segment, `register`, `unregister` and `tracker_id` for the stdlib's resource tracker, `segment_name`, `normal_code` and
`check_key`.
"""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from procshare import _errors
from procshare._codes import normal_code
from procshare._errors import CorruptSegment, NotFound, NotOwned, VersionMismatch
from procshare._keys import check_key
from procshare._segments import SegmentInfo
from procshare.backends import implementation
from procshare.backends.shm.core import native
from procshare.backends.tracker import release, tracking

if TYPE_CHECKING:
    from procshare._shared import Handle

__all__ = [
    "attach",
    "channel_errors",
    "check_key",
    "current_task",
    "normal_code",
    "prune",
    "rebuild",
    "register",
    "segment_name",
    "segments",
    "started",
    "tracker_id",
]

SHM = "/dev/shm"
_STATE = "slab", "counter", "value", "array", "dict", "list", "set", "namespace"
_CHANNELS = "queue", "lock", "rlock", "semaphore", "bounded_semaphore", "event", "condition", "barrier", "rwlock"
KINDS = dict(enumerate((*_STATE, *_CHANNELS), start=1))  # enum kind in _native/layout.h
NUMBERS = {kind: number for number, kind in KINDS.items()}
SHARED, PERSIST = 2, 4  # header flags, see _native/layout.h
FORGOTTEN = 3600  # seconds after which a handed-over object that nobody attached is cleared away unasked
SLOT_SIZE = 128


# ---- names ----


def segment_name(name: object) -> str:
    """The segment for a name that a user chose; `ValueError` if it cannot be one."""
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, not {type(name).__name__}")
    bad = {"/", "\0", "#"} & set(name)
    if not name or bad or name[0] == "." or name.startswith("procshare-") or len(name.encode()) > 180:
        raise ValueError(
            f"{name!r} cannot be a name: give 1 to 180 bytes without '/', '#' or NUL, "
            "not beginning with '.' or 'procshare-'"
        )
    return f"procshare.{os.geteuid()}.{name}"


def locate(name: object) -> tuple[str, int, int]:
    """Segment, slot and generation of what a handle calls its `name` (or its `segment`)."""
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, not {type(name).__name__}")
    segment, _, place = name.partition("#")
    if place:
        index, _, generation = place.partition(".")
        if not (index.isdecimal() and generation.isdecimal() and len(place) < 22):
            raise NotFound(name)
        if max(int(index), int(generation)) >> 32:
            raise NotFound(name)
        return segment, int(index), int(generation)
    if name.startswith(("procshare-", f"procshare.{os.geteuid()}.")):
        return name, 0, 0
    return segment_name(name), 0, 0


# ---- a process's first segment, and its exit ----


def started() -> None:
    """Before this process's first segment: arrange for its exit, and clear away what the dead left."""
    _leave_at_exit()
    _sweep(dry_run=False, forgotten=FORGOTTEN)


def _leave_at_exit() -> None:
    # multiprocessing runs finalizers of negative priority after it has joined this process's children, who may still
    # need what it owns; and it runs them in its own children too, where atexit does not. It drops them in a forked
    # child, hence the second registration.
    from multiprocessing import util

    util.Finalize(None, _leave, exitpriority=-100)
    util.register_after_fork(native, _leave_at_exit_after_fork)


def _leave() -> None:
    from multiprocessing import parent_process

    tracker = _tracker()
    native.leave_all()
    # Daemons and workers of pools were ended by SIGTERM by now. What they owned would make the tracker print a warning.
    if parent_process() is None and getattr(tracker, "_resource_tracker")._fd is not None:
        _sweep(dry_run=False, forgotten=FORGOTTEN)


def _leave_at_exit_after_fork(_module: object) -> None:
    _leave_at_exit()


def _forked() -> None:
    if "multiprocessing.util" in sys.modules:  # else nothing was shared before the fork
        _leave_at_exit()


@cache
def _tracker() -> Any:
    # Kept, since nothing can be imported any more when the last handles go with the interpreter.
    from multiprocessing import resource_tracker

    return resource_tracker


def register(name: str) -> None:
    """Make the resource tracker of this process tree responsible for a name."""
    if _fits_tracker(name):
        with tracking():
            _tracker().register(f"/{name}", "shared_memory")


def unregister(name: str) -> None:
    """Take a name off the resource tracker, which must have it."""
    if _fits_tracker(name):
        release(lambda: _tracker().unregister(f"/{name}", "shared_memory"))


def _fits_tracker(name: str) -> bool:
    # It reads lines of ASCII with colons between fields. Other names are left to the last one out and the next process.
    return name.isascii() and not {":", "\n"} & set(name)


def channel_errors() -> tuple[type[Exception], ...]:
    """What queues and barriers raise: Empty, Full, ShutDown, BrokenBarrierError."""
    from queue import Empty, Full
    from threading import BrokenBarrierError

    from procshare._queue import ShutDown

    return Empty, Full, ShutDown, BrokenBarrierError


def current_task() -> int:
    """What stands for the running asyncio task as a lock's owner; 0 outside of one."""
    from procshare.backends.shm.waiting import current_owner

    return current_owner()


def tracker_id() -> int:
    """What identifies the resource tracker that this process uses: the inode of the pipe to it. 0: none runs."""
    fd: int | None = getattr(_tracker(), "_resource_tracker")._fd
    try:
        return 0 if fd is None else os.fstat(fd).st_ino
    except OSError:
        return 0


# ---- attaching ----


def attach(name: str) -> Handle:
    """Attach to an object of whatever kind."""
    segment, index, _ = locate(name)
    objects = native.inspect(segment)[-1]
    for slot, _generation, number, _holder in objects:
        if slot == index and number in KINDS and KINDS[number] != "slab":  # a slab's slot is never one itself
            handle: Handle = implementation(_interface(KINDS[number]), "shm")._attach(name)
            return handle
    raise NotFound(name)


def _interface(kind: str) -> type[Handle]:
    from procshare._array import SharedArray
    from procshare._counter import SharedCounter
    from procshare._dict import SharedDict
    from procshare._list import SharedList
    from procshare._locks import SharedBoundedSemaphore, SharedLock, SharedRLock, SharedRWLock, SharedSemaphore
    from procshare._namespace import SharedNamespace
    from procshare._queue import SharedQueue
    from procshare._set import SharedSet
    from procshare._signals import SharedBarrier, SharedCondition, SharedEvent
    from procshare._value import SharedValue

    state = SharedCounter, SharedValue, SharedArray, SharedDict, SharedList, SharedSet, SharedNamespace
    locks = SharedLock, SharedRLock, SharedSemaphore, SharedBoundedSemaphore, SharedRWLock
    known: tuple[type[Handle], ...] = (*state, *locks, SharedQueue, SharedEvent, SharedCondition, SharedBarrier)
    return next(each for each in known if each.kind == kind)


def attach_as(cls: Any, name: str) -> Any:
    """Attach to an object of the kind of *cls*, without running `__init__`."""
    segment, index, generation = locate(name)
    return cls._attach_to(segment, index, generation, NUMBERS[cls.kind])


def rebuild(cls: Any, name: str) -> Any:
    """Unpickle a handle."""
    return implementation(cls, "shm")._attach(name)


# ---- what exists ----


def segments() -> list[SegmentInfo]:
    """Every exported object of this user."""
    return sorted(info for name in _ours() for info in _describe(name))


def prune(dry_run: bool) -> list[SegmentInfo]:
    """Unlink every segment that nobody is attached to and nothing keeps."""
    return _sweep(dry_run, forgotten=0)


def _ours() -> list[str]:
    mine = ("procshare-", f"procshare.{os.geteuid()}.")
    try:
        return [name for name in os.listdir(SHM) if name.startswith(mine)]
    except OSError:
        return []


def _describe(name: str) -> list[SegmentInfo]:
    try:
        number, size, flags, creator, pids, _handed, _in_flight, _id, claims, objects = native.inspect(name)
    except (NotFound, NotOwned, CorruptSegment, VersionMismatch, OSError):
        return []  # gone meanwhile, or none of ours
    owner = None if flags & SHARED or (claims and KINDS[number] != "slab") else creator
    persist = bool(flags & PERSIST)
    attached = tuple(sorted(set(pids)))
    if KINDS[number] == "slab":
        listed = [
            SegmentInfo(
                f"{name}#{slot}.{generation}", name, KINDS[kind], SLOT_SIZE, owner, attached, holder or None, persist
            )
            for slot, generation, kind, holder in objects
            if kind in KINDS
        ]
        return listed or [SegmentInfo(name, name, "slab", size, owner, attached, None, persist)]
    holder = objects[0][3] if objects else 0
    shown = name if name.startswith("procshare-") else name.split(".", 2)[2]
    return [SegmentInfo(shown, name, KINDS[number], size, owner, attached, holder or None, persist)]


def _sweep(dry_run: bool, forgotten: float) -> list[SegmentInfo]:
    gone: list[SegmentInfo] = []
    while found := _sweep_once(dry_run, forgotten):
        gone += found
        if dry_run:
            break
    return gone  # again while anything went: what that had claimed may go now


def _sweep_once(dry_run: bool, forgotten: float) -> list[SegmentInfo]:
    found: dict[str, Any] = {}
    for name in _ours():
        try:
            found[name] = native.inspect(name)
        except (NotFound, NotOwned, CorruptSegment, VersionMismatch):
            pass
        except OSError:
            return []  # no descriptor is left, say: what cannot be looked at may keep others
    ids = {seen[7] for seen in found.values()}
    gone: list[SegmentInfo] = []
    for name, (number, size, flags, creator, pids, handed, in_flight, _id, claims, _objects) in found.items():
        if pids or flags & PERSIST or (in_flight and time.time() - handed < forgotten):
            continue
        if ids.intersection(claims):  # a container keeps it, and takes it along when it goes
            continue
        owner = None if flags & SHARED else creator
        info = SegmentInfo(name, name, KINDS[number], size, owner, (), None, False)
        if dry_run or native.reap(name):
            gone.append(info)
    return gone


native.configure(_errors, sys.modules[__name__])
os.register_at_fork(after_in_child=_forked)
