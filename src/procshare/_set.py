"""`SharedSet`: a set that several processes see as one."""

from __future__ import annotations

import builtins
from collections.abc import MutableSet
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from procshare._containers import is_a
from procshare._display import short_items
from procshare._keys import check_key
from procshare._shared import Shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from typing import Self

    from procshare.backends import Backend

T = TypeVar("T")
S = TypeVar("S")


class SharedSet(Shared[set[T]], MutableSet[T]):
    """A set that several processes see as one: each call atomic, reads without a lock.

    Iteration, operators, comparisons, `copy()` and `value` show one state that really was, and a concurrent change
    never makes them raise. Operators with another set give a plain set; those in place (`|=`, `update()`, …) are
    one change.

    Args:
        data: What it holds at first, copied: str, bytes, int, None, or tuples of these.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        TypeError: An element is of another type (bool and float are); nothing was created.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Every call that takes an element raises TypeError for what cannot be one, as a set does for an unhashable one. A
    call that raises has changed nothing.

    Memory: at most three times what it holds, and 64 KiB; what is deleted is given back.

    >>> seen = SharedSet({"a"})
    >>> seen.add("b")
    >>> "b" in seen, seen - {"b"}
    (True, {'a'})
    """

    __slots__ = ()
    kind: ClassVar[str] = "set"

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

    # ---- one element ----

    def __contains__(self, element: object, /) -> bool:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def add(self, element: T, /) -> None:
        """Put *element* in, if it is not there.

        >>> s = SharedSet([1])
        >>> s.add(2)
        >>> s.value
        {1, 2}
        """
        raise NotImplementedError

    def discard(self, element: T, /) -> None:
        """Take *element* out, if it is there.

        >>> s = SharedSet([1])
        >>> s.discard(7)  # not there: nothing happens
        >>> s.value
        {1}
        """
        raise NotImplementedError

    def remove(self, element: T, /) -> None:
        """Take *element* out.

        Raises:
            KeyError: It is not there.

        >>> s = SharedSet([1])
        >>> s.remove(1)
        >>> s.value
        set()
        """
        raise NotImplementedError

    def pop(self) -> T:
        """Take some element out and return it; of several processes that try, one gets it.

        Raises:
            KeyError: The set is empty.

        >>> SharedSet([1]).pop()
        1
        """
        raise NotImplementedError

    # ---- the whole ----

    def clear(self) -> None:
        """Remove everything at once.

        >>> s = SharedSet([1])
        >>> s.clear()
        >>> s.value
        set()
        """
        raise NotImplementedError

    def set(self, value: Iterable[T]) -> None:
        """Replace all that it holds by the elements of *value*, as one change.

        >>> s = SharedSet([1])
        >>> s.set([2, 3])
        >>> s.value
        {2, 3}
        """
        raise NotImplementedError

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Self]:
        """A transaction: exclude all other writers for a `with` block; yields the set as the block sees it.

        Others go on reading the last commit. What the block writes appears to them all at once when it ends, and not at
        all if it raises or the process dies. Calls on the handle itself join the block of their thread. A block inside
        a block that raises undoes only its own writes. What the block was given is dead after it (`Closed`).

        Args:
            timeout: Seconds to wait at most; 0 tries once; None waits for ever.

        Raises:
            LockTimeout: It was still held by someone else when the time ran out.

        >>> free = SharedSet({1, 2, 3})
        >>> with free.locked() as inside:
        ...     if {1, 2} <= inside:
        ...         inside -= {1, 2}
        >>> free.value
        {3}
        """
        raise NotImplementedError

    def _elements(self) -> list[T]:
        raise NotImplementedError

    def _change(self, add: list[Any], drop: list[Any], /) -> None:
        raise NotImplementedError

    # ---- what follows from these: reading ----

    def __iter__(self) -> Iterator[T]:
        return iter(self._elements())

    def copy(self) -> builtins.set[T]:
        """One snapshot, as a plain set. (`copy.copy(s)` is the shared set itself.)

        >>> SharedSet([1, 2]).copy()
        {1, 2}
        """
        return self.value

    def union(self, *others: Iterable[S]) -> builtins.set[T | S]:
        """The elements of this set and of all *others*, as a plain set.

        >>> SharedSet([1, 2]).union([2], [3])
        {1, 2, 3}
        """
        return self.value.union(*others)

    def intersection(self, *others: Iterable[Any]) -> builtins.set[T]:
        """The elements that are in this set and in all *others*, as a plain set.

        >>> SharedSet([1, 2]).intersection([1, 5])
        {1}
        """
        return self.value.intersection(*others)

    def difference(self, *others: Iterable[Any]) -> builtins.set[T]:
        """The elements of this set that are in none of *others*, as a plain set.

        >>> SharedSet([1, 2]).difference([1])
        {2}
        """
        return self.value.difference(*others)

    def symmetric_difference(self, other: Iterable[S], /) -> builtins.set[T | S]:
        """The elements that are in one of the two only, as a plain set.

        >>> SharedSet([1, 2]).symmetric_difference([1, 5])
        {2, 5}
        """
        mine: builtins.set[Any] = self.value
        return mine.symmetric_difference(other)

    def issubset(self, other: Iterable[Any], /) -> bool:
        """Whether every element is in *other*.

        >>> SharedSet([1, 2]).issubset([1, 2, 3])
        True
        """
        return self.value.issubset(other)

    def issuperset(self, other: Iterable[Any], /) -> bool:
        """Whether every element of *other* is here.

        >>> SharedSet([1, 2]).issuperset([1])
        True
        """
        return self.value.issuperset(other)

    def isdisjoint(self, other: Iterable[Any], /) -> bool:
        """Whether the two have no element in common.

        >>> SharedSet([1, 2]).isdisjoint([3])
        True
        """
        return self.value.isdisjoint(other)

    def __or__(self, other: AbstractSet[S], /) -> builtins.set[T | S]:
        return self.value.union(other) if is_a(AbstractSet, other) else NotImplemented

    def __and__(self, other: AbstractSet[Any], /) -> builtins.set[T]:
        return self.value.intersection(other) if is_a(AbstractSet, other) else NotImplemented

    def __sub__(self, other: AbstractSet[Any], /) -> builtins.set[T]:
        return self.value.difference(other) if is_a(AbstractSet, other) else NotImplemented

    def __xor__(self, other: AbstractSet[S], /) -> builtins.set[T | S]:
        return self.symmetric_difference(other) if is_a(AbstractSet, other) else NotImplemented

    def __rsub__(self, other: AbstractSet[S], /) -> builtins.set[S]:  # type: ignore[misc]
        return builtins.set(other).difference(self.value) if is_a(AbstractSet, other) else NotImplemented

    __ror__ = __or__
    __rand__ = __and__
    __rxor__ = __xor__

    def __eq__(self, other: object) -> bool:
        if not is_a(AbstractSet, other):
            return NotImplemented
        mine: builtins.set[Any] = self.value
        given: Any = other
        return mine == (mine if other is self else builtins.set(given))

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

    def __le__(self, other: AbstractSet[Any], /) -> bool:
        return self.value <= builtins.set(other) if is_a(AbstractSet, other) else NotImplemented

    def __lt__(self, other: AbstractSet[Any], /) -> bool:
        return self.value < builtins.set(other) if is_a(AbstractSet, other) else NotImplemented

    def __ge__(self, other: AbstractSet[Any], /) -> bool:
        return self.value >= builtins.set(other) if is_a(AbstractSet, other) else NotImplemented

    def __gt__(self, other: AbstractSet[Any], /) -> bool:
        return self.value > builtins.set(other) if is_a(AbstractSet, other) else NotImplemented

    def _seen(self, most: int) -> builtins.set[T]:
        """The first of what it holds, or an error rather than a wait for it."""
        raise NotImplementedError

    def _repr_contents(self) -> str:
        return short_items(self)

    def _repr_html_(self) -> str:
        from procshare._html import page

        return page(self)

    # ---- what follows from these: writing, each as one change; the others are read before the lock is taken ----

    def update(self, *others: Iterable[T]) -> None:
        """Put the elements of all *others* in.

        >>> s = SharedSet([1])
        >>> s.update([2], [3])
        >>> s.value
        {1, 2, 3}
        """
        self._change([element for other in others for element in other], [])

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Take the elements of all *others* out.

        >>> s = SharedSet([1])
        >>> s.difference_update([1, 2])
        >>> s.value
        set()
        """
        self._change([], [element for other in others for element in other])

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Take out what is not in all *others*.

        >>> s = SharedSet([1])
        >>> s.intersection_update([2, 3])
        >>> s.value
        set()
        """
        kept = [frozenset(other) for other in others]
        with self.locked() as inside:
            inside._change([], [each for each in inside._elements() if not all(each in other for other in kept)])

    def symmetric_difference_update(self, other: Iterable[T], /) -> None:
        """Take out what is in *other* too, and put in what is only there.

        >>> s = SharedSet([1])
        >>> s.symmetric_difference_update([1, 2])
        >>> s.value
        {2}
        """
        given = list(other)
        for each in given:
            check_key(each)
        given = list(dict.fromkeys(given))
        with self.locked() as inside:
            mine = inside.value
            inside._change([each for each in given if each not in mine], [each for each in given if each in mine])

    def __ior__(self, other: AbstractSet[T], /) -> Self:  # type: ignore[override,misc]
        if not is_a(AbstractSet, other):
            return NotImplemented
        self.update(other)
        return self

    def __isub__(self, other: AbstractSet[Any], /) -> Self:
        if not is_a(AbstractSet, other):
            return NotImplemented
        self.difference_update(other)
        return self

    def __iand__(self, other: AbstractSet[Any], /) -> Self:
        if not is_a(AbstractSet, other):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __ixor__(self, other: AbstractSet[T], /) -> Self:  # type: ignore[override,misc]
        if not is_a(AbstractSet, other):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self
