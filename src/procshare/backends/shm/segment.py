"""Names of segments, attaching by name, and what happens at a process's first segment and at its exit.

Where the C core needs Python it calls the functions named in `native.configure`: `started` before a process's first
segment, `register`, `unregister` and `tracker_id` for the stdlib's resource tracker, `segment_name`, `normal_code`,
`permissions`, `check_key`, and `owners_died` when it took something back from the dead.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from procshare import _errors
from procshare._codes import normal_code
from procshare._errors import NotFound
from procshare._keys import check_key
from procshare.backends import implementation
from procshare.backends.shm.core import native
from procshare.backends.shm.listing import FORGOTTEN, prune, segments, stats, sweep
from procshare.backends.shm.looking import KINDS, look
from procshare.backends.shm.names import locate, segment_name
from procshare.backends.shm.notices import owners_died
from procshare.backends.shm.permissions import permissions
from procshare.backends.tracker import release, tracking

if TYPE_CHECKING:
    from procshare._shared import Handle

__all__ = [
    "attach",
    "channel_errors",
    "check_key",
    "current_task",
    "normal_code",
    "owners_died",
    "permissions",
    "prune",
    "rebuild",
    "register",
    "segment_name",
    "segments",
    "started",
    "stats",
    "tracker_id",
]

NUMBERS = {kind: number for number, kind in KINDS.items()}
_COPY = "multiprocess.util"  # of the package multiprocess, which is multiprocessing with another pickler


# ---- a process's first segment, and its exit ----


def started() -> None:
    """Before this process's first segment: arrange for its exit, and clear away what the dead left."""
    _leave_at_exit()
    sweep(dry_run=False, forgotten=FORGOTTEN)


def _leave_at_exit() -> None:
    # multiprocessing runs finalizers of negative priority after it has joined this process's children, who may still
    # need what it owns; and it runs them in its own children too, where atexit does not. It drops them in a forked
    # child, hence the second registration.
    from multiprocessing import util

    for each in (util, sys.modules.get(_COPY)):
        if each is not None:
            each.Finalize(None, _leave, (each,), exitpriority=-100)
            each.register_after_fork(native, _leave_at_exit_after_fork)


def _leave(util: Any) -> None:
    if not _is_last(util):
        return
    tracker = _tracker()
    native.tell_deaths()
    native.leave_all()
    # Daemons and workers of pools were ended by SIGTERM by now. What they owned would make the tracker print a warning.
    if not _is_child_of(util) and getattr(tracker, "_resource_tracker")._fd is not None:
        sweep(dry_run=False, forgotten=FORGOTTEN)


def _is_last(util: Any) -> bool:
    # In a child only the package that started it ends it. Else each joins its own children, and the last one counts.
    other: Any = sys.modules.get(_COPY if util.__name__ != _COPY else "multiprocessing.util")
    return _is_child_of(util) or other is None or bool(other.is_exiting())


def _is_child_of(util: Any) -> bool:
    return sys.modules[f"{util.__package__}.process"].parent_process() is not None


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
    for found in look(segment).objects:
        if found.slot == index and found.kind not in ("", "slab"):  # a slab's slot is never one itself
            handle: Handle = implementation(_interface(found.kind), "shm")._attach(name)
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


native.configure(_errors, sys.modules[__name__])
os.register_at_fork(after_in_child=_forked)
