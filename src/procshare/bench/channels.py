"""Rows about channels, between processes: what one item takes from a producer to a consumer, round trips, waiting.

Every item carries a number, and what the consumer adds up must be what the producer sent. `mp.Pipe` has one end in
each process; ours and the other queues could have more.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from procshare import SharedPipe, SharedQueue
from procshare.bench.measure import OURS, Row, Way, called, figures
from procshare.bench.processes import Crew, manager, must_be

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from procshare.bench.measure import Effort
    from procshare.bench.processes import Job

DEFAULT_BYTES = 64 << 20
RING_BYTES = 8 << 20
"""What our queue holds: unless it is told, and where items are arrays of 1 MiB."""
ARRAYS = [np.full(1 << 17, float(number)) for number in range(4)]


@dataclass(frozen=True)
class PipeChannel:
    """Of the ends of a pipe, what a queue has too."""

    put: Callable[[Any], object]
    get: Callable[[], Any]


def put_tuples(queue: Any, count: int) -> None:
    """Put small tuples, each with its number."""
    put = queue.put
    for number in range(count):
        put((number, "name", 0.5))


def put_in_turn(choice: Sequence[Any], queue: Any, count: int) -> None:
    """Put these again and again, each with its number as its first element; there are 2, 4, 8, ... of them."""
    put, last = queue.put, len(choice) - 1
    for number in range(count):
        put(choice[number & last])


def get_firsts(queue: Any, count: int) -> int:
    """Get so many, and add up their numbers."""
    get, total = queue.get, 0
    for _ in range(count):
        total += int(get()[0])
    return total


def all_numbers(count: int) -> int:
    """What the numbers of so many items add up to."""
    return count * (count - 1) // 2


def numbers_in_turn(choices: int, count: int) -> int:
    """The same of so many that are put in turn."""
    rounds, rest = divmod(count, choices)
    return rounds * all_numbers(choices) + all_numbers(rest)


def through(stack: ExitStack, context: Any, queue: Any, put: Any, get: Any, right: Callable[[int], int]) -> Way:
    """From a process that puts to one that gets, which live as long as the stack."""
    crew = stack.enter_context(Crew(context, partial(put, queue), partial(get, queue)))
    crew.run(0)  # both have started, and taken their end of it

    def run(count: int) -> float:
        seconds, (_, total) = crew.run(count)
        must_be("what the consumer added up", total, right(count))
        return seconds

    return Way(run)


@contextmanager
def _queues(effort: Effort, capacity: int = DEFAULT_BYTES) -> Generator[dict[str, Any]]:
    """One of each kind, empty."""
    context = effort.context
    reader, writer = context.Pipe(duplex=False)
    with (
        SharedQueue[Any](capacity=capacity) as queue,
        manager(context) as server,
        closing(context.Queue()) as theirs,
        closing(context.SimpleQueue()) as simple,
    ):
        yield {
            OURS: queue,
            "mp.Queue": theirs,
            "mp.SimpleQueue": simple,
            "mp.Pipe": PipeChannel(writer.send, reader.recv),
            "Manager": server.Queue(),
        }


def _traffic(
    effort: Effort, what: str, how: str, put: Any, right: Callable[[int], int], capacity: int = DEFAULT_BYTES
) -> Row:
    with ExitStack() as stack:
        queues = stack.enter_context(_queues(effort, capacity))
        ways = {name: through(stack, effort.context, queue, put, get_firsts, right) for name, queue in queues.items()}
        return effort.compare(what, how, ways)


def small_items(effort: Effort) -> Row:
    """Tuples, as fast as both can."""
    how = "(number, 'name', 0.5), as fast as both can"
    return _traffic(effort, "queue: a small tuple, 1 to 1", how, put_tuples, all_numbers)


def arrays(effort: Effort) -> Row:
    """What has to be copied."""
    put, right = partial(put_in_turn, ARRAYS), partial(numbers_in_turn, len(ARRAYS))
    how = "float64; SharedQueue(capacity=8 MiB)"
    return _traffic(effort, "queue: an array of 1 MiB, 1 to 1", how, put, right, RING_BYTES)


def ask(there: Any, back: Any, count: int) -> int:
    """Put numbers, each when the answer to the one before has come; the sum of the answers."""
    total = 0
    for number in range(count):
        there.put(number)
        total += back.get()
    return total


def answer(there: Any, back: Any, count: int) -> None:
    """Answer each with the next number."""
    for _ in range(count):
        back.put(there.get() + 1)


def exchange(stack: ExitStack, context: Any, asker: Sequence[Any], answerer: Sequence[Any]) -> Way:
    """Questions and answers; each side has a channel for the ones and one for the others."""
    crew = stack.enter_context(Crew(context, partial(ask, *asker), partial(answer, *answerer)))
    crew.run(0)

    def run(count: int) -> float:
        seconds, (total, _) = crew.run(count)
        must_be("the answers added up", total, all_numbers(count) + count)
        return seconds

    return Way(run)


def round_trip(effort: Effort) -> Row:
    """Through two queues."""
    with ExitStack() as stack:
        there, back = stack.enter_context(_queues(effort)), stack.enter_context(_queues(effort))
        both = {name: (there[name], back[name]) for name in there}
        ways = {name: exchange(stack, effort.context, pair, pair) for name, pair in both.items()}
        return effort.compare("queue: a question and its answer", "ints, each way through a queue of its own", ways)


def pipe(effort: Effort) -> Row:
    """Through both directions of one."""
    pairs: dict[str, Any] = {OURS: SharedPipe(), "mp.Pipe": effort.context.Pipe()}
    with ExitStack() as stack:
        ways: dict[str, Way] = {}
        for name, ends in pairs.items():
            sides = [[PipeChannel(end.send, end.recv)] * 2 for end in ends]
            ways[name] = exchange(stack, effort.context, *sides)
        return effort.compare("pipe: a question and its answer", "ints through SharedPipe()", ways)


def _await(queue: Any, _times: int) -> float:
    wall, used = time.perf_counter(), time.process_time()
    must_be("the item waited for", queue.get(), "late")
    return (time.process_time() - used) / (time.perf_counter() - wall)


def _put_late(queues: Sequence[Any], milliseconds: int) -> None:
    time.sleep(milliseconds / 1000)
    for queue in queues:
        queue.put("late")


def cores_waiting(effort: Effort, what: str, queues: Mapping[str, Any]) -> Row:
    """What part of a core a blocked `get()` takes, with each queue; they all wait at the same time."""
    waits: list[Job] = [partial(_await, queue) for queue in queues.values()]
    rounds = min(effort.rounds, 5)
    with Crew(effort.context, *waits, partial(_put_late, list(queues.values()))) as crew:
        seen: list[dict[str, float]] = []
        for number in range(rounds):
            used = crew.run(max(50, int(effort.seconds * 1000 / rounds))).results[:-1]
            seen.append({name: 100 * part for name, part in zip(queues, used, strict=True)})
            effort.told((number + 1) / rounds)
    return Row(what, figures(seen), "%")


def waiting(effort: Effort) -> Row:
    """While there is nothing to get."""
    with _queues(effort) as queues:
        return cores_waiting(effort, "queue: part of a core while get() waits", queues)


def queue_life(effort: Effort) -> Row:
    """Making one, and closing it."""
    make = effort.context.Queue
    ways = {OURS: called(lambda: SharedQueue[int]().close()), "mp.Queue": called(lambda: make().close())}
    return effort.compare("queue: make and close", "", ways)
