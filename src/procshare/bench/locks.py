"""Rows about locks, counters that processes contend for, and what making things costs."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare import SharedCounter, SharedDict, SharedLock, SharedRLock
from procshare.bench.measure import OURS, Way, called, statement
from procshare.bench.processes import Crew, manager, must_be

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procshare.bench.measure import Effort, Row
    from procshare.bench.processes import Job

PROCESSES = 4
PAIR = "x.acquire()\nx.release()"


def lock(effort: Effort) -> Row:
    """Nobody else wants it."""
    with closing(SharedLock()) as ours, manager(effort.context) as server:
        ways = {
            OURS: statement(PAIR, x=ours),
            "mp.Lock": statement(PAIR, x=effort.context.Lock()),
            "Manager": statement(PAIR, x=server.Lock()),
        }
        return effort.compare("lock: acquire() and release()", "nobody else wants it", ways)


def rlock(effort: Effort) -> Row:
    """As a block."""
    with closing(SharedRLock()) as ours, manager(effort.context) as server:
        ways = {
            OURS: statement("with x: pass", x=ours),
            "mp.RLock": statement("with x: pass", x=effort.context.RLock()),
            "Manager": statement("with x: pass", x=server.RLock()),
        }
        return effort.compare("rlock: an empty block", "with SharedRLock()", ways)


def increment(number: SharedCounter, count: int) -> None:
    """Without a lock."""
    for _ in range(count):
        number.increment()


def add_locked(number: Any, count: int) -> None:
    """Under the lock of an `mp.Value`."""
    for _ in range(count):
        with number.get_lock():
            number.value += 1


def add_under(lock: Any, number: Any, count: int) -> None:
    """Under another lock."""
    for _ in range(count):
        with lock:
            number.value += 1


def contending(stack: ExitStack, context: Any, job: Job, total: Callable[[], int], processes: int) -> Way:
    """So many processes that do the same at the same time; what they count together must be exact."""
    crew = stack.enter_context(Crew(context, *[job] * processes))

    def run(count: int) -> float:
        before = total()
        seconds = crew.run(count).seconds
        must_be("the count", total() - before, processes * count)
        return seconds

    return Way(run, per=processes)


def contended(effort: Effort) -> Row:
    """One number, wanted by four."""
    with ExitStack() as stack:
        ours, theirs = stack.enter_context(SharedCounter()), effort.context.Value("q", 0)
        server = stack.enter_context(manager(effort.context))
        proxy, lock = server.Value("q", 0), server.Lock()

        def four(job: Job, total: Callable[[], int]) -> Way:
            return contending(stack, effort.context, job, total, PROCESSES)

        ways = {
            OURS: four(partial(increment, ours), lambda: ours.value),
            "mp.Value": four(partial(add_locked, theirs), lambda: theirs.value),
            "Manager": four(partial(add_under, lock, proxy), lambda: proxy.value),
        }
        how = "for one addition, over all processes"
        return effort.compare(f"counter: add 1, {PROCESSES} processes at once", how, ways)


def lock_contended(effort: Effort) -> Row:
    """A lock that two processes want all the time."""
    number = effort.context.RawValue("q")
    with ExitStack() as stack:
        locks: Mapping[str, Any] = {OURS: stack.enter_context(closing(SharedLock())), "mp.Lock": effort.context.Lock()}
        ways = {
            name: contending(stack, effort.context, partial(add_under, lock, number), lambda: number.value, 2)
            for name, lock in locks.items()
        }
        return effort.compare("lock: add 1 under it, 2 processes at once", "for one addition, over both", ways)


def counter_life(effort: Effort) -> Row:
    """Making one, and closing it."""
    make = effort.context.Value
    ways = {OURS: called(lambda: SharedCounter().close()), "mp.Value": called(lambda: make("q", 0))}
    return effort.compare("counter: make and close", "", ways)


def lock_life(effort: Effort) -> Row:
    """Making one, and closing it."""
    ways = {OURS: called(lambda: SharedLock().close()), "mp.Lock": called(effort.context.Lock)}
    return effort.compare("lock: make and close", "", ways)


def dict_life(effort: Effort) -> Row:
    """Making one, and closing it; the manager runs already."""
    with manager(effort.context) as server:
        ways = {OURS: called(lambda: SharedDict[str, int]().close()), "Manager": called(server.dict)}
        return effort.compare("dict: make and close", "in a manager that runs already", ways)
