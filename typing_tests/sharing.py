"""Type-checked, never run: `share()` and `wrap()` find the class and its T."""

import ctypes
import multiprocessing
from collections import Counter
from multiprocessing.queues import Queue
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.sharedctypes import Synchronized
from typing import Any, assert_type

import numpy as np

from procshare import (
    SharedArray,
    SharedBarrier,
    SharedBoundedSemaphore,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedList,
    SharedLock,
    SharedNamespace,
    SharedQueue,
    SharedRLock,
    SharedSemaphore,
    SharedSet,
    SharedValue,
    share,
    wrap,
)

# ---- share ----

assert_type(share(5), SharedValue[int])
assert_type(share(True), SharedValue[bool])
assert_type(share(0.5), SharedValue[float])
assert_type(share("x"), SharedValue[str])
assert_type(share(b"x"), SharedValue[bytes])
pair = share(divmod(7, 2))
assert_type(pair, SharedValue[tuple[int, int]])
assert_type(share(frozenset({5})), SharedValue[frozenset[int]])
assert_type(share([1, 2]), SharedList[int])
assert_type(share({"x": 5}), SharedDict[str, int])
assert_type(share({5}), SharedSet[int])
assert_type(share(Counter("banana")), SharedDict[str, int])
assert_type(share({"x": [5]}, name="x", backend="stdlib"), SharedDict[str, list[int]])
assert_type(share(None), SharedValue[None])
assert_type(share(np.zeros(3)), SharedArray[np.float64])
assert_type(share(np.zeros((2, 3), np.int8)), SharedArray[np.int8])
assert_type(share(5, name="x", backend="shm"), SharedValue[int])
assert_type(share(SharedCounter()), SharedCounter)
assert_type(share(SharedValue("x")), SharedValue[str])
assert_type(share(SharedArray(np.zeros(3))), SharedArray[np.float64])
assert_type(share(SharedDict({"x": 5})), SharedDict[str, int])
assert_type(share(SharedNamespace()), SharedNamespace)

# ---- wrap ----

number: Synchronized[int] = multiprocessing.Value(ctypes.c_int, 5)
assert_type(wrap(number), SharedValue[int])
assert_type(wrap(multiprocessing.Value(ctypes.c_double, 5)), SharedValue[float])
assert_type(wrap(multiprocessing.Array(ctypes.c_int, 5)), SharedArray[Any])
assert_type(wrap(multiprocessing.RawArray(ctypes.c_int, 5)), SharedArray[Any])

manager = multiprocessing.Manager()
assert_type(wrap(manager.Value("i", 5)), SharedValue[int])
assert_type(wrap(manager.dict({"x": 5})), SharedDict[str, int])
assert_type(wrap(manager.list([5])), SharedList[int])
assert_type(wrap(manager.Namespace()), SharedNamespace)

jobs: Queue[str] = multiprocessing.Queue()
assert_type(wrap(jobs), SharedQueue[str])
assert_type(wrap(multiprocessing.Lock()), SharedLock)
assert_type(wrap(multiprocessing.RLock()), SharedRLock)
assert_type(wrap(multiprocessing.Semaphore(3)), SharedSemaphore)
assert_type(wrap(multiprocessing.BoundedSemaphore(3)), SharedBoundedSemaphore)
assert_type(wrap(multiprocessing.Event()), SharedEvent)
assert_type(wrap(multiprocessing.Condition()), SharedCondition)
assert_type(wrap(multiprocessing.Barrier(3)), SharedBarrier)

memory = SharedMemory(create=True, size=64)
assert_type(wrap(memory, dtype=np.int32, shape=16), SharedArray[np.int32])
assert_type(wrap(memory, dtype=np.dtype(np.int8), shape=(8, 8)), SharedArray[np.int8])
assert_type(wrap(memory, dtype="i", shape=16), SharedArray[Any])

# ---- mistakes ----

share()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
share(5, nme="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
wrap(5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
wrap(memory)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
wrap(memory, dtype="i")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
wrong: SharedValue[str] = share(5)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]

# ---- with others ----

assert_type(share({"a": 1}, mode=0o660, group="www-data"), SharedDict[str, int])
assert_type(share(np.zeros(3), mode=0o660), SharedArray[np.float64])
assert_type(SharedDict(name="x", mode=0o660, group=33, a=1), SharedDict[str, int])
assert_type(SharedDict({"a": 1}, mode=0o660), SharedDict[str, int])
assert_type(SharedDict.fromkeys(["a"], 1, mode=0o660), SharedDict[str, int])
share([1], mode="rw")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
