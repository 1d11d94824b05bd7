"""Counters and values: one stored thing behind one lock, whose uncommitted writes stay in private memory.

Readers take no lock: a number is one aligned load, a managed object one request. So they see the last commit while
a block holds the lock.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

from procshare._errors import Closed
from procshare._shared import Shared
from procshare.backends.stdlib.handle import StdlibHandle
from procshare.backends.stdlib.locking import Hold, hold_of, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from procshare._shared import Cell

T = TypeVar("T")
_NOTHING: Any = object()


class Store(Protocol):
    """Where a value lives: its plain form is encoded (and checked) before the lock is taken, decoded after."""

    @property
    def anchor(self) -> object: ...
    def load(self) -> Any: ...
    def save(self, stored: Any) -> None: ...
    def encode(self, value: Any) -> Any: ...
    def decode(self, stored: Any) -> Any: ...


class Core:
    """One stored thing in this process: all handles on it share the lock, the depth and the uncommitted write."""

    __slots__ = ("__weakref__", "depth", "hold", "pending", "pid", "store")
    store: Store
    hold: Hold
    depth: int
    pending: Any
    pid: int

    def __init__(self, store: Store, hold: Hold) -> None:
        self.store, self.hold = store, hold
        self.depth, self.pending, self.pid = 0, _NOTHING, 0

    def current(self) -> Any:
        """What this thread sees, encoded: its own uncommitted write, else the last commit."""
        if self.pending is not _NOTHING and self.hold.mine:
            return self.pending
        return self.store.load()

    @contextmanager
    def block(self, timeout: float | None, label: str) -> Generator[StdlibCell[Any]]:
        """Hold the lock; publish at the end of the outermost block, drop what was written in one that raises."""
        self.hold.acquire(timeout, label)
        if self.pid != os.getpid():  # a fork copied the block of a parent's thread
            self.depth, self.pending, self.pid = 0, _NOTHING, os.getpid()
        before = self.pending
        self.depth += 1
        cell: StdlibCell[Any] = StdlibCell(self)
        try:
            yield cell
            if self.depth == 1 and self.hold.mine and self.pending is not _NOTHING:
                self.store.save(self.pending)
        except BaseException:
            self.pending = before
            raise
        finally:
            cell.die()
            if self.hold.mine:
                self.depth -= 1
                if not self.depth:
                    self.pending = _NOTHING
            self.hold.release()


_cores: WeakValueDictionary[int, Core] = WeakValueDictionary()


def core_of(store: Store, lock: Any) -> Core:
    """The one `Core` of what *store* is anchored in, however many handles were made on it."""
    core = _cores.get(id(store.anchor))  # not a stale entry: a Core keeps its store and so its anchor
    if core is None:
        core = _cores[id(store.anchor)] = Core(store, hold_of(lock))
    return core


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
        value: T = core.store.decode(core.store.load() if core.pending is _NOTHING else core.pending)
        return value

    @value.setter
    def value(self, value: T) -> None:
        core = self._live()
        core.pending = core.store.encode(value)


class StdlibCells(StdlibHandle, Shared[T], Generic[T]):
    """What counters and values have in common."""

    __slots__ = ("_core",)
    _core: Core

    def _place(self, store: Store, lock: Any, creator: int | None) -> None:
        self._begin(creator)
        self._core = core_of(store, lock)

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
        with core.block(None, self._label):
            core.pending = stored

    def modify(self, fn: Callable[[T], T]) -> T:
        core = self._opened()
        with core.block(None, self._label) as cell:
            cell.value = fn(cell.value)
            changed: T = cell.value
        return changed

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Cell[T]]:
        block: Any = self._opened().block(timeout, self._label)  # a checker takes no property for a Cell's attribute
        return cast("AbstractContextManager[Cell[T]]", block)

    def wait_until(self, predicate: Callable[[T], bool], timeout: float | None = None) -> T:
        return poll(lambda _left: self.value, predicate, timeout, self._label)
