"""Locks, semaphores, event, condition and barrier of the `shm` backend: the C types, completed."""

from __future__ import annotations

import pickle
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from procshare._errors import CorruptSegment, KindMismatch, ProcshareError
from procshare._locks import SharedBoundedSemaphore, SharedLock, SharedRLock, SharedRWLock, SharedSemaphore
from procshare._signals import SharedBarrier, SharedCondition, SharedEvent
from procshare.backends import implementation
from procshare.backends.shm.base import ShmHandle
from procshare.backends.shm.core import documented, native
from procshare.backends.shm.segment import attach_as

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from procshare.backends import Backend


class ShmMutex(ShmHandle):
    """Acquiring a lock for a task."""

    __slots__ = ()

    async def acquire_async(self, timeout: float | None = None) -> bool:
        from procshare.backends.shm.waiting import acquire

        return await acquire(self, timeout)


@documented
class ShmLock(native.Lock, ShmMutex, SharedLock):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedLock


@documented
class ShmRLock(native.RLock, ShmMutex, SharedRLock):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedRLock


class ShmPermits(ShmHandle):
    """Taking a permit from within a task."""

    __slots__ = ()

    async def acquire_async(self, timeout: float | None = None) -> bool:
        from procshare.backends.shm.waiting import take

        return await take(self, timeout)


@documented
class ShmSemaphore(native.Semaphore, ShmPermits, SharedSemaphore):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedSemaphore


@documented
class ShmBoundedSemaphore(native.BoundedSemaphore, ShmPermits, SharedBoundedSemaphore):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedBoundedSemaphore


@documented
class ShmRWLock(native.RWLock, ShmHandle, SharedRWLock):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedRWLock


@documented
class ShmEvent(native.Event, ShmHandle, SharedEvent):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedEvent

    async def wait_async(self, timeout: float | None = None) -> bool:
        from procshare.backends.shm.waiting import wait

        return await wait(self, timeout)


@documented
class ShmCondition(native.Condition, ShmHandle, SharedCondition):
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
        if lock is not None and not isinstance(lock, (ShmLock, ShmRLock)):
            raise TypeError(f"a condition's lock is a SharedLock or SharedRLock of the same backend, not {lock!r}")
        self._permit(mode, group)
        self._create(lock, name)

    @classmethod
    def _attach(cls, name: str) -> Self:
        attached = super()._attach(name)
        try:
            lock = attached._lock_name()
            if lock is not None:
                attached._bind(_lock_called(lock, name))
        except BaseException:
            attached.close()
            raise
        return attached


def _lock_called(lock: str, condition: str) -> ShmLock | ShmRLock:
    try:
        for kind in (ShmLock, ShmRLock):
            with suppress(KindMismatch):
                return kind.attach(lock)
    except ProcshareError:
        raise
    except ValueError:
        pass  # nothing can have this name
    raise CorruptSegment(condition, f"what it names as its lock, {lock!r}, is none")


@documented
class ShmBarrier(native.Barrier, ShmHandle, SharedBarrier):
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
        if action is not None and not callable(action):
            raise TypeError(f"a barrier's action is called without arguments; {action!r} cannot be called")
        self._permit(mode, group)
        self._create(parties, timeout, _pickled(action), action is not None, name)
        self._bind(action)

    @classmethod
    def _attach(cls, name: str) -> Self:
        attached = super()._attach(name)
        try:
            attached._bind(_unpickled(attached._action(), name))
        except BaseException:
            attached.close()
            raise
        return attached

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.context import get_spawning_popen

        if self._action() is None and get_spawning_popen() is not None:
            # It did not pickle by itself. For a child that is being started it may, as the stdlib's locks do.
            state = getattr(self, "__dict__", None)
            made = rebuild_with, (self._implements, self._address, self._bound())
            return (*made, state) if state else made
        return super().__reduce__()


def rebuild_with(cls: Any, name: str, action: Callable[[], object]) -> Any:
    """Unpickle a barrier together with its action."""
    attached = attach_as(implementation(cls, "shm"), name)
    attached._bind(action)
    return attached


def _pickled(action: Callable[[], object] | None) -> bytes | None:
    """The action for other processes; None if there is none, or none that can travel."""
    if action is None:
        return None
    try:
        return pickle.dumps(action)
    except Exception:  # noqa: BLE001 - whatever a lambda, a closure or a __reduce__ of the user's raises
        return None


def _unpickled(stored: bytes | bool | None, name: str) -> Callable[[], object] | None:
    """The action that a barrier's creator gave it; see `native.Barrier._action`."""
    if stored is False:
        return None
    if not isinstance(stored, bytes):
        raise TypeError(
            f"the action of barrier {name!r} does not pickle, so only its creator and the creator's forked children "
            "can use it; make it with a function of a module's top level"
        )
    try:
        action: Callable[[], object] = pickle.loads(stored)
    except Exception as error:
        raise TypeError(f"the action of barrier {name!r} cannot be unpickled here: {error}") from error
    return action
