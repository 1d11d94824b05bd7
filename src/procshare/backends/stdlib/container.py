"""What dicts, lists, sets and namespaces have in common: guards of their own class, and blocks over several of them."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from procshare._display import AFAR
from procshare._errors import Closed
from procshare._shared import Shared
from procshare.backends.stdlib.blocks import NOTHING, core_of
from procshare.backends.stdlib.handle import StdlibHandle
from procshare.backends.stdlib.locking import poll
from procshare.backends.stdlib.stores import OwnStore

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from procshare.backends.stdlib.blocks import Core, Store

T = TypeVar("T")
_EMPTY: dict[str, Any] = {"list": list, "set": set}


class StdlibContainer(StdlibHandle, Shared[T], Generic[T]):
    """A handle on a container, or the guard of a block: a handle that is closed when the block ends."""

    __slots__ = ("_core", "_guarding")
    _core: Core
    _guarding: int | None
    """The process that is in the block of this guard; None for a handle."""

    def _start(self, name: str | None, mode: int, group: str | int | None) -> None:
        super()._start(name, mode, group)
        self._guarding = None

    def _place(self, store: Store, lock: Any, creator: int | None) -> None:
        self._begin(creator)
        self._core, self._guarding = core_of(store, lock), None

    def _lock(self) -> Any:
        return self._core.hold.lock

    def _seen(self, most: int) -> Any:
        whole: Any = self
        return self.value if len(whole) <= AFAR else _EMPTY.get(self.kind, dict)()

    def _parts(self) -> tuple[Any, ...]:
        if self._guarding is not None:
            raise TypeError(f"what locked() gave is of this block only; send the {self.kind} itself to other processes")
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

    @property
    def closed(self) -> bool:
        """Whether this handle was closed, or the block of this guard has ended."""
        return self._closed or self._guarding not in (None, os.getpid())

    def _require_open(self) -> None:
        if self._guarding is not None and self.closed:
            raise Closed(f"the locked() block of this {self.kind} has ended; enter a new one")
        super()._require_open()

    def _opened(self) -> Core:
        self._require_open()
        return self._core

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Self]:
        return self._locked(self._opened(), timeout)

    @contextmanager
    def _locked(self, core: Core, timeout: float | None) -> Generator[Self]:
        with core.held(timeout, self._label):
            guard = self._guard(core)
            try:
                yield guard
            finally:
                guard.close()

    def _guard(self, core: Core) -> Self:
        cls = type(self)
        guard = cls.__new__(cls)
        if hasattr(self, "__dict__"):  # what a user's subclass keeps, the guard keeps in the same place
            object.__setattr__(guard, "__dict__", self.__dict__)
        guard._begin(None)
        guard._core, guard._guarding = core, os.getpid()
        return guard

    def wait_until(self, predicate: Callable[[T], bool], timeout: float | None = None) -> T:
        return poll(lambda _left: self.value, predicate, timeout, self._label)

    async def wait_until_async(self, predicate: Callable[[T], bool], timeout: float | None = None) -> T:
        from procshare.backends.stdlib.waiting import until_true

        return await until_true(lambda _wait: self.value, predicate, timeout, self._label)


def transaction(containers: Sequence[Any], timeout: float | None = None) -> AbstractContextManager[tuple[Any, ...]]:
    """Hold the locks of all; see `procshare.transaction`.

    The containers of one manager are written in one request. Of several managers, or of wrapped proxies, one is
    written after the other, so a kill in between leaves some written and some not.
    """
    return _transaction([(each, each._opened()) for each in containers], timeout)


@contextmanager
def _transaction(members: list[tuple[Any, Core]], timeout: float | None) -> Generator[tuple[Any, ...]]:
    labels = {core: member._label for member, core in members}
    held = {core.hold.mine for core in labels}
    if len(held) == 2:
        raise RuntimeError(
            "transaction() inside a block of one of its containers would commit that one apart from the others; "
            "put the transaction() outside, or over that one in it"
        )
    # In one order everywhere, so that two blocks never wait for each other. A semaphore's name is machine-wide.
    ordered = sorted(labels, key=lambda core: core.hold.lock._semlock.name)
    with _all_held([(core, labels[core]) for core in ordered], None if timeout is None else time.monotonic() + timeout):
        guards = [member._guard(core) for member, core in members]
        try:
            yield tuple(guards)
            _commit_together(ordered)
        finally:
            for guard in guards:
                guard.close()


@contextmanager
def _all_held(cores: list[tuple[Core, str]], deadline: float | None) -> Generator[None]:
    # Not an ExitStack: when Ctrl-C interrupts one, what it has not left yet is left only by the garbage collector.
    if not cores:
        yield
        return
    (core, label), *others = cores
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    with core.held(left, label), _all_held(others, deadline):
        yield


def _commit_together(cores: list[Core]) -> None:
    """Publish what can be published in one request; what is left goes when its own block ends."""
    groups: dict[Any, list[Core]] = {}
    for core in cores:
        store = core.store
        if isinstance(store, OwnStore) and core.pending is not NOTHING and core.hold.mine and core.depth == 1:
            groups.setdefault(store.anchor._token.address, []).append(core)
    for group in groups.values():
        changes = [(core.store.anchor._token.id, core.store.change(core.pending)) for core in group]
        group[0].store.ask("commit", changes)
        for core in group:
            core.pending = NOTHING
