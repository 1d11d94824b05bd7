"""Type-checked, never run: what `SharedValue` infers, and which mistakes the checkers find."""

import ctypes
from contextlib import AbstractContextManager
from typing import Any, assert_type

import numpy as np

from procshare import Cell, Shared, SharedValue

# ---- T follows from the initial value, or from the type code ----

assert_type(SharedValue(5), SharedValue[int])
assert_type(SharedValue("x"), SharedValue[str])
assert_type(SharedValue(b"x"), SharedValue[bytes])
assert_type(SharedValue(0.5), SharedValue[float])
assert_type(SharedValue(True), SharedValue[bool])
pair = SharedValue(divmod(7, 2))
assert_type(pair, SharedValue[tuple[int, int]])
assert_type(SharedValue({"n": [5]}), SharedValue[dict[str, list[int]]])
assert_type(SharedValue[int | None](None), SharedValue[int | None])
assert_type(SharedValue[list[str]]([]), SharedValue[list[str]])

assert_type(SharedValue(0.0, "d"), SharedValue[float])
assert_type(SharedValue(0, "d"), SharedValue[float])
assert_type(SharedValue(0, "f"), SharedValue[float])
assert_type(SharedValue(0, float), SharedValue[float])
assert_type(SharedValue(0, np.float32), SharedValue[float])
assert_type(SharedValue(5, "i"), SharedValue[int])
assert_type(SharedValue(True, "i"), SharedValue[int])
assert_type(SharedValue(5, int), SharedValue[int])
assert_type(SharedValue(5, np.uint8), SharedValue[int])
assert_type(SharedValue(True, "?"), SharedValue[bool])
assert_type(SharedValue(True, bool), SharedValue[bool])
assert_type(SharedValue(True, np.bool_), SharedValue[bool])
assert_type(SharedValue(b"x", "c"), SharedValue[bytes])
assert_type(SharedValue(5, ctypes.c_int), SharedValue[Any])
assert_type(SharedValue(5, np.dtype("i")), SharedValue[Any])
assert_type(SharedValue(5, name="n", backend="shm"), SharedValue[int])

# ---- and everything else follows from T ----

word = SharedValue("x")
state: Shared[str] = word
assert_type(word.value, str)
assert_type(word.modify(str.upper), str)
assert_type(word.modify(lambda text: text + "!"), str)
assert_type(word.wait_until(lambda text: text.startswith("x")), str)
assert_type(word.locked(), AbstractContextManager[Cell[str]])
word.set("y")
with word.locked() as cell:
    assert_type(cell, Cell[str])
    assert_type(cell.value, str)
    cell.value += "!"
    cell.value = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]

maybe = SharedValue[int | None](None)
maybe.set(5)
assert_type(maybe.value, int | None)

# ---- mistakes ----

number = SharedValue(5)
number.value = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
number.value += 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
number.set("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number.modify(str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number.wait_until(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
wrong: SharedValue[str] = SharedValue(5)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
SharedValue()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
SharedValue(5, nme="n")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
number += 1  # type: ignore[operator, assignment]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
