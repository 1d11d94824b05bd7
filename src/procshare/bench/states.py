"""Rows about state, in one process: numbers, dicts, lists, arrays."""

from __future__ import annotations

from contextlib import contextmanager
from multiprocessing.shared_memory import ShareableList, SharedMemory
from typing import TYPE_CHECKING, Any

import numpy as np

from procshare import SharedArray, SharedCounter, SharedDict, SharedList, SharedValue
from procshare.bench.measure import OURS, Way, after, called, for_each, statement
from procshare.bench.processes import manager

if TYPE_CHECKING:
    from collections.abc import Generator

    from procshare.bench.measure import Effort, Row

MEBIBYTE = 1 << 20
KEYS = [f"key{number * 7919 % 1000:03}" for number in range(1000)]
_GUARDED = "with v.get_lock():\n    v.value += 1"


def counter(effort: Effort) -> Row:
    """Adding 1, so that none is lost."""
    with SharedCounter() as ours, manager(effort.context) as server:
        ways = {
            OURS: statement("c.increment()", c=ours),
            "mp.Value": statement(_GUARDED, v=effort.context.Value("q", 0)),
            "Manager": statement("with lock:\n    v.value += 1", v=server.Value("q", 0), lock=server.Lock()),
        }
        return effort.compare(
            "counter: add 1, none lost", "SharedCounter.increment(); a block under a lock elsewhere", ways
        )


def guarded(effort: Effort) -> Row:
    """A block that reads and writes a number, with nobody else between."""
    with SharedValue(0, "q") as ours, manager(effort.context) as server:
        ways = {
            OURS: statement("with v.locked() as cell:\n    cell.value += 1", v=ours),
            "mp.Value": statement(_GUARDED, v=effort.context.Value("q", 0)),
            "Manager": statement("with lock:\n    v.value += 1", v=server.Value("q", 0), lock=server.Lock()),
        }
        return effort.compare("value: a block under its lock that adds 1", "with SharedValue.locked()", ways)


def value(effort: Effort) -> Row:
    """Reading a number."""
    with SharedValue(0.5) as ours, manager(effort.context) as server:
        ways = {
            OURS: statement("v.value", v=ours),
            "mp.Value": statement("v.value", v=effort.context.Value("d", 0.5)),
            "Manager": statement("v.value", v=server.Value("d", 0.5)),
        }
        return effort.compare("value: read it", "SharedValue.value", ways)


def _dicts(effort: Effort, what: str, how: str, body: str, stored: object, written: object) -> Row:
    contents = dict.fromkeys(KEYS, stored)
    with SharedDict(contents) as ours, manager(effort.context) as server:
        ways = {
            OURS: for_each(body, KEYS, d=ours, v=written),
            "Manager": for_each(body, KEYS[:100], d=server.dict(contents), v=written),
        }
        return effort.compare(what, how, ways)


def dict_read(effort: Effort) -> Row:
    """One key after the other."""
    return _dicts(effort, "dict: read a key", "d[k] of an int; 1,000 keys", "d[k]", 1, 2)


def dict_write(effort: Effort) -> Row:
    """Replacing values, none of them new."""
    return _dicts(effort, "dict: write a key", "d[k] = an int; 1,000 keys, none new", "d[k] = v", 1, 2)


def dict_object(effort: Effort) -> Row:
    """What has to be pickled in both."""
    return _dicts(effort, "dict: read a key, pickled value", "d[k] of a tuple; 1,000 keys", "d[k]", (1, 2.5, "x"), 2)


def dict_update(effort: Effort) -> Row:
    """All keys in one call, which is one message to a manager."""
    new = dict.fromkeys(KEYS, 2)
    with SharedDict(new) as ours, manager(effort.context) as server:
        ways = {
            OURS: statement("d.update(new)", d=ours, new=new),
            "Manager": statement("d.update(new)", d=server.dict(new), new=new),
        }
        return effort.compare("dict: update() of 1,000 keys", "one call, which is one message to a manager", ways)


def list_append(effort: Effort) -> Row:
    """To a list that is empty when a round begins."""
    with SharedList[int]() as ours, manager(effort.context) as server:
        return effort.compare("list: append an int", "", {OURS: _append(ours), "Manager": _append(server.list())})


def _append(items: Any) -> Way:
    return Way(after("s[:] = []", "s.append(1)", s=items).run, most=1_000_000)


def list_read(effort: Effort) -> Row:
    """Any of 1,000 ints."""
    numbers = list(range(1000))
    places = [number * 7919 % 1000 for number in numbers]
    shareable = ShareableList(numbers)
    try:
        with SharedList(numbers) as ours, manager(effort.context) as server:
            ways = {
                OURS: for_each("s[k]", places, s=ours),
                "ShareableList": for_each("s[k]", places, s=shareable),
                "Manager": for_each("s[k]", places[:100], s=server.list(numbers)),
            }
            return effort.compare("list: read an item", "s[i] of an int; 1,000 items", ways)
    finally:
        shareable.shm.close()
        shareable.shm.unlink()


@contextmanager
def _memory(size: int) -> Generator[SharedMemory]:
    """A `SharedMemory` for the length of the block; NumPy's views of it must have gone by then."""
    memory = SharedMemory(create=True, size=size)
    try:
        yield memory
    finally:
        memory.close()
        memory.unlink()


def array_item(effort: Effort) -> Row:
    """Reading one element by its index."""
    data = np.arange(1000.0)
    with SharedArray(data) as ours, _memory(data.nbytes) as memory:
        theirs = effort.context.Array("d", data.tolist())
        return _items(effort, {OURS: ours, "mp.Array": theirs}, memory)


def _items(effort: Effort, arrays: dict[str, Any], memory: SharedMemory) -> Row:
    arrays["SharedMemory"] = np.ndarray(1000, buffer=memory.buf)
    ways = {name: statement("a[500]", a=array) for name, array in arrays.items()}
    return effort.compare("array: read an element", "a[500] of doubles; NumPy on SharedMemory", ways)


def array_add(effort: Effort) -> Row:
    """Arithmetic on the memory itself."""
    count = MEBIBYTE // 8
    with SharedArray.zeros(count) as ours, _memory(MEBIBYTE) as memory:
        theirs = np.frombuffer(effort.context.RawArray("d", count))
        return _additions(effort, {OURS: ours.array, "mp.Array": theirs}, memory)


def _additions(effort: Effort, arrays: dict[str, Any], memory: SharedMemory) -> Row:
    arrays["SharedMemory"] = np.ndarray(MEBIBYTE // 8, buffer=memory.buf)
    ways = {name: statement("a += 1.0", a=array) for name, array in arrays.items()}
    return effort.compare("array: add 1 to 131,072 doubles", "NumPy, in place; on SharedArray.array", ways)


def array_life(effort: Effort) -> Row:
    """Copying data in, and destroying."""
    data = np.random.default_rng(0).random(MEBIBYTE // 8)
    ways = {OURS: called(lambda: _our_life(data)), "SharedMemory": called(lambda: _their_life(data))}
    return effort.compare("array of 1 MiB: make, copy in, destroy", "NumPy on SharedMemory", ways)


def _our_life(data: Any) -> None:
    array = SharedArray(data)
    array.unlink()
    array.close()


def _their_life(data: Any) -> None:
    made = SharedMemory(create=True, size=data.nbytes)
    view = np.ndarray(data.shape, data.dtype, buffer=made.buf)
    view[:] = data
    del view
    made.close()
    made.unlink()
