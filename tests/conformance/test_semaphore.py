"""What every backend's `SharedSemaphore` and `SharedBoundedSemaphore` do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task
from procshare import SharedBoundedSemaphore, SharedSemaphore
from support import START_METHODS, Child, Line, call, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # threads wait while we fork

BOTH: list[Any] = [SharedSemaphore, SharedBoundedSemaphore]
both = pytest.mark.parametrize("kind", BOTH, ids=["plain", "bounded"])


@pytest.fixture(params=BOTH, ids=["plain", "bounded"])
def two(request: pytest.FixtureRequest, backend: str) -> Iterator[Any]:
    """A semaphore of two permits, of each kind in turn."""
    with kept(request.param(2, backend=backend)) as made:
        yield made


def test_permits_are_counted(two: Any) -> None:
    """Taken one by one until there is none, and given back."""
    assert (two.get_value(), two.locked()) == (2, False)
    assert two.acquire() is True
    assert two.get_value() == 1
    assert two.acquire(False) is True
    assert (two.get_value(), two.locked()) == (0, True)
    assert two.acquire(False) is False
    assert two.acquire(timeout=0) is False
    assert two.get_value() == 0
    assert two.release() is None
    assert (two.get_value(), two.locked()) == (1, False)
    two.release()
    assert two.get_value() == 2


def test_a_block_takes_one(two: Any) -> None:
    """It yields True; the permit comes back also if the block raises, and a thread may take several."""
    with two as taken:
        assert taken is True
        with two:
            assert two.get_value() == 0
        assert two.get_value() == 1
    with pytest.raises(ZeroDivisionError), two:
        raise ZeroDivisionError
    assert two.get_value() == 2


@both
def test_the_default_is_one_permit(backend: str, kind: Any) -> None:
    """As in the standard library."""
    with kept(kind(backend=backend)) as made:
        assert made.get_value() == 1
    with kept(kind(value=3, backend=backend)) as made:
        assert made.get_value() == 3


@both
def test_a_negative_value_is_refused(backend: str, kind: Any) -> None:
    """It is a ValueError."""
    with pytest.raises(ValueError):
        kind(-1, backend=backend)


@both
def test_timeouts_are_kept(backend: str, kind: Any) -> None:
    """At once without blocking or with no time left, else after the time that was said."""
    with kept(kind(0, backend=backend)) as none:
        for args, least in (((False,), 0), ((False, None), 0), ((False, 9), 0), ((True, -1), 0), ((True, 0.1), 0.1)):
            begun = time.monotonic()
            assert none.acquire(*args) is False
            assert least <= time.monotonic() - begun < least + 0.5
        begun = time.monotonic()
        assert none.acquire(timeout=0.05) is False
        assert 0.05 <= time.monotonic() - begun < 0.5


def test_a_plain_one_grows_beyond_its_first_value(backend: str) -> None:
    """Release without acquire adds a permit, and `release(n)` several."""
    with kept(SharedSemaphore(0, backend=backend)) as made:
        made.release()
        made.release(3)
        assert made.get_value() == 4
        assert [made.acquire(False) for _ in range(5)] == [True] * 4 + [False]
        for wrong in (0, -1):
            with pytest.raises(ValueError):
                made.release(wrong)
        assert made.get_value() == 0


def test_a_bounded_one_does_not(backend: str) -> None:
    """Release beyond the first value is a ValueError that changes nothing, also when it is several at once."""
    with kept(SharedBoundedSemaphore(2, backend=backend)) as made:
        for n in (1, 2):
            with pytest.raises(ValueError):
                made.release(n)
        assert made.get_value() == 2
        made.acquire()
        with pytest.raises(ValueError):
            made.release(2)
        assert made.get_value() == 1
        made.release()
        assert made.get_value() == 2


def test_anyone_may_release(two: Any) -> None:
    """Another thread, and another process."""
    two.acquire()
    two.acquire()
    Task(two.release).result()
    assert two.get_value() == 1
    call("fork", two.release)
    assert two.get_value() == 2


def test_a_waiter_goes_on_with_a_release(two: Any) -> None:
    """As many of them as there are permits."""
    two.acquire()
    two.acquire()
    waiters = [Task(lambda: two.acquire(timeout=10)) for _ in range(2)]
    assert [waiter.is_alive() for waiter in waiters] == [True, True]
    two.release()
    two.release()
    assert [waiter.result() for waiter in waiters] == [True, True]
    assert two.get_value() == 0


def take(line: Line, semaphore: Any) -> None:
    """In a child: take permits as they come, and say so."""
    while line.hear():
        line.tell((semaphore.acquire(timeout=10), semaphore.acquire(timeout=0.1)))


@pytest.mark.parametrize("method", START_METHODS)
def test_permits_go_from_process_to_process(backend: str, method: str) -> None:
    """What a parent gives its child takes, one for one."""
    with kept(SharedSemaphore(0, backend=backend)) as semaphore, Child(method, take, semaphore) as child:
        for _ in range(3):
            child.tell("take")
            semaphore.release()
            assert child.hear(20) == (True, False)
        child.tell("take")
        semaphore.release(2)
        assert child.hear() == (True, True)
        assert semaphore.get_value() == 0
        child.tell("")


def meet(_line: Line | None, semaphore: Any, count: Any, most: int) -> None:
    """In a child: never be one too many inside."""
    for _ in range(60):
        with semaphore:
            assert count.acquire(False), f"more than {most} are inside"
            count.release()


def test_no_more_than_its_permits_are_inside(backend: str) -> None:
    """Three processes and two threads share two permits."""
    with kept(SharedSemaphore(2, backend=backend)) as semaphore, kept(SharedSemaphore(2, backend=backend)) as count:
        children = [Child("fork", meet, semaphore, count, 2) for _ in range(3)]
        for task in [Task(lambda: meet(None, semaphore, count, 2)) for _ in range(2)]:
            task.result()
        for child in children:
            with child:
                child.result()
        assert (semaphore.get_value(), count.get_value()) == (2, 2)
