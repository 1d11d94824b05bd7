"""joblib's workers (loky) get handles in closures, lambdas and classes of `__main__`, all pickled by value."""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed

from procshare import SharedArray, SharedCounter, SharedDict


class Stock(SharedDict[str, int]):
    """A class of this script: loky sends its code along."""

    def sell(self, what: str) -> bool:
        """One less, if there is one; atomic."""
        with self.locked() as inside:
            if inside.get(what, 0) > 0:
                inside[what] -= 1
                return True
        return False


def main() -> None:
    """Sell, progress, rows of one array, and an array that a worker made."""
    parallel = Parallel(n_jobs=2)
    with Stock({"apples": 30, "pears": 10}) as stock, SharedCounter() as done, SharedArray.zeros((8, 1_000)) as table:

        def buy(n: int) -> bool:
            done.increment()
            return stock.sell("apples" if n % 2 else "pears")

        sold = sum(parallel(delayed(buy)(n) for n in range(100)))
        print(f"{done.value} buyers, {sold} sold, left: {stock.value}")

        def fill(row: int) -> None:
            table.array[row] = row  # each worker has rows of its own: no lock

        parallel(delayed(fill)(row) for row in range(len(table)))
        print(f"rows: {table.array.mean(axis=1).astype(int).tolist()}")

        made = parallel(delayed(lambda n: SharedArray(np.arange(n)).hand_over())(n) for n in (10, 100))
        print(f"arrays from workers: {[int(array.array.sum()) for array in made]}")
        for array in made:
            array.close()  # the last one out


if __name__ == "__main__":
    main()
