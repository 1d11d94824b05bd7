"""A child doubles its parent's array in place; with `SharedMemory` by hand, and with a `SharedArray`.

By hand, parent and child must agree on name, shape and type, the child must let go of every view before it
closes, and the parent must remember to unlink. A `SharedArray` carries all that when it is passed to the child.
"""

from __future__ import annotations

from multiprocessing import Process
from multiprocessing.shared_memory import SharedMemory
from typing import NamedTuple

import numpy as np

from procshare import SharedArray

NUMBERS = [1, 2, 3, 4, 5]


class Doubled(NamedTuple):
    """What the parent sees."""

    by_hand: list[int]
    shared: list[int]


def double_by_hand(name: str, length: int) -> None:
    """In the child: attach to the memory, say again what it holds, double it, let go in the right order."""
    memory = SharedMemory(name)
    array = np.ndarray(length, np.int64, memory.buf)
    array *= 2
    del array  # close() raises BufferError while a view is alive
    memory.close()


def by_hand() -> list[int]:
    """The standard library's way."""
    memory = SharedMemory(create=True, size=len(NUMBERS) * np.dtype(np.int64).itemsize)
    try:
        array = np.ndarray(len(NUMBERS), np.int64, memory.buf)
        array[:] = NUMBERS
        child = Process(target=double_by_hand, args=(memory.name, len(NUMBERS)))
        child.start()
        child.join()
        result: list[int] = array.tolist()
        del array
        return result
    finally:
        memory.close()
        memory.unlink()


def double(numbers: SharedArray[np.int64]) -> None:
    """In the child: double it."""
    with numbers.locked() as array:
        array *= 2


def main() -> Doubled:
    """Double in both ways."""
    doubled = by_hand()
    print(f"{NUMBERS} doubled in a child, SharedMemory by hand: {doubled}")
    with SharedArray(NUMBERS, np.int64) as numbers:
        child = Process(target=double, args=(numbers,))
        child.start()
        child.join()
        shared: list[int] = numbers.value.tolist()
    print(f"{NUMBERS} doubled in a child, SharedArray:          {shared}")
    return Doubled(doubled, shared)


if __name__ == "__main__":
    main()
