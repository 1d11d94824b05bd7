"""Four processes count to 50,000 each: 200,000 with a `SharedCounter`, fewer with a `multiprocessing.Value` unlocked.

How many are lost differs from run to run, and may even be none: that is what makes a race so hard to find.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import Process
from typing import TYPE_CHECKING, NamedTuple

from procshare import SharedCounter

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.sharedctypes import Synchronized

WORKERS = 4
TIMES = 50_000


class Counts(NamedTuple):
    """What each way came to."""

    unlocked: int
    shared: int


def count_unlocked(value: Synchronized[int], gate: SharedCounter) -> None:
    """Read, add, write: another process may come in between."""
    meet(gate)
    for _ in range(TIMES):
        value.value += 1


def count_shared(counter: SharedCounter, gate: SharedCounter) -> None:
    """One atomic step."""
    meet(gate)
    for _ in range(TIMES):
        counter.increment()


def meet(gate: SharedCounter) -> None:
    """Wait until all workers are here, so that they really count at the same time."""
    gate.increment()
    gate.wait_until(lambda arrived: arrived == WORKERS, timeout=30)


def run(target: Callable[..., None], shared: object) -> None:
    """Let all workers count, and wait for them."""
    with SharedCounter() as gate:
        workers = [Process(target=target, args=(shared, gate)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def main() -> Counts:
    """Count in both ways."""
    expected = WORKERS * TIMES
    unlocked: Synchronized[int] = multiprocessing.Value("q", 0)
    run(count_unlocked, unlocked)
    print(f"mp.Value, no lock: {unlocked.value:>7,} of {expected:,}, {expected - unlocked.value:,} lost")
    with SharedCounter() as counter:
        run(count_shared, counter)
        print(f"SharedCounter:     {counter.value:>7,} of {expected:,}, {expected - counter.value:,} lost")
        return Counts(unlocked.value, counter.value)


if __name__ == "__main__":
    main()
