"""A process that takes the seat of a dead one has none of what that one had: locks, permits, reading, debts.

Which seat is taken next is only a hint in the segment's header, so the tests write it there.
"""

from __future__ import annotations

import os
import struct
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from procshare import Handle, OwnerDied, SharedCounter, SharedLock, SharedQueue, SharedRWLock, SharedSemaphore
from procshare.backends import native_built
from scripts import SHM
from support import Child, Line, kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads; we fork with threads
]

HINT, SEATS, COUNT = 96, 2048, 768  # src/procshare/_native/layout.h


def seats(x: Handle) -> list[int]:
    """Of each seat, who sat down there last."""
    head = (SHM / x.segment).read_bytes()[: SEATS + 8 * COUNT]
    return [pid for _, pid in struct.iter_unpack("=II", head[SEATS:])]


def seat_next_to_take(x: Handle, seat: int) -> None:
    """See that it is this one."""
    fd = os.open(SHM / x.segment, os.O_RDWR)
    os.pwrite(fd, struct.pack("=I", seat), HINT)
    os.close(fd)


def takes(line: Line, take: Callable[[], object]) -> None:
    """In a child: take something and keep it, or give it back when told."""
    take()
    line.tell("taken")
    line.hear(60)


def sits(line: Line, use: Callable[[], object]) -> None:
    """In a child: do something, say what came of it, and stay."""
    line.tell(use())
    line.hear(60)


@pytest.fixture
def successor() -> Iterator[Callable[..., Any]]:
    """Kills a process that took something, and has another one sit down in its seat, use the thing, and stay."""
    children: list[Child] = []

    def succeed(x: Handle, take: Callable[[], object], use: Callable[[], object]) -> Any:
        assert x.name
        with Child("fork", takes, take) as dead:
            assert dead.hear() == "taken"
            seat = seats(x).index(dead.pid)
            dead.kill()
        seat_next_to_take(x, seat)
        children.append(Child("fork", sits, use))
        said = children[-1].hear()
        assert seats(x)[seat] == children[-1].pid
        return said

    yield succeed
    for child in children:
        child.__exit__()


def nothing() -> None:
    """It only sits there."""


def test_a_lock(successor: Callable[..., Any]) -> None:
    """It is taken over from the dead, though somebody lives where he sat."""
    with kept(SharedLock()) as lock:
        successor(lock, lock.acquire, nothing)
        assert lock.acquire(timeout=5)
        assert lock.owner_died
        assert not lock.acquire(timeout=0)


def visit(line: Line, lock: SharedLock, inside: SharedCounter) -> int:
    """In a child: take it when it is free; how many are inside then, at the most."""
    line.tell("waiting")
    with lock:
        most = inside.increment()
        for _ in range(20):
            time.sleep(0.001)  # not for a state: so long it is to be met by whoever comes
            most = max(most, inside.value)
        inside.decrement()
    return most


def test_two_take_over() -> None:
    """Both wait for a dead holder's lock, and have it one after the other."""
    for _ in range(5):
        with kept(SharedLock()) as lock, SharedCounter() as inside, Child("fork", takes, lock.acquire) as dead:
            assert dead.hear() == "taken"
            with Child("fork", visit, lock, inside) as one, Child("fork", visit, lock, inside) as other:
                assert (one.hear(), other.hear()) == ("waiting", "waiting")
                dead.kill()
                assert (one.result(), other.result()) == (1, 1)


def once(lock: SharedRWLock) -> None:
    """Read it."""
    with lock.reading(timeout=5):
        pass


def test_reading(successor: Callable[..., Any]) -> None:
    """What the successor reads ends when it says so."""
    with kept(SharedRWLock()) as lock:
        successor(lock, lambda: lock.reading().__enter__(), partial(once, lock))
        with lock.writing(timeout=5):
            pass


def test_permits(successor: Callable[..., Any]) -> None:
    """The dead one's come back, the successor's do not."""
    with kept(SharedSemaphore(3, robust=True)) as semaphore:
        successor(semaphore, lambda: [semaphore.acquire() for _ in range(2)], semaphore.acquire)
        assert semaphore.get_value() == 2


def test_debts(successor: Callable[..., Any]) -> None:
    """The dead one's tasks are still not done, and join() tells."""
    with SharedQueue[int]() as queue:
        queue.put_many([1, 2, 3])
        assert successor(queue, lambda: queue.get_many(2), queue.get) == 3
        queue.task_done()
        with pytest.raises(OwnerDied):
            queue.join(timeout=10)
