"""Locks and semaphores: `multiprocessing`'s, with procshare's rules on top as far as a process can know them.

Who holds a lock is written down in the holder's process. So a lock that its holder takes again, and one that another
thread releases, are errors as with any backend; but a holder that was killed keeps its lock for ever.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, ClassVar

from procshare._locks import SharedBoundedSemaphore, SharedLock, SharedRLock, SharedSemaphore
from procshare.backends.stdlib.handle import StdlibHandle, unsupported
from procshare.backends.stdlib.interrupts import Undisturbed
from procshare.backends.stdlib.locking import Hold, hold_of, new_hold
from procshare.backends.stdlib.primitive import Kept, StdlibPrimitive, made, spawning

if TYPE_CHECKING:
    from types import TracebackType

    from procshare.backends import Backend

MOST = 2**31 - 1


def take(hold: Hold, block: bool, timeout: float | None) -> bool:
    """Acquire a lock for this thread, or go one deeper, also for the task that runs if that has it.

    Raises:
        RuntimeError: It is not re-entrant, and would be waited for by the only one who could release it.
    """
    wait, task = (timeout if block else 0.0), holder_here(hold)
    if not is_reentrant(hold.lock) and hold.lock._semlock._is_mine():
        return _refuse(wait)
    return hold.take(wait, task)


async def take_async(hold: Hold, timeout: float | None) -> bool:
    """Acquire a lock for the running task, or go one deeper."""
    from procshare.backends.stdlib.waiting import this_task, until

    task = this_task()
    if hold.held_by(task) and not is_reentrant(hold.lock):
        return _refuse(timeout)
    return await until(lambda: hold.take(0.0, task), timeout)


def _refuse(wait: float | None) -> bool:
    if wait is None or wait > 0:
        raise RuntimeError("this lock is held here already, and would wait for itself for ever; SharedRLock can nest")
    return False


def give(hold: Hold) -> None:
    """Release a lock once.

    Raises:
        RuntimeError: Neither this thread nor the running task holds it.
    """
    task = holder_here(hold)
    if not hold.held_by(task):
        raise RuntimeError("only the thread or task that acquired a lock can release it, and that is another or none")
    hold.leave(hold.depth - 1, task)


def is_reentrant(lock: Any) -> bool:
    """Whether it is an RLock."""
    return bool(lock._semlock.kind == 0)


def holder_here(hold: Hold) -> int:
    """As what the caller could hold the lock: the running task if some task of this thread has it, else 0, a thread."""
    if hold.owner is None or not hold.owner[2]:
        return 0
    from procshare.backends.stdlib.waiting import running_task

    return running_task()


class StdlibLockable(StdlibHandle):
    """A `with` block acquires and releases, and leaves the lifetime alone."""

    __slots__ = ()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        raise NotImplementedError

    def release(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> bool:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.acquire()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class StdlibMutex(StdlibLockable, StdlibPrimitive[Hold]):
    """What lock and re-entrant lock have in common."""

    __slots__ = ()
    _made_by: ClassVar[str]

    def __init__(
        self,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self._start(name, mode, group)
        self._place(new_hold(self._made_by), created=True)

    def _lock(self) -> Any:
        return self._core.lock

    def _parts(self) -> tuple[Any, ...]:
        return (self._core.lock,)

    def _restore(self, *parts: Any) -> None:
        self._place(hold_of(parts[0]))

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        return take(self._opened(), block, timeout)

    async def acquire_async(self, timeout: float | None = None) -> bool:
        return await take_async(self._opened(), timeout)

    def release(self) -> None:
        give(self._opened())

    def locked(self) -> bool:
        return bool(self._opened().lock._semlock._is_zero())

    @property
    def owner_died(self) -> bool:
        """False: what the dead held is never taken from them."""
        self._require_open()
        return False


class StdlibLock(StdlibMutex, SharedLock):
    """A `multiprocessing.Lock` that knows which thread of its process has it."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedLock
    _made_by = "Lock"


class StdlibRLock(StdlibMutex, SharedRLock):
    """A `multiprocessing.RLock` that tasks of asyncio can hold as threads do."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedRLock
    _made_by = "RLock"


class StdlibPermits(StdlibLockable, StdlibPrimitive[Kept]):
    """What semaphore and bounded semaphore have in common."""

    __slots__ = ()
    _made_by: ClassVar[str]

    def __init__(
        self,
        value: int = 1,
        *,
        robust: bool = False,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self._start(name, mode, group)
        count = operator.index(value)
        if not 0 <= count <= MOST:
            raise ValueError(f"a semaphore has 0 to {MOST} permits, not {count}")
        if robust:
            unsupported(f"take the permits of a {self.kind} back from a process that died")
        self._place(Kept(made(getattr(spawning(), self._made_by), count)), created=True)

    def _parts(self) -> tuple[Any, ...]:
        return (self._core.thing,)

    def _restore(self, *parts: Any) -> None:
        self._place(Kept(parts[0]))

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        return bool(self._opened().thing.acquire(block, timeout))

    async def acquire_async(self, timeout: float | None = None) -> bool:
        from procshare.backends.stdlib.waiting import until

        return await until(lambda: self.acquire(False), timeout)

    def release(self, n: int = 1) -> None:
        semaphore, count = self._opened().thing, operator.index(n)
        if count < 1:
            raise ValueError(f"release() gives at least one permit back, not {count}")
        if count > 1 and semaphore.get_value() + count > semaphore._semlock.maxvalue:
            raise ValueError(f"{count} more permits are too many; at most there are {semaphore._semlock.maxvalue}")
        with Undisturbed():
            for _ in range(count):
                semaphore.release()

    def get_value(self) -> int:
        return int(self._opened().thing.get_value())

    def locked(self) -> bool:
        return bool(self._opened().thing._semlock._is_zero())


class StdlibSemaphore(StdlibPermits, SharedSemaphore):
    """A `multiprocessing.Semaphore`: what the dead took is gone."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedSemaphore
    _made_by = "Semaphore"


class StdlibBoundedSemaphore(StdlibPermits, SharedBoundedSemaphore):
    """A `multiprocessing.BoundedSemaphore`: what the dead took is gone."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedBoundedSemaphore
    _made_by = "BoundedSemaphore"
