"""`SharedArray`: an n-dimensional NumPy array in memory that several processes map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, overload

from procshare._display import MOST, short
from procshare._shared import Shared
from procshare.backends import implementation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import TypeAlias, Unpack

    import numpy as np
    import numpy.typing as npt

    from procshare._shared import Options
    from procshare.backends import Backend

    Bool: TypeAlias = type[bool] | Literal["?", "bool"]
    Byte: TypeAlias = Literal["B", "u1", "uint8"]
    Int32: TypeAlias = Literal["i", "i4", "int32"]
    Int64: TypeAlias = Literal["q", "i8", "int64"]
    Float32: TypeAlias = Literal["f", "f4", "float32"]
    Float64: TypeAlias = type[float] | Literal["d", "f8", "float64"]
    Complex: TypeAlias = type[complex] | Literal["D", "c16", "complex128"]

    class ArrayOptions(Options, total=False):
        """The keyword arguments of `SharedArray` that say nothing of its elements."""

        on_owner_death: Literal["raise", "proceed"]


ScalarT = TypeVar("ScalarT", bound="np.generic")
ElementT = TypeVar("ElementT", bound="np.generic")  # of `zeros`, which is called on the class without elements


class SharedArray(Shared["npt.NDArray[ScalarT]"], Generic[ScalarT]):
    """An n-dimensional NumPy array that several processes see as one.

    Change it inside `locked()`, or through `array` where processes own disjoint slices.

    Args:
        data: What to copy in; any array-like of numbers, shape kept.
        dtype: Element type, a NumPy dtype or a one-letter type code. Default: NumPy's choice for *data*.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.
        on_owner_death: "raise" `OwnerDied` once a holder died inside its block, until `recover()`; or "proceed".

    Raises:
        OverflowError: An element does not fit *dtype*.
        TypeError: *dtype* holds Python objects, or *data* cannot be converted to it without loss of kind.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: /dev/shm has fewer free bytes than the array needs; nothing was created.

    Memory: `nbytes` plus 8 KiB, rounded up to whole pages.

    >>> scores = SharedArray([[1, 2], [3, 4]], "d")
    >>> with scores.locked() as live:
    ...     live *= 10
    >>> scores.value.tolist()
    [[10.0, 20.0], [30.0, 40.0]]
    """

    __slots__ = ()
    kind: ClassVar[str] = "array"

    @overload
    def __init__(
        self: SharedArray[np.bool_], data: npt.ArrayLike, dtype: Bool, **options: Unpack[ArrayOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: SharedArray[np.int_], data: npt.ArrayLike, dtype: type[int], **options: Unpack[ArrayOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: SharedArray[np.uint8], data: npt.ArrayLike, dtype: Byte, **options: Unpack[ArrayOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: SharedArray[np.int32], data: npt.ArrayLike, dtype: Int32, **options: Unpack[ArrayOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: SharedArray[np.int64], data: npt.ArrayLike, dtype: Int64, **options: Unpack[ArrayOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: SharedArray[np.float32], data: npt.ArrayLike, dtype: Float32, **options: Unpack[ArrayOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: SharedArray[np.float64], data: npt.ArrayLike, dtype: Float64, **options: Unpack[ArrayOptions]
    ) -> None: ...
    @overload
    def __init__(
        self: SharedArray[np.complex128], data: npt.ArrayLike, dtype: Complex, **options: Unpack[ArrayOptions]
    ) -> None: ...
    @overload
    def __init__(
        self, data: npt.ArrayLike, dtype: type[ScalarT] | np.dtype[ScalarT], **options: Unpack[ArrayOptions]
    ) -> None: ...
    @overload
    def __init__(self, data: npt.NDArray[ScalarT], dtype: None = None, **options: Unpack[ArrayOptions]) -> None: ...
    @overload
    def __init__(
        self: SharedArray[Any], data: npt.ArrayLike, dtype: npt.DTypeLike | None = None, **options: Unpack[ArrayOptions]
    ) -> None: ...
    def __init__(
        self,
        data: object,
        dtype: object = None,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> None:
        raise NotImplementedError

    @overload
    @classmethod
    def zeros(  # type: ignore[overload-overlap]
        cls, shape: int | Sequence[int], dtype: Bool, **options: Unpack[ArrayOptions]
    ) -> SharedArray[np.bool_]: ...
    @overload
    @classmethod
    def zeros(  # pyright: ignore[reportOverlappingOverload]
        cls, shape: int | Sequence[int], dtype: type[int], **options: Unpack[ArrayOptions]
    ) -> SharedArray[np.int_]: ...
    @overload
    @classmethod
    def zeros(
        cls, shape: int | Sequence[int], dtype: Byte, **options: Unpack[ArrayOptions]
    ) -> SharedArray[np.uint8]: ...
    @overload
    @classmethod
    def zeros(
        cls, shape: int | Sequence[int], dtype: Int32, **options: Unpack[ArrayOptions]
    ) -> SharedArray[np.int32]: ...
    @overload
    @classmethod
    def zeros(
        cls, shape: int | Sequence[int], dtype: Int64, **options: Unpack[ArrayOptions]
    ) -> SharedArray[np.int64]: ...
    @overload
    @classmethod
    def zeros(
        cls, shape: int | Sequence[int], dtype: Float32, **options: Unpack[ArrayOptions]
    ) -> SharedArray[np.float32]: ...
    @overload
    @classmethod
    def zeros(
        cls, shape: int | Sequence[int], dtype: Float64 = ..., **options: Unpack[ArrayOptions]
    ) -> SharedArray[np.float64]: ...
    @overload
    @classmethod
    def zeros(
        cls, shape: int | Sequence[int], dtype: Complex, **options: Unpack[ArrayOptions]
    ) -> SharedArray[np.complex128]: ...
    @overload
    @classmethod
    def zeros(
        cls,
        shape: int | Sequence[int],
        dtype: type[ElementT] | np.dtype[ElementT],
        **options: Unpack[ArrayOptions],
    ) -> SharedArray[ElementT]: ...
    @overload
    @classmethod
    def zeros(
        cls, shape: int | Sequence[int], dtype: npt.DTypeLike, **options: Unpack[ArrayOptions]
    ) -> SharedArray[Any]: ...
    @classmethod
    def zeros(
        cls,
        shape: int | Sequence[int],
        dtype: Any = float,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> SharedArray[Any]:
        """An array of zeros, made without copying any in.

        Args:
            shape: Length, or the length of each dimension.
            dtype: Element type, a NumPy dtype or a one-letter type code.
            name, mode, group, backend, on_owner_death: As for `SharedArray`.

        Raises:
            OutOfSharedMemory: No room; nothing was created.

        >>> SharedArray.zeros((2, 3), "i").value.tolist()
        [[0, 0, 0], [0, 0, 0]]
        """
        made: SharedArray[Any] = implementation(cls, backend).zeros(
            shape, dtype, name=name, mode=mode, group=group, backend=backend, on_owner_death=on_owner_death
        )
        return made

    @property
    def array(self) -> npt.NDArray[ScalarT]:
        """The live memory, not locked, for reads and for slices that no other process writes. Outlives `close()`.

        >>> shared = SharedArray.zeros(4, "i")
        >>> shared.array[:2] = 5  # this process's half
        >>> shared.value.tolist()
        [5, 5, 0, 0]
        """
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension.

        >>> SharedArray.zeros((2, 3)).shape
        (2, 3)
        """
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[ScalarT]:
        """The element type.

        >>> SharedArray([1.5, 2.5]).dtype
        dtype('float64')
        """
        return self.array.dtype

    @property
    def size(self) -> int:
        """The number of elements.

        >>> SharedArray.zeros((2, 3)).size
        6
        """
        return self.array.size

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take.

        >>> SharedArray.zeros((2, 3), "i").nbytes
        24
        """
        return self.array.nbytes

    def set(self, value: npt.ArrayLike) -> None:
        """Replace all elements at once, by an array or a number that broadcasts to the shape.

        Raises:
            OverflowError: An element does not fit `dtype`; nothing was changed.
            TypeError: The conversion to `dtype` would lose something; nothing was changed.
            ValueError: *value* does not broadcast to the shape; nothing was changed.
            OwnerDied: The last holder died inside its block; see `recover()`.

        >>> shared = SharedArray([1, 2, 3])
        >>> shared.set([4, 5, 6])
        >>> shared.set(0)
        >>> shared.value.tolist()
        [0, 0, 0]
        """
        raise NotImplementedError

    def modify(self, fn: Callable[[npt.NDArray[ScalarT]], npt.ArrayLike]) -> npt.NDArray[ScalarT]:
        """Replace all elements by `fn(copy)` while nobody else can change them; returns a copy of the new ones.

        If *fn* raises, or what it returned does not fit, nothing is changed.

        Raises:
            OwnerDied: The last holder died inside its block; see `recover()`.

        >>> SharedArray([1, 2, 3]).modify(lambda a: a * 2).tolist()
        [2, 4, 6]
        """
        raise NotImplementedError

    def locked(self, timeout: float | None = None) -> AbstractContextManager[npt.NDArray[ScalarT]]:
        """Exclude every other locked block, `set` and `modify` for a `with` block; yields the live array.

        Writes take effect at once, also those of a block that raises.

        Args:
            timeout: Seconds to wait at most; 0 tries once; None waits for ever.

        Raises:
            LockTimeout: It was still held by someone else when the time ran out.
            OwnerDied: The last holder died inside its block; see `recover()`.

        >>> shared = SharedArray([1, 2, 3])
        >>> with shared.locked(timeout=2) as live:
        ...     live[live > 1] = 0
        >>> shared.value.tolist()
        [1, 0, 0]
        """
        raise NotImplementedError

    def recover(self) -> None:
        """After `OwnerDied`: declare the contents good again, for every process. Else does nothing.

        >>> shared = SharedArray([1, 2, 3])
        >>> try:
        ...     total = shared.value.sum()
        ... except OwnerDied:
        ...     shared.array[:] = 0  # whatever makes it good
        ...     shared.recover()
        """
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:
        return self.array[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        raise NotImplementedError

    def _left_half_done(self) -> bool:
        """Whether the last holder died in its block."""
        return False

    def _repr_contents(self) -> str:
        live = self.array
        return f"shape={live.shape} dtype={short(str(live.dtype))[1:-1]} {short(live.flat[: MOST + 1].tolist())}"

    def _repr_state(self) -> str:
        return super()._repr_state() or ("owner died, see recover()" if self._left_half_done() else "")

    def _repr_html_(self) -> str:
        from procshare._html import page

        return page(self)
