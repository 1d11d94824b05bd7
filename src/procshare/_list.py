"""`SharedList`: a list that several processes see as one."""

from __future__ import annotations

import sys
from collections.abc import MutableSequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from procshare._containers import is_a
from procshare._display import short_items
from procshare._shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import Self, SupportsIndex

    from _typeshed import SupportsRichComparison, SupportsRichComparisonT

    from procshare.backends import Backend

T = TypeVar("T")
S = TypeVar("S")


class SharedList(Shared[list[T]], MutableSequence[T]):
    """A list that several processes see as one: each call atomic, reads without a lock.

    Iteration, slices, `index`, comparisons, `copy()` and `value` show one state that really was, and a concurrent
    change never makes them raise. Elements come back as fresh objects: changing one changes nothing shared, unless it
    is a handle itself. Two calls are two steps: `x[i] += 1` is a race, and so is `if x: x.pop()`; write
    `with x.locked() as inside: inside[i] += 1`.

    Args:
        data: What it holds at first, copied; whatever pickles.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        TypeError: An element cannot be pickled; nothing was created.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    A call that raises has changed nothing.

    Memory: at most three times what it holds, and 64 KiB; what is deleted is given back. Inserting and deleting
    elsewhere than at the end costs time in proportion to the length.

    >>> log = SharedList(["start"])
    >>> log.append("stop")
    >>> log[0], log[1:], len(log)
    ('start', ['stop'], 2)
    """

    __slots__ = ()
    kind: ClassVar[str] = "list"

    def __init__(
        self,
        data: Iterable[T] = (),
        /,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        raise NotImplementedError

    # ---- elements and slices ----

    def __len__(self) -> int:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[T]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> T | list[T]:
        raise NotImplementedError

    @overload
    def __setitem__(self, index: SupportsIndex, value: T, /) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[T], /) -> None: ...
    def __setitem__(self, index: SupportsIndex | slice, value: Any, /) -> None:
        raise NotImplementedError

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        raise NotImplementedError

    def append(self, value: T, /) -> None:
        """Put *value* at the end.

        >>> x = SharedList([1])
        >>> x.append(2)
        >>> x.value
        [1, 2]
        """
        raise NotImplementedError

    def extend(self, values: Iterable[T], /) -> None:
        """Put all of *values* at the end as one change.

        >>> x = SharedList([1])
        >>> x.extend([2, 3])
        >>> x.value
        [1, 2, 3]
        """
        raise NotImplementedError

    def insert(self, index: SupportsIndex, value: T, /) -> None:
        """Put *value* before the element at *index*; at an end if *index* is beyond it.

        >>> x = SharedList([1, 3])
        >>> x.insert(1, 2)
        >>> x.value
        [1, 2, 3]
        """
        raise NotImplementedError

    def pop(self, index: SupportsIndex = -1, /) -> T:
        """Remove an element and return it; of several processes that try, one gets it.

        Raises:
            IndexError: There is none at *index*.

        >>> x = SharedList([1, 2, 3])
        >>> x.pop(), x.pop(0)
        (3, 1)
        """
        raise NotImplementedError

    def remove(self, value: T, /) -> None:
        """Remove the first element that equals *value*.

        Raises:
            ValueError: There is none.

        >>> x = SharedList(["a", "b", "a"])
        >>> x.remove("a")
        >>> x.value
        ['b', 'a']
        """
        raise NotImplementedError

    # ---- the whole ----

    def clear(self) -> None:
        """Remove everything at once.

        >>> x = SharedList([1, 2])
        >>> x.clear()
        >>> x.value
        []
        """
        raise NotImplementedError

    def reverse(self) -> None:
        """Reverse the order as one change.

        >>> x = SharedList([1, 2])
        >>> x.reverse()
        >>> x.value
        [2, 1]
        """
        raise NotImplementedError

    @overload
    def sort(self: SharedList[SupportsRichComparisonT], *, key: None = None, reverse: bool = False) -> None: ...
    @overload
    def sort(self, *, key: Callable[[T], SupportsRichComparison], reverse: bool = False) -> None: ...
    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Sort as one change, stable as `list.sort`.

        Comparing (and *key*) runs before the lock is taken, and again if others changed the list meanwhile; if it
        raises, nothing is changed.

        >>> x = SharedList(["pear", "fig", "apple"])
        >>> x.sort(key=len)
        >>> x.value
        ['fig', 'pear', 'apple']
        """
        raise NotImplementedError

    def set(self, value: Iterable[T]) -> None:
        """Replace all that it holds by the elements of *value*, as one change.

        >>> x = SharedList([1, 2])
        >>> x.set(range(3))
        >>> x.value
        [0, 1, 2]
        """
        raise NotImplementedError

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Self]:
        """A transaction: exclude all other writers for a `with` block; yields the list as the block sees it.

        Others go on reading the last commit. What the block writes appears to them all at once when it ends, and not at
        all if it raises or the process dies. Calls on the handle itself join the block of their thread. A block inside
        a block that raises undoes only its own writes. What the block was given is dead after it (`Closed`).

        Args:
            timeout: Seconds to wait at most; 0 tries once; None waits for ever.

        Raises:
            LockTimeout: It was still held by someone else when the time ran out.

        >>> x = SharedList([1, 2])
        >>> with x.locked() as inside:
        ...     inside[0] += 1
        ...     inside.append(sum(inside))
        >>> x.value
        [2, 2, 4]
        """
        raise NotImplementedError

    # ---- what follows from these ----

    def __iter__(self) -> Iterator[T]:
        return iter(self.value)

    def __reversed__(self) -> Iterator[T]:
        return reversed(self.value)

    def __contains__(self, value: object, /) -> bool:
        return value in self.value

    def index(self, value: Any, start: SupportsIndex = 0, stop: SupportsIndex = sys.maxsize, /) -> int:
        """Where the first element is that equals *value*, from *start* on and before *stop*.

        Raises:
            ValueError: There is none.

        >>> SharedList(["a", "b", "a"]).index("a", 1)
        2
        """
        return self.value.index(value, start, stop)

    def count(self, value: Any, /) -> int:
        """How many elements equal *value*.

        >>> SharedList(["a", "b", "a"]).count("a")
        2
        """
        return self.value.count(value)

    def copy(self) -> list[T]:
        """One snapshot, as a plain list. (`copy.copy(x)` is the shared list itself.)

        >>> SharedList([1, 2]).copy()
        [1, 2]
        """
        return self.value

    @overload
    def __add__(self, other: list[T] | SharedList[T], /) -> list[T]: ...
    @overload
    def __add__(self, other: list[S] | SharedList[S], /) -> list[T | S]: ...
    def __add__(self, other: Any, /) -> list[Any]:
        return self.value + _plain(other) if is_a(list | SharedList, other) else NotImplemented

    @overload
    def __radd__(self, other: list[T], /) -> list[T]: ...
    @overload
    def __radd__(self, other: list[S], /) -> list[T | S]: ...
    def __radd__(self, other: Any, /) -> list[Any]:
        return _plain(other) + self.value if is_a(list | SharedList, other) else NotImplemented

    def __iadd__(self, values: Iterable[T], /) -> Self:  # type: ignore[misc]
        self.extend(values)
        return self

    def __mul__(self, times: SupportsIndex, /) -> list[T]:
        return self.value * times

    __rmul__ = __mul__

    def __imul__(self, times: SupportsIndex, /) -> Self:
        with self.locked() as inside:
            inside.set(inside.value * times)
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | SharedList):
            return NotImplemented
        mine = self.value
        return bool(mine == (mine if other is self else _plain(other)))

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    def __lt__(self, other: list[T] | SharedList[T], /) -> bool:
        return self.value < _plain(other) if is_a(list | SharedList, other) else NotImplemented

    def __le__(self, other: list[T] | SharedList[T], /) -> bool:
        return self.value <= _plain(other) if is_a(list | SharedList, other) else NotImplemented

    def __gt__(self, other: list[T] | SharedList[T], /) -> bool:
        return self.value > _plain(other) if is_a(list | SharedList, other) else NotImplemented

    def __ge__(self, other: list[T] | SharedList[T], /) -> bool:
        return self.value >= _plain(other) if is_a(list | SharedList, other) else NotImplemented

    def _seen(self, most: int) -> list[T]:
        """The first of what it holds, or an error rather than a wait for it."""
        raise NotImplementedError

    def _repr_contents(self) -> str:
        return short_items(self)

    def _repr_html_(self) -> str:
        from procshare._html import page

        return page(self)


def _plain(other: Any) -> list[Any]:
    plain: list[Any] = other.value if is_a(SharedList, other) else other
    return plain
