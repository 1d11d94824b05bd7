"""`wrap()` of multiprocessing's queues and locks: the same object behind procshare's interface."""

from __future__ import annotations

import multiprocessing
import threading
from queue import Empty, Full
from typing import Any

import pytest

from death_support import Task
from procshare import (
    Closed,
    SharedBarrier,
    SharedBoundedSemaphore,
    SharedCondition,
    SharedEvent,
    SharedLock,
    SharedQueue,
    SharedRLock,
    SharedSemaphore,
    ShutDown,
    UnsupportedByBackend,
    wrap,
)
from procshare.backends import implementation
from support import START_METHODS, call

SPAWN: Any = multiprocessing.get_context("spawn")
methods = pytest.mark.parametrize("method", START_METHODS)
adopt: Any = wrap  # its overloads know no answer for what is typed Any
KINDS: list[tuple[str, tuple[Any, ...], Any]] = [
    ("Lock", (), SharedLock),
    ("RLock", (), SharedRLock),
    ("Semaphore", (2,), SharedSemaphore),
    ("BoundedSemaphore", (2,), SharedBoundedSemaphore),
    ("Event", (), SharedEvent),
    ("Condition", (), SharedCondition),
    ("Barrier", (1,), SharedBarrier),
    ("Queue", (3,), SharedQueue),
    ("JoinableQueue", (3,), SharedQueue),
]
each = pytest.mark.parametrize(("name", "args", "interface"), KINDS, ids=[kind[0] for kind in KINDS])


@each
def test_each_becomes_what_is_called_so_here(name: str, args: tuple[Any, ...], interface: Any) -> None:
    """Of the stdlib backend, and closing it leaves the original alone."""
    original = getattr(SPAWN, name)(*args)
    shared = adopt(original)
    assert type(shared) is implementation(interface, "stdlib")
    shared.close()
    again = adopt(original)
    assert not again.closed
    again.close()


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_original_and_handle_exclude_each_other(name: str) -> None:
    """And two handles of one lock are one, with one holder."""
    original = getattr(SPAWN, name)()
    one, two = adopt(original), adopt(original)
    with one:
        assert Task(lambda: original.acquire(False)).result() is False
        assert two.locked()
        two.release()
        assert not one.locked()
        one.acquire()
    with original:
        assert Task(lambda: one.acquire(False)).result() is False
        if name == "Lock":
            with pytest.raises(RuntimeError):
                two.acquire()
        else:
            with two:
                pass
            assert Task(lambda: one.acquire(False)).result() is False
    assert not one.locked()


def test_a_value_and_its_lock_are_wrapped_as_one() -> None:
    """A block of the value holds the lock, and nests in a block of the lock."""
    lock = SPAWN.RLock()
    value, shared = adopt(SPAWN.Value("i", 1, lock=lock)), adopt(lock)
    with shared, value.locked() as cell:
        cell.value = 2
    with value.locked():
        assert Task(lambda: shared.acquire(False)).result() is False
        assert shared.locked()
    assert not shared.locked()
    assert value.value == 2


def test_permits_flags_and_parties_are_common() -> None:
    """What is done on one side is seen on the other."""
    semaphore: Any = SPAWN.BoundedSemaphore(2)
    permits = adopt(semaphore)
    semaphore.acquire()
    assert permits.get_value() == 1
    permits.release()
    with pytest.raises(ValueError):
        permits.release()
    event: Any = SPAWN.Event()
    one, two = adopt(event), adopt(event)
    waiter = Task(lambda: one.wait(10))
    event.set()
    assert waiter.result() is True
    two.clear()
    assert not event.is_set()
    barrier: Any = SPAWN.Barrier(2)
    other = Task(lambda: barrier.wait(10))
    assert {adopt(barrier).wait(10), other.result()} == {0, 1}


@pytest.mark.parametrize("lock", [None, SPAWN.Lock()], ids=["RLock", "Lock"])
def test_a_condition_keeps_its_lock(lock: Any) -> None:
    """Who waits on one side is notified from the other."""
    original: Any = SPAWN.Condition(lock)
    shared = adopt(original)
    ready = threading.Event()

    def wait() -> bool:
        with shared:
            ready.set()
            notified: bool = shared.wait(10)
            return notified

    waiter = Task(wait)
    assert ready.wait(10)
    with original:
        original.notify()
    assert waiter.result() is True


