"""What every backend's `SharedEvent` does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task
from procshare import SharedEvent
from support import START_METHODS, Child, Line

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def event(backend: str) -> Iterator[SharedEvent]:
    """One that is not set."""
    with SharedEvent(backend=backend) as made:
        yield made


def test_it_is_set_and_cleared(event: SharedEvent) -> None:
    """As often as one likes; both return nothing."""
    calls: Any = event
    assert event.is_set() is False
    for _ in range(2):
        assert calls.set() is None
        assert event.is_set() is True
        event.set()
        assert event.is_set() is True
        assert calls.clear() is None
        assert event.is_set() is False
        event.clear()
        assert event.is_set() is False


def test_wait_says_whether_it_is_set(event: SharedEvent) -> None:
    """At once if it is, else after the time that was said."""
    for vain, least in ((0, 0), (0.0, 0), (-1, 0), (0.1, 0.1)):
        begun = time.monotonic()
        assert event.wait(vain) is False
        assert least <= time.monotonic() - begun < least + 0.5
    event.set()
    for timeout in (None, 0.0, 5):
        begun = time.monotonic()
        assert event.wait(timeout) is True
        assert time.monotonic() - begun < 0.5
    assert event.wait() is True
    event.clear()
    assert event.wait(timeout=0) is False


def test_set_wakes_all_who_wait(event: SharedEvent) -> None:
    """With a timeout and without, in threads and in processes of every start method."""
    children = [Child(method, wait, event) for method in START_METHODS]
    tasks = [Task(lambda: event.wait(10)), Task(event.wait)]
    try:
        for child in children:
            assert child.hear(20) == "waiting"
        assert all(task.is_alive() for task in tasks)
        event.set()
        assert [task.result() for task in tasks] == [True, True]
        assert [child.result() for child in children] == [(True, True)] * 3
    finally:
        for child in children:
            child.__exit__()


def wait(line: Line, event: SharedEvent) -> tuple[bool, bool]:
    """In a child: say so, and wait."""
    line.tell("waiting")
    return event.wait(10), event.is_set()


def set_when_told(line: Line, event: SharedEvent) -> None:
    """In a child: set it, and clear it."""
    line.hear()
    event.set()
    line.hear()
    event.clear()
    line.tell("cleared")


def test_a_child_sets_and_clears_it(event: SharedEvent) -> None:
    """Its parent waits for it."""
    with Child("fork", set_when_told, event) as child:
        waiter = Task(lambda: event.wait(10))
        assert not event.is_set()
        child.tell("set")
        assert waiter.result() is True
        assert event.wait() is True
        child.tell("clear")
        assert child.hear() == "cleared"
        assert event.is_set() is False
        assert event.wait(0) is False


def test_two_play_ping_pong(event: SharedEvent, backend: str) -> None:
    """Two events, passed to and fro."""
    with SharedEvent(backend=backend) as other, Child("fork", answer, event, other, 50) as child:
        for _ in range(50):
            event.set()
            assert other.wait(10)
            other.clear()
        assert child.result() == 50


def answer(_line: Line, mine: SharedEvent, theirs: SharedEvent, times: int) -> int:
    """In a child: set theirs as often as mine was set."""
    count = 0
    while count < times and mine.wait(10):
        mine.clear()
        count += 1
        theirs.set()
    return count
