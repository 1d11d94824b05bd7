"""`StdlibArray`: NumPy over `multiprocessing`'s memory, with a lock of its own beside it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np

from procshare._array import SharedArray
from procshare._arrays import to_array, to_dtype
from procshare.backends import implementation
from procshare.backends.stdlib.handle import StdlibHandle, refuse_options, unsupported
from procshare.backends.stdlib.locking import hold_of, new_hold, poll
from procshare.backends.stdlib.memory import LARGE, HeapMemory, MappedMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager
    from typing import Unpack

    import numpy.typing as npt

    from procshare._array import ArrayOptions
    from procshare.backends import Backend
    from procshare.backends.stdlib.locking import Hold

ScalarT = TypeVar("ScalarT", bound=np.generic)
Memory = HeapMemory | MappedMemory
OnDeath = Literal["raise", "proceed"]


class StdlibArray(StdlibHandle, SharedArray[ScalarT]):
    """An array in a `multiprocessing.Array` or, from 64 KiB, in a `SharedMemory`.

    A holder that was killed keeps its lock for ever, so nobody gets to see `OwnerDied`.
    """

    __slots__ = ("_hold", "_memory", "_view")
    _implements: ClassVar[Any] = SharedArray
    _hold: Hold
    _memory: Memory
    _view: npt.NDArray[ScalarT]

    def __init__(
        self,
        data: object,
        dtype: object = None,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
        on_owner_death: OnDeath = "raise",
    ) -> None:
        self._closed, self._creator = True, None  # until everything was accepted
        self._refuse(name, mode, group, on_owner_death)
        source = to_array(data, dtype)
        self._create(source.dtype, source.shape)
        self._view[...] = source

    @classmethod
    def zeros(cls, shape: int | Sequence[int], dtype: Any = float, **options: Unpack[ArrayOptions]) -> SharedArray[Any]:
        private = options.get("mode", 0o600), options.get("group")
        cls._refuse(options.get("name"), *private, options.get("on_owner_death", "raise"))
        made: Any = implementation(cls, "stdlib")
        array: StdlibArray[Any] = made.__new__(made)
        array._create(to_dtype(dtype), lengths(shape))
        return array

    @classmethod
    def _refuse(cls, name: str | None, mode: int, group: str | int | None, on_owner_death: str) -> None:
        refuse_options(name, mode, group, cls.kind)
        if on_owner_death not in ("raise", "proceed"):
            raise ValueError(f"on_owner_death is 'raise' or 'proceed', not {on_owner_death!r}")

    def _create(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        size = dtype.itemsize
        for length in shape:
            size *= length
        # The heap aligns to 8 bytes, which is too little for a long double.
        mapped = os.name == "posix" and size > 0 and (size >= LARGE or dtype.alignment > 8)
        memory = MappedMemory.make(size) if mapped else HeapMemory.make(size)
        hold = new_hold()
        self._place(memory, hold.lock, dtype, shape, creator=os.getpid())

    def _place(
        self, memory: Memory, lock: Any, dtype: np.dtype[Any], shape: tuple[int, ...], creator: int | None
    ) -> None:
        self._begin(creator)
        self._memory, self._hold = memory, hold_of(lock)
        self._view = np.ndarray(shape, dtype, buffer=memory.buffer)

    def _lock(self) -> Any:
        return self._hold.lock

    def _parts(self) -> tuple[Any, ...]:
        return self._memory, self._hold.lock, self._view.dtype, self._view.shape

    def _kept(self) -> object:
        return self._memory, self._hold

    def _restore(self, *parts: Any) -> None:
        memory, lock, dtype, shape = parts
        self._place(memory, lock, dtype, shape, creator=None)

    @property
    def segment(self) -> str:
        """The `SharedMemory` of a large array; a small one has none and raises UnsupportedByBackend."""
        self._require_open()
        if not isinstance(self._memory, MappedMemory):
            unsupported(f"place an array of less than {LARGE} bytes in a segment of its own")
        return self._memory.export()

    def close(self) -> None:
        if not self._closed:
            super().close()
            del self._view, self._memory, self._hold  # the mapping stays for as long as views are alive

    def unlink(self) -> None:
        if not self._closed and isinstance(self._memory, MappedMemory):
            self._memory.unlink()

    @property
    def array(self) -> npt.NDArray[ScalarT]:
        self._require_open()
        return self._view.view()

    @property
    def value(self) -> npt.NDArray[ScalarT]:
        return self._snapshot(None)

    def _snapshot(self, timeout: float | None) -> npt.NDArray[ScalarT]:
        with self.locked(timeout) as live:
            return live.copy()

    def set(self, value: npt.ArrayLike) -> None:
        new = self._accept(value)
        with self.locked() as live:
            live[...] = new

    def modify(self, fn: Callable[[npt.NDArray[ScalarT]], npt.ArrayLike]) -> npt.NDArray[ScalarT]:
        with self.locked() as live:
            changed = self._accept(fn(live.copy()))
            live[...] = changed
        return changed.copy()

    def _accept(self, value: object) -> npt.NDArray[ScalarT]:
        self._require_open()
        if value is None:
            raise TypeError("None is no array; a function given to modify() returns the new contents")
        accepted: npt.NDArray[ScalarT] = to_array(value, self._view.dtype)
        if accepted.shape != self._view.shape:
            if accepted.ndim > self._view.ndim:
                raise ValueError(f"shape {accepted.shape} does not fit in shape {self._view.shape}")
            filled = np.empty_like(self._view)
            filled[...] = accepted  # as in any assignment, one row may stand for all of them
            return filled
        return accepted

    def locked(self, timeout: float | None = None) -> AbstractContextManager[npt.NDArray[ScalarT]]:
        self._require_open()
        return _locked(self._hold, self._view, timeout, self._label)

    def wait_until(
        self, predicate: Callable[[npt.NDArray[ScalarT]], bool], timeout: float | None = None
    ) -> npt.NDArray[ScalarT]:
        return poll(self._snapshot, predicate, timeout, self._label)

    async def wait_until_async(
        self, predicate: Callable[[npt.NDArray[ScalarT]], bool], timeout: float | None = None
    ) -> npt.NDArray[ScalarT]:
        from procshare.backends.stdlib.waiting import until_true

        return await until_true(self._snapshot, predicate, timeout, self._label)

    def recover(self) -> None:
        """Nothing to do: with this backend nobody learns of a holder's death."""
        self._require_open()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        live = self.array
        wanted = live.dtype if dtype is None else np.dtype(dtype)
        if wanted == live.dtype and not copy:
            return live
        if copy is False:
            raise ValueError(f"an array of {live.dtype} cannot be seen as {wanted} without a copy")
        return self.value.astype(wanted, copy=False)


@contextmanager
def _locked(
    hold: Hold, view: npt.NDArray[ScalarT], timeout: float | None, label: str
) -> Generator[npt.NDArray[ScalarT]]:
    level = hold.level
    try:
        hold.acquire(timeout, label)
        yield view.view()
    finally:
        try:
            hold.leave(level)
        except BaseException:  # Ctrl-C in the midst of it: once more, which does nothing twice
            hold.leave(level)
            raise


def lengths(shape: int | Sequence[int]) -> tuple[int, ...]:
    """*shape* as a tuple of lengths, none negative."""
    lengths = (shape,) if isinstance(shape, int) else tuple(int(length) for length in shape)
    if any(length < 0 for length in lengths):
        raise ValueError(f"a shape has no negative lengths: {lengths}")
    return lengths
