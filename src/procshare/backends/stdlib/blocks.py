"""One stored thing behind one lock: blocks that nest, whose uncommitted writes stay in private memory.

Readers take no lock: a number is one aligned load, a managed object one request. So they see the last commit while
a block holds the lock.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from procshare.backends.stdlib.locking import Hold, hold_of

if TYPE_CHECKING:
    from collections.abc import Generator

NOTHING: Any = object()
"""In place of uncommitted writes where there are none."""


class Store(Protocol):
    """Where a thing lives: its plain form is encoded (and checked) before the lock is taken, decoded after."""

    @property
    def anchor(self) -> object: ...
    def save(self, stored: Any) -> None: ...
    def encode(self, value: Any) -> Any: ...
    def decode(self, stored: Any) -> Any: ...


class Core:
    """One stored thing in this process: all handles on it share the lock, the depth and the uncommitted writes."""

    __slots__ = ("__weakref__", "depth", "frozen", "hold", "pending", "pid", "store")
    store: Any
    hold: Hold
    depth: int
    pending: Any
    frozen: bool
    pid: int

    def __init__(self, store: Store, hold: Hold) -> None:
        self.store, self.hold = store, hold
        self.depth, self.pending, self.frozen, self.pid = 0, NOTHING, False, 0

    @property
    def inside(self) -> bool:
        """Whether this thread is in a block."""
        return self.hold.mine and self.depth > 0

    def current(self) -> Any:
        """What this thread sees, encoded: its own uncommitted write, else the last commit."""
        if self.pending is not NOTHING and self.hold.mine:
            return self.pending
        return self.store.load()

    def source(self) -> Any:
        """Where this thread reads a container: its own draft of it, else its store, which answers the same calls."""
        return self.pending if self.pending is not NOTHING and self.hold.mine else self.store

    def draft(self) -> Any:
        """Uncommitted writes to a container that the innermost block may change, begun at the first write."""
        if self.pending is NOTHING:
            self.pending = self.store.draft()
        elif self.frozen:
            self.pending = self.pending.copy()
        self.frozen = False
        return self.pending

    def commit(self) -> None:
        """Publish what was written."""
        if self.pending is not NOTHING:
            self.store.save(self.pending)
            self.pending = NOTHING

    @contextmanager
    def step(self, label: str) -> Generator[bool]:
        """Hold the lock for one change, which joins the block that this thread is in; yields whether there is none."""
        if self.inside:
            yield False
        else:
            with self.held(None, label):
                yield True

    @contextmanager
    def held(self, timeout: float | None, label: str) -> Generator[None]:
        """Hold the lock; publish at the end of the outermost block, drop what was written in one that raises."""
        level, mark, kept = self.hold.level, None, False
        try:
            self.hold.acquire(timeout, label)
            if self.pid != os.getpid():  # a fork copied the block of a parent's thread
                self.depth, self.pending, self.frozen, self.pid = 0, NOTHING, False, os.getpid()
            mark = self.depth, self.pending, self.frozen
            self.depth, self.frozen = self.depth + 1, True  # what was written so far is what to go back to
            yield
            if self.depth == 1 and self.hold.mine:
                self.commit()
            kept = True
        finally:
            try:
                self._leave(level, mark, kept)
            except BaseException:  # Ctrl-C in the midst of it: once more, which does nothing twice
                self._leave(level, mark, kept)
                raise

    def _leave(self, level: int, mark: tuple[int, Any, bool] | None, kept: bool) -> None:
        if mark is not None and self.hold.mine:
            depth, before, frozen = mark
            if not kept:
                self.pending = before
            self.frozen = frozen and self.pending is before
            if not depth:
                self.pending = NOTHING
            self.depth = depth
        self.hold.leave(level)


_cores: WeakValueDictionary[int, Core] = WeakValueDictionary()


def core_of(store: Store, lock: Any) -> Core:
    """The one `Core` of what *store* is anchored in, however many handles were made on it."""
    core = _cores.get(id(store.anchor))  # not a stale entry: a Core keeps its store and so its anchor
    if core is None:
        core = _cores[id(store.anchor)] = Core(store, hold_of(lock))
    return core
