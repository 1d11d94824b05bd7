"""The containers of the `shm` backend: the C types, completed."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from procshare._containers import MISSING, to_pairs
from procshare._dict import SharedDict
from procshare._list import SharedList
from procshare._namespace import SharedNamespace, check_name, to_attributes
from procshare._set import SharedSet
from procshare.backends.shm.base import ShmShared
from procshare.backends.shm.core import documented, native
from procshare.backends.shm.segment import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from procshare.backends import Backend

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class ShmContainer(ShmShared[T]):
    """What the four have in common."""

    __slots__ = ()

    def modify(self, fn: Callable[[T], T]) -> T:
        with self.locked() as inside:
            inside.set(fn(inside.value))
            new: T = inside.value
        return new


@documented
class ShmDict(native.Map, ShmContainer[dict[K, V]], SharedDict[K, V]):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedDict

    def __init__(
        self,
        data: Any = (),
        /,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
        **items: Any,
    ) -> None:
        self._permit(mode, group)
        self._create(NUMBERS["dict"], [*to_pairs(data), *items.items()], name)

    @property
    def value(self) -> dict[K, V]:
        return dict(self._items())

    def set(self, value: Any) -> None:
        self._replace(to_pairs(value))

    def _seen(self, most: int) -> dict[K, V]:
        return dict(self._glance(most))

    def modify_item(self, key: K, fn: Callable[[V], V], default: V = MISSING) -> V:
        with self.locked() as inside:
            inside[key] = new = fn(_required(inside._find(key, default), key))
        return new


@documented
class ShmNamespace(native.Table, ShmContainer[dict[str, Any]], SharedNamespace):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedNamespace

    def __init__(
        self,
        data: Mapping[str, Any] = {},
        /,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
        **attributes: Any,
    ) -> None:
        self._permit(mode, group)
        self._create(NUMBERS["namespace"], to_attributes(data, attributes), name)

    @property
    def value(self) -> dict[str, Any]:
        return dict(self._items())

    def set(self, value: Mapping[str, Any]) -> None:
        self._replace(to_attributes(value))

    def _seen(self, most: int) -> dict[str, Any]:
        return dict(self._glance(most))

    def increment(self, name: str, n: int = 1) -> int:
        return self._increment(check_name(name), n)

    def modify_item(self, name: str, fn: Callable[[Any], Any], default: Any = MISSING) -> Any:
        with self.locked() as inside:
            inside[name] = new = fn(_required(inside._find(check_name(name), default), name))
        return new

    def _drop(self, name: str, /) -> None:
        _required(self._take(name, MISSING), name)


@documented
class ShmSet(native.Table, ShmContainer[set[T]], SharedSet[T]):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedSet

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
        self._permit(mode, group)
        self._create(NUMBERS["set"], _pairs(data), name)

    @property
    def value(self) -> builtins.set[T]:
        return builtins.set(self._keys())

    def set(self, value: Iterable[T]) -> None:
        self._replace(_pairs(value))

    def _seen(self, most: int) -> builtins.set[T]:
        return {element for element, _ in self._glance(most)}

    def add(self, element: T, /) -> None:
        self._put(element, True)

    def discard(self, element: T, /) -> None:
        self._take(element, None)

    def remove(self, element: T, /) -> None:
        _required(self._take(element, MISSING), element)

    def pop(self) -> T:
        element: T = self._take_end(True)[0]
        return element

    def _elements(self) -> list[T]:
        return self._keys()


@documented
class ShmList(native.Vector, ShmContainer[list[T]], SharedList[T]):
    __slots__ = ()
    _implements: ClassVar[Any] = SharedList

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
        self._permit(mode, group)
        self._create(NUMBERS["list"], list(data), name)

    @property
    def value(self) -> list[T]:
        return self._list()

    def set(self, value: Iterable[T]) -> None:
        self._replace(list(value))

    def _seen(self, most: int) -> list[T]:
        return self._glance(most)

    def extend(self, values: Iterable[T], /) -> None:
        self._extend(list(values))

    def remove(self, value: T, /) -> None:
        self._rework(lambda items: items.index(value), type(self).__delitem__)

    def reverse(self) -> None:
        self._rework(lambda items: items[::-1], type(self)._replace)

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        self._rework(lambda items: sorted(items, key=key, reverse=reverse), type(self)._replace)

    def _rework(self, think: Callable[[list[T]], Any], write: Callable[[Any, Any], object]) -> None:
        # Comparing runs anybody's code: without the lock, and once more if the list was changed meanwhile.
        for _ in range(100):
            stamp = self._stamp()
            thought = think(self._list())
            with self.locked() as inside:
                if inside._stamp() == stamp:
                    write(inside, thought)
                    return
        with self.locked() as inside:  # it never stops changing
            write(inside, think(inside._list()))


def transaction(containers: list[Any], timeout: float | None) -> AbstractContextManager[tuple[Any, ...]]:
    """See `procshare.transaction`."""
    return native.transaction(containers, timeout)


def _pairs(elements: Iterable[Any]) -> list[tuple[Any, Any]]:
    return [(element, True) for element in elements]


def _required(found: Any, key: object) -> Any:
    if found is MISSING:
        raise KeyError(key)
    return found
