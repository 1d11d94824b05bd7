"""What the doomed do to locks and signals: actions of steps, among which they die."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from death_support import Task, asleep
from ledger import HITS, PAIRS, Ledger
from procshare import SharedBarrier, SharedSemaphore, testing
from scripts import until
from support import kept
from sync_support import WAYS, Keeper, Way, nothing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    Step = Callable[[Any], object]


@dataclass(frozen=True)
class Action:
    """Something that is done to one object.

    Attributes:
        way: How others wait for it.
        steps: What is done.
        states: What `look` tells at first and after each step, if that is known.
        look: What there is to be seen.
        make: The object, if the way's own does not do.
        passes: What those who pass it together are told, if it is a barrier.
    """

    way: Way
    steps: list[Step]
    states: list[Any] = field(default_factory=list[Any])
    look: Callable[[Any], object] = repr
    make: Callable[[], AbstractContextManager[Any]] | None = None
    passes: frozenset[Any] = frozenset({0, 1})

    def made(self) -> AbstractContextManager[Any]:
        """The object, for the length of a block."""
        return (self.make or self.way.make)()


def doomed(point: str, jobs: list[tuple[str, Any]], ledger: Path) -> None:
    """Do one action after the other, and die at a fault point if one of them comes to it."""
    account = Ledger(ledger)
    for number, (name, x) in enumerate(jobs):
        account[0, HITS], account[0, PAIRS] = 0, number
        testing.arm(point)
        for step in ACTIONS[name].steps:
            step(x)
            account[0, HITS] += 1
        testing.arm("-")


def touching(point: str, name: str, x: Any) -> None:
    """Make the last step of an action, and die at a fault point on the way if it is met."""
    testing.arm(point)
    ACTIONS[name].steps[-1](x)
    testing.arm("-")


# ---- the steps ----


def wait_in_vain(way: Way) -> Step:
    """Wait as long as another thread lets nobody go on."""

    def step(x: Any) -> None:
        with Keeper(way, x):
            way.wait(x, 0.005, nothing)

    return step


def wait_and_get(way: Way) -> Step:
    """Wait until another thread, which sees this one asleep, lets it go on."""

    def step(x: Any) -> None:
        main = threading.get_native_id()
        with Keeper(way, x) as keeper:
            other = Task(partial(let_go_when_asleep, keeper, main))
            way.wait(x, 10, nothing)
            other.result()

    return step


def let_go_when_asleep(keeper: Keeper, thread: int) -> None:
    """Let a thread go on that waits; or that will, if it does not sleep soon."""
    until(partial(asleep, thread), timeout=1)
    keeper.let_go()


def do(method: str, *args: Any) -> Step:
    """A method."""
    return lambda x: getattr(x, method)(*args)


def block(x: Any) -> None:
    """A `with` block, in one of the same if that is possible."""
    with x:
        pass


def nested(x: Any) -> None:
    """A lock that is taken twice."""
    with x, x:
        pass


def read_and_write(x: Any) -> None:
    """Every sort of block of a readers-writer lock."""
    with x.reading(), x.reading():
        pass
    with x.writing(), x.reading(), x.writing():
        pass


def crowd(wait: Step, wake: Step) -> Step:
    """Three threads that wait, and are woken by this one."""

    def step(x: Any) -> None:
        if hasattr(x, "clear"):
            x.clear()
        tasks = [Task(partial(wait, x)) for _ in range(3)]
        for task in tasks:
            assert until(partial(is_asleep, task), timeout=1)
        wake(x)
        for task in tasks:
            task.result()

    return step


def is_asleep(task: Task) -> bool:
    """Whether a thread is known to sleep."""
    return task.native_id is not None and asleep(task.native_id)


def wait_long(x: Any) -> None:
    """Wait for an event or to be notified."""
    if hasattr(x, "notify"):
        with x:
            x.wait(5)
    else:
        x.wait(5)


def notify_each(x: Any) -> None:
    """One, and the others."""
    with x:
        x.notify()
        x.notify(1)
    with x:
        x.notify_all()


def act(note: str = "acted") -> None:
    """A barrier's action, which does nothing."""
    assert note


def fail() -> None:
    """A barrier's action that raises."""
    raise ZeroDivisionError


def wait_quietly(x: Any) -> None:
    """Wait at a barrier, whatever comes of it."""
    with suppress(threading.BrokenBarrierError, ZeroDivisionError):
        x.wait(5)


def breaking(how: Step) -> Step:
    """A thread waits at a barrier that this one breaks or resets."""

    def step(x: Any) -> None:
        waiter = Task(partial(wait_quietly, x))
        assert until(lambda: x.n_waiting == 1)
        how(x)
        waiter.result()
        x.reset()

    return step


def barrier(action: Callable[[], object]) -> Callable[[], AbstractContextManager[Any]]:
    """One with an action."""
    return lambda: kept(SharedBarrier(2, action))


def waiting(name: str, *steps: Step) -> Action:
    """All that a way of waiting does, and more."""
    way = WAYS[name]
    return Action(way, [wait_in_vain(way), wait_and_get(way), *steps, wait_and_get(way)])


PERMITS: list[Step] = [do("acquire"), do("acquire"), do("release", 2), do("release"), do("acquire", False)]
ACTIONS: dict[str, Action] = {
    "lock": waiting("lock", block, do("acquire"), do("release"), block),
    "named lock": waiting("named lock", block),
    "rlock": waiting("rlock", nested, block, do("acquire"), nested, do("release")),
    "condition's lock": waiting("condition's lock", nested),
    "semaphore": waiting("semaphore", block),
    "bounded semaphore": waiting("bounded semaphore", block),
    "robust semaphore": waiting("robust semaphore", block),
    "permits": Action(
        WAYS["semaphore"],
        [*PERMITS, do("release", 3)],
        [3, 2, 1, 3, 4, 3, 6],
        lambda x: x.get_value(),
        lambda: kept(SharedSemaphore(3)),
    ),
    "robust permits": Action(
        WAYS["robust semaphore"],
        [do("acquire"), do("acquire"), do("release", 2), do("acquire"), do("acquire"), do("acquire")],
        [3] * 7,
        lambda x: x.get_value(),
        lambda: kept(SharedSemaphore(3, robust=True)),
    ),
    "event": waiting("event", crowd(wait_long, do("set"))),
    "flag": Action(
        WAYS["event"],
        [do("set"), do("set"), do("clear"), do("clear"), do("set"), do("clear")],
        [False, True, True, False, False, True, False],
        lambda x: x.is_set(),
    ),
    "condition": waiting("condition", crowd(wait_long, notify_each), nested),
    "condition of a lock": waiting("condition of a lock", crowd(wait_long, notify_each)),
    "barrier": waiting("barrier", breaking(do("abort")), breaking(do("reset"))),
    "barrier with an action": Action(WAYS["barrier"], [wait_and_get(WAYS["barrier"])] * 2, make=barrier(act)),
    "barrier with a failing action": Action(
        WAYS["barrier"],
        [breaking(wait_quietly), breaking(wait_quietly)],
        make=barrier(fail),
        passes=frozenset({"failed", "broken"}),
    ),
    "reading": waiting("reading", read_and_write),
    "writing": waiting("writing", read_and_write),
}
