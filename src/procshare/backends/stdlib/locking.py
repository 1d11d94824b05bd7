"""Who in this process holds a stdlib lock, and how deep.

The stdlib's locks cannot be asked whether the current thread has them, a plain `Lock` is not re-entrant, and a
child made by `os.fork` believes that it holds what its parent held. So the holder is written down here.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary, finalize

from procshare._errors import LockTimeout, WaitTimeout
from procshare.backends.tracker import release, tracking

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

_holds: WeakValueDictionary[int, Hold] = WeakValueDictionary()
_sent: WeakKeyDictionary[Any, list[object]] = WeakKeyDictionary()


class Hold:
    """One lock, and the thread of this process, or the asyncio task of a thread, that has it through procshare."""

    __slots__ = ("__weakref__", "depth", "locks", "owner")
    locks: list[Any]
    """The lock alone; a list, so that whoever empties it lets go of the lock."""
    depth: int
    owner: tuple[int, int, int] | None
    """The process, the thread, and the task: 0 if it is the thread that has it."""

    def __init__(self, lock: Any) -> None:
        self.locks = [lock]
        self.owner = None
        self.depth = 0

    @property
    def lock(self) -> Any:
        """The lock."""
        return self.locks[0]

    def held_by(self, task: int) -> bool:
        """Whether this thread of this process, or a task of it, has it; a child does not have what its parent had."""
        return self.owner == (os.getpid(), threading.get_ident(), task)

    @property
    def mine(self) -> bool:
        """Whether this thread has it, and not a task of it."""
        return self.held_by(0)

    @property
    def level(self) -> int:
        """How deep this thread is in its blocks: what `leave` takes to go back."""
        return self.depth if self.mine else 0

    def acquire(self, timeout: float | None, name: str) -> None:
        """Wait for the lock, or go one deeper if this thread has it.

        Raises:
            LockTimeout: Someone else still had it when the time ran out.
        """
        started = time.monotonic()
        if not self.take(timeout):
            raise LockTimeout(name, time.monotonic() - started)

    def take(self, timeout: float | None, task: int = 0) -> bool:
        """As `acquire`, for this thread or a task of it; False if time ran out.

        Raises:
            RuntimeError: Another task of this thread has it, and could not go on to release it.
        """
        level = self.depth if self.held_by(task) else 0
        try:
            if not level and not self._take(timeout, task):
                return False
            self.depth = level + 1
        except BaseException:  # Ctrl-C may come between the lock's being taken and its being counted
            self.leave(level, task)
            raise
        return True

    def _take(self, timeout: float | None, task: int) -> bool:
        me, before = (os.getpid(), threading.get_ident(), task), self._count()
        if self.owner is not None and self.owner[:2] == me[:2]:  # an RLock would say that this thread has it already
            if timeout is None or timeout > 0:
                raise RuntimeError("this lock is held by an asyncio task of this thread, which cannot release it now")
            return False
        try:
            if not (self.lock.acquire() if timeout is None else self.lock.acquire(True, max(0.0, timeout))):
                return False
            self.owner, self.depth = me, 0
        except BaseException:  # Ctrl-C may come between the lock's being taken and its being written down
            if self.owner != me and self._count() > before:
                self.lock.release()
            raise
        return True

    def _count(self) -> int:
        """How often this thread has the lock by the lock's own word, where that can be asked."""
        semaphore: Any = getattr(self.lock, "_semlock", None)
        return semaphore._count() if semaphore is not None and semaphore._is_mine() else 0

    def leave(self, level: int, task: int = 0) -> None:
        """Go back to *level*, and give up the lock at 0; nothing in a child that was forked inside the block.

        Called twice it does no more than once, so that it can be repeated when Ctrl-C came in the midst of it.
        """
        if self.held_by(task):
            self.depth = level
            if not level:
                self.owner = None
                self.lock.release()


def hold_of(lock: Any) -> Hold:
    """The one `Hold` of *lock* in this process: several objects may share a lock."""
    hold = _holds.get(id(lock))  # not a stale entry: a Hold keeps its lock, and so its lock's id, alive
    if hold is None:
        hold = _holds[id(lock)] = Hold(lock)
    return hold


def new_hold(kind: str = "RLock") -> Hold:
    """A new lock that children of every start method can be given; one of the fork context can only be inherited."""
    with tracking():
        lock = getattr(multiprocessing.get_context("spawn"), kind)()
    hold = hold_of(lock)
    # The list is the last to hold the lock, so that its semaphore is given up where `release` allows it. (What a slot
    # holds goes only after the finalizer.)
    finalize(hold, release, hold.locks.clear).atexit = False
    return hold


def keep_for_child(popen: object, thing: object) -> None:
    """Keep *thing* until the child that is being started has been reaped.

    A child attaches to semaphores and managed values when it unpickles its arguments, and `Process.start()`
    drops the parent's references before that.
    """
    _sent.setdefault(popen, []).append(thing)


def poll(read: Callable[[float | None], T], predicate: Callable[[T], bool], timeout: float | None, name: str) -> T:
    """Look until *predicate* holds, ever less often, down to 50 times a second: the stdlib can sleep for no change."""
    started, pause, left = time.monotonic(), 0.0002, timeout
    while True:
        try:
            value = read(left)
        except LockTimeout:
            raise WaitTimeout(name, time.monotonic() - started) from None
        if predicate(value):
            return value
        if timeout is not None:
            left = started + timeout - time.monotonic()
            if left <= 0:
                raise WaitTimeout(name, time.monotonic() - started)
            pause = min(pause, left)
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _forget_holds() -> None:
    """In a forked child: no hold is this process's; `multiprocessing` says so to its locks only in its own children."""
    for hold in list(_holds.values()):
        forget = getattr(getattr(hold.lock, "_semlock", None), "_after_fork", None)
        if hold.owner is not None and forget is not None:
            forget()
        hold.owner, hold.depth = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_holds)
