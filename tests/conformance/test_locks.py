"""What every backend's `SharedLock` and `SharedRLock` do; what their robustness adds is in test_sync_*.py."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from death_support import Task
from procshare import SharedArray, SharedLock, SharedRLock
from support import START_METHODS, Child, Line, call, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH: list[Any] = [SharedLock, SharedRLock]
MISUSED = (RuntimeError, ValueError, AssertionError)  # what multiprocessing raises instead of threading's RuntimeError


@pytest.fixture(params=BOTH, ids=["lock", "rlock"])
def lock(request: pytest.FixtureRequest, backend: str) -> Iterator[Any]:
    """One lock, of each kind in turn."""
    with kept(request.param(backend=backend)) as made:
        yield made


def misuse(can: frozenset[str]) -> Any:
    """Expect what the backend raises for a call by one that does not hold the lock."""
    return pytest.raises(RuntimeError if "owners" in can else MISUSED)


def is_free(lock: Any) -> bool:
    """Whether another thread of this process can take it."""

    def attempt() -> bool:
        taken: bool = lock.acquire(False)
        if taken:
            lock.release()
        return taken

    free: bool = Task(attempt).result()
    return free


def test_what_is_taken_is_not_free(lock: Any) -> None:
    """acquire returns True and release None; another thread finds it so, and `locked()` says so."""
    assert (lock.locked(), is_free(lock)) == (False, True)
    assert lock.acquire() is True
    assert (lock.locked(), is_free(lock)) == (True, False)
    assert lock.release() is None
    assert (lock.locked(), is_free(lock)) == (False, True)


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((), {}),
        ((True,), {}),
        ((False,), {}),
        ((True, None), {}),
        ((True, 5), {}),
        ((True, -5), {}),
        ((), {"timeout": 0}),
        ((), {"timeout": 0.5}),
        ((), {"timeout": None}),
        ((), {"block": False}),
        ((), {"block": True, "timeout": 5}),
        ((False, None), {}),
    ],
)
def test_every_way_to_ask_takes_a_free_lock(lock: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """As multiprocessing's locks are asked, by position and by name."""
    assert lock.acquire(*args, **options) is True
    assert not is_free(lock)
    lock.release()
    assert is_free(lock)


def test_who_comes_in_vain_is_told_in_time(lock: Any) -> None:
    """At once without blocking or with no time left, else after the time that it said."""
    with lock:
        for args, least, most in (
            ((False,), 0, 0.5),
            ((True, 0), 0, 0.5),
            ((True, -1), 0, 0.5),
            ((True, 0.1), 0.1, 1),
        ):
            begun = time.monotonic()
            assert Task(partial(lock.acquire, *args)).result() is False
            assert least <= time.monotonic() - begun < most
    assert is_free(lock)


def test_a_block_takes_it_and_lets_go(lock: Any) -> None:
    """It yields True, as multiprocessing's does, and an exception passes through."""
    with lock as taken:
        assert taken is True
        assert not is_free(lock)
    assert is_free(lock)
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert is_free(lock)


def test_a_waiter_has_it_when_the_block_ends(lock: Any) -> None:
    """A thread that waits gets it, and others do not get it then."""
    held, done = threading.Event(), threading.Event()

    def take() -> bool:
        taken: bool = lock.acquire(timeout=10)
        held.set()
        done.wait(10)
        lock.release()
        return taken

    with lock:
        waiter = Task(take)
        assert not held.wait(0.05)
    assert held.wait(10)
    assert not is_free(lock)
    done.set()
    assert waiter.result() is True
    assert is_free(lock)


def test_release_of_a_free_lock_is_an_error(lock: Any, can: frozenset[str]) -> None:
    """Before its first use and after; it can be taken all the same."""
    for _ in range(2):
        with misuse(can):
            lock.release()
        assert is_free(lock)
        lock.acquire()
        lock.release()


def test_a_lock_is_not_taken_twice(backend: str, can: frozenset[str]) -> None:
    """Its holder is refused as anyone, and where locks know their owners, told so before it waits for ever."""
    with kept(SharedLock(backend=backend)) as lock, lock:
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0) is False
        if "owners" in can:
            for args in ((), (True, 5), (True, None)):
                with pytest.raises(RuntimeError):
                    lock.acquire(*args)
        assert not is_free(lock)


def test_an_rlock_is_free_after_as_many_releases(backend: str, can: frozenset[str]) -> None:
    """Its holder takes it at once however it asks."""
    with kept(SharedRLock(backend=backend)) as lock:
        for args in ((), (False,), (True, 0), (True, 5)):
            assert lock.acquire(*args) is True
        with lock:
            for _ in range(4):
                assert not is_free(lock)
                lock.release()
            assert not is_free(lock)
        assert is_free(lock)
        with misuse(can):
            lock.release()


def test_an_rlock_is_released_by_its_holder_alone(backend: str, can: frozenset[str]) -> None:
    """Another thread cannot, and neither can another process."""
    with kept(SharedRLock(backend=backend)) as lock, lock:
        with misuse(can):
            Task(lock.release).result()
        with misuse(can):
            call("fork", lock.release)
        assert not is_free(lock)


def try_it(line: Line, lock: Any) -> None:
    """In a child: take it when told, say how that went, and let go when told."""
    while line.hear():
        taken = lock.acquire(timeout=0.02)
        line.tell((taken, lock.locked()))
        line.hear()
        if taken:
            lock.release()
        line.tell("left")


@pytest.mark.parametrize("method", START_METHODS)
@pytest.mark.parametrize("kind", BOTH, ids=["lock", "rlock"])
def test_processes_exclude_each_other(backend: str, method: str, kind: Any) -> None:
    """A child of any start method keeps its parent out, and is kept out by it."""
    with kept(kind(backend=backend)) as lock, Child(method, try_it, lock) as child:
        with lock:
            child.tell("try")
            assert child.hear(20) == (False, True)
            child.tell("leave")
            child.hear()
        child.tell("try")
        assert child.hear() == (True, True)
        assert lock.locked()
        assert not lock.acquire(False)
        child.tell("leave")
        assert child.hear() == "left"
        assert is_free(lock)
        child.tell("")


def add(_line: Line, lock: Any, numbers: SharedArray[Any], times: int) -> None:
    """In a child: `add_in_threads`."""
    add_in_threads(lock, numbers, times)


def add_in_threads(lock: Any, numbers: SharedArray[Any], times: int) -> None:
    """Read, and write one more, in two threads, which only the lock keeps from losing some."""

    def work() -> None:
        live = numbers.array
        for _ in range(times):
            with lock:
                before = int(live[0])
                live[1] = before
                live[0] = live[1] + 1

    for task in [Task(work) for _ in range(2)]:
        task.result()


def test_processes_and_threads_never_meet_inside(lock: Any, backend: str) -> None:
    """One process of each start method, each with two threads, and this one: the total is exact."""
    with SharedArray(np.zeros(2, "q"), backend=backend) as numbers:
        children = [Child(method, add, lock, numbers, 150) for method in START_METHODS]
        add_in_threads(lock, numbers, 150)
        for child in children:
            with child:
                child.result(20)

        assert numbers.array.tolist() == [1200, 1199]
        assert is_free(lock)


def test_nobody_died(lock: Any) -> None:
    """`owner_died` is False for a lock that came from the living, and for one that nobody holds."""
    assert lock.owner_died is False
    with lock:
        assert lock.owner_died is False
    assert lock.owner_died is False
