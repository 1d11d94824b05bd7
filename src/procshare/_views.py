"""`keys()`, `values()` and `items()` of a shared dict: each operation on a view works on one snapshot of the dict.

The built-in views of a plain dict made from the snapshot do the work, so results and errors are a dict's.
"""

from __future__ import annotations

from collections.abc import ItemsView, KeysView, Set, ValuesView
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from procshare._containers import MISSING, is_a
from procshare._display import MOST, describe, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
S = TypeVar("S")


class _SetView(Set[T]):
    """The set operations of keys and items."""

    __slots__ = ()

    def _plain(self) -> Any:
        """The built-in view of a snapshot."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return bool(self._plain() == _plain(other)) if is_a(Set, other) else NotImplemented

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __le__(self, other: Set[Any]) -> bool:
        return bool(self._plain() <= _plain(other)) if is_a(Set, other) else NotImplemented

    def __lt__(self, other: Set[Any]) -> bool:
        return bool(self._plain() < _plain(other)) if is_a(Set, other) else NotImplemented

    def __ge__(self, other: Set[Any]) -> bool:
        return bool(self._plain() >= _plain(other)) if is_a(Set, other) else NotImplemented

    def __gt__(self, other: Set[Any]) -> bool:
        return bool(self._plain() > _plain(other)) if is_a(Set, other) else NotImplemented

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        """Whether the two have nothing in common."""
        return bool(self._plain().isdisjoint(_plain(other)))

    def __and__(self, other: Iterable[Any]) -> set[T]:
        both: set[T] = self._plain() & _plain(other)
        return both

    def __or__(self, other: Iterable[S]) -> set[T | S]:
        either: set[T | S] = self._plain() | _plain(other)
        return either

    def __sub__(self, other: Iterable[Any]) -> set[T]:
        rest: set[T] = self._plain() - _plain(other)
        return rest

    def __xor__(self, other: Iterable[S]) -> set[T | S]:
        one: set[T | S] = self._plain() ^ _plain(other)
        return one

    def __rsub__(self, other: Iterable[S]) -> set[S]:
        rest: set[S] = set(_plain(other)) - set(self._plain())
        return rest

    def __rand__(self, other: Iterable[S]) -> set[S]:
        both: set[S] = _plain(other) & self._plain()
        return both

    __ror__ = __or__
    __rxor__ = __xor__


def _plain(other: Any) -> Any:
    # a built-in view knows sets and its like; of any other kind of set it wants a plain one
    if is_a(_SetView, other):
        return other._plain()
    return set(other) if is_a(Set, other) and type(other).__module__ != "builtins" else other


def _seen(mapping: Any) -> dict[Any, Any]:
    seen: dict[Any, Any] = mapping._seen(MOST + 1)
    return seen


class DictKeys(_SetView[K], KeysView[K]):
    """`SharedDict.keys()`."""

    __slots__ = ()
    _mapping: Any

    def _plain(self) -> Any:
        return dict.fromkeys(self._snapshot()).keys()

    def _snapshot(self) -> list[K]:
        keys: list[K] = self._mapping._keys()
        return keys

    def __contains__(self, key: object) -> bool:
        return key in self._mapping

    def __iter__(self) -> Iterator[K]:
        return iter(self._snapshot())

    def __reversed__(self) -> Iterator[K]:
        return reversed(self._snapshot())

    def __repr__(self) -> str:
        return describe(self._mapping, lambda: short(list(_seen(self._mapping))), "keys")


class DictValues(ValuesView[V]):
    """`SharedDict.values()`."""

    __slots__ = ()
    _mapping: Any

    def _snapshot(self) -> list[V]:
        values: list[V] = self._mapping._values()
        return values

    def __contains__(self, value: object) -> bool:
        return value in self._snapshot()

    def __iter__(self) -> Iterator[V]:
        return iter(self._snapshot())

    def __reversed__(self) -> Iterator[V]:
        return reversed(self._snapshot())

    def __repr__(self) -> str:
        return describe(self._mapping, lambda: short(list(_seen(self._mapping).values())), "values")


class DictItems(_SetView[tuple[K, V]], ItemsView[K, V]):
    """`SharedDict.items()`."""

    __slots__ = ()
    _mapping: Any

    def _plain(self) -> Any:
        return self._mapping.value.items()

    def _snapshot(self) -> list[tuple[K, V]]:
        items: list[tuple[K, V]] = self._mapping._items()
        return items

    def __contains__(self, item: object) -> bool:
        pair: Any = item
        if not isinstance(item, tuple) or len(pair) != 2:
            return False
        found = self._mapping.get(pair[0], MISSING)
        return found is not MISSING and bool(found == pair[1])

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return iter(self._snapshot())

    def __reversed__(self) -> Iterator[tuple[K, V]]:
        return reversed(self._snapshot())

    def __repr__(self) -> str:
        return describe(self._mapping, lambda: short(list(_seen(self._mapping).items())), "items")
