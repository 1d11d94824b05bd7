"""What a queue's ring and books are in moments that a race or a death meets rarely; and what is refused at each end."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task, asleep
from nursery import Nursery
from procshare import CorruptSegment, SharedQueue, ShutDown, testing
from procshare.backends import native_built
from scripts import SHM, until
from support import Child, Line, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads; we fork with threads
]

RING, RING_SIZE = 16384, 8192  # the first one; src/procshare/_native/layout.h


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process of the core's test build."""
    with Nursery(PROCSHARE_FAULT="-") as made:
        yield made


def once(queue: SharedQueue[int], point: str) -> None:
    """In a doomed process: what the point is on the way of."""
    testing.arm(point)
    if point == "queue.putting":
        queue.put(100)
    else:
        queue.get()


def drain(queue: SharedQueue[Any]) -> list[Any]:
    """All that is there."""
    return queue.get_many(1000, timeout=0) if queue.qsize() else []


@pytest.mark.parametrize("before", [1, 2, 3, 4])
@pytest.mark.parametrize("point", ["queue.putting", "queue.taking"])
def test_who_dies_before_its_commit_has_changed_nothing(point: str, before: int, nursery: Nursery) -> None:
    """However many commits there were before: it wrote in those of its two books that are not valid."""
    with kept(SharedQueue[int]()) as queue:
        for n in range(before):
            queue.put(n)
        queue.put_many(range(before, 10))
        for n in range(before):
            assert queue.get() == n
        nursery.start(once, queue, point)
        assert nursery.wait()
        with Child("fork", drained, queue) as fresh:
            assert fresh.result() == list(range(before, 10))


def drained(_line: Line, queue: SharedQueue[Any]) -> list[Any]:
    """In a child."""
    return drain(queue)


def follow(line: Line, queue: SharedQueue[bytes]) -> list[bytes]:
    """In a child: look at the ring; and again when it has moved."""
    first = queue.get()
    line.tell("looked")
    line.hear()
    return [first, *drain(queue)]


def test_a_ring_that_has_moved_is_followed() -> None:
    """By who has it mapped, with all that was in it."""
    items = [bytes([n % 251 + 1]) * 56 for n in range(4 * RING_SIZE // 64)]
    with kept(SharedQueue[bytes]()) as queue, Child("fork", follow, queue) as child:
        queue.put(items[0])
        assert child.hear() == "looked"
        for item in items[1:]:
            queue.put(item)
        child.tell("look")
        assert child.result() == items


def lease_and_fail(line: Line, queue: SharedQueue[str]) -> None:
    """In a child: give an item back when told."""
    lease = queue.lease()
    line.tell(lease.__enter__())
    line.hear()
    lease.__exit__(KeyError, KeyError(), None)
    line.tell("back")


def test_a_shutdown_waits_for_what_another_process_has_on_lease() -> None:
    """It may come back, and then somebody must be there."""
    with kept(SharedQueue[str]()) as queue, Child("fork", lease_and_fail, queue) as child:
        queue.put("item")
        assert child.hear() == "item"
        queue.shutdown()
        getter = Task(partial(queue.get, timeout=10))
        assert until(lambda: getter.native_id is not None and asleep(getter.native_id))
        child.tell("give it back")
        assert child.hear() == "back"
        assert getter.result() == "item"
        with pytest.raises(ShutDown):
            queue.get()


def test_a_queue_that_is_shut_takes_nothing_though_it_has_room() -> None:
    """What was put before stays."""
    with kept(SharedQueue[str]()) as queue:
        queue.put("before")
        queue.shutdown()
        with pytest.raises(ShutDown):
            queue.put("after")
        assert drain(queue) == ["before"]


def test_a_record_that_is_longer_than_what_is_queued_is_refused() -> None:
    """It would run into what nobody has put."""
    with kept(SharedQueue[bytes]()) as queue:
        queue.put(b"x" * 100)
        with (SHM / queue.segment).open("r+b") as file:
            file.seek(RING)
            (head,) = struct.unpack("=Q", file.read(8))
            assert head & 0xFFFF >= 100
            file.seek(RING)
            file.write(struct.pack("=Q", head + 1000))
        with pytest.raises(CorruptSegment):
            queue.get(timeout=0)
