"""`multiprocess`, which is multiprocessing with dill as its pickler: tasks may be lambdas that use handles.

python lambdas.py [spawn | forkserver | fork]
"""

from __future__ import annotations

import sys
from typing import Any

import multiprocess
import numpy as np

from procshare import SharedArray, SharedCounter, SharedDict


class Votes(SharedCounter):
    """A class of this script: dill sends its code along."""

    __slots__ = ()

    def cast(self) -> int:
        """One more."""
        return self.increment()


def main(method: str = "spawn") -> None:
    """Vote in a pool, and in a process."""
    context: Any = multiprocess.get_context(method)
    with Votes() as votes, SharedDict[str, int]() as by_parity:
        with context.Pool(2) as pool:
            cast = pool.map(lambda _: votes.cast(), range(40))
            pool.map(lambda n: by_parity.increment("even" if n % 2 == 0 else "odd"), range(40))
            made = pool.map(lambda n: SharedArray(np.arange(n)).hand_over(), [10, 100])
            pool.close()
            pool.join()
        print(f"{votes.value} votes, each with a number of its own: {sorted(cast) == list(range(1, 41))}")
        print(f"by parity: {sorted(by_parity.items())}")
        print(f"arrays from workers: {[int(array.array.sum()) for array in made]}")
        for array in made:
            array.close()

        voter = context.Process(target=votes.cast)
        voter.start()
        voter.join()
        print(f"and one more: {votes.value}")


if __name__ == "__main__":
    main(*sys.argv[1:])
