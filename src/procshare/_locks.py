"""`SharedLock`, `SharedRLock`, the semaphores and `SharedRWLock`: who may go on, among threads, tasks and processes.

The methods and signatures are those of `multiprocessing`, and what it cannot do: none of these locks is lost when the
process that holds it is killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procshare._display import holder_state
from procshare._shared import Handle

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Unpack

    from procshare._shared import Options
    from procshare.backends import Backend


class Lockable(Handle):
    """What is acquired and released; a `with` block does so, as in the standard library.

    So a `with` block does not end the lifetime, as it does for other handles: `close()`, `unlink()`, the creator's exit
    and garbage collection do.

    >>> lock = SharedLock()
    >>> with lock:
    ...     lock.locked()
    True
    """

    __slots__ = ()

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take it, and wait for it if need be; False if it could not be had in time.

        Args:
            block: Whether to wait at all.
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which tries once.

        >>> lock = SharedLock()
        >>> lock.acquire(timeout=2)
        True
        >>> lock.acquire(block=False)
        False
        >>> lock.release()
        """
        raise NotImplementedError

    def __enter__(self) -> bool:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        raise NotImplementedError

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        raise NotImplementedError


class AsyncLockable(Lockable):
    """What tasks of asyncio can acquire too, in turn with threads and other processes.

    >>> import asyncio
    >>> async def guarded(lock):
    ...     async with lock:
    ...         return lock.locked()
    >>> asyncio.run(guarded(SharedLock()))
    True
    """

    __slots__ = ()

    def release(self) -> None:
        """Give it back.

        >>> permits = SharedSemaphore(1)
        >>> permits.acquire()
        True
        >>> permits.release()
        """
        raise NotImplementedError

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """Take it for the running asyncio task, and let other tasks run until it is free; False if time ran out.

        The task is the holder, not its thread: other tasks of the same thread wait, and only this task may
        release it. A task that is cancelled while it waits holds nothing. `async with` acquires and releases.
        (Python 3.11's `asyncio.wait_for` runs the call in a task of its own, which would be the holder: give *timeout*
        instead, or use `asyncio.timeout`.)

        Args:
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which tries once.

        Raises:
            RuntimeError: The task holds it already and it is not re-entrant; or no task is running.

        >>> import asyncio
        >>> async def guarded(lock):
        ...     if await lock.acquire_async(timeout=2):
        ...         lock.release()
        ...         return "had it"
        >>> asyncio.run(guarded(SharedLock()))
        'had it'
        """
        raise NotImplementedError

    async def __aenter__(self) -> bool:
        return await self.acquire_async()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class Mutex(AsyncLockable):
    """What `SharedLock` and `SharedRLock` have in common: one holder, a thread or a task.

    >>> lock = SharedRLock()
    >>> with lock, lock:
    ...     lock.locked()
    True
    """

    __slots__ = ()

    def __init__(self, **options: Unpack[Options]) -> None:
        raise NotImplementedError

    def release(self) -> None:
        """Give it up; the next who waits goes on.

        Raises:
            RuntimeError: This thread, or in a task this task, does not hold it. (The standard library's locks let
                anybody release them.)

        >>> lock = SharedLock()
        >>> lock.acquire()
        True
        >>> lock.release()
        >>> lock.locked()
        False
        """
        raise NotImplementedError

    def locked(self) -> bool:
        """Whether anybody living holds it, here or in another process.

        >>> lock = SharedLock()
        >>> with lock:
        ...     lock.locked()
        True
        """
        raise NotImplementedError

    @property
    def owner_died(self) -> bool:
        """Whether it was taken from a holder that died, so what it guards may be half changed; for its holder to ask.

        False again from the release on, and for everyone who does not hold it.

        >>> lock = SharedLock()
        >>> with lock:
        ...     if lock.owner_died:
        ...         print("look at what it guards before using it")
        """
        raise NotImplementedError

    def _repr_state(self) -> str:
        return holder_state(self) or "unlocked"


class SharedLock(Mutex):
    """A lock that one thread or asyncio task of all processes holds at a time; not re-entrant.

    As `multiprocessing.Lock`, but it belongs to the thread or task that took it. When the holder's thread or process
    ends, be it by SIGKILL, the next gets it within 100 ms, and `owner_died` tells it so. It is never taken from a
    living holder. A forked child does not hold what its parent holds.

    Args:
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    An `acquire` that would wait for the very thread or task that calls it raises RuntimeError at once; where it would
    not wait (`block=False`, `timeout=0`) it returns False.

    Memory: some 200 bytes; a lock with a name of its own takes 8 KiB.

    >>> lock = SharedLock()
    >>> with lock:
    ...     print("one at a time")
    one at a time
    """

    __slots__ = ()
    kind: ClassVar[str] = "lock"


