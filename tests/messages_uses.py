"""More rows of the table of messages: what is said of arguments that do not fit, and of the `stdlib` backend."""

from __future__ import annotations

import copy
import multiprocessing
from typing import Any

from messages import Anything, memory, row
from procshare import (
    SharedArray,
    SharedBarrier,
    SharedCondition,
    SharedDict,
    SharedList,
    SharedLock,
    SharedPipe,
    SharedQueue,
    SharedSemaphore,
    SharedValue,
    transaction,
)


@row("TypeError", "{} is no NumPy dtype: {}", "`dtype=` is misspelt.", "What `numpy.dtype` takes.")
def _no_dtype() -> None:
    Anything.SharedArray([1], "int65")


@row(
    "TypeError",
    "dtype {} has a shape of its own; give that shape to the data instead",
    "A dtype such as `(int, 3)`.",
    "Another dimension in the shape.",
)
def _shaped() -> None:
    Anything.SharedArray.zeros(2, ("i4", 3))


@row("ValueError", "negative lengths in shape {}", "A length less than 0.", "Lengths from 0.")
def _negative() -> None:
    SharedArray.zeros((2, -1))


@row(
    "TypeError",
    "type code 'c' holds one byte, as bytes of length 1, not {}",
    "A str or a number where a byte is meant.",
    '`b"x"`.',
)
def _no_byte() -> None:
    Anything.SharedValue("x", "c")


@row(
    "ValueError",
    "element #{} has length {}; a pair of key and value is required",
    "A dict is made from, or updated by, what are no pairs.",
    "Pairs, or a mapping.",
)
def _no_pairs() -> None:
    Anything.SharedDict([(1, 2, 3)])


@row(
    "TypeError",
    "a key nests at most {} tuples; make it flatter",
    "A tuple in a tuple in a tuple, and so on.",
    "A flatter key.",
)
def _deep() -> None:
    key: Any = ()
    for _ in range(100):
        key = (key,)
    SharedDict[Any, int]()[key] = 1


@row(
    "TypeError",
    "{} cannot be the name of an attribute: that is a str, not {}",
    "`ns[5] = ...`.",
    "A `SharedDict` takes other keys.",
)
def _no_attribute_name() -> None:
    Anything.SharedNamespace()[5] = 1


@row(
    "TypeError",
    "list indices must be integers or slices, not {}",
    "As for a list.",
    "An int or a slice.",
)
def _no_list_index() -> None:
    x: Any = SharedList([1])
    x["a"]


@row(
    "ValueError",
    "attempt to assign sequence of size {} to extended slice of size {}",
    "As for a list.",
    "As many items as the slice has.",
)
def _extended() -> None:
    SharedList([1, 2, 3])[::2] = [1]


@row(
    "TypeError",
    "a transaction needs containers of one backend, not of {}",
    "Containers of `shm` and of `stdlib` in one transaction.",
    "Make them with one backend.",
)
def _two_backends() -> None:
    transaction(SharedDict[str, int](), SharedDict[str, int](backend="stdlib"))


@row(
    "RuntimeError",
    "{} without the lock: take {} first",
    "`wait` or `notify` of a condition outside of `with condition:`.",
    "Inside of it.",
)
def _without_lock() -> None:
    SharedCondition().notify()


@row(
    "TypeError",
    "a condition's lock is a SharedLock or SharedRLock of the same backend, not {}",
    "A `threading.Lock`, say.",
    "One of procshare's locks, or none.",
)
def _no_lock() -> None:
    Anything.SharedCondition(5)


@row("ValueError", "a barrier has 1 to {} parties", "None, or too many.", "A number in the range.")
def _no_party() -> None:
    SharedBarrier(0)


@row(
    "TypeError",
    "a barrier's action is called without arguments; {} cannot be called",
    "`action=` is no function.",
    "A function.",
)
def _no_action() -> None:
    Anything.SharedBarrier(2, 5)


@row("ValueError", "release(n): n must be one or more", "`release(0)`.", "One or more.")
def _release_nothing() -> None:
    SharedSemaphore().release(0)


@row(
    "RuntimeError",
    "this lease was entered already; ask the queue for another one",
    "One `lease()` in two `with` statements.",
    "A `lease()` for each.",
)
def _entered() -> None:
    queue: SharedQueue[int] = SharedQueue()
    queue.put(1)
    queue.put(2)
    lease = queue.lease()
    with lease, lease:
        pass


@row(
    "TypeError",
    "an end of a pipe travels as an argument of a Process, or through a multiprocessing Pipe, Queue or Pool; a plain "
    "pickle or a copy would be the number of a file descriptor, which means another file elsewhere",
    "`pickle.dumps(end)`, `copy.copy(end)`, or an end in a `SharedDict`.",
    "As it says.",
)
def _end_copied() -> None:
    here, there = SharedPipe()
    with here, there:
        copy.copy(here)


@row(
    "TypeError",
    "a SharedMemory holds plain bytes: say dtype= and shape= to wrap it",
    "`wrap(memory)` alone.",
    "As it says.",
)
def _plain_memory() -> None:
    with memory() as plain:
        Anything.wrap(plain)


@row(
    "TypeError",
    "dtype and shape are for a SharedMemory; a {} has its own",
    "`wrap(array, dtype=...)`.",
    "Leave them out.",
)
def _own_dtype() -> None:
    Anything.wrap(multiprocessing.Array("i", 2), dtype="i", shape=2)


@row(
    "RuntimeError",
    "this lock is held here already, and would wait for itself for ever; SharedRLock can nest",
    "As above, with the `stdlib` backend.",
    "Use `SharedRLock`.",
)
def _not_reentrant_stdlib() -> None:
    lock = SharedLock(backend="stdlib")
    with lock:
        lock.acquire()


@row(
    "Closed",
    "this handle is closed; make a new one, or pass another to the child when it starts",
    "As above, with the `stdlib` backend, whose objects cannot be attached to.",
    "As it says.",
)
def _closed_stdlib() -> None:
    x = SharedValue(5, "i", backend="stdlib")
    x.close()
    x.set(6)
