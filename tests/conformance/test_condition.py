"""What every backend's `SharedCondition` does."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from conformance.test_locks import is_free, misuse
from death_support import Task
from procshare import SharedArray, SharedCondition, SharedLock, SharedRLock, SharedSemaphore
from scripts import until
from support import START_METHODS, Child, Line, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # threads wait while we fork


@pytest.fixture
def condition(backend: str) -> Iterator[SharedCondition]:
    """One with a lock of its own."""
    with kept(SharedCondition(backend=backend)) as made:
        yield made


def test_it_is_taken_as_its_lock_is(condition: SharedCondition) -> None:
    """By its methods and by `with`, which yields True; its own lock is re-entrant."""
    assert condition.acquire() is True
    assert not is_free(condition)
    assert condition.acquire(False) is True
    condition.release()
    assert not is_free(condition)
    condition.release()
    with condition as taken:
        assert taken is True
        assert not is_free(condition)
    assert is_free(condition)


@pytest.mark.parametrize("kind", [SharedLock, SharedRLock])
def test_a_given_lock_is_its_lock(backend: str, kind: Any) -> None:
    """Who has one has the other, and a wait lets go of it."""
    with kept(kind(backend=backend)) as lock, kept(SharedCondition(lock, backend=backend)) as condition:
        with lock:
            assert not is_free(condition)
            assert condition.wait(0.01) is False
            assert not is_free(condition)
        with condition:
            assert not is_free(lock)
            waiter = Task(lambda: notify(condition))
            assert condition.wait(10) is True
            assert not is_free(lock)
        waiter.result()
        assert is_free(lock)


def notify(condition: SharedCondition, n: int = 1) -> None:
    """Wake some."""
    with condition:
        condition.notify(n)


def test_without_its_lock_it_refuses(condition: SharedCondition, can: frozenset[str]) -> None:
    """wait, wait_for, notify and notify_all, and release."""
    calls: list[Any] = [condition.notify, condition.notify_all, condition.wait, lambda: condition.wait(0)]
    for call in calls:
        with misuse(can):
            call()
    with misuse(can):
        condition.wait_for(lambda: False, timeout=5)
    with misuse(can):
        condition.release()
    assert is_free(condition)


def test_a_wait_in_vain_ends_in_time(condition: SharedCondition) -> None:
    """It returns False with the lock taken again."""
    with condition:
        for timeout in (0, -1, 0.1):
            begun = time.monotonic()
            assert condition.wait(timeout) is False
            assert max(timeout, 0) <= time.monotonic() - begun < max(timeout, 0) + 0.5
            assert not is_free(condition)


def test_a_wait_lets_go_of_every_hold(condition: SharedCondition) -> None:
    """Also of one that was taken twice, and takes it as often again."""
    with condition, condition:
        waker = Task(lambda: notify(condition))
        assert condition.wait(10) is True
        waker.result()
        assert not is_free(condition)
        condition.release()
        assert not is_free(condition)
        condition.acquire()
    assert is_free(condition)


def wait_nested(_line: Line, condition: SharedCondition) -> bool:
    """In a child: wait with two holds, for no time at all."""
    with condition, condition:
        return condition.wait(0)


def test_a_wait_with_two_holds_ends(condition: SharedCondition) -> None:
    """It does not wait for the lock that it has itself."""
    with Child("fork", wait_nested, condition) as child:
        assert child.result() is False
    assert is_free(condition)


class Crowd:
    """Processes and threads that wait for a condition, and are known to."""

    def __init__(self, condition: SharedCondition, backend: str, methods: list[str], timeout: float | None) -> None:
        with ExitStack() as stack:
            self.asleep: Any = stack.enter_context(kept(SharedSemaphore(0, backend=backend)))
            self.woken: Any = stack.enter_context(kept(SharedSemaphore(0, backend=backend)))
            args = condition, self.asleep, self.woken, timeout
            self.tasks = [Task(lambda: sleep_on(None, *args)) for _ in methods]
            self.children = [stack.enter_context(Child(method, sleep_on, *args)) for method in methods]
            for _ in range(2 * len(methods)):
                assert self.asleep.acquire(timeout=20)
            condition.acquire()  # who said that it sleeps had the lock, and let go of it only by its wait
            condition.release()
            self.stack = stack.pop_all()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stack.close()

    def awake(self) -> int:
        """How many have come back from their wait, once no more do."""
        before = -1
        while before != (now := self.woken.get_value()):
            before = now
            until(partial(self.are_more, now), timeout=0.06)
        return before

    def are_more(self, n: int) -> bool:
        """Whether more than *n* have come back."""
        return bool(self.woken.get_value() != n)

    def outcomes(self) -> list[bool]:
        """What the wait of each returned."""
        return [task.result() for task in self.tasks] + [child.result() for child in self.children]


def sleep_on(_line: Line | None, condition: Any, asleep: Any, woken: Any, timeout: float | None) -> bool:
    """Wait for the condition."""
    with condition:
        asleep.release()
        told: bool = condition.wait(timeout)
        woken.release()
    return told


def test_notify_wakes_as_many_as_it_says(condition: SharedCondition, backend: str) -> None:
    """Threads and processes alike; a notification is for those who wait now, and not kept."""
    notify(condition, 3)
    with Crowd(condition, backend, ["fork", "fork", "fork"], 30) as crowd:
        assert crowd.awake() == 0
        notify(condition)
        assert crowd.woken.acquire(timeout=10)
        crowd.woken.release()
        assert crowd.awake() == 1
        notify(condition, 2)
        assert until(lambda: crowd.woken.get_value() >= 3)
        assert crowd.awake() == 3
        notify(condition, 10)
        assert crowd.outcomes() == [True] * 6
        assert crowd.woken.get_value() == 6
    with condition:
        assert condition.wait(0.02) is False


def test_notify_all_wakes_all(condition: SharedCondition, backend: str) -> None:
    """Of every start method."""
    with Crowd(condition, backend, list(START_METHODS), None) as crowd:
        with condition:
            condition.notify_all()
            assert crowd.awake() == 0  # nobody comes back before it can have the lock
        assert crowd.outcomes() == [True] * 6


def test_who_was_in_vain_leaves_nothing_behind(condition: SharedCondition, backend: str) -> None:
    """After waits that timed out, a notification goes to those who wait then."""
    with Crowd(condition, backend, ["fork"] * 2, 0.05) as crowd:
        assert crowd.outcomes() == [False] * 4
    with Crowd(condition, backend, ["fork"] * 2, 30) as crowd:
        notify(condition, 2)
        assert until(lambda: crowd.woken.get_value() >= 2)
        assert crowd.awake() == 2
        notify(condition, 2)
        assert crowd.outcomes() == [True] * 4


def test_wait_for_returns_what_the_predicate_did(condition: SharedCondition) -> None:
    """It is asked with the lock taken, first of all; when time runs out its last answer comes back."""
    answers = iter(["", 0, "yes"])
    seen = threading.Event()

    def predicate() -> object:
        assert not is_free(condition)
        return next(answers)

    with condition:
        assert condition.wait_for(lambda: "at once", timeout=0) == "at once"
        waker = Task(lambda: notify_until(condition, seen))
        assert condition.wait_for(predicate, timeout=10) == "yes"
        seen.set()
        begun = time.monotonic()
        assert not condition.wait_for(lambda: False, timeout=0.1)
        assert 0.1 <= time.monotonic() - begun < 0.6
    waker.result()


def notify_until(condition: SharedCondition, done: threading.Event) -> None:
    """Again and again, since nobody may be waiting yet."""
    while not done.wait(0.002):
        notify(condition)


@pytest.mark.parametrize("method", START_METHODS)
def test_two_processes_count_in_turn(condition: SharedCondition, backend: str, method: str) -> None:
    """Each waits until the other has counted."""
    with (
        SharedArray([0], backend=backend) as number,
        Child(method, count, condition, number, 1) as child,
    ):
        assert count(None, condition, number, 0) == 20
        assert child.result(20) == 20
        assert number.array[0] == 20


def count(_line: Line | None, condition: SharedCondition, number: SharedArray[Any], parity: int) -> int:
    """Count on when it is this one's turn, to 20."""
    with condition:
        while number.array[0] < 20:
            assert condition.wait_for(lambda: number.array[0] % 2 == parity or number.array[0] >= 20, timeout=20)
            if number.array[0] < 20:
                number.array[0] += 1
                condition.notify()
        condition.notify()
        return int(number.array[0])
