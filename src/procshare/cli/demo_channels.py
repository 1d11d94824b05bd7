"""The demo's fourth part: what processes send each other, through queues and a pipe.

One producer and one consumer, timed beside a `multiprocessing.Queue`; results that workers send back; an item whose
worker is killed, which another one gets; question and answer through a pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, TypeVar

from procshare import SharedCounter, SharedPipe, SharedQueue, ShutDown, default_backend
from procshare.cli.demo_files import count_file, library_files
from procshare.cli.demo_workers import (
    LOOK_SECONDS,
    Stopwatch,
    WorkerFailed,
    at_least,
    await_count,
    await_end,
    check,
    stopwatch,
    team,
    victim,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from multiprocessing.process import BaseProcess
    from multiprocessing.queues import Queue

    from procshare import PipeEnd

T = TypeVar("T")

ITEMS = 50_000
COLLECTORS = 5
COLLECTED_FILES = 200
ROUND_TRIPS = 2_000

_PRECIOUS = "an item that somebody must see to"


@dataclass(frozen=True)
class Stream:
    """What one consumer got of what one producer sent."""

    label: str
    sent: int
    received: int
    exact: bool
    """Whether the numbers that it got add up to those that were sent."""
    seconds: float


@dataclass(frozen=True)
class Channels:
    """Every way of sending, one after the other."""

    queue: Stream
    stdlib: Stream
    results: int
    """How many results the workers sent back."""
    results_equal: bool
    """Whether they are what one process alone came to."""
    rescued: bool | None
    """Whether the item of a killed worker came to another one; None where the backend has no leases."""
    rescue_seconds: float
    """From the kill until the other one had it."""
    round_trips: int
    answered: bool
    """Whether each question got its own answer."""
    round_trip_seconds: float
    """For one of them."""

    @property
    def ratio(self) -> float:
        """How many times as fast the `SharedQueue` was."""
        return self.stdlib.seconds / self.queue.seconds

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, doubled or changed."""
        return (
            self.queue.exact
            and self.stdlib.exact
            and self.results_equal
            and self.rescued is not False
            and self.answered
        )


def _produce(watch: Stopwatch, queue: SharedQueue[tuple[int, str]], items: int) -> None:
    with watch.timed():
        for number in range(items):
            queue.put((number, "item"))
        queue.shutdown()  # the consumer's loop ends when it has taken all


def _consume(
    watch: Stopwatch, queue: SharedQueue[tuple[int, str]], received: SharedCounter, total: SharedCounter
) -> None:
    count = added = 0
    with watch.timed():
        for number, _ in queue:
            count += 1
            added += number
    received.increment(count)
    total.increment(added)


def _produce_stdlib(watch: Stopwatch, queue: Queue[tuple[int, str] | None], items: int) -> None:
    with watch.timed():
        for number in range(items):
            queue.put((number, "item"))
        queue.put(None)


def _consume_stdlib(
    watch: Stopwatch, queue: Queue[tuple[int, str] | None], received: SharedCounter, total: SharedCounter
) -> None:
    count = added = 0
    with watch.timed():
        while (item := queue.get()) is not None:
            count += 1
            added += item[0]
    received.increment(count)
    total.increment(added)


def _stream(
    label: str, queue: object, produce: Callable[..., None], consume: Callable[..., None], items: int
) -> Stream:
    with SharedCounter() as received, SharedCounter() as total, stopwatch() as watch:
        with (
            team(1, produce, watch, queue, items) as producers,
            team(1, consume, watch, queue, received, total) as consumers,
        ):
            watch.start([*producers, *consumers])
            await_end([*producers, *consumers])
        exact = (received.value, total.value) == (items, sum(range(items)))
        return Stream(label, items, received.value, exact, watch.seconds)


def _drain(queue: SharedQueue[T], processes: Sequence[BaseProcess]) -> Generator[T]:
    """What comes until the queue is shut down, but not for ever where the workers that should do so are gone."""
    while True:
        check(processes)
        ended = all(process.exitcode == 0 for process in processes)
        try:
            yield queue.get(timeout=LOOK_SECONDS)
        except ShutDown:
            return
        except Empty:
            if ended:
                raise WorkerFailed("all workers ended before their work was done") from None


