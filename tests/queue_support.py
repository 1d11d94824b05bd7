"""Items of every sort for the tests of queues, how to tell them apart, and what does not travel."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from container_support import VALUES, parts, same

if TYPE_CHECKING:
    from collections.abc import Callable


class Point:
    """An object of a class of the tests' own."""

    def __init__(self, x: object) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and alike(other.x, self.x)

    def __hash__(self) -> int:
        return hash(type(self))


class Spoiled:
    """Pickles, and raises when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return fail, ("spoiled",)


class Refusing:
    """Raises when it is pickled."""

    def __init__(self, error: type[BaseException] = ZeroDivisionError) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        raise self.error("it does not pickle")


def fail(word: str) -> object:
    """What unpickling a `Spoiled` calls."""
    raise LookupError(word)


def alike(one: Any, other: Any) -> bool:
    """Whether two items are equal in type, order and every bit, arrays included."""
    if type(one) is type(other) is np.ndarray:
        return same_arrays(one, other)
    if type(one) is type(other) is complex:
        return same((one.real, one.imag), (other.real, other.imag))
    if type(one) is type(other) and isinstance(one, dict | list | tuple):
        inner, outer = parts(one), parts(other)
        return len(inner) == len(outer) and all(alike(*pair) for pair in zip(inner, outer, strict=True))
    return same(one, other)


def same_arrays(one: Any, other: Any) -> bool:
    """Whether two arrays are equal in every bit, and element by element if those are objects."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    if one.dtype.hasobject:
        return all(alike(*pair) for pair in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    return bool(one.tobytes() == other.tobytes())


def arrays() -> dict[str, Any]:
    """NumPy arrays of every layout."""
    return {
        "0-d": np.array(5.5),
        "1-d": np.arange(10, dtype="i2"),
        "2-d": np.arange(12.0).reshape(3, 4),
        "3-d": np.arange(60, dtype="u1").reshape(3, 4, 5),
        "Fortran order": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "non-contiguous": np.arange(100).reshape(10, 10)[::2, 1::3],
        "reversed": np.arange(10)[::-1],
        "empty": np.zeros(0),
        "empty 2-d": np.zeros((3, 0)),
        "broadcast": np.broadcast_to(np.arange(3), (4, 3)),
        "large": np.arange(300_000, dtype="f8"),
        "large Fortran": np.asfortranarray(np.arange(200_000).reshape(400, 500)),
        "records": np.zeros(5, [("a", "i1"), ("b", "f8")]),
        "big-endian": np.arange(5, dtype=">i4"),
        "text": np.array(["one", "three"]),
        "dates": np.array(["2026-01-01", "2026-12-31"], "M8[D]"),
        "objects": np.array([1, "two", [3]], object),
        "read-only": frozen(np.arange(7)),
        "booleans": np.array([[True], [False]]),
        "complex": np.array([1 + 2j, -0.0j]),
    }


def frozen(array: Any) -> Any:
    """The same, that cannot be written."""
    array.flags.writeable = False
    return array


def items() -> list[Any]:
    """Items of every sort that is stored in a way of its own, and at the edges of each."""
    edges = [b"b" * n for n in (*range(90, 100), 4095, 4096, 4097, 65_536)]
    texts = ["t" * n for n in (1, 7, 8, 9, 63, 64, 65)]
    mixed: list[Any] = [
        [np.arange(5), np.arange(5)],
        {"one": np.zeros((2, 2)), "other": b"x" * 5000},
        (bytearray(b"ab" * 5000), np.arange(1000)),
        Point(np.arange(100_000)),
        Point(None),
        Fraction(1, 3),
        {1, 2, 3},
        frozenset("ab"),
        (1, (2.5, ("three", (b"four", (None, (True, ())))))),
        [[[[[]]]]],
        {"a": {"b": {"c": [1, 2.5, "x", b"y", None, (1,)]}}},
        tuple(range(1000)),
        list("x" * 300),
        dict.fromkeys(range(300), "v"),
        np.float64(2.5),
        np.int8(-5),
        Ellipsis,
        NotImplemented,
    ]
    return [*VALUES, *edges, *texts, *arrays().values(), *mixed]


def unpicklable() -> list[Any]:
    """What no queue takes."""
    return [
        lambda: None,
        threading.Lock(),
        [1, threading.Lock()],
        {"a": (1, iter(lambda: None, None))},
        Refusing(),
        [b"x" * 100_000, Refusing(MemoryError)],
        Refusing(KeyboardInterrupt),
        np.array([threading.Lock()], object),
    ]
