"""What the classes of this backend have in common, beside what the C core gives them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from procshare._errors import AlreadyExists, LockTimeout, NotFound, WaitTimeout
from procshare._shared import Handle, Shared
from procshare.backends.shm.permissions import permissions
from procshare.backends.shm.segment import attach_as, rebuild

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

T = TypeVar("T")


class ShmHandle(Handle):
    """Pickling, attaching and opening, for classes whose C type comes first among their bases."""

    __slots__ = ()

    @classmethod
    def _attach(cls, name: str) -> Self:
        attached: Self = attach_as(cls, name)
        return attached

    @classmethod
    def _open(cls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], persist: bool) -> Self:
        permissions(kwargs.get("mode"), kwargs.get("group"))  # what they ask for, they trust
        while True:  # each turn that fails means that another process made or removed it in between
            try:
                attached: Any = cls._attach(name)
            except NotFound:
                made: Any = cls.__new__(cls)
            else:
                attached._want(persist)  # whoever asks that it stay gets it
                found: Self = attached
                return found
            made._want(persist)
            try:
                made.__init__(*args, name=name, **kwargs)
            except AlreadyExists:
                continue
            opened: Self = made
            return opened

    def __reduce__(self) -> tuple[Any, ...]:
        state = getattr(self, "__dict__", None)
        native: Any = self
        made = rebuild, (self._implements, native._address)
        return (*made, state) if state else made

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()


class ShmShared(ShmHandle, Shared[T]):
    """The same, and changing and waiting, for state."""

    __slots__ = ()

    def modify(self, fn: Callable[[T], T]) -> T:
        with self.locked() as cell:
            cell.value = fn(cell.value)
            new: T = cell.value
        return new

    def _snapshot(self, timeout: float | None) -> T:
        return self.value  # waits for nobody; an array's may have to wait for a block to end

    def wait_until(self, predicate: Callable[[T], bool], timeout: float | None = None) -> T:
        native: Any = self
        start = time.monotonic()
        left = timeout
        slept = False
        while True:
            token = native._watch()
            try:
                value = self._snapshot(left)
            except LockTimeout:
                raise WaitTimeout(native._label(), time.monotonic() - start) from None
            if predicate(value):
                return value
            if timeout is not None:
                left = max(start + timeout - time.monotonic(), 0.0)
                if left == 0:
                    if timeout > 0:
                        native._tally(True)
                    raise WaitTimeout(native._label(), time.monotonic() - start)
            if not slept:
                native._tally(False)
            slept = True
            native._await_change(token, left)

    async def wait_until_async(self, predicate: Callable[[T], bool], timeout: float | None = None) -> T:
        from procshare.backends.shm.waiting import wait_until

        value: T = await wait_until(self, predicate, timeout)
        return value
