"""Two producers and two consumers: the consumers' loops end by `shutdown()`, not by a `None` for each of them.

With a `multiprocessing.Queue` someone must put one `None` for each consumer, after the last producer's last item, and
no item may be `None`. A `SharedQueue` is shut down once, by anyone: what is in it is still taken, then every loop ends.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import Process
from typing import TYPE_CHECKING, NamedTuple

from procshare import SharedCounter, SharedQueue

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

PRODUCERS = CONSUMERS = 2
ITEMS = 5_000


class Consumed(NamedTuple):
    """How many items were consumed, and what they add up to."""

    by_sentinel: tuple[int, int]
    by_shutdown: tuple[int, int]


def produce_for_sentinel(queue: Queue[int | None]) -> None:
    """Put the items; the `None`s come from the parent, which knows when all producers are done."""
    for number in range(ITEMS):
        queue.put(number)


def consume_to_sentinel(queue: Queue[int | None], count: SharedCounter, total: SharedCounter) -> None:
    """Take items until there is a `None`, which must be this consumer's own."""
    while (number := queue.get()) is not None:
        count.increment()
        total.increment(number)


def produce(queue: SharedQueue[int]) -> None:
    """Put the items."""
    for number in range(ITEMS):
        queue.put(number)


def consume(queue: SharedQueue[int], count: SharedCounter, total: SharedCounter) -> None:
    """Take items until there are no more."""
    for number in queue:
        count.increment()
        total.increment(number)


def with_sentinel() -> tuple[int, int]:
    """The standard library's way."""
    queue: Queue[int | None] = multiprocessing.Queue()
    with SharedCounter() as count, SharedCounter() as total:
        producers = [Process(target=produce_for_sentinel, args=(queue,)) for _ in range(PRODUCERS)]
        consumers = [Process(target=consume_to_sentinel, args=(queue, count, total)) for _ in range(CONSUMERS)]
        for process in [*producers, *consumers]:
            process.start()
        for process in producers:
            process.join()
        for _ in consumers:
            queue.put(None)
        for process in consumers:
            process.join()
        return count.value, total.value


def with_shutdown() -> tuple[int, int]:
    """Shut down when nothing more will come."""
    with SharedQueue[int]() as queue, SharedCounter() as count, SharedCounter() as total:
        producers = [Process(target=produce, args=(queue,)) for _ in range(PRODUCERS)]
        consumers = [Process(target=consume, args=(queue, count, total)) for _ in range(CONSUMERS)]
        for process in [*producers, *consumers]:
            process.start()
        for process in producers:
            process.join()
        queue.shutdown()
        for process in consumers:
            process.join()
        return count.value, total.value


def main() -> Consumed:
    """End the consumers in both ways."""
    consumed = Consumed(with_sentinel(), with_shutdown())
    right = PRODUCERS * ITEMS, PRODUCERS * sum(range(ITEMS))
    print(f"mp.Queue and None:        {consumed.by_sentinel[0]:,} items, sum {consumed.by_sentinel[1]:,}")
    print(f"SharedQueue and shutdown: {consumed.by_shutdown[0]:,} items, sum {consumed.by_shutdown[1]:,}")
    print(f"right is:                 {right[0]:,} items, sum {right[1]:,}")
    return consumed


if __name__ == "__main__":
    main()
