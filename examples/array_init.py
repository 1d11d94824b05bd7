"""A shared array is made from a size, which fills it with zeros, or from values.

`multiprocessing.Array` takes either as its second argument, has one dimension and is read element by element. A
`SharedArray` is a NumPy array: any shape, and arithmetic on the whole of it.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import Process
from typing import NamedTuple

import numpy as np

from procshare import SharedArray


class Contents(NamedTuple):
    """What each array holds at the end."""

    stdlib_by_size: list[int]
    stdlib_by_values: list[int]
    by_size: list[int]
    by_values: list[float]
    table: list[list[int]]


def fill(numbers: SharedArray[np.intc]) -> None:
    """In a child: write squares where zeros were."""
    with numbers.locked() as array:
        array[:] = np.arange(len(array)) ** 2


def main() -> Contents:
    """Make arrays in each way, and let a child fill one."""
    stdlib_by_size = multiprocessing.Array("i", 5)
    stdlib_by_values = multiprocessing.Array("i", [1, 2, 3])
    print(f"mp.Array('i', 5):                {stdlib_by_size[:]}")
    print(f"mp.Array('i', [1, 2, 3]):        {stdlib_by_values[:]}")

    with (
        SharedArray.zeros(5, np.intc) as by_size,
        SharedArray([1.5, 2.5, 3.5], "d") as by_values,
        SharedArray.zeros((2, 3), np.int16) as table,
    ):
        print(f"SharedArray.zeros(5, np.intc):   {by_size.value.tolist()}")
        print(f"SharedArray([1.5, 2.5, 3.5]):    {by_values.value.tolist()}, sum {by_values.array.sum()}")
        print(f"SharedArray.zeros((2, 3)):       {table.value.tolist()}")
        child = Process(target=fill, args=(by_size,))
        child.start()
        child.join()
        print(f"after a child wrote its squares: {by_size.value.tolist()}")
        return Contents(
            list(stdlib_by_size[:]),
            list(stdlib_by_values[:]),
            by_size.value.tolist(),
            by_values.value.tolist(),
            table.value.tolist(),
        )


if __name__ == "__main__":
    main()
