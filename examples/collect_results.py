"""Five workers send results back through one queue, and end; the parent collects when they have.

With a `multiprocessing.Queue` this order, join first and then get, deadlocks as soon as the results are more than a
pipe holds: a worker's results wait in a thread of that worker, which it joins at its exit. What was put into a
`SharedQueue` is in shared memory when `put` returns, and the worker may go, or even be killed.
"""

from __future__ import annotations

from multiprocessing import Process
from typing import NamedTuple

from procshare import SharedQueue

WORKERS = 5
RESULTS = 2_000


class Result(NamedTuple):
    """What a worker found."""

    worker: int
    number: int
    square: int


class Collected(NamedTuple):
    """What the parent got."""

    results: int
    per_worker: list[int]
    right: bool
    in_order: bool
    """Whether each worker's results came in the order in which it sent them."""


def work(results: SharedQueue[Result], worker: int) -> None:
    """Find something out, again and again."""
    for number in range(RESULTS):
        results.put(Result(worker, number, number * number))


def main() -> Collected:
    """Run the workers, and collect."""
    with SharedQueue[Result]() as results:
        workers = [Process(target=work, args=(results, worker)) for worker in range(WORKERS)]
        for process in workers:
            process.start()
        for process in workers:
            process.join()
        results.shutdown()  # nothing more will come, so the loop ends when it has all
        found = list(results)
    per_worker = [[result.number for result in found if result.worker == worker] for worker in range(WORKERS)]
    collected = Collected(
        len(found),
        [len(numbers) for numbers in per_worker],
        all(result.square == result.number**2 for result in found),
        all(numbers == sorted(numbers) for numbers in per_worker),
    )
    print(f"{WORKERS} workers sent {collected.results:,} results: {collected.per_worker}")
    print(f"every square right: {collected.right}, each worker's in order: {collected.in_order}")
    return collected


if __name__ == "__main__":
    main()
