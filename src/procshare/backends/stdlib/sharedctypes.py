"""`StdlibCounter` and `StdlibValue`: a `multiprocessing.Value` and its lock, or a managed value for any object."""

from __future__ import annotations

import ctypes
import multiprocessing
import operator
import os
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from procshare._codes import checked, normal_code
from procshare._counter import SharedCounter
from procshare._value import SharedValue
from procshare.backends.stdlib.cells import StdlibCells
from procshare.backends.stdlib.locking import new_hold

if TYPE_CHECKING:
    from typing import Self

    from procshare.backends import Backend

T = TypeVar("T")
LOWEST, HIGHEST = -(2**63) + 1, 2**63 - 1

_TYPES: dict[str, Any] = {
    "?": ctypes.c_bool,
    "c": ctypes.c_char,
    "b": ctypes.c_byte,
    "B": ctypes.c_ubyte,
    "h": ctypes.c_short,
    "H": ctypes.c_ushort,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "l": ctypes.c_long,
    "L": ctypes.c_ulong,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


class NumberStore:
    """A C number in the memory of a `multiprocessing.Value`."""

    __slots__ = ("anchor", "code")
    anchor: Any
    code: str

    def __init__(self, anchor: Any, code: str) -> None:
        self.anchor, self.code = anchor, code

    def load(self) -> Any:
        return self.anchor.value

    def save(self, stored: Any) -> None:
        self.anchor.value = stored

    def encode(self, value: Any) -> Any:
        return checked(self.code, value)

    def decode(self, stored: Any) -> Any:
        return stored


class CountStore(NumberStore):
    """A 64-bit int in a counter's range, which is one shorter than C's."""

    __slots__ = ()

    def encode(self, value: Any) -> Any:
        count = operator.index(value)
        if not LOWEST <= count <= HIGHEST:
            raise OverflowError(f"{count} is out of a counter's range, -2**63 + 1 to 2**63 - 1")
        return int(count)


def _memory(c_type: Any, start: Any) -> Any:
    number: Any = multiprocessing.RawValue(c_type, start)
    return number


class StdlibCounter(StdlibCells[int], SharedCounter):
    """A counter in a `multiprocessing.Value('q')`: each increment takes its lock."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedCounter

    def __init__(
        self,
        initial: int = 0,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self._start(name, mode, group)
        start = CountStore(None, "q").encode(initial)
        hold = new_hold()
        self._place(CountStore(_memory(ctypes.c_longlong, start), "q"), hold.lock, os.getpid())

    def increment(self, n: int = 1) -> int:
        step = operator.index(n)
        return self.modify(lambda count: count + step)

    def decrement(self, n: int = 1) -> int:
        step = operator.index(n)
        return self.modify(lambda count: count - step)

    def exchange(self, value: int) -> int:
        with self.locked() as cell:
            old, cell.value = cell.value, value
        return old

    def compare_exchange(self, expected: int, value: int) -> bool:
        wanted, new = operator.index(expected), self._opened().store.encode(value)
        with self.locked() as cell:
            equal = cell.value == wanted
            if equal:
                cell.value = new
        return equal

    def __int__(self) -> int:
        return self.value

    def __iadd__(self, n: int) -> Self:
        self.increment(n)
        return self

    def __isub__(self, n: int) -> Self:
        self.decrement(n)
        return self


class StdlibValue(StdlibCells[T], SharedValue[T]):
    """A value in a `multiprocessing.Value`, or without a type code in a manager process."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedValue

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
        self._start(name, mode, group)
        if dtype is None:
            from procshare.backends.stdlib.manager import new_managed

            store, hold = new_managed(initial)
            self._place(store, hold.lock, os.getpid())
            return
        code = normal_code(dtype)
        start = checked(code, initial)
        hold = new_hold()
        self._place(NumberStore(_memory(_TYPES[code], start), code), hold.lock, os.getpid())
