"""What every backend's `SharedBarrier` does."""

from __future__ import annotations

import threading
import time
from functools import partial
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task
from procshare import SharedBarrier, SharedSemaphore
from scripts import until
from support import START_METHODS, Child, Line, call, kept

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # threads wait while we fork

broken = partial(pytest.raises, BrokenBarrierError)


def outcome(call: Callable[[], object]) -> object:
    """What a call returned, or "broken"."""
    try:
        return call()
    except BrokenBarrierError:
        return "broken"


def waits(barrier: SharedBarrier, times: int = 1, timeout: float | None = 20) -> list[object]:
    """What some waits come to."""
    return [outcome(lambda: barrier.wait(timeout)) for _ in range(times)]


def waits_in_child(_line: Line, *args: Any) -> list[object]:
    """In a child: `waits`."""
    return waits(*args)


def arrived(barrier: SharedBarrier, n: int) -> bool:
    """Whether so many wait, or soon do."""
    return until(lambda: barrier.n_waiting == n)


def test_one_party_does_not_wait(backend: str) -> None:
    """It is always the last."""
    with SharedBarrier(1, backend=backend) as barrier:
        assert [barrier.wait(), barrier.wait(0), barrier.wait(timeout=5)] == [0, 0, 0]
        assert (barrier.parties, barrier.n_waiting, barrier.broken) == (1, 0, False)


@pytest.mark.parametrize("parties", [0, -1])
def test_no_parties_are_no_barrier(backend: str, parties: int) -> None:
    """It is a ValueError."""
    with pytest.raises(ValueError):
        SharedBarrier(parties, backend=backend)


def test_parties_pass_together_again_and_again(backend: str) -> None:
    """Processes of all start methods and a thread; in each round each of them is told another number."""
    with SharedBarrier(4, backend=backend) as barrier:
        children = [Child(method, waits_in_child, barrier, 10) for method in START_METHODS]
        results = [waits(barrier, 10)]
        for child in children:
            with child:
                results.append(child.result(20))
        assert [sorted(each) for each in zip(*results, strict=True)] == [[0, 1, 2, 3]] * 10
        assert (barrier.n_waiting, barrier.broken) == (0, False)


def test_nobody_passes_alone(backend: str) -> None:
    """Those who came are counted."""
    with SharedBarrier(3, backend=backend) as barrier:
        tasks: list[Task] = []
        for n in range(2):
            tasks.append(Task(barrier.wait))
            assert arrived(barrier, n + 1)
        assert all(task.is_alive() for task in tasks)
        numbers = [barrier.wait(), *(task.result() for task in tasks)]
        assert sorted(numbers) == [0, 1, 2]
        assert barrier.n_waiting == 0


def in_step(barrier: SharedBarrier, mine: Any, others: list[Any], rounds: int) -> None:
    """Raise this party's own count, and find every other's where it must be."""
    for n in range(rounds):
        mine.release()
        barrier.wait(20)
        assert all(each.get_value() == n + 1 for each in others)
        barrier.wait(20)


def test_nobody_is_a_round_ahead(backend: str) -> None:
    """What a party did before the barrier is done for all who are behind it."""
    with SharedBarrier(3, backend=backend) as barrier:
        counts = [SharedSemaphore(0, backend=backend) for _ in range(3)]
        tasks = [Task(partial(in_step, barrier, mine, counts, 10)) for mine in counts]
        for task in tasks:
            task.result()
        for each in counts:
            each.close()


class Note:
    """An action: a permit for each time that it runs."""

    def __init__(self, noted: Any, fails: bool = False) -> None:
        self.noted, self.fails = noted, fails

    def __call__(self) -> None:
        self.noted.release()
        if self.fails:
            raise ZeroDivisionError


def test_the_action_runs_once_a_round(backend: str) -> None:
    """In one of the parties, before any of them goes on."""
    with (
        kept(SharedSemaphore(0, backend=backend)) as noted,
        SharedBarrier(2, action=Note(noted), backend=backend) as barrier,
        Child("fork", wait_and_look, barrier, noted) as child,
    ):
        for n in range(1, 4):
            barrier.wait(10)
            assert noted.get_value() == n
            child.tell("next")
        assert child.result() == [1, 2, 3]


