"""`SharedCounter`: a 64-bit integer that many processes count on at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procshare._shared import Shared

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Self

    from procshare._shared import Cell
    from procshare.backends import Backend


class SharedCounter(Shared[int]):
    """A signed 64-bit counter, atomic without a lock, exact under any number of processes and threads.

    `hits += 1` on the handle is one atomic increment; `hits.value += 1` is an error, because it would race.

    Args:
        initial: Where to start, from -2**63 + 1 to 2**63 - 1.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        OverflowError: *initial* is out of range.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Memory: some 200 bytes; a counter with a name of its own takes 8 KiB.

    >>> hits = SharedCounter()
    >>> hits += 1  # atomic
    >>> hits.increment(4)
    5
    """

    __slots__ = ()
    kind: ClassVar[str] = "counter"

    def __init__(
        self,
        initial: int = 0,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        raise NotImplementedError

    def increment(self, n: int = 1) -> int:
        """Add *n* atomically and return the new value.

        Raises:
            OverflowError: The result is out of range; nothing was changed.

        >>> SharedCounter(5).increment(10)
        15
        """
        raise NotImplementedError

    def decrement(self, n: int = 1) -> int:
        """Subtract *n* atomically and return the new value.

        Raises:
            OverflowError: The result is out of range; nothing was changed.

        >>> SharedCounter(5).decrement()
        4
        """
        raise NotImplementedError

    def exchange(self, value: int) -> int:
        """Put *value* in its place atomically and return the old value.

        >>> hits = SharedCounter(7)
        >>> hits.exchange(0)  # take what was counted so far
        7
        """
        raise NotImplementedError

    def compare_exchange(self, expected: int, value: int) -> bool:
        """Put *value* in place of *expected* atomically; False, and no change, if it holds another.

        >>> state = SharedCounter(0)
        >>> state.compare_exchange(0, 1), state.compare_exchange(0, 2)
        (True, False)
        """
        raise NotImplementedError

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Cell[int]]:
        """Exclude everyone else, increments included, for a `with` block; yields a writable cell.

        Readers go on and see the last commit. What the block wrote appears when it ends, and not at all
        if it raises.

        Args:
            timeout: Seconds to wait at most; 0 tries once; None waits for ever.

        Raises:
            LockTimeout: It was still held by someone else when the time ran out.

        >>> hits = SharedCounter(5)
        >>> with hits.locked() as cell:
        ...     cell.value = 0 if cell.value > 3 else cell.value
        >>> hits.value
        0
        """
        raise NotImplementedError

    def __int__(self) -> int:
        raise NotImplementedError

    def __iadd__(self, n: int) -> Self:
        raise NotImplementedError

    def __isub__(self, n: int) -> Self:
        raise NotImplementedError
