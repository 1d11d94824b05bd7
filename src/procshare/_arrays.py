"""Array data to shared memory, checked: NumPy alone would wrap, cut or round to another kind without a word.

An element that does not fit is an `OverflowError`, a change of kind that loses something (float to int) a
`TypeError`. Data that already has the wanted type passes without a copy.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

_NUMBERS = "biufc"
_RANK = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


def to_dtype(dtype: object) -> np.dtype[Any]:
    """The NumPy dtype for *dtype*, which may be a one-letter type code.

    Raises:
        TypeError: Not a dtype, or one that cannot be shared.
    """
    wanted: np.dtype[Any] = np.dtype("S1") if isinstance(dtype, str) and dtype == "c" else _parsed(dtype)
    if wanted.hasobject or wanted.kind not in "biufcSUVmM":
        raise TypeError(f"dtype {wanted} holds Python objects, which only one process can see; use a number type")
    if wanted.subdtype is not None:
        raise TypeError(f"dtype {wanted} has a shape of its own; give that shape to the data instead")
    return wanted


def to_array(data: Any, dtype: object) -> npt.NDArray[Any]:
    """*data* as a C-contiguous array of *dtype* (None: NumPy's choice), not copied where it is one already.

    Raises:
        OverflowError: An element does not fit.
        TypeError: *dtype* holds Python objects, or the conversion would lose something.
    """
    if dtype is None:
        array: npt.NDArray[Any] = np.asarray(data, order="C")
        to_dtype(array.dtype)
        return array
    wanted = to_dtype(dtype)
    if wanted.names is not None and not (_is_array(data) and data.dtype == wanted):
        return _records(data, wanted)
    source: npt.NDArray[Any] = np.asarray(data)
    if source.dtype == wanted:
        return np.asarray(source, order="C")
    if source.size and wanted.kind in _NUMBERS:
        return _numbers(data, source, wanted)
    if source.size and wanted.kind in "SU":
        return _strings(source, wanted)
    if source.size and wanted.kind == "V":
        raise _loses(source.dtype, wanted)
    try:
        return source.astype(wanted, order="C", casting="same_kind" if source.size else "unsafe")
    except TypeError:
        raise _loses(source.dtype, wanted) from None


def _parsed(dtype: Any) -> np.dtype[Any]:
    try:
        parsed: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{dtype!r} is no NumPy dtype: {error}") from None
    return parsed


def _is_array(data: object) -> TypeGuard[npt.NDArray[Any]]:
    return isinstance(data, np.ndarray)


def _loses(source: object, wanted: np.dtype[Any]) -> TypeError:
    return TypeError(f"{source} data would lose something as {wanted}; convert it yourself if you mean to")


def _exceeds(value: object, wanted: np.dtype[Any]) -> OverflowError:
    return OverflowError(f"{value} does not fit dtype {wanted}")


def _numbers(data: object, source: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    exact = wanted.kind in "biu"
    if source.dtype.kind == "O" or (exact and source.dtype.kind == "f" and not _is_array(data)):
        # NumPy makes floats or objects of a list of large ints: judge the elements themselves.
        return _objects(np.asarray(data, dtype=object), wanted)
    if source.dtype.kind not in _NUMBERS or _RANK[source.dtype.kind] > max(_RANK[wanted.kind], exact):
        raise _loses(source.dtype, wanted)
    if exact:
        _check_range(int(source.min()), int(source.max()), wanted)
    return _finite(source, wanted)


def _check_range(low: int, high: int, wanted: np.dtype[Any]) -> None:
    if wanted.kind == "b":
        least, most = 0, 1
    else:
        limits = np.iinfo(wanted)
        least, most = int(limits.min), int(limits.max)
    if low < least or high > most:
        raise _exceeds(low if low < least else high, wanted)


def _finite(source: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        result = source.astype(wanted, order="C")
    if wanted.kind in "fc":
        lost = np.isfinite(source) & ~np.isfinite(result)
        if lost.any():
            raise _exceeds(source[lost].flat[0], wanted)
    return result


def _objects(source: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    allowed = {"f": (int, float, np.bool_, np.integer, np.floating), "c": (int, float, complex, np.bool_, np.number)}
    kinds = allowed.get(wanted.kind, (int, np.bool_, np.integer))
    for item in source.flat:
        if not isinstance(item, kinds):
            raise _loses(type(item).__name__, wanted)
    if wanted.kind in "biu":
        numbers = [int(item) for item in source.flat]
        _check_range(min(numbers), max(numbers), wanted)
        return source.astype(wanted, order="C")
    staging = max(wanted, np.dtype("d" if wanted.kind == "f" else "D"), key=lambda each: each.itemsize)
    try:
        return _finite(source.astype(staging), wanted)
    except OverflowError:
        raise _exceeds("an element", wanted) from None


def _strings(source: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    if source.dtype.kind != wanted.kind:
        raise _loses(source.dtype, wanted)
    if wanted.itemsize and source.dtype.itemsize > wanted.itemsize:
        longest = int(np.char.str_len(source).max())
        if longest > wanted.itemsize // (4 if wanted.kind == "U" else 1):
            raise _exceeds(f"a string of length {longest}", wanted)
    return source.astype(wanted, order="C")


def _records(data: Any, wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    """Field by field, since NumPy checks nothing when it converts a record."""
    names = wanted.names or ()
    columns: list[Any]
    if _is_array(data):
        source = data
        if len(source.dtype.names or ()) != len(names):
            raise _loses(source.dtype, wanted)
        columns = [source[name] for name in source.dtype.names or ()]
        result: npt.NDArray[Any] = np.zeros(source.shape, wanted)
    else:
        result = np.zeros(np.asarray(data, dtype=wanted).shape, wanted)
        rows = [_row(data, index, len(names)) for index in np.ndindex(result.shape)]
        columns = [[row[number] for row in rows] for number in range(len(names))]
    for name, column in zip(names, columns, strict=True):
        cells = to_array(column, wanted[name].base)
        result[name] = cells.reshape(result[name].shape) if cells.size == result[name].size else cells
    return result


def _row(data: Any, index: tuple[int, ...], width: int) -> Any:
    for position in index:
        data = data[position]
    fields: Any = data
    if not isinstance(data, (tuple, np.void)) or len(fields) != width:
        raise TypeError(f"a record of {width} fields is given as a tuple of {width}, not {fields!r}")
    return fields
