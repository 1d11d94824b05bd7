"""`SharedEvent`, `SharedCondition` and `SharedBarrier`: waiting for one another, and never for the dead.

The methods and signatures are those of `threading` and `multiprocessing`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, TypeVar

from procshare._display import holder_state
from procshare._locks import Lockable
from procshare._shared import Handle

if TYPE_CHECKING:
    from collections.abc import Callable

    from procshare._locks import SharedLock, SharedRLock
    from procshare.backends import Backend

T = TypeVar("T")


class SharedEvent(Handle):
    """A flag to wait for. A waiter that was killed never blocks `set`.

    Args:
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Memory: some 200 bytes; an event with a name of its own takes 8 KiB.

    >>> from threading import Thread
    >>> ready = SharedEvent()
    >>> Thread(target=ready.set).start()
    >>> ready.wait(timeout=10)
    True
    """

    __slots__ = ()
    kind: ClassVar[str] = "event"

    def __init__(
        self,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        raise NotImplementedError

    def is_set(self) -> bool:
        """Whether the flag is set.

        >>> SharedEvent().is_set()
        False
        """
        raise NotImplementedError

    def set(self) -> None:
        """Set the flag; all who wait go on, also if it is cleared again at once.

        >>> ready = SharedEvent()
        >>> ready.set()
        >>> ready.is_set()
        True
        """
        raise NotImplementedError

    def clear(self) -> None:
        """Take the flag back: from now on `wait` waits.

        >>> ready = SharedEvent()
        >>> ready.set()
        >>> ready.clear()
        >>> ready.is_set()
        False
        """
        raise NotImplementedError

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set; False if time ran out first.

        Args:
            timeout: Seconds to wait at most; None waits for ever; negative is as 0, which only looks.

        >>> SharedEvent().wait(timeout=0)
        False
        """
        raise NotImplementedError

    async def wait_async(self, timeout: float | None = None) -> bool:
        """As `wait`, and other tasks of asyncio run meanwhile.

        >>> import asyncio
        >>> ready = SharedEvent()
        >>> ready.set()
        >>> asyncio.run(ready.wait_async(timeout=2))
        True
        """
        raise NotImplementedError

    def _repr_state(self) -> str:
        return "set" if self.is_set() else "unset"


