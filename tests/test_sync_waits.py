"""Every way to wait for something: in time, interrupted, killed, closed, and what it costs.

What the dead hold is in test_sync_deaths.py; who holds what among the living in test_sync_holders.py.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task, asleep, in_time, interrupted, patient, used
from procshare import Closed, SharedBarrier
from procshare.backends import native_built
from scripts import Script, until
from support import Child, Line
from sync_support import WAYS, Keeper, Way

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads; we fork with threads
]
TRIES = 4
LATENESS = 0.02


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Each in turn."""
    return WAYS[request.param]


@pytest.fixture
def x(way: Way) -> Iterator[Any]:
    """What is waited for."""
    with way.make() as made:
        yield made


def seconds(way: Way, x: Any, timeout: float) -> float:
    """How long it takes to wait in vain."""
    begun = time.monotonic()
    assert way.wait(x, timeout, int) is False
    return time.monotonic() - begun


@pytest.mark.parametrize("timeout", [0, -1, 0.05])
def test_a_timeout_is_kept(way: Way, x: Any, timeout: float) -> None:
    """Never early, and, busy machines aside, at most 20 ms late."""
    with Keeper(way, x):
        times = [seconds(way, x, timeout) for _ in range(TRIES)]
    least = max(timeout, 0)
    assert all(each >= least for each in times), times
    assert min(times) < least + LATENESS, times


def test_a_timeout_that_is_no_number_is_refused(way: Way, x: Any) -> None:
    """And nothing is taken."""
    wrong: list[Any] = ["1", float("nan"), b"", 1j, [1]]
    with Keeper(way, x) as keeper:
        for timeout in wrong:
            with pytest.raises((TypeError, ValueError)):
                way.wait(x, timeout, int)
        waiter = Task(lambda: way.wait(x, 10, int))
        waiter.join(0.01)
        assert waiter.is_alive()
        keeper.let_go()
        assert waiter.result() is True


@pytest.mark.parametrize("timeout", [None, 10**12])
@patient
def test_a_waiter_goes_on_at_once(way: Way, x: Any, timeout: float | None) -> None:
    """In a thread, and in a process."""
    with Keeper(way, x) as keeper:
        waiter = Task(lambda: way.wait(x, timeout, int))
        waiter.join(0.02)
        assert waiter.is_alive()
        moment = time.monotonic()
        keeper.let_go()
        assert waiter.result() is True
        in_time(waiter.ended - moment)
    with Keeper(way, x) as keeper, Child("fork", wait_and_tell, way_name(way), x, timeout) as child:
        assert child.hear() == "ready"
        moment = time.monotonic()
        keeper.let_go()
        assert child.result() is True
        in_time(time.monotonic() - moment)


def way_name(way: Way) -> str:
    """What it is called."""
    return next(name for name, each in WAYS.items() if each is way)


def wait_and_tell(line: Line, name: str, x: Any, timeout: float | None) -> bool:
    """In a child: say so, and wait."""
    return WAYS[name].wait(x, timeout, lambda: line.tell("ready"))


@patient
def test_ctrl_c_ends_the_wait(way: Way, x: Any) -> None:
    """Within 100 ms, and nothing is taken: the next who waits is the next who gets it."""
    for timeout in (None, 20):
        with Keeper(way, x) as keeper:
            in_time(interrupted(partial(way.wait, x, timeout, int)))
            waiter = Task(lambda: way.wait(x, 10, int))
            waiter.join(0.02)
            assert waiter.is_alive()
            moment = time.monotonic()
            keeper.let_go()
            assert waiter.result() is True
            in_time(waiter.ended - moment)


@patient
def test_a_killed_waiter_disturbs_nobody(way: Way, x: Any) -> None:
    """Who waits for the same thing goes on when it may, and nothing went to the dead."""
    name = way_name(way)
    with Keeper(way, x) as keeper, Child("fork", wait_and_tell, name, x, None) as dead:
        assert dead.hear() == "ready"
        assert until(lambda: asleep(dead.pid, dead.pid))
        dead.kill()
        if isinstance(x, SharedBarrier):
            x.reset()  # which the death has broken
        with Child("fork", wait_and_tell, name, x, None) as child:
            assert child.hear() == "ready"
            assert until(lambda: asleep(child.pid, child.pid))
            moment = time.monotonic()
            keeper.let_go()
            assert child.result() is True
            in_time(time.monotonic() - moment)
    with Keeper(way, x) as keeper:
        waiter = Task(lambda: way.wait(x, 10, int))
        waiter.join(0.02)
        moment = time.monotonic()
        keeper.let_go()
        assert waiter.result() is True
        in_time(waiter.ended - moment)


def test_close_by_another_thread_ends_the_wait_or_not(way: Way, x: Any) -> None:
    """The waiter gets what it waits for, or is told that the handle is closed; it never crashes, nor waits for ever."""
    with ExitStack() as stack:
        keeper = stack.enter_context(Keeper(way, x))
        waiter = Task(lambda: way.wait(x, 0.3, int))
        waiter.join(0.02)
        x.close()
        with suppress(Closed):
            waiter.result()
        with suppress(Closed):
            keeper.let_go()
        stack.pop_all()  # what it kept busy is closed


def test_who_waits_sleeps() -> None:
    """Less than a hundredth of a core each, for a second."""
    with ExitStack() as stack:
        things = [(way, stack.enter_context(way.make())) for way in WAYS.values()]
        for way, x in things:
            stack.enter_context(Keeper(way, x))
        before = used()
        tasks = [Task(partial(way.wait, x, 1, int)) for way, x in things]
        assert not any(task.result() for task in tasks)
        assert used() - before < 0.01 * len(things)


PESTERED = """
import random, threading
sys.path.insert(0, sys.argv[1])
from sync_support import WAYS

signal.signal(signal.SIGALRM, signal.default_int_handler)
x, kind = attach(sys.argv[2]), sys.argv[3]
way = WAYS[kind]
seen = []
while len(seen) < 400:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-4))
        while True:
            with x if kind != "reading" and kind != "writing" else getattr(x, kind)():
                pass
    except KeyboardInterrupt:
        asking = threading.Thread(target=lambda: seen.append(way.wait(x, 0, int)))
        asking.start()
        asking.join()
say(len(seen), seen.count(False))
"""
PESTERABLE = ["lock", "named lock", "rlock", "robust semaphore", "condition's lock", "reading", "writing"]


@pytest.mark.parametrize("name", PESTERABLE)
def test_ctrl_c_at_any_moment_leaves_nothing_held(name: str) -> None:
    """A block that was interrupted while it began or ended has let go, however often that happens."""
    with WAYS[name].make() as x, Script(PESTERED, Path(__file__).parent, x.name, name) as script:
        assert script.hear() == "400 0"


@patient
def test_a_wait_that_ran_out_of_time_leaves_nothing_behind(way: Way, x: Any) -> None:
    """What comes next goes to those who wait then."""
    with Keeper(way, x) as keeper:
        for _ in range(3):
            assert way.wait(x, 0.01, int) is False
        waiter = Task(lambda: way.wait(x, 10, int))
        waiter.join(0.02)
        moment = time.monotonic()
        keeper.let_go()
        assert waiter.result() is True
        in_time(waiter.ended - moment)
