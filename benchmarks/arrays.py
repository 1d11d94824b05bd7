"""Arrays: making, attaching and destroying one, and arithmetic on its memory."""

from __future__ import annotations

import time
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import compare

from procshare import SharedArray

if TYPE_CHECKING:
    from measure import Row


def _ours(data: Any) -> float:
    start = time.perf_counter()
    array = SharedArray(data)
    SharedArray.attach(array.name).close()
    array.unlink()
    array.close()
    return time.perf_counter() - start


def _theirs(data: Any) -> float:
    start = time.perf_counter()
    made = SharedMemory(create=True, size=data.nbytes)
    view = np.ndarray(data.shape, data.dtype, buffer=made.buf)
    view[:] = data
    SharedMemory(made.name).close()
    del view
    made.close()
    made.unlink()
    return time.perf_counter() - start


def _life(megabytes: int, rounds: int, target: str) -> Row:
    data = np.random.default_rng(0).random(megabytes * 131_072)
    what = f"copy in, attach, destroy: {megabytes} MB"
    return compare(what, lambda: _ours(data), lambda: _theirs(data), rounds=rounds, target=target)


def _arithmetic(megabytes: int) -> Row:
    data = np.random.default_rng(0).random(megabytes * 131_072)
    shared, private = SharedArray(data).array, data.copy()

    def run(array: Any) -> float:
        turns = 64 // megabytes
        start = time.perf_counter()
        for _ in range(turns):
            array *= 1.0000001
            array += 1e-9
        return (time.perf_counter() - start) / turns

    what = f"arithmetic on .array: {megabytes} MB"
    return compare(what, lambda: run(shared), None, lambda: run(private), rounds=41, target="<= 1.03x floor")


def rows() -> list[Row]:
    """The floor of arithmetic is the same on a private array."""
    lives = [_life(256, 5, "<= 0.75 of it: >= 1.33x"), _life(1, 101, "<= 1.0 of it: >= 1x")]
    return lives + [_arithmetic(megabytes) for megabytes in (1, 2, 4, 8)]
