"""`SharedArray`: an n-dimensional NumPy array in memory that several processes map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, overload

from procshare._shared import Shared
from procshare.backends import implementation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import numpy.typing as npt

    from procshare.backends import Backend

ScalarT = TypeVar("ScalarT", bound="np.generic")



class SharedArray(Shared["npt.NDArray[ScalarT]"], Generic[ScalarT]):
    """An n-dimensional NumPy array that several processes see as one.

    Change it inside `locked()`, or through `array` where processes own disjoint slices.

    Args:
        data: What to copy in; any array-like of numbers, shape kept.
        dtype: Element type, a NumPy dtype or a one-letter type code. Default: NumPy's choice for *data*.
        name: Attach by it from any process; default: a random name.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.
        on_owner_death: "raise" `OwnerDied` once a holder died inside its block, until `recover()`; or "proceed".

    Raises:
        OverflowError: An element does not fit *dtype*.
        TypeError: *dtype* holds Python objects, or *data* cannot be converted to it without loss of kind.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: /dev/shm has fewer free bytes than the array needs; nothing was created.

    Memory: `nbytes` plus 8 KiB, rounded up to whole pages.
    """

    __slots__ = ()
    kind: ClassVar[str] = "array"

    @overload
    def __init__(
        self: SharedArray[np.float64],
        data: npt.ArrayLike,
        dtype: type[float] | Literal["d", "f8", "float64"],
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> None: ...
    @overload
    def __init__(
        self,
        data: npt.ArrayLike,
        dtype: type[ScalarT] | np.dtype[ScalarT],
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> None: ...
    @overload
    def __init__(
        self,
        data: npt.NDArray[ScalarT],
        dtype: None = None,
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> None: ...
    @overload
    def __init__(
        self: SharedArray[Any],
        data: npt.ArrayLike,
        dtype: npt.DTypeLike | None = None,
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> None: ...
    def __init__(
        self,
        data: object,
        dtype: object = None,
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> None:
        raise NotImplementedError

    @overload
    @classmethod
    def zeros(
        cls,
        shape: int | Sequence[int],
        dtype: type[float] = ...,
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> SharedArray[np.float64]: ...
    @overload
    @classmethod
    def zeros(
        cls,
        shape: int | Sequence[int],
        dtype: type[ScalarT] | np.dtype[ScalarT],
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> SharedArray[ScalarT]: ...
    @overload
    @classmethod
    def zeros(
        cls,
        shape: int | Sequence[int],
        dtype: npt.DTypeLike,
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> SharedArray[Any]: ...
    @classmethod
    def zeros(
        cls,
        shape: int | Sequence[int],
        dtype: Any = float,
        *,
        name: str | None = None,
        backend: str | Backend | None = None,
        on_owner_death: Literal["raise", "proceed"] = "raise",
    ) -> SharedArray[Any]:
        """An array of zeros, made without copying any in.

        Args:
            shape: Length, or the length of each dimension.
            dtype: Element type, a NumPy dtype or a one-letter type code.
            name, backend, on_owner_death: As for `SharedArray`.

        Raises:
            OutOfSharedMemory: No room; nothing was created.
        """
        made: SharedArray[Any] = implementation(cls, backend).zeros(
            shape, dtype, name=name, backend=backend, on_owner_death=on_owner_death
        )
        return made

    @property
    def array(self) -> npt.NDArray[ScalarT]:
        """The live memory, not locked: for reads and for slices that no other process writes. Outlives `close()`."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each dimension."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[ScalarT]:
        """The element type."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """The number of elements."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take."""
        raise NotImplementedError

    def locked(self, timeout: float | None = None) -> AbstractContextManager[npt.NDArray[ScalarT]]:
        """Exclude every other locked block, `set` and `modify` for a `with` block; yields the live array.

        Writes take effect at once, also those of a block that raises.

        Args:
            timeout: Seconds to wait at most; 0 tries once; None waits for ever.

        Raises:
            LockTimeout: It was still held by someone else when the time ran out.
            OwnerDied: The last holder died inside its block; see `recover()`.
        """
        raise NotImplementedError

    def recover(self) -> None:
        """After `OwnerDied`: declare the contents good again, for every process. Else does nothing."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        raise NotImplementedError

    def __repr__(self) -> str:
        shown = "closed" if self.closed else f"shape={self.shape} dtype={self.dtype}"
        return f"<{(self._implements or type(self)).__name__} {shown}>"
