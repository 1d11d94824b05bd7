"""What a dict and a namespace have in common: values under keys, changed one by one or all at once."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from procshare._containers import MISSING, to_pairs
from procshare._keys import check_key
from procshare.backends.stdlib.container import StdlibContainer
from procshare.backends.stdlib.locking import new_hold
from procshare.backends.stdlib.manager import pickled, place
from procshare.backends.stdlib.stores import TableStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

K = TypeVar("K")
V = TypeVar("V")


class StdlibMapping(StdlibContainer[dict[K, V]], Generic[K, V]):
    """Each change holds the lock for as long as it takes to look and to write: at most two requests."""

    __slots__ = ()

    def _check(self, key: Any) -> None:
        check_key(key)

    def _encoded(self, pairs: Iterable[tuple[Any, Any]], encode: Callable[[Any], Any]) -> dict[Any, Any]:
        stored: dict[Any, Any] = {}
        for key, value in pairs:
            self._check(key)
            stored[key] = encode(value)
        return stored

    def _create(self, data: Any) -> None:
        store = place(TableStore, "Table", self._encoded(to_pairs(data), pickled))
        self._place(store, new_hold().lock, os.getpid())

    # ---- one key ----

    def _find(self, key: Any, default: Any, /) -> Any:
        core = self._opened()
        self._check(key)
        found = core.source().find(key)
        return default if found is MISSING else core.store.decode(found)

    def _put(self, key: Any, value: Any, /) -> Any:
        core = self._opened()
        self._check(key)
        stored = core.store.encode(value)
        with core.step(self._label):
            core.draft().put[key] = stored

    def _take(self, key: Any, default: Any, /) -> Any:
        core = self._opened()
        self._check(key)
        with core.step(self._label):
            found = core.source().find(key)
            if found is MISSING:
                return default
            value = core.store.decode(found)  # what raises here was not taken out
            core.draft().drop(key)
        return value

    def _drop(self, key: Any, /) -> None:
        core = self._opened()
        self._check(key)
        with core.step(self._label):
            if not core.source().has(key):
                raise KeyError(key)
            core.draft().drop(key)

    def _increment(self, key: Any, n: int) -> int:
        core = self._opened()
        self._check(key)
        step = operator.index(n)
        with core.step(self._label):
            found = core.source().find(key)
            count: object = 0 if found is MISSING else core.store.decode(found)
            if not isinstance(count, int) or isinstance(count, bool):
                raise TypeError(f"increment() adds to an int, and {key!r} is a {type(count).__name__}")
            new: int = count + step
            core.draft().put[key] = core.store.encode(new)
        return new

    def _modify_item(self, key: Any, fn: Callable[[V], V], default: Any) -> V:
        core = self._opened()
        self._check(key)
        with core.step(self._label):
            found = core.source().find(key)
            if found is MISSING and default is MISSING:
                raise KeyError(key)
            with core.held(None, self._label):  # if *fn* raises, what it wrote itself goes too
                stored = core.store.encode(fn(default if found is MISSING else core.store.decode(found)))
            new: V = core.store.decode(stored)
            core.draft().put[key] = stored
        return new

    # ---- the whole ----

    def __len__(self) -> int:
        size: int = self._opened().source().size()
        return size

    def __contains__(self, key: object, /) -> bool:
        core = self._opened()
        self._check(key)
        there: bool = core.source().has(key)
        return there

    def _keys(self) -> list[K]:
        keys: list[K] = self._opened().source().keys()
        return keys

    def _items(self) -> list[tuple[K, V]]:
        core = self._opened()
        decode = core.store.decode
        return [(key, decode(stored)) for key, stored in core.source().items()]

    def _update(self, pairs: list[tuple[K, V]], /) -> None:
        core = self._opened()
        stored = self._encoded(pairs, core.store.encode)
        with core.step(self._label):
            core.draft().put.update(stored)

    def clear(self) -> None:
        core = self._opened()
        with core.step(self._label):
            core.draft().replace({})

    @property
    def value(self) -> dict[K, V]:
        return dict(self._items())

    def set(self, value: Any) -> None:
        core = self._opened()
        stored = self._encoded(to_pairs(value), core.store.encode)
        with core.step(self._label):
            core.draft().replace(stored)

    def modify(self, fn: Callable[[dict[K, V]], dict[K, V]]) -> dict[K, V]:
        core = self._opened()
        with core.held(None, self._label):
            stored = self._encoded(to_pairs(fn(dict(self._items()))), core.store.encode)
            new = {key: core.store.decode(each) for key, each in stored.items()}
            core.draft().replace(stored)
        return new
