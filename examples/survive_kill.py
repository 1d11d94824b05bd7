"""A worker is killed with SIGKILL while it holds the lock; the others go on, and its half-done change is undone.

A lock of `multiprocessing` stays locked for ever when its holder is killed. procshare asks the kernel whether the
holder lives, and takes over from a dead one. A value shows its last commit; an array, which may be half
written, raises `OwnerDied` until someone has looked at it and called `recover()`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing import Process
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from procshare import OwnerDied, SharedArray, SharedCounter, SharedValue

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.sharedctypes import Synchronized


class Survived(NamedTuple):
    """What was left after each kill."""

    stdlib_acquired: bool
    balance: int
    seconds: float
    """How long the next holder waited for the dead one's lock."""
    array_refused: bool
    array: list[int]


def hold_stdlib(value: Synchronized[int], holding: SharedCounter) -> None:
    """Die inside multiprocessing's lock."""
    with value.get_lock():
        die(holding)


def hold_value(balance: SharedValue[int], holding: SharedCounter) -> None:
    """Die inside a value's block, after a write."""
    with balance.locked() as cell:
        cell.value = -1
        die(holding)


def hold_array(numbers: SharedArray[np.int64], holding: SharedCounter) -> None:
    """Die inside an array's block, with half of it written."""
    with numbers.locked() as array:
        array[: len(array) // 2] = -1
        die(holding)


def die(holding: SharedCounter) -> None:
    """Say that the lock is held, and wait to be killed."""
    holding.increment()
    signal.pause()


def kill_holder(target: Callable[..., None], shared: object) -> None:
    """Start a worker, and kill it as soon as it holds the lock."""
    with SharedCounter() as holding:
        worker = Process(target=target, args=(shared, holding), daemon=True)
        worker.start()
        holding.wait_until(bool, timeout=30)
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()


def next_in_line(balance: SharedValue[int]) -> None:
    """Another worker, which wants the same lock."""
    with balance.locked(timeout=10) as cell:
        cell.value += 1


def after_array(numbers: SharedArray[np.int64]) -> bool:
    """Look at what a dead holder left, repair it, and go on; whether it was refused before."""
    refused = False
    try:
        with numbers.locked(timeout=10):
            pass
    except OwnerDied as error:
        refused = True
        print(f"SharedArray: OwnerDied: {error}")
        numbers.array[:] = 0
        numbers.recover()
    with numbers.locked(timeout=10) as array:
        array += 1
    return refused


def main() -> Survived:
    """Kill a holder of each kind, and go on."""
    value: Synchronized[int] = multiprocessing.Value("q", 0)
    kill_holder(hold_stdlib, value)
    acquired = value.get_lock().acquire(timeout=0.5)
    print(f"mp.Value: its lock {'was free again' if acquired else 'is lost, and every process that wants it hangs'}")

    with SharedValue(100) as balance:
        kill_holder(hold_value, balance)
        began = time.perf_counter()
        balance.modify(lambda amount: amount + 1)
        seconds = time.perf_counter() - began
        worker = Process(target=next_in_line, args=(balance,))
        worker.start()
        worker.join()
        left = balance.value
    print(f"SharedValue: 100 was kept, two others added 1: {left}; the first waited {seconds * 1e3:.0f} ms")

    with SharedArray.zeros(4, np.int64) as numbers:
        kill_holder(hold_array, numbers)
        refused = after_array(numbers)
        array: list[int] = numbers.value.tolist()
    print(f"SharedArray: repaired and used again: {array}")
    return Survived(acquired, left, seconds, refused, array)


if __name__ == "__main__":
    main()
