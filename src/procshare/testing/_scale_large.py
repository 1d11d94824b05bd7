"""What large objects cost: one array, value or item of a gigabyte, millions of keys and items, deep nesting."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from procshare import SharedArray, SharedDict, SharedList, SharedQueue, SharedValue
from procshare.testing._pressing import check
from procshare.testing._processes import Child
from procshare.testing._room import free_bytes

if TYPE_CHECKING:
    from procshare.testing._processes import Line


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd")) - 1


def private_bytes() -> int:
    """What this process has in memory besides what is shared."""
    resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    return (resident - shared) * resource.getpagesize()


class Cost:
    """What was taken since it was made.

    Args:
        count: Of what, so many.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._began = time.monotonic()
        self._free, self._descriptors, self._private = free_bytes(), descriptors(), private_bytes()

    def cells(self, note: str = "") -> list[str]:
        """For the table: how many, seconds, /dev/shm, descriptors, own memory, for each, and what else there is."""
        seconds = time.monotonic() - self._began
        shared, own = self._free - free_bytes(), private_bytes() - self._private
        each = f"{seconds / self._count * 1e6:,.2f} µs, {shared / self._count:,.0f} B"
        opened = descriptors() - self._descriptors
        return [f"{self._count:,}", f"{seconds:.1f} s", mebibytes(shared), str(opened), mebibytes(own), each, note]


def mebibytes(count: float) -> str:
    """For people."""
    return f"{count / (1 << 20):,.1f} MiB"


def large_array(line: Line, size: int) -> None:
    """Of so many bytes; both ends are added up here and in a child, which writes."""
    here = free_bytes()
    cost = Cost(size)
    array = SharedArray.zeros(size // 8, np.int64)
    array.array[:1000] = array.array[-1000:] = 1
    with Child("fork", look_at_ends, array) as child:
        check(child.hear() == (1000, 1000), "the child sees other sums")
        child.end()
    check(int(array.array[-1000:].sum()) == 2000, "what the child wrote is not here")
    cells = cost.cells()
    array.unlink()
    array.close()
    del array
    check(free_bytes() == here, "its memory did not come back")
    line.say([*cells[:-1], "its memory came back"])


def look_at_ends(line: Line, array: SharedArray[Any]) -> None:
    """In the child: both sums; then double the end."""
    line.say((int(array.array[:1000].sum()), int(array.array[-1000:].sum())))
    array.array[-1000:] *= 2


def keys(line: Line, count: int) -> None:
    """One at a time into a dict; looked up; deleted."""
    numbers = SharedDict[int, int]()
    _ = numbers.name
    empty, cost = free_bytes(), Cost(count)
    for n in range(count):
        numbers[n] = n
    cells = cost.cells()
    here = time.monotonic()
    tried = range(0, count, max(count // 100_000, 1))
    check(all(numbers[n] == n for n in tried), "a key is lost")
    lookup = (time.monotonic() - here) / len(tried)
    here = time.monotonic()
    for n in range(count):
        del numbers[n]
    gone = time.monotonic() - here
    check(len(numbers) == 0 and empty - free_bytes() < 1 << 20, "its memory did not come back")
    line.say([*cells[:-1], f"found in {lookup * 1e9:,.0f} ns each, deleted in {gone:.1f} s, memory came back"])


def items(line: Line, count: int) -> None:
    """One at a time to a list; taken off."""
    numbers = SharedList[int]()
    _ = numbers.name
    empty, cost = free_bytes(), Cost(count)
    for n in range(count):
        numbers.append(n)
    cells = cost.cells()
    check(numbers[count // 2] == count // 2 and numbers[-1] == count - 1, "an item is lost")
    here = time.monotonic()
    for _ in range(count):
        numbers.pop()
    check(len(numbers) == 0 and empty - free_bytes() < 1 << 20, "its memory did not come back")
    line.say([*cells[:-1], f"taken off in {time.monotonic() - here:.1f} s, memory came back"])


def queued(line: Line, count: int) -> None:
    """Put one at a time, then taken in the same order."""
    queue = SharedQueue[int](capacity=max(64 << 20, count * 32))
    cost = Cost(count)
    for n in range(count):
        queue.put(n)
    cells = cost.cells()
    check(queue.qsize() == count, "not all are there")
    here = time.monotonic()
    check(all(queue.get() == n for n in range(count)), "they come in another order")
    line.say([*cells[:-1], f"taken in {time.monotonic() - here:.1f} s"])


def large_value(line: Line, size: int) -> None:
    """One value, and one queue item, of so many bytes."""
    content = bytes(size)
    cost = Cost(size)
    value = SharedValue[Any](content)
    check(len(value.value) == size, "it is shorter")
    cells = cost.cells()
    value.set(None)
    value.close()
    queue = SharedQueue[bytes]()
    here = time.monotonic()
    queue.put(content)
    check(queue.get() == content, "the item is another")
    line.say([*cells[:-1], f"put and taken as an item in {time.monotonic() - here:.1f} s"])


def nested(line: Line, depth: int) -> None:
    """Lists within lists, each in the last one."""
    cost = Cost(depth)
    root = inner = SharedList[Any]()
    for _ in range(depth):
        inner.append(SharedList())
        inner = inner[0]
    inner.append("here")
    found: Any = root
    for _ in range(depth):
        found = found[0]
    check(found[0] == "here", "it is not there")
    line.say(cost.cells())
