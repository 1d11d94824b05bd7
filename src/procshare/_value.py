"""`SharedValue`: one number, string or any other object that pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, overload

from procshare._display import LARGE
from procshare._shared import Shared

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import TypeAlias, Unpack

    import numpy as np

    from procshare._shared import Cell, Options
    from procshare.backends import Backend

    Bool: TypeAlias = type[bool] | type[np.bool_] | Literal["?"]
    Integer: TypeAlias = type[int] | type[np.integer[Any]] | Literal["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"]
    Float: TypeAlias = type[float] | type[np.floating[Any]] | Literal["f", "d"]


T = TypeVar("T")


class SharedValue(Shared[T]):
    """One value that several processes see as one: a number, a string, any object that pickles.

    With *dtype* it holds a C number, range-checked and read back as a plain `int`, `float`, `bool` or `bytes`.
    Without, it holds whatever pickles, and grows as needed; reading gives a fresh object each time.

    Args:
        initial: What it holds at first.
        dtype: A type code of NumPy and `multiprocessing` ('b' 'B' 'h' 'H' 'i' 'I' 'l' 'L' 'q' 'Q' 'f' 'd' '?',
            'c' for one byte), anything that `numpy.dtype` takes for these, or a `ctypes` number type.
        name: Attach by it from any process; default: a random name.
        mode, group: Who else may use it: 0o660 a group, by name or number, and 0o666 everybody; default: nobody.
        backend: "shm", "stdlib" or a `Backend`; default: `default_backend()`.

    Raises:
        OverflowError: *initial* does not fit *dtype*.
        TypeError: *initial* is of the wrong type for *dtype*, or cannot be pickled; or *dtype* is no number type.
        AlreadyExists: *name* is taken.
        OutOfSharedMemory: No room; nothing was created.

    Memory: some 200 bytes, and twice the pickle of what is no small number; 8 KiB more with a name of its own.

    >>> config = SharedValue({"level": 1})
    >>> config.set({"level": 2})
    >>> config.value
    {'level': 2}
    >>> SharedValue(200, "b")
    Traceback (most recent call last):
        ...
    OverflowError: 200 does not fit type code 'b'; nothing was changed
    """

    __slots__ = ()
    kind: ClassVar[str] = "value"

    @overload
    def __init__(self: SharedValue[bool], initial: bool, dtype: Bool, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self: SharedValue[int], initial: int, dtype: Integer, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self: SharedValue[float], initial: float, dtype: Float, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self: SharedValue[bytes], initial: bytes, dtype: Literal["c"], **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self, initial: T, dtype: None = None, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self: SharedValue[Any], initial: object, dtype: object, **options: Unpack[Options]) -> None: ...
    def __init__(
        self,
        initial: object,
        dtype: object = None,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        raise NotImplementedError

    def _room(self) -> int:
        """About how many bytes reading it would unpickle."""
        return 0

    def _repr_contents(self) -> str:
        size = self._room()
        return f"value=... of up to {size} bytes" if size > LARGE else super()._repr_contents()

    def locked(self, timeout: float | None = None) -> AbstractContextManager[Cell[T]]:
        """Exclude everyone else for a `with` block; yields a cell with a writable `value`.

        Readers go on and see the last commit. What the block wrote appears when it ends, and not at all
        if it raises.

        Args:
            timeout: Seconds to wait at most; 0 tries once; None waits for ever.

        Raises:
            LockTimeout: It was still held by someone else when the time ran out.

        >>> temperature = SharedValue(20.5, "d")
        >>> with temperature.locked() as cell:
        ...     cell.value = min(cell.value + 5, 22.0)
        >>> temperature.value
        22.0
        """
        raise NotImplementedError
