"""`StdlibList`: a list in a manager process, with a lock beside it."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, TypeVar

from procshare._list import SharedList
from procshare.backends.stdlib.blocks import NOTHING
from procshare.backends.stdlib.container import StdlibContainer
from procshare.backends.stdlib.locking import new_hold
from procshare.backends.stdlib.manager import pickled, place
from procshare.backends.stdlib.stores import EVERYTHING, RowStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from procshare.backends import Backend
    from procshare.backends.stdlib.blocks import Core

T = TypeVar("T")


class StdlibList(StdlibContainer[list[T]], SharedList[T]):
    """A list in a manager process. A block works on a copy, and writes it back whole."""

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
        self._start(name, mode, group)
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
        core = self._opened()
        return [core.store.decode(each) for each in core.source().run("__getitem__", EVERYTHING)]

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