def _work_off(
    files: SharedQueue[Path], results: SharedQueue[tuple[Path, int]], idle: SharedCounter, workers: int
) -> None:
    for path in files:
        lines, _ = count_file(path)
        results.put((path, lines))
    if idle.increment() == workers:  # the last to find nothing left
        results.shutdown()


def _collect(workers: int, paths: Sequence[Path]) -> list[tuple[Path, int]]:
    """What the workers send back, each file with its lines, in the order in which it came."""
    with SharedQueue[Path]() as files, SharedQueue[tuple[Path, int]]() as results, SharedCounter() as idle:
        files.put_many(paths)
        files.shutdown()
        with team(workers, _work_off, files, results, idle, workers) as processes:
            return list(_drain(results, processes))


def _hold(work: SharedQueue[str], holding: SharedCounter) -> None:
    with work.lease():
        holding.increment()
        signal.pause()  # until the kill


def _see_to(work: SharedQueue[str], done: SharedQueue[str], waiting: SharedCounter) -> None:
    waiting.increment()
    with work.lease() as item:
        done.put(item)


def _rescue() -> tuple[bool, float]:
    """Kill a worker that holds an item, while another waits for one; whether that got it, and how long it took."""
    with (
        SharedQueue[str]() as work,
        SharedQueue[str]() as done,
        SharedCounter() as holding,
        SharedCounter() as waiting,
    ):
        work.put(_PRECIOUS)
        with victim(_hold, work, holding) as doomed:
            await_count(holding, at_least(1), [doomed])
            with team(1, _see_to, work, done, waiting) as others:
                await_count(waiting, at_least(1), others)
                began = time.perf_counter()
                os.kill(doomed.pid or 0, signal.SIGKILL)
                item = next(_drain(done, others))
                seconds = time.perf_counter() - began
        return item == _PRECIOUS and work.empty(), seconds


def _answer(asker: PipeEnd[int, int], answerer: PipeEnd[int, int]) -> None:
    asker.close()  # each closes the end that it does not use: when the last copy of one goes, the other gets EOFError
    try:
        while True:
            answerer.send(answerer.recv() + 1)
    except EOFError:
        answerer.close()


def _ask(times: int) -> tuple[bool, float]:
    """Ask so often; whether each answer was right, and the seconds for one."""
    asker: PipeEnd[int, int]
    answerer: PipeEnd[int, int]
    asker, answerer = SharedPipe()
    with team(1, _answer, asker, answerer) as processes:
        answerer.close()
        try:
            asker.send(0)  # not timed: the worker is being started
            right = asker.recv() == 1
            began = time.perf_counter()
            for number in range(times):
                asker.send(number)
                right &= asker.recv() == number + 1
            seconds = (time.perf_counter() - began) / times
        except (EOFError, BrokenPipeError) as error:
            await_end(processes)
            raise WorkerFailed("the worker closed its end of the pipe before its work was done") from error
        finally:
            asker.close()
    return right, seconds


def run_channels(items: int = ITEMS, limit: int | None = None) -> Channels:
    """Send through a queue, beside the standard library's; collect; rescue; ask and answer.

    Args:
        items: How many the producer sends.
        limit: Let the workers see to so many files at most.

    Raises:
        WorkerFailed: A worker died or raised.
    """
    with SharedQueue[tuple[int, str]]() as queue:
        ours = _stream("SharedQueue", queue, _produce, _consume, items)
    stdlib: Queue[tuple[int, str] | None] = multiprocessing.Queue()
    theirs = _stream("mp.Queue", stdlib, _produce_stdlib, _consume_stdlib, items)

    paths = library_files(limit)[:COLLECTED_FILES]
    results = _collect(COLLECTORS, paths)
    alone = [(path, count_file(path)[0]) for path in paths]

    leases = default_backend() != "stdlib"  # whose queues do not know who took what
    rescued, rescue_seconds = _rescue() if leases else (None, 0.0)
    answered, round_trip_seconds = _ask(ROUND_TRIPS)
    return Channels(
        queue=ours,
        stdlib=theirs,
        results=len(results),
        results_equal=sorted(results) == alone,
        rescued=rescued,
        rescue_seconds=rescue_seconds,
        round_trips=ROUND_TRIPS,
        answered=answered,
        round_trip_seconds=round_trip_seconds,
    )
