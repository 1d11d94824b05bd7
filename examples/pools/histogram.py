"""Pools of the standard library: handles as initargs and as arguments, and one that a worker returns.

python histogram.py [spawn | forkserver | fork]
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from procshare import SharedArray, SharedCounter, SharedDict

if TYPE_CHECKING:
    from collections.abc import Iterable

LINES = ["share nothing by default", "share state on purpose", "leave nothing behind"] * 20
WORKERS = 2

words: SharedDict[str, int]


def start(shared: SharedDict[str, int]) -> None:
    """The initializer: keep what every task of this worker uses."""
    global words
    words = shared


def count_words(line: str) -> int:
    """A task that uses what the initializer kept."""
    for word in line.split():
        words.increment(word)
    return len(line.split())


def lengths(done: SharedCounter, lines: list[str]) -> SharedArray[np.int64]:
    """A task that gets a handle as an argument, and returns another: the array is the caller's from then on."""
    found = np.bincount([len(word) for line in lines for word in line.split()], minlength=10)
    done.increment(len(lines))
    return SharedArray(found, np.int64).hand_over()


def total(arrays: Iterable[SharedArray[np.int64]]) -> list[int]:
    """The sum of what the workers returned; each array goes when it is closed here, since nobody else has it."""
    sums = np.zeros(10, np.int64)
    for array in arrays:
        with array:
            sums += array.array
    return [int(n) for n in sums]


def main(method: str = "spawn") -> None:
    """Count in a ProcessPoolExecutor, and in a multiprocessing.Pool."""
    context = multiprocessing.get_context(method)
    halves = [LINES[::2], LINES[1::2]]
    with SharedDict[str, int]() as shared, SharedCounter() as done:
        with ProcessPoolExecutor(WORKERS, context, start, (shared,)) as executor:
            counted = sum(executor.map(count_words, LINES))
            tasks = [executor.submit(lengths, done, half) for half in halves]
            by_length = total(task.result() for task in tasks)
        print(f"executor: {counted} words, {shared['share']} times 'share', lengths {by_length} in {done.value} lines")

        shared.clear()
        done.set(0)
        with context.Pool(WORKERS, start, (shared,)) as pool:
            counted = sum(pool.map(count_words, LINES))
            by_length = total(pool.starmap(lengths, [(done, half) for half in halves]))
            pool.close()
            pool.join()
        print(f"pool:     {counted} words, {shared['share']} times 'share', lengths {by_length} in {done.value} lines")


if __name__ == "__main__":
    main(*sys.argv[1:])
