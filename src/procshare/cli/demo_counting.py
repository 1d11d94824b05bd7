"""The demo's first part: several processes count together, in the four ways that people try."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from procshare import SharedCounter
from procshare.cli.demo_workers import Stopwatch, stopwatch, team

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.sharedctypes import Synchronized

T = TypeVar("T")

plain_global: int = 0


@dataclass(frozen=True)
class Tally:
    """What one way of counting came to."""

    label: str
    expected: int
    counted: int
    seconds: float

    @property
    def lost(self) -> int:
        """How many increments are missing."""
        return self.expected - self.counted


@dataclass(frozen=True)
class Counting:
    """Every way of counting, one after the other."""

    times: int
    plain: Tally
    unlocked: Tally
    locked: Tally
    shared: Tally

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """All of them, in the order they were run."""
        return self.plain, self.unlocked, self.locked, self.shared

    @property
    def ratio(self) -> float:
        """How many times as fast `SharedCounter` is as `mp.Value` with its lock."""
        return self.locked.seconds / self.shared.seconds

    @property
    def ok(self) -> bool:
        """Whether what must be exact is."""
        return self.locked.lost == 0 and self.shared.lost == 0


def _count_global(_: None, times: int) -> None:
    global plain_global
    for _unused in range(times):
        plain_global += 1


def _count_unlocked(value: Synchronized[int], times: int) -> None:
    for _ in range(times):
        value.value += 1


def _count_locked(value: Synchronized[int], times: int) -> None:
    for _ in range(times):
        with value.get_lock():
            value.value += 1


def _count_shared(counter: SharedCounter, times: int) -> None:
    for _ in range(times):
        counter.increment()


def _timed(watch: Stopwatch, count: Callable[[object, int], None], shared: object, times: int) -> None:
    with watch.timed():
        count(shared, times)


def _race(workers: int, count: Callable[[T, int], None], shared: T, times: int) -> float:
    with stopwatch() as watch:
        with team(workers, _timed, watch, count, shared, times) as processes:
            watch.start(processes)
        return watch.seconds


def run_counting(workers: int, times: int) -> Counting:
    """Let so many workers add 1 so many times each, in every way.

    Raises:
        WorkerFailed: A worker died or raised.
    """
    expected = workers * times

    seconds = _race(workers, _count_global, None, times)
    plain = Tally("a plain global", expected, plain_global, seconds)

    value: Synchronized[int] = multiprocessing.Value("q", 0)
    seconds = _race(workers, _count_unlocked, value, times)
    unlocked = Tally("mp.Value, no lock", expected, value.value, seconds)

    value = multiprocessing.Value("q", 0)
    seconds = _race(workers, _count_locked, value, times)
    locked = Tally("mp.Value, get_lock()", expected, value.value, seconds)

    with SharedCounter() as counter:
        seconds = _race(workers, _count_shared, counter, times)
        shared = Tally("SharedCounter", expected, counter.value, seconds)

    return Counting(times, plain, unlocked, locked, shared)