def wait_and_look(line: Line, barrier: SharedBarrier, noted: Any) -> list[int]:
    """In a child: how often the action had run when each wait ended."""
    seen: list[int] = []
    for _ in range(3):
        barrier.wait(10)
        seen.append(noted.get_value())
        line.hear()
    return seen


def test_an_action_that_raises_breaks_the_barrier(backend: str) -> None:
    """For those who wait; its error is the last party's."""
    with (
        kept(SharedSemaphore(0, backend=backend)) as noted,
        SharedBarrier(3, Note(noted, fails=True), backend=backend) as barrier,
    ):
        others = [Task(lambda: waits(barrier)) for _ in range(2)]
        assert arrived(barrier, 2)
        with pytest.raises(ZeroDivisionError):
            barrier.wait()
        assert [other.result() for other in others] == [["broken"]] * 2
        assert barrier.broken
        assert noted.get_value() == 1


def test_time_that_runs_out_breaks_it(backend: str) -> None:
    """For all who wait, and for whoever comes after, until it is reset."""
    with SharedBarrier(3, backend=backend) as barrier:
        other = Task(lambda: waits(barrier))
        assert arrived(barrier, 1)
        begun = time.monotonic()
        with broken():
            barrier.wait(0.1)
        assert 0.1 <= time.monotonic() - begun < 1
        assert other.result() == ["broken"]
        assert barrier.broken
        assert call("fork", waits, barrier) == ["broken"]
        barrier.reset()
        assert (barrier.broken, barrier.n_waiting) == (False, 0)
        passing = [Task(lambda: waits(barrier)) for _ in range(2)]
        barrier.wait(10)
        assert all(each.result() != ["broken"] for each in passing)


@pytest.mark.parametrize("timeout", [0, -1, 0.05])
def test_a_wait_without_time_breaks_it_at_once(backend: str, timeout: float) -> None:
    """As in the standard library."""
    with SharedBarrier(2, backend=backend) as barrier:
        with broken():
            barrier.wait(timeout)
        assert barrier.broken


def test_its_own_timeout_is_the_default(backend: str) -> None:
    """A wait that says another goes by that."""
    with SharedBarrier(2, timeout=0.05, backend=backend) as barrier:
        begun = time.monotonic()
        with broken():
            barrier.wait()
        assert 0.05 <= time.monotonic() - begun < 1
        barrier.reset()
        patient = Task(lambda: waits(barrier, timeout=20))
        assert arrived(barrier, 1)
        patient.join(0.15)
        assert patient.is_alive()
        barrier.wait()
        patient.result()
        assert not barrier.broken


def test_abort_breaks_it(backend: str) -> None:
    """For those who wait in threads and processes, and for later ones."""
    with SharedBarrier(4, backend=backend) as barrier, Child("fork", waits_in_child, barrier) as child:
        other = Task(lambda: waits(barrier))
        assert arrived(barrier, 2)
        barrier.abort()
        assert other.result() == child.result() == ["broken"]
        assert barrier.broken
        with broken():
            barrier.wait(5)


def test_reset_lets_those_go_who_wait(backend: str) -> None:
    """As broken, but the barrier is good at once."""
    with SharedBarrier(3, backend=backend) as barrier, Child("fork", waits_in_child, barrier) as child:
        other = Task(lambda: waits(barrier))
        assert arrived(barrier, 2)
        barrier.reset()
        assert other.result() == child.result() == ["broken"]
        assert until(lambda: not barrier.broken and barrier.n_waiting == 0)
        others = [Task(lambda: waits(barrier)) for _ in range(2)]
        assert barrier.wait(10) in (0, 1, 2)
        assert all(each.result() != ["broken"] for each in others)


def test_many_threads_pass_many_times(backend: str) -> None:
    """Without a number told twice in a round."""
    told: list[list[int]] = [[] for _ in range(30)]
    guard = threading.Lock()

    def work() -> None:
        for numbers in told:
            number = barrier.wait(20)
            with guard:
                numbers.append(number)

    with SharedBarrier(8, backend=backend) as barrier:
        for task in [Task(work) for _ in range(8)]:
            task.result()
    assert [sorted(numbers) for numbers in told] == [list(range(8))] * 30