class SharedCondition(Lockable):
    """A lock, and waiting for what is done under it: `wait` releases it, sleeps until notified, takes it again.

    As `threading.Condition`. Those who wait are notified in the order in which they came; the dead are passed over.

    Args:
        lock: What `acquire`, `release` and `with` take; attaching to the condition finds it too, by its name. Default:
            a re-entrant lock of its own.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        TypeError: *lock* is no `SharedLock` or `SharedRLock`, or of another backend.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    `wait`, `notify` and `notify_all` raise RuntimeError without the lock.

    Memory: 24 KiB.

    >>> from threading import Thread
    >>> condition, items = SharedCondition(), []
    >>> def produce():
    ...     with condition:
    ...         items.append("first")
    ...         condition.notify()
    >>> with condition:
    ...     Thread(target=produce).start()
    ...     condition.wait_for(lambda: items, timeout=10)
    ['first']
    """

    __slots__ = ()
    kind: ClassVar[str] = "condition"

    def __init__(
        self,
        lock: SharedLock | SharedRLock | None = None,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        raise NotImplementedError

    def release(self) -> None:
        """Release the lock.

        Raises:
            RuntimeError: This thread does not hold it.

        >>> condition = SharedCondition()
        >>> condition.acquire()
        True
        >>> condition.release()
        """
        raise NotImplementedError

    def locked(self) -> bool:
        """Whether anybody holds the lock.

        >>> condition = SharedCondition()
        >>> with condition:
        ...     condition.locked()
        True
        """
        raise NotImplementedError

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, sleep until notified, take the lock again; False if time ran out first.

        Args:
            timeout: Seconds to sleep at most; None sleeps for ever; negative is as 0. The lock is then waited for
                without a limit.

        Raises:
            RuntimeError: This thread does not hold the lock.

        >>> condition = SharedCondition()
        >>> with condition:
        ...     condition.wait(timeout=0)  # nobody notifies
        False
        """
        raise NotImplementedError

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait, as often as needed, until *predicate* is true; returns what it returned last.

        Args:
            predicate: Called with the lock held, now and whenever notified.
            timeout: Seconds to wait at most; None waits for ever; negative is as 0.

        Raises:
            RuntimeError: This thread does not hold the lock.

        >>> condition = SharedCondition()
        >>> with condition:
        ...     condition.wait_for(lambda: "there already")
        'there already'
        """
        end = None if timeout is None else time.monotonic() + timeout
        found = predicate()
        while not found:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            found = predicate()
        return found

    def notify(self, n: int = 1) -> None:
        """Wake *n* of those who wait, or as many as there are.

        Raises:
            RuntimeError: This thread does not hold the lock.

        >>> condition = SharedCondition()
        >>> with condition:
        ...     condition.notify(2)  # of those who wait, the two that came first
        """
        raise NotImplementedError

    def notify_all(self) -> None:
        """Wake all who wait.

        Raises:
            RuntimeError: This thread does not hold the lock.

        >>> condition = SharedCondition()
        >>> with condition:
        ...     condition.notify_all()
        """
        raise NotImplementedError

    def _repr_state(self) -> str:
        return holder_state(self) or "unlocked"


class SharedBarrier(Handle):
    """A point at which *parties* threads of any processes wait for each other, then go on together.

    As `threading.Barrier`. If one of them dies while it waits, or while it runs *action*, the barrier is broken for the
    others within 100 ms; they are not left waiting.

    Args:
        parties: How many wait for each other.
        action: What one of them calls when all have come, before they go on: any of them, in any process. If it does
            not pickle, only the creator and its forked children can use the barrier.
        timeout: Seconds that `wait` waits where it is given no other; None waits for ever.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        ValueError: *parties* is less than 1, or more than 2**20.
        TypeError: *action* cannot be called.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Memory: 12 KiB for up to 50 parties, 32 bytes for each more.

    >>> from threading import Thread
    >>> start = SharedBarrier(2)
    >>> other = Thread(target=start.wait)
    >>> other.start()
    >>> start.wait(timeout=10) in (0, 1)
    True
    >>> other.join()
    """

    __slots__ = ()
    kind: ClassVar[str] = "barrier"

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
        raise NotImplementedError

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all have come; returns a number from 0 to `parties` - 1, another one to each.

        Args:
            timeout: Seconds to wait at most; None: as the barrier was made.

        Raises:
            BrokenBarrierError: `threading`'s. The barrier is broken, or was while this thread waited: someone's time
                ran out, *action* raised, a party died, or `abort` or `reset` was called.
            LockTimeout: The time ran out before this thread could arrive, since a process is stopped in the middle of a
                call on the barrier.

        >>> SharedBarrier(1).wait()
        0
        """
        raise NotImplementedError

    def reset(self) -> None:
        """Make it as it was at first; those who wait get a BrokenBarrierError.

        >>> start = SharedBarrier(2)
        >>> start.abort()
        >>> start.reset()
        >>> start.broken
        False
        """
        raise NotImplementedError

    def abort(self) -> None:
        """Break it: those who wait and who come get a BrokenBarrierError until `reset`.

        >>> from threading import BrokenBarrierError
        >>> start = SharedBarrier(2)
        >>> start.abort()
        >>> try:
        ...     start.wait()
        ... except BrokenBarrierError:
        ...     print("broken")
        broken
        """
        raise NotImplementedError

    @property
    def parties(self) -> int:
        """How many wait for each other.

        >>> SharedBarrier(3).parties
        3
        """
        raise NotImplementedError

    @property
    def n_waiting(self) -> int:
        """How many are waiting now.

        >>> SharedBarrier(3).n_waiting
        0
        """
        raise NotImplementedError

    @property
    def broken(self) -> bool:
        """Whether it is broken.

        >>> SharedBarrier(3).broken
        False
        """
        raise NotImplementedError

    def _repr_contents(self) -> str:
        return f"waiting={self.n_waiting} parties={self.parties}"

    def _repr_state(self) -> str:
        return "broken" if self.broken else ""
