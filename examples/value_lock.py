"""A shared number with a lock and without: `multiprocessing.Value` lets you forget it, `SharedValue` does not.

`value.value += 1` reads, then writes. Between the two another process may write, and its increment is gone.
With `multiprocessing.Value` that line runs and loses; on a `SharedValue` it is an error, and the lock is the way in.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import Process
from typing import TYPE_CHECKING, Any, NamedTuple

from procshare import SharedValue

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.sharedctypes import Synchronized

WORKERS = 4
TIMES = 25_000


class Sums(NamedTuple):
    """What each way came to."""

    unlocked: int
    locked: int
    shared: float
    refused: bool
    """Whether `shared.value += 1` outside a lock was an error."""


def add_unlocked(value: Synchronized[int], times: int) -> None:
    """The race: reads and writes in two steps."""
    for _ in range(times):
        value.value += 1


def add_locked(value: Synchronized[int], times: int) -> None:
    """Exact, because its author remembered the lock."""
    for _ in range(times):
        with value.get_lock():
            value.value += 1


def add_shared(total: SharedValue[float], times: int) -> None:
    """Exact, because there is no other way to write it."""
    for _ in range(times):
        with total.locked() as cell:
            cell.value += 1


def run(target: Callable[..., None], shared: object) -> None:
    """Let all workers do the same, and wait for them."""
    workers = [Process(target=target, args=(shared, TIMES)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def refuses(total: Any) -> bool:  # Any, because a type checker refuses the line below as well
    """Whether the race cannot even be written."""
    try:
        total.value += 1
    except AttributeError as error:
        print(f"SharedValue, total.value += 1:          AttributeError: {error}")
        return True
    return False


def main() -> Sums:
    """Count in all three ways."""
    expected = WORKERS * TIMES
    print(f"{WORKERS} processes each add 1, {TIMES:,} times; {expected:,} is right")

    unlocked: Synchronized[int] = multiprocessing.Value("q", 0)
    run(add_unlocked, unlocked)
    print(f"mp.Value, value.value += 1:             {unlocked.value:>9,}, {expected - unlocked.value:,} lost")

    locked: Synchronized[int] = multiprocessing.Value("q", 0)
    run(add_locked, locked)
    print(f"mp.Value, the same in get_lock():       {locked.value:>9,}")

    with SharedValue(0.0, "d") as total:
        run(add_shared, total)
        print(f"SharedValue, cell.value += 1 in locked(): {total.value:>7,.0f}")
        return Sums(unlocked.value, locked.value, total.value, refuses(total))


if __name__ == "__main__":
    main()
