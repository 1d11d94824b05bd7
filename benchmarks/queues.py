"""Queues between processes: what one item takes from producers to consumers.

Beside `multiprocessing.Queue`, which has no batches: its rate one at a time stands beside ours in batches. Every item
carries a number, and what the consumers add up must be what the producers sent. What `procshare bench` measures is not
measured again here.
"""

from __future__ import annotations

import multiprocessing
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from measure import compare

from procshare import SharedQueue
from procshare.bench.channels import all_numbers, get_firsts, numbers_in_turn, put_in_turn, put_tuples
from procshare.bench.processes import must_be, together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from measure import Row

    Make = Callable[[], Any]
    Work = Callable[[Any, int], object]

BATCH = 100
STRINGS = [bytes([number]) * 100 for number in range(256)]


@dataclass(frozen=True)
class Traffic:
    """What goes through a queue."""

    put: Work
    """Puts so many items."""
    get: Work
    """Gets so many, and returns the total of their numbers."""
    right: Callable[[int], int]
    """What the total of so many must be."""

    def through(self, make: Make, count: int, pairs: int = 1) -> Callable[[], float]:
        """Seconds for one item, with so many producers of *count* items each and as many consumers."""

        def run() -> float:
            with closing(make()) as queue:
                putting, getting = partial(self.put, queue, count), partial(self.get, queue, count)
                seconds, results = together(*[putting] * pairs, *[getting] * pairs)
            must_be("what the consumers added up", sum(results[pairs:]), pairs * self.right(count))
            return seconds / (pairs * count)

        return run


def _theirs() -> Any:
    return multiprocessing.get_context("fork").Queue()


def _put_batches(queue: Any, count: int) -> None:
    put_many = queue.put_many
    for first in range(0, count, BATCH):
        put_many([(number, "name", 0.5) for number in range(first, first + BATCH)])


def _add_batches(get_batch: Callable[[], list[Any]], count: int) -> int:
    got = total = 0
    while got < count:
        batch = get_batch()
        for item in batch:
            total += item[0]
        got += len(batch)
    return total


def _get_batches(queue: Any, count: int) -> int:
    return _add_batches(partial(queue.get_many, BATCH), count)


def _put_ints(queue: Any, count: int) -> None:
    put = queue.put
    for number in range(count):
        put(number)


def _get_ints(queue: Any, count: int) -> int:
    get, total = queue.get, 0
    for _ in range(count):
        total += get()
    return total


def _rows(traffics: dict[str, tuple[Traffic, Traffic, int, int, str]]) -> Iterator[Row]:
    """For each: ours, theirs, how many items of ours, how many pairs of processes, the target."""
    for what, (ours, theirs, count, pairs, target) in traffics.items():
        sides = ours.through(SharedQueue, count, pairs), theirs.through(_theirs, count // 8, pairs)
        yield compare(what, *sides, target=target)


def rows() -> list[Row]:
    """Small tuples in batches and between four; ints, bytes."""
    each, batches = Traffic(put_tuples, get_firsts, all_numbers), Traffic(_put_batches, _get_batches, all_numbers)
    ints = Traffic(_put_ints, _get_ints, all_numbers)
    strings = Traffic(partial(put_in_turn, STRINGS), get_firsts, partial(numbers_in_turn, len(STRINGS)))
    return list(
        _rows(
            {
                f"small tuples, 1 to 1, in batches of {BATCH}": (batches, each, 200_000, 1, ">= 15x"),
                "small tuples, 2 to 2": (each, each, 80_000, 2, ">= 5x"),
                "ints, 1 to 1": (ints, ints, 160_000, 1, ">= 10x"),
                "bytes (100), 1 to 1": (strings, strings, 160_000, 1, ">= 10x"),
            }
        )
    )
