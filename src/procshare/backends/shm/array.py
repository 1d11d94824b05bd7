"""The array of the `shm` backend: elements in a segment of their own, and how to read them back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from procshare._array import SharedArray
from procshare._arrays import to_array, to_dtype
from procshare._errors import Closed, CorruptSegment, KindMismatch
from procshare.backends.shm.base import ShmShared
from procshare.backends.shm.core import documented, native

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self, Unpack

    import numpy.typing as npt

    from procshare._array import ArrayOptions
    from procshare.backends import Backend

ScalarT = TypeVar("ScalarT", bound=np.generic)


@documented
class ShmArray(native.Array, ShmShared[Any], SharedArray[ScalarT]):
    __slots__ = ("_found", "_live")
    _implements: ClassVar[Any] = SharedArray
    _live: npt.NDArray[ScalarT]
    _found: bool  # attached, not made

    def __init__(
        self,
        data: object,
        dtype: object = None,
        **options: Unpack[ArrayOptions],
    ) -> None:
        array = to_array(data, dtype)
        self._make(array, array.shape, array.dtype, **options)

    @classmethod
    def zeros(cls, shape: int | Sequence[int], dtype: Any = float, **options: Unpack[ArrayOptions]) -> Any:
        made = cls.__new__(cls)
        lengths = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
        made._make(None, tuple(int(n) for n in lengths), to_dtype(dtype), **options)
        return made

    def _make(
        self,
        data: npt.NDArray[Any] | None,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
        on_owner_death: str = "raise",
    ) -> None:
        if on_owner_death not in ("raise", "proceed"):
            raise ValueError(f"on_owner_death is 'raise' or 'proceed', not {on_owner_death!r}")
        if any(n < 0 for n in shape):
            raise ValueError(f"negative lengths in shape {shape}")
        nbytes = dtype.itemsize
        for n in shape:
            nbytes *= n
        meta = json.dumps({"dtype": describe(dtype), "shape": shape}).encode()
        self._permit(mode, group)
        raw = None if data is None else raw_bytes(data)
        self._create(raw, nbytes, meta, name, on_owner_death == "proceed")
        self._map(shape, dtype)
        self._found = False

    def _map(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        memory: Any = self._memory()
        self._live = np.ndarray(shape, dtype, buffer=memory)
        if self._live.nbytes != (there := memoryview(memory).nbytes):
            raise ValueError(f"it takes {self._live.nbytes} bytes of {there}")

    @classmethod
    def _attach(cls, name: str) -> Self:
        attached = super()._attach(name)
        try:
            meta = json.loads(attached._meta())
            attached._map(tuple(meta["shape"]), parse(meta["dtype"]))
            attached._found = True
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            attached.close()
            raise CorruptSegment(name, f"its description makes no sense: {error}") from None
        return attached

    @classmethod
    def _open(cls, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], persist: bool) -> Self:
        opened = super()._open(name, args, kwargs, persist)
        plain: Any = ShmArray
        if opened._found and (args or "data" in kwargs) and cls.__init__ is plain.__init__:
            opened._expect(name, *args, **kwargs)
        return opened

    def _expect(self, name: str, data: Any, dtype: object = None, **_options: object) -> None:
        wanted = to_array(data, dtype)
        if (wanted.shape, wanted.dtype) != (self.shape, self.dtype):
            shown = f"it is a {self.dtype} array of shape {self.shape}, not {wanted.dtype} of {wanted.shape}"
            self.close()
            raise KindMismatch(name, shown)

    @property
    def array(self) -> npt.NDArray[ScalarT]:
        try:
            return self._live
        except AttributeError:
            raise Closed from None

    def close(self) -> None:
        super().close()
        if hasattr(self, "_live"):
            del self._live  # views that the user took keep the mapping; this handle no longer does

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc, traceback)
        self.close()

    # ---- reading ----

    @property
    def value(self) -> npt.NDArray[ScalarT]:
        return self._snapshot(None)

    @value.setter
    def value(self, value: object) -> None:
        raise AttributeError("value is read-only, because writing it would race; use set(), modify() or locked()")

    def _snapshot(self, timeout: float | None) -> npt.NDArray[ScalarT]:
        for _ in range(3):
            sequence = self._sequence()
            if sequence == -1:  # inside this thread's own block
                return self.array.copy()
            if sequence & 1:  # a block is at work, or its holder died in it
                break
            copied = self.array.copy()
            if self._sequence() == sequence:
                return copied
        with self.locked(timeout) as live:
            return live.copy()

    def _left_half_done(self) -> bool:
        return bool(self._sequence() & 1) and not self._holder()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy:
            snapshot: npt.NDArray[Any] = self.value if dtype is None else self.value.astype(dtype, copy=False)
            return snapshot
        live: npt.NDArray[Any] = self.array if dtype is None else self.array.astype(dtype, copy=False)
        if copy is False and live.base is None:
            raise ValueError(f"a {self.dtype} array cannot be seen as {dtype} without a copy")
        return live

    # ---- writing ----

    def locked(self, timeout: float | None = None) -> AbstractContextManager[npt.NDArray[ScalarT]]:
        return self._block(self.array, timeout)

    def set(self, value: Any) -> None:
        array = to_array(value, self.dtype)
        if array.shape != self.shape:
            array = np.ascontiguousarray(np.broadcast_to(array, self.shape))
        self._store(raw_bytes(array))

    def modify(self, fn: Callable[[npt.NDArray[ScalarT]], Any]) -> npt.NDArray[ScalarT]:
        with self.locked() as live:
            self.set(fn(live.copy()))
            return live.copy()


# ---- elements and their type, as bytes ----


def raw_bytes(array: npt.NDArray[Any]) -> Any:
    """The bytes of a C-contiguous array, without a copy; also of types that have no buffer format."""
    return array.reshape(-1).view(np.uint8).data if array.nbytes else b""


def describe(dtype: np.dtype[Any]) -> Any:
    """A dtype as plain data for JSON, whatever its fields, offsets and padding; `parse` reads it back."""
    if dtype.subdtype is not None:
        return [describe(dtype.subdtype[0]), dtype.subdtype[1]]
    if dtype.names is None or dtype.fields is None:
        return dtype.str
    by_name: Any = dtype.fields
    fields = [by_name[name] for name in dtype.names]
    return {
        "names": dtype.names,
        "formats": [describe(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def parse(described: Any) -> np.dtype[Any]:
    """The dtype that `describe` described; TypeError, ValueError or KeyError if it is none of ours."""
    kind = described.__class__
    if kind is dict:
        fields: Any = {**described, "formats": [parse(each) for each in described["formats"]]}
        parsed: np.dtype[Any] = np.dtype(fields, align=bool(described["aligned"]))
        return parsed
    if kind is list:
        base, shape = described
        parsed = np.dtype((parse(base), tuple(shape)))
        return parsed
    return to_dtype(described)
