"""`StdlibDict`, `StdlibSet` and `StdlibNamespace`: tables in a manager process, with a lock beside each."""

from __future__ import annotations

import builtins
import os
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from procshare._containers import MISSING, to_pairs
from procshare._dict import SharedDict
from procshare._keys import check_key
from procshare._namespace import SharedNamespace, check_name
from procshare._set import SharedSet
from procshare.backends.stdlib.container import StdlibContainer, transaction
from procshare.backends.stdlib.locking import new_hold
from procshare.backends.stdlib.manager import place
from procshare.backends.stdlib.mapping import StdlibMapping
from procshare.backends.stdlib.sequence import StdlibList
from procshare.backends.stdlib.stores import TableStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from procshare.backends import Backend

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

__all__ = ["StdlibDict", "StdlibList", "StdlibNamespace", "StdlibSet", "transaction"]


class StdlibDict(StdlibMapping[K, V], SharedDict[K, V]):
    """A dict in a manager process."""

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
        self._start(name, mode, group)
        self._create([*to_pairs(data), *items.items()])

    def __getitem__(self, key: K, /) -> V:
        found = self._find(key, MISSING)
        if found is MISSING:
            raise KeyError(key)
        value: V = found
        return value

    def __setitem__(self, key: K, value: V, /) -> None:
        self._put(key, value)

    def __delitem__(self, key: K, /) -> None:
        self._drop(key)

    def get(self, key: K, default: Any = None, /) -> Any:
        return self._find(key, default)

    def pop(self, key: K, default: Any = MISSING, /) -> Any:
        value = self._take(key, default)
        if value is MISSING:
            raise KeyError(key)
        return value

    def popitem(self, last: bool = True) -> tuple[K, V]:
        core = self._opened()
        with core.step(self._label):
            pair = core.source().end(bool(last))
            if pair is None:
                raise KeyError("popitem(): dictionary is empty")
            key, value = pair[0], core.store.decode(pair[1])
            core.draft().drop(key)
        return key, value

    def setdefault(self, key: K, default: Any = None, /) -> Any:
        core = self._opened()
        check_key(key)
        stored = core.store.encode(default)
        with core.step(self._label):
            found = core.source().find(key)
            value = core.store.decode(stored if found is MISSING else found)
            if found is MISSING:
                core.draft().put[key] = stored
        return value

    def increment(self, key: K, n: int = 1) -> int:
        return self._increment(key, n)

    def modify_item(self, key: K, fn: Callable[[V], V], default: Any = MISSING) -> V:
        return self._modify_item(key, fn, default)

    def _values(self) -> list[V]:
        return [value for _, value in self._items()]


class StdlibSet(StdlibContainer[set[T]], SharedSet[T]):
    """A set in a manager process: the keys of a table, with nothing under them."""

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
        self._start(name, mode, group)
        store = place(TableStore, "Table", _elements(data))
        self._place(store, new_hold().lock, os.getpid())

    def __contains__(self, element: object, /) -> bool:
        core = self._opened()
        check_key(element)
        there: bool = core.source().has(element)
        return there

    def __len__(self) -> int:
        size: int = self._opened().source().size()
        return size

    def add(self, element: T, /) -> None:
        self._change([element], [])

    def discard(self, element: T, /) -> None:
        self._change([], [element])

    def remove(self, element: T, /) -> None:
        core = self._opened()
        check_key(element)
        with core.step(self._label):
            if not core.source().has(element):
                raise KeyError(element)
            core.draft().drop(element)

    def pop(self) -> T:
        core = self._opened()
        with core.step(self._label):
            pair = core.source().end(True)
            if pair is None:
                raise KeyError("pop from an empty set")
            element: T = pair[0]
            core.draft().drop(element)
        return element

    def clear(self) -> None:
        self.set(())

    def _elements(self) -> list[T]:
        elements: list[T] = self._opened().source().keys()
        return elements

    def _change(self, add: list[T], drop: list[T], /) -> None:
        core = self._opened()
        added, dropped = _elements(add), _elements(drop)
        with core.step(self._label):
            draft = core.draft()
            for element in dropped:
                draft.drop(element)
            draft.put.update(added)

    @property
    def value(self) -> builtins.set[T]:
        return builtins.set(self._elements())

    def set(self, value: Iterable[T]) -> None:
        core = self._opened()
        elements = _elements(value)
        with core.step(self._label):
            core.draft().replace(elements)

    def modify(self, fn: Callable[[builtins.set[T]], builtins.set[T]]) -> builtins.set[T]:
        core = self._opened()
        with core.held(None, self._label):
            elements = _elements(fn(builtins.set(self._elements())))
            core.draft().replace(elements)
        return builtins.set(elements)


def _elements(data: Iterable[Any]) -> dict[Any, bytes]:
    elements: dict[Any, bytes] = {}
    for element in data:
        check_key(element)
        elements[element] = b""
    return elements


class StdlibNamespace(StdlibMapping[str, Any], SharedNamespace):
    """A namespace in a manager process."""

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
        self._start(name, mode, group)
        self._create([*to_pairs(data), *attributes.items()])

    def _check(self, key: Any) -> None:
        check_name(key)

    def increment(self, name: str, n: int = 1) -> int:
        return self._increment(name, n)

    def modify_item(self, name: str, fn: Callable[[Any], Any], default: Any = MISSING) -> Any:
        return self._modify_item(name, fn, default)
