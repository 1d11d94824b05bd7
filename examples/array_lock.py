"""Ten processes add 1 to every element of one array, each inside its lock: every element ends at 10."""

from __future__ import annotations

from multiprocessing import Process

import numpy as np

from procshare import SharedArray

WORKERS = 10


def add_one(numbers: SharedArray[np.int64]) -> None:
    """Change every element while nobody else can."""
    with numbers.locked() as array:
        for index in range(len(array)):
            array[index] += 1


def main() -> list[int]:
    """Run the ten, and read the array."""
    with SharedArray.zeros(8, np.int64) as numbers:
        workers = [Process(target=add_one, args=(numbers,)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        result: list[int] = numbers.value.tolist()
    print(f"{WORKERS} processes each added 1 to each element: {result}")
    return result


if __name__ == "__main__":
    main()
