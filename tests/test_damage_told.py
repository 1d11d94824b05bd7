"""Damage that is told of as what it is: `CorruptSegment`, soon, once, and with the rest still usable.

That nothing worse than an error comes of damage is the matter of test_bad_bytes.py and its neighbours.
"""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from procshare import (
    CorruptSegment,
    SharedBarrier,
    SharedCondition,
    SharedDict,
    SharedList,
    SharedLock,
    SharedQueue,
    SharedSet,
    SharedValue,
)
from scripts import SHM, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from procshare import Handle

FIRST, SIZE = 1152, 384  # a container's generations, see _native/layout.h
LATER = ["later", 7, None]


def read(handle: Handle) -> bytes:
    """The bytes of an object's segment."""
    return (SHM / handle.segment).read_bytes()


def write(handle: Handle, where: int, new: bytes) -> None:
    """Overwrite some."""
    fd = os.open(SHM / handle.segment, os.O_RDWR)
    os.pwrite(fd, new, where)
    os.close(fd)


def replace(handle: Handle, old: bytes, new: bytes) -> None:
    """Overwrite the only place that has *old*, behind the header."""
    data = read(handle)
    assert data.count(old, 8192) == 1  # behind the header
    write(handle, data.index(old, 8192), new)


def get_one(queue: SharedQueue[Any]) -> Any:
    """By `get()`."""
    return queue.get(timeout=0)


def get_some(queue: SharedQueue[Any]) -> Any:
    """By `get_many()`."""
    [item] = queue.get_many(1, timeout=0)
    return item


def lease_one(queue: SharedQueue[Any]) -> Any:
    """By `lease()`."""
    with queue.lease(timeout=0) as item:
        return item


@pytest.fixture(params=[get_one, get_some, lease_one], ids=["get", "get_many", "lease"])
def take(request: pytest.FixtureRequest) -> Callable[[SharedQueue[Any]], Any]:
    """A way to take an item."""
    way: Callable[[SharedQueue[Any]], Any] = request.param
    return way


def check_rest(queue: SharedQueue[Any], take: Callable[[SharedQueue[Any]], Any]) -> None:
    """Behind a damaged item all is as it was."""
    with pytest.raises(CorruptSegment):
        take(queue)
    assert [take(queue) for _ in LATER] == LATER
    assert queue.qsize() == 0
    assert queue.empty()


def test_an_item_whose_buffers_make_no_sense_is_told_once(take: Callable[[SharedQueue[Any]], Any]) -> None:
    """The next one to come gets the next item."""
    with SharedQueue[Any]() as queue:
        queue.put_many([np.arange(600.0), *LATER], timeout=0)
        data = read(queue)
        at = data.index(b"numpy")  # in the pickle; its head is in front of it
        head = next(place for place in range(at & ~7, 0, -8) if data[place + 7] == 11)  # RECORD_BUFFERS
        write(queue, head + 8, struct.pack("=Q", 1 << 15))
        check_rest(queue, take)


def test_an_item_whose_extent_makes_no_sense_is_told_once(take: Callable[[SharedQueue[Any]], Any]) -> None:
    """And the capacity that it had taken is free again."""
    with SharedQueue[Any](capacity=1000) as queue:
        queue.put(b"L" * 5000, timeout=0)
        replace(queue, struct.pack("=Q", 5000), struct.pack("=Q", 1 << 40))
        with pytest.raises(CorruptSegment):
            take(queue)
        queue.put_many(LATER, timeout=0)
        assert [take(queue) for _ in LATER] == LATER
        queue.put(b"L" * 6000, timeout=0)
        assert take(queue) == b"L" * 6000


def test_an_item_that_came_back_damaged_is_told_once(take: Callable[[SharedQueue[Any]], Any]) -> None:
    """One that was leased, and whose holder gave it back."""
    with SharedQueue[Any]() as queue:
        queue.put_many(["leased" * 20, *LATER], timeout=0)
        with pytest.raises(KeyError), queue.lease(timeout=0):
            raise KeyError
        write(queue, 32768 + 8, struct.pack("=Q", 1 << 50))  # the lease's extent
        check_rest(queue, take)


def generation(handle: Handle) -> int:
    """Where the description of a container's current generation begins."""
    number: int = struct.unpack_from("=Q", read(handle), 1024)[0]
    return FIRST + SIZE * (number & 1)


@pytest.mark.parametrize("count", [1 << 12, 1 << 31, (1 << 32) - 2, (1 << 64) - 1])
def test_a_length_that_cannot_be_is_told(count: int) -> None:
    """Whoever asks for a length may make room for so many: `list()` did, for 4e9."""
    with SharedDict({1: 2}) as d, SharedSet({1}) as s, SharedList([1]) as x:
        for handle, at, word in [(d, 8, count), (s, 8, count), (x, 0, count & 0xFFFFFFFF)]:
            many: Any = handle
            write(many, generation(many) + at, struct.pack("=Q", word))
            with pytest.raises(CorruptSegment):
                len(many)
            with pytest.raises(CorruptSegment):
                list(many)
        assert d.value == {1: 2}  # which counts for itself
        with pytest.raises(CorruptSegment), x.locked() as t:
            t.clear()


TEXT = "text" * 9


@pytest.mark.parametrize(
    ("make", "item"),
    [
        (lambda: SharedValue(TEXT), None),
        (lambda: SharedDict({"a": TEXT}), None),
        (lambda: SharedDict({TEXT: 1}), None),
        (lambda: SharedList([TEXT]), None),
        (SharedQueue[Any], TEXT),
        (SharedQueue[Any], (TEXT, 1)),
    ],
    ids=["value", "item", "key", "list", "queue", "in a tuple"],
)
def test_text_that_is_none_is_told(make: Callable[[], Any], item: object) -> None:
    """Not as a `UnicodeDecodeError`, as if somebody had chosen the wrong encoding."""
    with make() as x:
        if item is not None:
            x.put(item)
        replace(x, TEXT.encode(), b"\xff" * len(TEXT))
        with pytest.raises(CorruptSegment):
            _ = x.value if item is None else x.get(timeout=0)


def test_a_lock_with_an_impossible_name_is_told() -> None:
    """A condition of which nobody can have made the lock."""
    lock: Any = SharedLock(name=f"told-{os.getpid()}")
    condition: Any = SharedCondition(lock)
    assert lock.name.encode() in read(condition)[1024:2048]
    write(condition, 1024, b"/")
    source = f"""
try:
    procshare.attach({condition.name!r})
except CorruptSegment:
    say("told")
"""
    assert run(source).out == "told\n"
    for each in (condition, lock):
        each.unlink()
        each.close()


def test_who_arrived_is_counted_once() -> None:
    """However the table of a barrier looks: it took as many steps as the square of the parties."""
    many = 60_000
    with SharedBarrier(many) as barrier:
        data = read(barrier)
        payload = struct.unpack_from("=Q", data, 24)[0]
        token = 1 << 21 | struct.unpack_from("=I", data, 2048)[0]  # of this process, in the first seat
        entries = b"".join(struct.pack("=IIQ", token, 1, many - 2 - i) for i in range(many - 2))
        write(barrier, payload, struct.pack("=QII", many, many - 2, 0) + entries)
        began = time.monotonic()
        with pytest.raises(Exception, match="broken"):
            barrier.wait(0)
        assert time.monotonic() - began < 5
