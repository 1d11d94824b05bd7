"""Event, condition and barrier: `multiprocessing`'s.

Their limits stay: whoever was killed while it waited may block `set`, `notify` and the other parties for ever.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import operator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from procshare._signals import SharedBarrier, SharedCondition, SharedEvent
from procshare.backends.stdlib.locking import Hold, hold_of, new_hold
from procshare.backends.stdlib.primitive import Kept, StdlibPrimitive, made, spawning
from procshare.backends.stdlib.sync import StdlibLockable, StdlibMutex, give, holder_here, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from procshare._locks import SharedLock, SharedRLock
    from procshare.backends import Backend

T = TypeVar("T")


def new_count() -> Any:
    """A number in shared memory."""
    count: Any = multiprocessing.RawValue(ctypes.c_longlong, 0)
    return count


class Flag(Kept):
    """An event, and how often it was set: who wakes up late sees that it was, though it may be cleared again."""

    __slots__ = ("sets",)
    sets: Any

    def __init__(self, event: Any, sets: Any) -> None:
        super().__init__(event)
        self.sets = sets


class StdlibEvent(StdlibPrimitive[Flag], SharedEvent):
    """A `multiprocessing.Event`."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedEvent

    def __init__(
        self,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self._start(name, mode, group)
        self._place(Flag(made(spawning().Event), new_count()), created=True)

    def _parts(self) -> tuple[Any, ...]:
        return self._core.thing, self._core.sets

    def _restore(self, *parts: Any) -> None:
        self._place(Flag(*parts))

    def is_set(self) -> bool:
        return bool(self._opened().thing.is_set())

    def set(self) -> None:
        flag = self._opened()
        with flag.thing._cond:
            flag.sets.value += 1
        flag.thing.set()

    def clear(self) -> None:
        self._opened().thing.clear()

    def wait(self, timeout: float | None = None) -> bool:
        flag = self._opened()
        before = flag.sets.value
        return bool(flag.thing.wait(timeout) or flag.sets.value != before)

    async def wait_async(self, timeout: float | None = None) -> bool:
        from procshare.backends.stdlib.waiting import until

        before = self._opened().sets.value
        return await until(lambda: self.is_set() or self._opened().sets.value != before, timeout)


class Meeting(Kept):
    """A condition, and the holder of its lock."""

    __slots__ = ("hold",)
    hold: Hold

    def __init__(self, condition: Any) -> None:
        super().__init__(condition)
        self.hold = hold_of(condition._lock)


class StdlibCondition(StdlibLockable, StdlibPrimitive[Meeting], SharedCondition):
    """A `multiprocessing.Condition`. Those who wait are notified in no certain order."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedCondition

    def __init__(
        self,
        lock: SharedLock | SharedRLock | None = None,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self._start(name, mode, group)
        if lock is None:
            hold = new_hold()
        elif isinstance(lock, StdlibMutex):
            hold = lock._opened()
        else:
            raise TypeError(f"a condition's lock is a SharedLock or SharedRLock of the same backend, not {lock!r}")
        self._place(Meeting(made(spawning().Condition, hold.lock)), created=True)

    def _lock(self) -> Any:
        return self._core.hold.lock

    def _parts(self) -> tuple[Any, ...]:
        return (self._core.thing,)

    def _restore(self, *parts: Any) -> None:
        self._place(Meeting(*parts))

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        return take(self._opened().hold, block, timeout)

    def release(self) -> None:
        give(self._opened().hold)

    def locked(self) -> bool:
        return bool(self._opened().hold.lock._semlock._is_zero())

    def wait(self, timeout: float | None = None) -> bool:
        meeting = self._with_lock()
        hold = meeting.hold
        owner, depth = hold.owner, hold.depth
        try:
            hold.owner, hold.depth = None, 0
            return bool(meeting.thing.wait(timeout))
        finally:
            if hold.lock._semlock._is_mine():  # not after a second Ctrl-C, while it waited for the lock
                hold.owner, hold.depth = owner, depth

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        self._with_lock()
        return super().wait_for(predicate, timeout)

    def notify(self, n: int = 1) -> None:
        self._with_lock().thing.notify(operator.index(n))

    def notify_all(self) -> None:
        self._with_lock().thing.notify_all()

    def _with_lock(self) -> Meeting:
        meeting = self._opened()
        if not meeting.hold.held_by(holder_here(meeting.hold)):
            raise RuntimeError("this is for the holder of the condition's lock; acquire() the condition first")
        return meeting


class StdlibBarrier(StdlibPrimitive[Kept], SharedBarrier):
    """A `multiprocessing.Barrier`. It goes to a child of spawn or forkserver only with an action that pickles."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedBarrier

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self._start(name, mode, group)
        count = operator.index(parties)
        if count < 1:
            raise ValueError(f"a barrier is for at least one party, not {count}")
        if action is not None and not callable(action):
            raise TypeError(f"a barrier's action is called without arguments; {action!r} cannot be called")
        self._place(Kept(made(spawning().Barrier, count, action, timeout)), created=True)

    def _parts(self) -> tuple[Any, ...]:
        return (self._core.thing,)

    def _restore(self, *parts: Any) -> None:
        self._place(Kept(parts[0]))

    def wait(self, timeout: float | None = None) -> int:
        return int(self._opened().thing.wait(timeout))

    def reset(self) -> None:
        self._opened().thing.reset()

    def abort(self) -> None:
        self._opened().thing.abort()

    @property
    def parties(self) -> int:
        return int(self._opened().thing.parties)

    @property
    def n_waiting(self) -> int:
        return int(self._opened().thing.n_waiting)

    @property
    def broken(self) -> bool:
        return bool(self._opened().thing.broken)
