"""`StdlibDict`, `StdlibList`, `StdlibSet` and `StdlibNamespace`: managed objects, with a lock beside each."""

from __future__ import annotations

import builtins
import operator
import os
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, TypeVar

from procshare._containers import MISSING
from procshare._dict import SharedDict
from procshare._keys import check_key
from procshare._list import SharedList
from procshare._namespace import SharedNamespace, check_name
from procshare._set import SharedSet
from procshare.backends.stdlib.blocks import NOTHING
from procshare.backends.stdlib.container import StdlibContainer, transaction
from procshare.backends.stdlib.locking import new_hold
from procshare.backends.stdlib.manager import pickled, place
from procshare.backends.stdlib.mapping import StdlibMapping
from procshare.backends.stdlib.stores import EVERYTHING, RowStore, TableStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from procshare.backends import Backend
    from procshare.backends.stdlib.blocks import Core

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

__all__ = ["StdlibDict", "StdlibList", "StdlibNamespace", "StdlibSet", "transaction"]


class StdlibDict(StdlibMapping[K, V], SharedDict[K, V]):
    """A dict in a manager process."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedDict

    def __init__(self, data: Any = (), /, *, name: str | None = None, backend: str | Backend | None = None) -> None:
        self._start(name)
        self._create(data)

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
        self, data: Iterable[T] = (), /, *, name: str | None = None, backend: str | Backend | None = None
    ) -> None:
        self._start(name)
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


class StdlibList(StdlibContainer[list[T]], SharedList[T]):
    """A list in a manager process. A block works on a copy, and writes it back whole."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedList

    def __init__(
        self, data: Iterable[T] = (), /, *, name: str | None = None, backend: str | Backend | None = None
    ) -> None:
        self._start(name)
        store = place(RowStore, "Row", [pickled(each) for each in data])
        self._place(store, new_hold().lock, os.getpid())

    def _run(self, method: str, *args: Any) -> Any:
        """Call a method of list that changes it: in the manager, or on the copy of the block that this thread is in."""
        core = self._opened()
        with core.step(self._label) as alone:
            return self._target(core, alone).run(method, *args)

    def _target(self, core: Core, alone: bool) -> Any:
        """Where a change goes: one that is a block of its own is one request."""
        return core.store if alone and core.pending is NOTHING else core.draft()

    def _encoded(self, values: Iterable[Any]) -> list[Any]:
        encode = self._opened().store.encode
        return [encode(each) for each in values]

    # ---- elements and slices ----

    def __len__(self) -> int:
        length: int = self._opened().source().run("__len__")
        return length

    def __getitem__(self, index: SupportsIndex | slice, /) -> Any:
        core = self._opened()
        found = core.source().run("__getitem__", _plain(index))
        decode = core.store.decode
        return [decode(each) for each in found] if isinstance(index, slice) else decode(found)

    def __setitem__(self, index: SupportsIndex | slice, value: Any, /) -> None:
        self._require_open()
        place = _plain(index)
        stored = self._encoded(value) if isinstance(index, slice) else self._opened().store.encode(value)
        self._run("__setitem__", place, stored)

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        self._require_open()
        self._run("__delitem__", _plain(index))

    def append(self, value: T, /) -> None:
        self._run("append", self._opened().store.encode(value))

    def extend(self, values: Iterable[T], /) -> None:
        self._run("extend", self._encoded(values))

    def insert(self, index: SupportsIndex, value: T, /) -> None:
        self._run("insert", operator.index(index), self._opened().store.encode(value))

    def pop(self, index: SupportsIndex = -1, /) -> T:
        core = self._opened()
        place = operator.index(index)
        with core.step(self._label) as alone:
            value: T = core.store.decode(core.source().run("__getitem__", place))  # what raises here is not taken out
            self._target(core, alone).run("__delitem__", place)
        return value

    def remove(self, value: T, /) -> None:
        core = self._opened()
        with core.step(self._label) as alone:
            place = self.value.index(value)
            self._target(core, alone).run("__delitem__", place)

    # ---- the whole ----

    def clear(self) -> None:
        self._run("__delitem__", EVERYTHING)

    def reverse(self) -> None:
        self._run("reverse")

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        core = self._opened()
        with core.held(None, self._label):
            before = core.source().run("__getitem__", EVERYTHING)
            values = [core.store.decode(each) for each in before]
            ranks = values if key is None else [key(each) for each in values]
            order = sorted(range(len(ranks)), key=ranks.__getitem__, reverse=reverse)
            core.draft().run("__setitem__", EVERYTHING, [before[place] for place in order])

    @property
    def value(self) -> list[T]:
        values: list[T] = self[:]
        return values

    def set(self, value: Iterable[T]) -> None:
        self._run("__setitem__", EVERYTHING, self._encoded(value))

    def modify(self, fn: Callable[[list[T]], list[T]]) -> list[T]:
        core = self._opened()
        with core.held(None, self._label):
            stored = self._encoded(fn(self.value))
            new = [core.store.decode(each) for each in stored]
            core.draft().run("__setitem__", EVERYTHING, stored)
        return new


def _plain(index: Any) -> Any:
    """An index that the manager can do with: it need not have NumPy."""
    parts: list[Any] = [getattr(index, part, None) for part in ("start", "stop", "step")]
    if not isinstance(index, slice):
        return operator.index(index)
    return slice(*(part if part is None else operator.index(part) for part in parts))


class StdlibNamespace(StdlibMapping[str, Any], SharedNamespace):
    """A namespace in a manager process."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedNamespace

    def __init__(
        self, data: Mapping[str, Any] = {}, /, *, name: str | None = None, backend: str | Backend | None = None
    ) -> None:
        self._start(name)
        self._create(data)

    def _check(self, key: Any) -> None:
        check_name(key)

    def increment(self, name: str, n: int = 1) -> int:
        return self._increment(name, n)

    def modify_item(self, name: str, fn: Callable[[Any], Any], default: Any = MISSING) -> Any:
        return self._modify_item(name, fn, default)
