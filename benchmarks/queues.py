"""Queues between processes: what one item takes from a producer to a consumer, round trips, waiting.

Beside `multiprocessing.Queue`, which has no batches: its rate one at a time stands beside ours in batches. And beside
faster-fifo, where it is installed (extra `bench`): a ring of bytes in shared memory, to which each producer pickles.
Each has its own choice of size; for arrays of 1 MiB, ours and faster-fifo's hold 8 MiB. Every item carries a number,
and what the consumers add up must be what the producers sent.
"""

from __future__ import annotations

import multiprocessing
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import Row, compare, timed
from together import must_be, together

from procshare import SharedQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Make = Callable[[], Any]
    Work = Callable[[Any, int], object]

ROUNDS = 7
BATCH = 100
RING = 8 << 20
STRINGS = [bytes([number]) * 100 for number in range(256)]
ARRAYS = [np.full(1 << 17, float(number)) for number in range(4)]
SLEEP_SECONDS = 3.0


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

    def through_peers(self, count: int, pairs: int = 1, **options: int) -> dict[str, Callable[[], float]]:
        """The same through other libraries' queues."""
        return {name: self.through(make, count, pairs) for name, make in _peers(**options).items()}


def _peers(**options: int) -> dict[str, Make]:
    try:
        return {"faster-fifo": partial(import_module("faster_fifo").Queue, **options)}
    except ImportError:
        return {}


def _theirs() -> Any:
    return multiprocessing.get_context("fork").Queue()


def _put_tuples(queue: Any, count: int) -> None:
    put = queue.put
    for number in range(count):
        put((number, "name", 0.5))


def _get_tuples(queue: Any, count: int) -> int:
    get, total = queue.get, 0
    for _ in range(count):
        total += get()[0]
    return total


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


def _get_fast_batches(queue: Any, count: int) -> int:
    return _add_batches(partial(queue.get_many, max_messages_to_get=BATCH), count)


def _put_ints(queue: Any, count: int) -> None:
    put = queue.put
    for number in range(count):
        put(number)


def _get_ints(queue: Any, count: int) -> int:
    get, total = queue.get, 0
    for _ in range(count):
        total += get()
    return total


def _put_in_turn(choice: Sequence[Any], queue: Any, count: int) -> None:
    put, last = queue.put, len(choice) - 1
    for number in range(count):
        put(choice[number & last])


def _get_firsts(queue: Any, count: int) -> int:
    get, total = queue.get, 0
    for _ in range(count):
        total += int(get()[0])
    return total


def _all(count: int) -> int:
    return count * (count - 1) // 2


def _in_turn(choices: int, count: int) -> int:
    return sum(number % choices for number in range(count))


def _tuples() -> list[Row]:
    each, batches = Traffic(_put_tuples, _get_tuples, _all), Traffic(_put_batches, _get_batches, _all)
    fast = Traffic(_put_batches, _get_fast_batches, _all)
    return [
        compare(
            "small tuples, 1 to 1",
            each.through(SharedQueue, 150_000),
            each.through(_theirs, 20_000),
            peers=each.through_peers(40_000),
            rounds=ROUNDS,
            target=">= 8x",
        ),
        compare(
            f"small tuples, 1 to 1, in batches of {BATCH}",
            batches.through(SharedQueue, 200_000),
            each.through(_theirs, 20_000),
            peers=fast.through_peers(100_000),
            rounds=ROUNDS,
            target=">= 15x",
        ),
        compare(
            "small tuples, 2 to 2",
            each.through(SharedQueue, 75_000, 2),
            each.through(_theirs, 10_000, 2),
            peers=each.through_peers(20_000, 2),
            rounds=ROUNDS,
            target=">= 5x",
        ),
    ]


def _others() -> list[Row]:
    ints = Traffic(_put_ints, _get_ints, _all)
    strings = Traffic(partial(_put_in_turn, STRINGS), _get_firsts, partial(_in_turn, len(STRINGS)))
    arrays = Traffic(partial(_put_in_turn, ARRAYS), _get_firsts, partial(_in_turn, len(ARRAYS)))
    return [
        compare(
            "ints, 1 to 1",
            ints.through(SharedQueue, 150_000),
            ints.through(_theirs, 20_000),
            peers=ints.through_peers(40_000),
            rounds=ROUNDS,
            target=">= 10x",
        ),
        compare(
            "bytes (100), 1 to 1",
            strings.through(SharedQueue, 150_000),
            strings.through(_theirs, 20_000),
            peers=strings.through_peers(40_000),
            rounds=ROUNDS,
            target=">= 10x",
        ),
        compare(
            "arrays of 1 MiB, 1 to 1, 8 MiB held",
            arrays.through(partial(SharedQueue, capacity=RING), 2_000),
            arrays.through(_theirs, 50),
            peers=arrays.through_peers(200, max_size_bytes=RING),
            rounds=5,
            target=">= 20x",
        ),
    ]


def _ask(there: Any, back: Any, count: int) -> int:
    total = 0
    for number in range(count):
        there.put(number)
        total += back.get()
    return total


def _answer(there: Any, back: Any, count: int) -> None:
    for _ in range(count):
        back.put(there.get() + 1)


def _round_trip(make: Make, count: int) -> Callable[[], float]:
    """Seconds for one question and its answer, each through a queue of its own."""

    def run() -> float:
        with closing(make()) as there, closing(make()) as back:
            seconds, (total, _) = together(partial(_ask, there, back, count), partial(_answer, there, back, count))
        must_be("the answers added up", total, _all(count) + count)
        return seconds / count

    return run


def _get_late(queue: Any) -> float:
    """The part of a core that waiting for an item took."""
    wall, used = time.perf_counter(), time.process_time()
    must_be("the item waited for", queue.get(), "late")
    return (time.process_time() - used) / (time.perf_counter() - wall)


def _put_late(queues: Sequence[Any]) -> None:
    time.sleep(SLEEP_SECONDS)
    for queue in queues:
        queue.put("late")


def _waiting() -> Row:
    """All wait at the same time, so it takes but one time."""
    peers = _peers()
    queues = [make() for make in (SharedQueue, _theirs, *peers.values())]
    waits = [partial(_get_late, queue) for queue in queues]
    _, (*used, _) = together(*waits, partial(_put_late, queues))
    for queue in queues:
        queue.close()
    ours, theirs, *others = (100 * part for part in used)
    what = f"a core, while get() waits {SLEEP_SECONDS:g} s"
    figures = {name: (figure, None) for name, figure in zip(peers, others, strict=True)}
    return Row(what, ours, theirs, None, None, None, "< 0.2 %", figures, unit="%")


def _live_and_die(make: Make) -> None:
    make().close()


def rows() -> list[Row]:
    """Small tuples one by one, in batches and between four; ints, bytes, arrays; round trip, waiting, making."""
    return [
        *_tuples(),
        *_others(),
        compare(
            "round trip, two queues",
            _round_trip(SharedQueue, 2_000),
            _round_trip(_theirs, 500),
            peers={name: _round_trip(make, 1_000) for name, make in _peers().items()},
            rounds=ROUNDS,
            target="<= 0.15 of it: >= 6.7x",
        ),
        _waiting(),
        compare(
            "make and close a queue",
            timed(partial(_live_and_die, SharedQueue), 100),
            timed(partial(_live_and_die, _theirs), 100),
            peers={name: timed(partial(_live_and_die, make), 100) for name, make in _peers().items()},
        ),
    ]
