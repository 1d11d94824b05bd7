"""Locks and signals: one call after the other in one process, then two processes that wait for each other.

The standard library's side is the type of the same name in `multiprocessing`; beside reading under a `SharedRWLock`
stands its RLock. The floor is `threading`'s.
"""

from __future__ import annotations

import multiprocessing
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from measure import compare

from procshare import (
    SharedBarrier,
    SharedCondition,
    SharedEvent,
    SharedLock,
    SharedRLock,
    SharedRWLock,
    SharedSemaphore,
)
from procshare.bench.measure import loop
from procshare.bench.processes import must_be, together

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Row

ROUNDS = 9
TURNS = 100_000
PATIENCE = 50

context = multiprocessing.get_context("fork")


def _alone() -> list[Row]:
    """Nobody else wants them."""
    block, pair = "with x: pass", "x.acquire()\nx.release()"
    theirs, rwlock = context.RLock(), SharedRWLock()

    def each(what: str, body: str, ours: Any, stdlib: Any, floor: Any, target: str = "") -> Row:
        sides = [loop(body, TURNS, x=side) for side in (ours, stdlib, floor)]
        return compare(what, *sides, rounds=ROUNDS, target=target)

    return [
        each("with SharedRLock()", block, SharedRLock(), theirs, threading.RLock(), ">= 2x"),
        each("with SharedLock()", block, SharedLock(), context.Lock(), threading.Lock()),
        each("semaphore: acquire(), release()", pair, SharedSemaphore(), context.Semaphore(), threading.Semaphore()),
        each("event: is_set()", "x.is_set()", SharedEvent(), context.Event(), threading.Event()),
        each("event: set(), clear()", "x.set()\nx.clear()", SharedEvent(), context.Event(), threading.Event()),
        compare(
            "with rwlock.reading(), beside an RLock",
            loop("with x.reading(): pass", TURNS, x=rwlock),
            loop(block, TURNS, x=theirs),
            rounds=ROUNDS,
        ),
    ]


def _leader(locks: list[Any], turns: Any, meet: Any, count: int) -> None:
    """Hold one of three locks, and take the next before letting go of it: then the other one takes its turn."""
    locks[0].acquire()
    meet.wait(PATIENCE)
    for number in range(count):
        locks[(number + 1) % 3].acquire()
        turns.value += 1
        locks[number % 3].release()
    locks[count % 3].release()


def _follower(locks: list[Any], turns: Any, meet: Any, count: int) -> None:
    """Hold the other two, let go of the one that the leader waits for, and take the one that it leaves."""
    locks[1].acquire()
    locks[2].acquire()
    meet.wait(PATIENCE)
    for number in range(count):
        locks[(number + 1) % 3].release()
        locks[number % 3].acquire()
        turns.value += 1
    locks[(count + 1) % 3].release()
    locks[(count + 2) % 3].release()


def _handover(make: Callable[[], Any], count: int) -> Callable[[], float]:
    """Seconds from the release of a lock to the return of the other process's acquire(), which had to wait for it."""

    def run() -> float:
        locks, turns, meet = [make() for _ in range(3)], context.RawValue("q"), context.Barrier(2)
        work = [partial(side, locks, turns, meet, count) for side in (_leader, _follower)]
        seconds, _ = together(*work)
        must_be("turns taken", turns.value, 2 * count)
        return seconds / (2 * count)

    return run


def _wake(condition: Any, count: int) -> int:
    """Wake the other, and wait until it wakes this one; how often it did."""
    with condition:
        woken = 0
        for _ in range(count):
            condition.notify()
            woken += condition.wait(PATIENCE)
        condition.notify()
    return woken


def _notify(make: Callable[[], Any], count: int) -> Callable[[], float]:
    """Seconds from notify() to the return of the other process's wait()."""

    def run() -> float:
        condition = make()
        seconds, woken = together(*[partial(_wake, condition, count)] * 2)
        must_be("waits that ended", woken, [count, count])
        return seconds / (2 * count)

    return run


def _meet(barrier: Any, count: int) -> int:
    """The sum of the places that wait() returned."""
    places = 0
    for _ in range(count):
        places += barrier.wait(PATIENCE)
    return places


def _rounds(make: Callable[[int], Any], count: int) -> Callable[[], float]:
    """Seconds for one round of a barrier of two."""

    def run() -> float:
        barrier = make(2)
        seconds, places = together(*[partial(_meet, barrier, count)] * 2)
        must_be("the places added up", sum(places), count)
        return seconds / count

    return run


def _between() -> list[Row]:
    """Two processes."""

    def each(what: str, measure: Callable[..., Callable[[], float]], ours: Any, stdlib: Any, *counts: int) -> Row:
        return compare(what, measure(ours, counts[0]), measure(stdlib, counts[1]), rounds=ROUNDS)

    return [
        each("lock: handed over between two", _handover, SharedLock, context.Lock, 2_000, 1_000),
        each("condition: notify() to wait()'s return", _notify, SharedCondition, context.Condition, 1_500, 500),
        each("barrier: a round of two", _rounds, SharedBarrier, context.Barrier, 1_500, 300),
    ]


def rows() -> list[Row]:
    """What each costs alone, and what it takes between two processes."""
    return [*_alone(), *_between()]
