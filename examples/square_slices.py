"""Four processes square an array of 1,000,000 numbers in place, each its own quarter, without a lock.

Slices that do not overlap need none: `array` is the live memory itself. Nothing is copied to the workers or back.
"""

from __future__ import annotations

from multiprocessing import Process
from typing import NamedTuple

import numpy as np

from procshare import SharedArray

SIZE = 1_000_000
WORKERS = 4


class Squares(NamedTuple):
    """A look at the result."""

    first: list[int]
    last: int
    wrong: int
    """How many of all elements are not their index squared."""


def square(numbers: SharedArray[np.int64], start: int, stop: int) -> None:
    """Square one slice in place."""
    numbers.array[start:stop] **= 2


def main() -> Squares:
    """Deal out the slices, and check every element."""
    quarter = SIZE // WORKERS
    with SharedArray(np.arange(SIZE, dtype=np.int64)) as numbers:
        workers = [Process(target=square, args=(numbers, start, start + quarter)) for start in range(0, SIZE, quarter)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        array = numbers.value
    wrong = int((array != np.arange(SIZE, dtype=np.int64) ** 2).sum())
    squares = Squares(array[:5].tolist(), int(array[-1]), wrong)
    print(f"{SIZE:,} numbers squared by {WORKERS} processes: {squares.first} ... {squares.last:,}; {wrong} wrong")
    return squares


if __name__ == "__main__":
    main()