@pytest.mark.parametrize("name", ["Queue", "JoinableQueue"])
def test_items_pass_between_original_and_handle(name: str) -> None:
    """As the objects that they are, with the original's bound."""
    original: Any = getattr(SPAWN, name)(3)
    shared = adopt(original)
    shared.put_many([{"a": 1}, ("b",)])
    assert [original.get(timeout=5), original.get(timeout=5)] == [{"a": 1}, ("b",)]
    for item in "abc":
        original.put(item)
    assert (shared.maxsize, shared.full(), shared.qsize()) == (3, True, 3)
    with pytest.raises(Full):
        shared.put("d", timeout=0)
    assert "".join(shared.get(timeout=5) for _ in range(3)) == "abc"
    assert adopt(getattr(SPAWN, name)()).maxsize == 0
    shared.close()
    original.put("still")
    assert original.get(timeout=5) == "still"
    original.close()
    original.join_thread()


def test_only_a_joinable_queue_counts_what_is_done() -> None:
    """A plain one refuses with UnsupportedByBackend; all else works."""
    joinable, plain = SPAWN.JoinableQueue(), SPAWN.Queue()
    shared = adopt(joinable)
    shared.put("a")
    joinable.put("b")
    with shared.lease(5) as item:
        assert item == "a"
    assert shared.get(timeout=5) == "b"
    joinable.task_done()
    shared.join(timeout=0)
    joinable.join()
    other = adopt(plain)
    other.put("a")
    for call_ in (other.task_done, other.join, other.lease):
        with pytest.raises(UnsupportedByBackend, match="JoinableQueue"):
            call_()
    assert other.get(timeout=5) == "a"
    for queue in (joinable, plain):
        queue.close()
        queue.join_thread()


def test_two_handles_of_a_queue_are_shut_down_together() -> None:
    """The flag is beside the queue; the original knows nothing of it."""
    original = SPAWN.JoinableQueue()
    one, two = adopt(original), adopt(original)
    one.put(1)
    two.shutdown()
    with pytest.raises(ShutDown):
        one.put(2)
    assert list(one) == [1]
    original.put(3)
    assert original.get(timeout=5) == 3
    original.close()
    original.join_thread()


def test_a_queue_that_its_user_closed_is_closed() -> None:
    """Its thread has ended, so nothing would arrive."""
    original = SPAWN.JoinableQueue()
    shared = adopt(original)
    shared.put(1)
    assert shared.get(timeout=5) == 1
    original.close()
    original.join_thread()
    with pytest.raises(Closed, match="wraps"):
        shared.put(2)
    with pytest.raises(Closed, match="wraps"):
        shared.get(timeout=0)


def use(lock: Any, condition: Any, event: Any, barrier: Any, queue: Any) -> int:
    """In a child: a little of each."""
    with lock, condition:
        condition.notify_all()
    event.set()
    queue.put("from the child")
    number: int = barrier.wait(20)
    return number


@methods
def test_wrapped_ones_travel_as_process_arguments(method: str) -> None:
    """As the originals do, to every start method if their context is spawn."""
    originals: list[Any] = [SPAWN.Lock(), SPAWN.Condition(), SPAWN.Event(), SPAWN.Barrier(1), SPAWN.JoinableQueue()]
    assert call(method, use, *map(adopt, originals), timeout=20) == 0
    assert originals[2].is_set()
    assert originals[4].get(timeout=5) == "from the child"


@each
def test_those_of_the_fork_context_are_refused_elsewhere(name: str, args: tuple[Any, ...], interface: Any) -> None:
    """UnsupportedByBackend before the child starts, where the stdlib would raise a RuntimeError."""
    assert interface.kind
    context: Any = multiprocessing.get_context("fork")
    shared = adopt(getattr(context, name)(*args))
    with pytest.raises(UnsupportedByBackend, match="fork"):
        call("spawn", repr, shared)
    assert call("fork", repr, shared).startswith("<Shared")


@pytest.mark.parametrize(
    "wrong",
    [threading.Lock(), threading.Event(), threading.Barrier(1), Empty(), 5],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_is_not_shared_cannot_be_wrapped(wrong: Any) -> None:
    """What threads have is private to the process."""
    with pytest.raises(TypeError, match="adopts"):
        adopt(wrong)
