"""Type codes: one letter for each C number that a value holds, and what fits in it.

Both backends check here, before they store: C and `ctypes` cut what does not fit without a word.
"""

from __future__ import annotations

import operator
import struct
import sys
from typing import Any

CODES = "?bBhHiIlLqQfdc"
"""The codes of NumPy and `multiprocessing` that a value can have."""


def _limits(code: str) -> tuple[int, int]:
    bits = 8 * struct.calcsize(code)
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if code.islower() else (0, (1 << bits) - 1)


RANGES: dict[str, tuple[int, int]] = {"?": (0, 1), **{code: _limits(code) for code in "bBhHiIlLqQ"}}
"""The smallest and largest int that fits, for each code that holds one."""

_PLAIN: dict[type, str] = {bool: "?", int: "q", float: "d"}
_HINT = (
    "use one of the type codes '?' 'b' 'B' 'h' 'H' 'i' 'I' 'l' 'L' 'q' 'Q' 'f' 'd' 'c', their NumPy or ctypes "
    "types, or bool, int or float; leave dtype out for any object that pickles"
)


def normal_code(dtype: object) -> str:
    """The one-letter code for *dtype*.

    Args:
        dtype: A type code, `bool`, `int` (64 bits) or `float`, a `ctypes` number type, or what `numpy.dtype` takes.

    Raises:
        TypeError: It is no C number of this machine.
    """
    if isinstance(dtype, str) and len(dtype) == 1:
        code = dtype if dtype in CODES else None
    elif isinstance(dtype, type) and dtype in _PLAIN:
        code = _PLAIN[dtype]
    elif dtype is None:
        code = None
    elif type(dtype).__module__ == "_ctypes":  # the metaclass of every ctypes type
        code = _ctypes_code(dtype)
    else:
        code = _numpy_code(dtype)
    if code is None:
        raise TypeError(f"{dtype!r} is no number type that a SharedValue can hold; {_HINT}")
    return code


def checked(code: str, value: object) -> Any:
    """*value* as the plain `int`, `float`, `bool` or `bytes` that code holds and gives back.

    An 'f' is rounded to what is stored.

    Raises:
        OverflowError: It does not fit.
        TypeError: It is of the wrong type.
    """
    if code in RANGES:
        number = _index(code, value)
        low, high = RANGES[code]
        if not low <= number <= high:
            raise OverflowError(f"{number} does not fit type code {code!r}, which holds {low} to {high}")
        return bool(number) if code == "?" else number
    if code == "c":
        if not isinstance(value, bytes) or not value:
            raise TypeError(f"type code 'c' holds one byte, as bytes of length 1, not {value!r}")
        if len(value) > 1:
            raise OverflowError(f"{len(value)} bytes do not fit type code 'c', which holds one")
        return bytes(value)
    return _real(code, value)


def _index(code: str, value: Any) -> int:
    if isinstance(value, int):
        return int(value)
    if code == "?" and type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return int(bool(value))
    try:
        return operator.index(value)
    except TypeError:
        kind = "a bool" if code == "?" else "an int"
        raise TypeError(f"type code {code!r} holds {kind}, not {type(value).__name__}") from None


def _real(code: str, value: Any) -> float:
    if isinstance(value, complex) or type(value).__name__.startswith("complex"):  # float() would drop a part
        raise TypeError(f"type code {code!r} holds a float, not {type(value).__name__}")
    layout = "<" + code  # the native layouts turn what is too large for a C float into infinity
    try:
        (number,) = struct.unpack(layout, struct.pack(layout, float(value) if isinstance(value, int) else value))
    except struct.error:
        raise TypeError(f"type code {code!r} holds a float, not {type(value).__name__}") from None
    except OverflowError:
        raise OverflowError(f"{value!r} does not fit type code {code!r}") from None
    return float(number)


def _ctypes_code(dtype: Any) -> str | None:
    code: object = getattr(dtype, "_type_", None)  # a letter for simple types; a class or nothing for others
    native = getattr(dtype, f"__ctype_{sys.byteorder[0]}e__", dtype)
    return str(code) if isinstance(code, str) and code in CODES and native is dtype else None


def _numpy_code(dtype: Any) -> str | None:
    import numpy as np

    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError):
        return None
    if not found.isnative:
        return None
    if found.kind == "S":
        return "c" if found.itemsize == 1 else None
    if found.char in CODES:
        return str(found.char)
    # A platform's spare integer type, such as NumPy's 'p', has the size of one that has a code.
    same = (code for code in "bBhHiIqQ" if found.kind in "iu" and np.dtype(code) == found)
    return next(same, None)
