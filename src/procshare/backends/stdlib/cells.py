"""Counters and values: one thing that is written whole."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from procshare._errors import Closed
from procshare._shared import Shared
from procshare.backends.stdlib.blocks import NOTHING, core_of
from procshare.backends.stdlib.handle import StdlibHandle
from procshare.backends.stdlib.locking import poll

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from procshare._shared import Cell
    from procshare.backends.stdlib.blocks import Core, Store

T = TypeVar("T")


class StdlibCell(Generic[T]):
    """What `locked()` yields here; see `procshare.Cell`."""

    __slots__ = ("_core", "_pid")

    def __init__(self, core: Core) -> None:
        self._core: Core | None = core
        self._pid = os.getpid()

    def die(self) -> None:
        """End with the block."""
        self._core = None

    def _live(self) -> Core:
        if self._core is None or self._pid != os.getpid():
            raise Closed("the locked() block of this cell has ended; enter a new one")
        return self._core

    @property
    def value(self) -> T:
        core = self._live()
        value: T = core.store.decode(core.store.load() if core.pending is NOTHING else core.pending)
        return value

    @value.setter
    def value(self, value: T) -> None:
        core = self._live()
        core.pending = core.store.encode(value)


@contextmanager
def _cell(core: Core, timeout: float | None, label: str) -> Generator[StdlibCell[Any]]:
    with core.held(timeout, label):
        cell: StdlibCell[Any] = StdlibCell(core)
        try:
            yield cell
        finally:
            cell.die()


class StdlibCells(StdlibHandle, Shared[T], Generic[T]):
    """What counters and values have in common."""

    __slots__ = ("_core",)
    _core: Core

    def _place(self, store: Store, lock: Any, creator: int | None) -> None:
        self._begin(creator)
        self._core = core_of(store, lock)

    def _lock(self) -> Any:
        return self._core.hold.lock

    def _parts(self) -> tuple[Any, ...]:
        return self._core.store, self._core.hold.lock

    def _kept(self) -> object:
        return self._core

    def _restore(self, *parts: Any) -> None:
        store, lock = parts
        self._place(store, lock, creator=None)

    def close(self) -> None:
        if not self._closed:
            super().close()
            del self._core

    def _opened(self) -> Core:
        self._require_open()
        return self._core

    @property
    def value(self) -> T:
        core = self._opened()
        value: T = core.store.decode(core.current())
        return value

    def set(self, value: T) -> None:
        core = self._opened()
        stored = core.store.encode(value)
        with core.held(None, self._label):
            core.pending = stored

    def modify(self, fn: Callable[[T], T]) -> T:
        core = self._opened()
        with core.held(None, self._label):
            core.pending = core.store.encode(fn(core.store.decode(core.current())))
            changed: T = core.store.decode(core.pending)
        return changed

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Cell[T]]:
        block: Any = _cell(self._opened(), timeout, self._label)  # a checker takes no property for a Cell's attribute
        return cast("AbstractContextManager[Cell[T]]", block)

    def wait_until(self, predicate: Callable[[T], bool], timeout: float | None = None) -> T:
        return poll(lambda _left: self.value, predicate, timeout, self._label)

    async def wait_until_async(self, predicate: Callable[[T], bool], timeout: float | None = None) -> T:
        from procshare.backends.stdlib.waiting import until_true

        return await until_true(lambda _wait: self.value, predicate, timeout, self._label)
