"""Type-checked, never run: which elements `SharedArray` infers, and which mistakes the checkers find."""

from contextlib import AbstractContextManager
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

from procshare import Shared, SharedArray

# ---- the elements follow from the data, or from the dtype ----

assert_type(SharedArray(np.zeros(3)), SharedArray[np.float64])
assert_type(SharedArray(np.zeros(3, np.uint8)), SharedArray[np.uint8])
assert_type(SharedArray([1, 2, 3]), SharedArray[Any])
assert_type(SharedArray([1, 2, 3], np.int32), SharedArray[np.int32])
assert_type(SharedArray([1, 2, 3], np.dtype(np.int16)), SharedArray[np.int16])
assert_type(SharedArray(np.zeros(3), np.float32), SharedArray[np.float32])
assert_type(SharedArray([1, 2], float), SharedArray[np.float64])
assert_type(SharedArray([1, 2], int), SharedArray[np.int_])
assert_type(SharedArray([1, 2], bool), SharedArray[np.bool_])
assert_type(SharedArray([1, 2], complex), SharedArray[np.complex128])
assert_type(SharedArray([1, 2], "d"), SharedArray[np.float64])
assert_type(SharedArray([1, 2], "f"), SharedArray[np.float32])
assert_type(SharedArray([1, 2], "i"), SharedArray[np.int32])
assert_type(SharedArray([1, 2], "q"), SharedArray[np.int64])
assert_type(SharedArray([1, 2], "B"), SharedArray[np.uint8])
assert_type(SharedArray([1, 2], "?"), SharedArray[np.bool_])
assert_type(SharedArray([(1, 2.0)], [("x", "i"), ("y", "d")]), SharedArray[Any])
assert_type(SharedArray([1.0], name="a", backend="shm", on_owner_death="proceed"), SharedArray[Any])

assert_type(SharedArray.zeros(3), SharedArray[np.float64])
assert_type(SharedArray.zeros((2, 3), np.int8), SharedArray[np.int8])
assert_type(SharedArray.zeros([2, 3], np.dtype(np.int8)), SharedArray[np.int8])
assert_type(SharedArray.zeros(3, float), SharedArray[np.float64])
assert_type(SharedArray.zeros(3, int), SharedArray[np.int_])
assert_type(SharedArray.zeros(3, bool), SharedArray[np.bool_])
assert_type(SharedArray.zeros(3, complex), SharedArray[np.complex128])
assert_type(SharedArray.zeros(3, "i"), SharedArray[np.int32])
assert_type(SharedArray.zeros(3, "f8"), SharedArray[np.float64])
assert_type(SharedArray.zeros(3, "S5"), SharedArray[Any])
assert_type(SharedArray.zeros(3, name="a", backend="shm"), SharedArray[np.float64])

# ---- and everything else follows from them ----

grid = SharedArray.zeros((2, 3), np.int32)
state: Shared[npt.NDArray[np.int32]] = grid
assert_type(grid.value, npt.NDArray[np.int32])
assert_type(grid.array, npt.NDArray[np.int32])
assert_type(grid.dtype, np.dtype[np.int32])
assert_type(grid.shape, tuple[int, ...])
assert_type(grid.size, int)
assert_type(grid.nbytes, int)
assert_type(len(grid), int)
assert_type(grid.modify(lambda now: now * 2), npt.NDArray[np.int32])
assert_type(grid.modify(lambda now: 0), npt.NDArray[np.int32])
assert_type(grid.wait_until(lambda now: bool(now.all())), npt.NDArray[np.int32])
assert_type(grid.locked(), AbstractContextManager[npt.NDArray[np.int32]])
with grid.locked(timeout=5) as live:
    live += 1
    live[0] = 5
    assert_type(live, npt.NDArray[np.int32])
grid.set(np.ones((2, 3), np.int32))
grid.set([[1, 2, 3]])
grid.set(0)
grid.recover()
assert_type(np.asarray(grid), npt.NDArray[Any])

# ---- mistakes ----

grid.value = np.zeros(3, np.int32)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
grid.value += 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
grid.array = np.zeros(3, np.int32)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
grid[0] = 5  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
grid.set(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
grid.modify(lambda now: None)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
SharedArray.zeros("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SharedArray([1], on_owner_death="ask")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
SharedArray([1], nme="a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