class SharedRLock(Mutex):
    """A re-entrant lock: its holder, a thread or an asyncio task, may take it again and releases it as often.

    As `multiprocessing.RLock`, and robust as `SharedLock`: a dead holder's lock is free, however deep it was held.

    Args:
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Memory: some 200 bytes; a lock with a name of its own takes 8 KiB.

    >>> lock = SharedRLock()
    >>> with lock:
    ...     with lock:
    ...         print("once more")
    once more
    """

    __slots__ = ()
    kind: ClassVar[str] = "rlock"


class SharedSemaphore(AsyncLockable):
    """A number of permits: `acquire` takes one and waits while there is none, `release` gives some back.

    As `multiprocessing.Semaphore`: anyone may release. With *robust* the permits belong to the process that took
    them: when it dies, they are there again within 100 ms.

    Args:
        value: How many permits there are at first.
        robust: Give back what a process holds when it dies.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        ValueError: *value* is negative or more than 2**31 - 1.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Memory: some 200 bytes; 8 KiB with a name of its own; 16 KiB if it is robust.

    >>> permits = SharedSemaphore(2)
    >>> with permits:
    ...     permits.get_value()
    1
    """

    __slots__ = ()
    kind: ClassVar[str] = "semaphore"

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
        raise NotImplementedError

    def release(self, n: int = 1) -> None:
        """Give *n* permits back; as many who wait go on.

        Raises:
            ValueError: *n* is less than 1, or there would be more permits than 2**31 - 1, or than a
                `SharedBoundedSemaphore` had at first; nothing was changed.
            RuntimeError: It is robust, and this process has not taken so many.

        >>> permits = SharedSemaphore(0)
        >>> permits.release(3)
        >>> permits.get_value()
        3
        """
        raise NotImplementedError

    def get_value(self) -> int:
        """How many permits there are now.

        >>> SharedSemaphore(2).get_value()
        2
        """
        raise NotImplementedError

    def locked(self) -> bool:
        """Whether there is no permit, so that `acquire` would wait.

        >>> SharedSemaphore(0).locked()
        True
        """
        raise NotImplementedError

    def _repr_contents(self) -> str:
        return f"value={self.get_value()}"


class SharedBoundedSemaphore(SharedSemaphore):
    """A semaphore that never has more permits than at first: one `release` too many is a ValueError.

    Args:
        value: How many permits there are at first, and at most.
        robust: Give back what a process holds when it dies.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        ValueError: *value* is negative or more than 2**31 - 1.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Memory: some 200 bytes; 8 KiB with a name of its own; 16 KiB if it is robust.

    >>> permits = SharedBoundedSemaphore(1)
    >>> try:
    ...     permits.release()
    ... except ValueError:
    ...     print("one too many")
    one too many
    """

    __slots__ = ()
    kind: ClassVar[str] = "bounded_semaphore"


class SharedRWLock(Handle):
    """A lock that many readers or one writer hold, among the threads of all processes; writers go first.

    While a writer waits, no new reader starts. A block inside a block of the same thread nests, but for a
    writer's inside a reader's. What the dead held is free within 100 ms. (A `with` block on the lock itself ends its
    lifetime, as for other handles; it takes nothing.)

    Args:
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Memory: 60 KiB.

    >>> lock = SharedRWLock()
    >>> with lock.reading(), lock.reading():
    ...     print("readers go together")
    readers go together
    >>> with lock.writing(timeout=5):
    ...     print("a writer is alone")
    a writer is alone
    """

    __slots__ = ()
    kind: ClassVar[str] = "rwlock"

    def __init__(
        self,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        raise NotImplementedError

    def reading(self, timeout: float | None = None) -> AbstractContextManager[None]:
        """Exclude writers, but not other readers, for the length of a `with` block.

        Args:
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which tries once.

        Raises:
            LockTimeout: A writer still had it, or waited for it, when the time ran out.

        >>> lock, table = SharedRWLock(), {"a": 1}
        >>> with lock.reading(timeout=2):
        ...     table["a"]
        1
        """
        raise NotImplementedError

    def writing(self, timeout: float | None = None) -> AbstractContextManager[None]:
        """Exclude everyone else for the length of a `with` block.

        Args:
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which tries once.

        Raises:
            LockTimeout: It was still held by others when the time ran out.
            RuntimeError: This thread is inside a `reading()` block, and would wait for itself.

        >>> lock, table = SharedRWLock(), {"a": 1}
        >>> with lock.writing(timeout=2):
        ...     table["a"] = 2
        """
        raise NotImplementedError

    def _repr_state(self) -> str:
        return holder_state(self) or "open"  # to readers: who reads stands in no one place
