"""What procshare says when something goes wrong: how to bring each message about, and what the reference says of it.

The table in docs/reference/errors.md is these rows. In a message `{}` stands for what differs: a name, a pid, a figure.
"""

from __future__ import annotations

import os
import struct
import threading
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import procshare
from death_support import forked
from procshare import (
    SharedArray,
    SharedBarrier,
    SharedCounter,
    SharedDict,
    SharedList,
    SharedLock,
    SharedNamespace,
    SharedPipe,
    SharedQueue,
    SharedRWLock,
    SharedSemaphore,
    SharedSet,
    SharedValue,
    attach,
    share,
    transaction,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Anything: Any = procshare
"""For calls that the types forbid."""


class Row(NamedTuple):
    """One message."""

    error: str
    message: str
    cause: str
    remedy: str
    provoke: Callable[[], object]


ROWS: list[Row] = []


def row(error: str, message: str, cause: str, remedy: str) -> Callable[[Callable[[], object]], None]:
    """Put into the table what the decorated function brings about."""

    def put(provoke: Callable[[], object]) -> None:
        ROWS.append(Row(error, message, cause, remedy, provoke))

    return put


@contextmanager
def held(handle: Any) -> Generator[None]:
    """The lock of a handle is held by another thread for the length of the block."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with handle if handle.kind == "lock" else handle.locked():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    try:
        yield
    finally:
        leave.set()
        thread.join(10)


@contextmanager
def segment(name: str, contents: bytes, mode: int = 0o600) -> Generator[None]:
    """A file in /dev/shm where an object of that name would be."""
    path = Path(f"/dev/shm/procshare.{os.geteuid()}.{name}")
    path.write_bytes(contents)
    path.chmod(mode)
    try:
        yield
    finally:
        path.unlink()


def counters_bytes() -> bytes:
    """What the segment of a counter called "said" holds."""
    with SharedCounter(name="said") as x:
        return Path(f"/dev/shm/{x.segment}").read_bytes()


@contextmanager
def memory() -> Generator[SharedMemory]:
    """Eight bytes of the standard library's."""
    made = SharedMemory(create=True, size=8)
    try:
        yield made
    finally:
        made.close()
        made.unlink()


# ---- locks and waiting ----


@row(
    "LockTimeout",
    "{} is still held by pid {} for {} s after waiting {} s; wait longer, or look at procshare.segments() for the "
    "holder",
    "Another thread or process is in a `locked()` block.",
    "Give more time, or find out what the holder does: `error.holder`, `error.held`. No lock is taken from the living.",
)
def _lock_timeout() -> None:
    with SharedCounter(name="said") as x, held(x), x.locked(timeout=0):
        pass


@row(
    "WaitTimeout",
    "the awaited state of {} did not come within {} s; wait longer, or look at what it is now",
    "No change made the predicate of `wait_until` true, or not all items of `join` were done.",
    "Give more time, or find out whether whoever should change it is alive: `segments()` tells who is attached.",
)
def _wait_timeout() -> None:
    with SharedCounter() as x:
        x.wait_until(bool, timeout=0)


@row(
    "RuntimeError",
    "{} is yours already, and is not re-entrant: to wait for it would be for ever; SharedRLock nests",
    "A `SharedLock` is acquired again by the thread or task that has it.",
    "Use `SharedRLock`, or do not nest.",
)
def _not_reentrant() -> None:
    lock = SharedLock()
    with lock:
        lock.acquire()


@row(
    "RuntimeError",
    "{} is not yours to release: {}",
    "The lock belongs to another thread, task or process, or to nobody.",
    "Release it where it was acquired; `with lock:` does.",
)
def _not_yours() -> None:
    SharedLock().release()


@row(
    "RuntimeError",
    "{}: this thread reads it: to wait until nobody does would be for ever; leave reading() first",
    "`writing()` inside of `reading()` would wait for itself.",
    "Leave the block of `reading()` first.",
)
def _writing_while_reading() -> None:
    with SharedRWLock() as lock, lock.reading(), lock.writing():
        pass


@row(
    "ValueError",
    "timeout is not a number; give seconds, or None to wait for ever",
    "A timeout of NaN.",
    "Seconds as a number, or None.",
)
def _no_number() -> None:
    SharedLock().acquire(timeout=float("nan"))


@row(
    "ValueError",
    "a semaphore has 0 to 2**31 - 1 permits",
    "A semaphore is made with a negative number, or too large a one.",
    "A number in the range.",
)
def _permits() -> None:
    SharedSemaphore(-1)


@row(
    "BrokenBarrierError",
    "{} is broken: a party was late, left or died, or it was aborted or reset",
    "One of those who wait for each other will not come.",
    "`reset()` the barrier when all are ready to begin anew.",
)
def _broken() -> None:
    with SharedBarrier(2) as barrier:
        barrier.abort()
        barrier.wait()


# ---- lifetimes ----


@row(
    "OwnerDied",
    "the process that held {} died inside its locked block and may have left it half written; check .array, then call "
    "recover()",
    "A process was killed inside the `locked()` block of an array.",
    'Look at `.array`, repair what is wrong, call `recover()`; or make the array with `on_owner_death="proceed"`.',
)
def _owner_died() -> None:
    with SharedArray([1, 2]) as x:
        block = x.locked()
        forked(lambda: block.__enter__())
        x.set([3, 4])


@row(
    "Closed",
    "this handle is closed; attach again by name",
    "A handle is used after `close()`, or after its `with` block.",
    "Attach again, or make the block longer.",
)
def _closed() -> None:
    x = SharedCounter()
    x.close()
    x.increment()


@row(
    "Closed",
    "the `with x.locked()` block of this guard is over; begin another",
    "What `locked()` gave is used after its block.",
    "Use it inside; what is to be kept, copy out.",
)
def _guard_over() -> None:
    with SharedDict[str, int]() as d:
        with d.locked() as inside:
            pass
        len(inside)


@row(
    "ClosedEnd",
    "this end of the pipe is closed; make another pipe, or pass an end on before it is closed",
    "A `PipeEnd` is used after `close()`.",
    "As it says. (It is a `Closed`.)",
)
def _closed_end() -> None:
    here, there = SharedPipe()
    here.close()
    there.close()
    here.send(1)


@row(
    "NotFound",
    "no live shared object is called {}; procshare.segments() lists what exists",
    "Nothing of this name was made, or it was unlinked, or its owner has ended.",
    "Let the owner live longer; `hand_over()` it, or make it by `open()`, if it is to outlive its creator.",
)
def _not_found() -> None:
    attach("said-by-nobody")


@row(
    "AlreadyExists",
    "{} exists already; attach() to it, open() it, or choose another name",
    "Another process made an object of this name, or this one did.",
    "As it says.",
)
def _already_exists() -> None:
    with SharedCounter(name="said"):
        SharedCounter(name="said")


@row(
    "KindMismatch",
    "{} is something else: it is a dict, and not a list; procshare.attach() finds the class that fits",
    "The name is that of an object of another class.",
    "Use the class that it says, or `procshare.attach()`.",
)
def _kind_mismatch() -> None:
    with SharedDict(name="said"):
        SharedList.attach("said")


@row(
    "KindMismatch",
    "{} is something else: it is a {} array of shape {}, not {} of {}",
    "`SharedArray.open` found an array of another type or shape than its arguments say.",
    "The same arguments in all processes.",
)
def _other_array() -> None:
    with SharedArray([1, 2], "i", name="said"):
        SharedArray.open("said", [1.5])


@row(
    "CorruptSegment",
    "{} does not hold a valid procshare object; unlink it and make it anew: {}",
    "Something else wrote to the file of the segment, or it was cut.",
    "Remove it (`procshare prune`, or `rm /dev/shm/...`), and find out who writes there.",
)
def _corrupt() -> None:
    with segment("said", b"no segment" * 1000):
        attach("said")


@row(
    "VersionMismatch",
    "{} has another layout version; use the same procshare on both sides: it has version {}, this procshare has {}",
    "A process with another version of procshare made it.",
    "Install one version everywhere, and start anew.",
)
def _version() -> None:
    made = counters_bytes()
    with segment("said", made[:8] + struct.pack("<I", 999_999) + made[12:]):
        attach("said")


@row(
    "NotOwned",
    "{} was refused: {}",
    "The file of the segment is another user's, or open to others, or no plain file.",
    "Attach as the user who made it; or trust those who the message says can write into it (`procshare.trust`).",
)
def _not_owned() -> None:
    path = Path(f"/dev/shm/procshare.{os.geteuid()}.said")
    path.symlink_to("/dev/null")
    try:
        attach("said")
    finally:
        path.unlink()


@row(
    "OutOfSharedMemory",
    "{} needs {} bytes of shared memory and {} are free; free some (procshare.prune()), or enlarge /dev/shm (docker "
    "run --shm-size=1g)",
    "/dev/shm is too small.",
    "As it says. Nothing was created or lost: `error.needed`, `error.free`, `error.limit`.",
)
def _out_of_memory() -> None:
    SharedArray.zeros(1 << 47, "B")


@row(
    "ValueError",
    "{} cannot be a name: give 1 to 180 bytes without '/', '#' or NUL, not beginning with '.', 'procshare-' "
    "or 'procshare.<number>.'",
    "`name=` is not what a file can be called.",
    "As it says.",
)
def _bad_name() -> None:
    SharedCounter(name="a/b")


@row(
    "TypeError",
    "a name is a str, not {}",
    "`name=` or `attach()` was given something else.",
    "A str.",
)
def _no_name() -> None:
    Anything.attach(5)


@row(
    "UnsupportedByBackend",
    'the "stdlib" backend cannot {}; backend="shm" can',
    "Objects of `multiprocessing` have no names, travel only to a child at its start, and die with their creator.",
    'Make the object with `backend="shm"`.',
)
def _unsupported() -> None:
    SharedCounter(name="said", backend="stdlib")


@row("ValueError", "no backend is called {}; there are {}", "A typing error in `backend=`.", "One of those listed.")
def _no_backend() -> None:
    SharedCounter(backend="posix")


# ---- values ----


@row(
    "AttributeError",
    "value is read-only, because reading and writing it in two steps would race; use set(), modify(), increment(), or "
    "`with x.locked() as guard:`",
    "`x.value = ...` or `x.value += ...`: another process could write in between.",
    "As it says.",
)
def _read_only() -> None:
    x: Any = SharedCounter()
    x.value += 1


@row(
    "OverflowError",
    "{} is outside a counter's range, -2**63 + 1 to 2**63 - 1; nothing was changed",
    "A counter holds 64 bits.",
    "A `SharedValue` without a type code holds any int.",
)
def _counter_range() -> None:
    SharedCounter(1 << 63)


@row(
    "OverflowError",
    "{} does not fit type code {}; nothing was changed",
    "The number is too large for the C type.",
    "A larger type code, or none.",
)
def _code_range() -> None:
    SharedValue(200, "b")


@row(
    "TypeError",
    "{} is no number type that a SharedValue can hold; {}",
    "`dtype=` is none of the type codes of numbers.",
    "No dtype, for any object; a `SharedArray` for other dtypes.",
)
def _no_number_type() -> None:
    SharedValue(1, "U5")


@row(
    "TypeError",
    "an object of type {} cannot be shared, because it does not pickle: {}",
    "Lambdas, locks, open files and the like cannot go to another process.",
    "Share what it is made from.",
)
def _no_pickle() -> None:
    share(lambda: 5)


@row(
    "TypeError",
    "{} cannot be a key: {}. Keys are str, bytes, int, None, or tuples of these",
    "Other types do not compare equal in every process, or are equal to a key of another type, as 1.0 and True to 1.",
    "Make a key of these: `str(x)`, `int(x)`, a tuple.",
)
def _no_key() -> None:
    SharedDict[Any, int]()[1.5] = 1


@row(
    "TypeError",
    "increment() needs an int at key {}, which holds something else; modify_item() changes any value",
    "`increment` on a value that is no int.",
    "`modify_item(key, fn)`.",
)
def _no_count() -> None:
    SharedDict(a="text").increment("a")


@row("KeyError", "popitem(): dictionary is empty", "As for a dict.", "Catch it: others may have emptied it.")
def _no_item() -> None:
    SharedDict[str, int]().popitem()


@row("KeyError", "pop from an empty set", "As for a set.", "Catch it.")
def _no_element() -> None:
    SharedSet[int]().pop()


@row("IndexError", "{}", "As for a list: no such item.", "Catch it: others may have removed it.")
def _no_index() -> None:
    SharedList([1])[5]


@row(
    "AttributeError",
    "{} cannot be a shared attribute: the class uses it itself; as an item it can be: ns[{}]",
    "The class has a method or property of that name.",
    "As it says.",
)
def _own_attribute() -> None:
    ns: Any = SharedNamespace()
    ns.locked = 5


@row(
    "AttributeError",
    "this namespace has no attribute {}",
    "None was set, or another process deleted it.",
    '`"name" in ns`, `getattr(ns, "name", default)`.',
)
def _no_attribute() -> None:
    assert SharedNamespace().missing


@row(
    "TypeError",
    "dtype {} holds Python objects, which only one process can see; use a number type",
    "An array of objects, often made of lists of different lengths.",
    "A number type; a `SharedList` for objects.",
)
def _objects() -> None:
    Anything.SharedArray([None, {}])


@row(
    "TypeError",
    "{} data would lose something as {}; convert it yourself if you mean to",
    "Floats to ints, or complex numbers to floats.",
    "`data.astype(dtype)`, or `round()`.",
)
def _loses() -> None:
    SharedArray([1.5], "i")


@row("OverflowError", "{} does not fit dtype {}", "An element is too large for the array's dtype.", "A larger dtype.")
def _element_range() -> None:
    SharedArray([300], "B")


@row(
    "ValueError",
    "on_owner_death is 'raise' or 'proceed', not {}",
    "A typing error.",
    "One of the two.",
)
def _on_owner_death() -> None:
    Anything.SharedArray([1], on_owner_death="ignore")


# ---- queues, transactions, wrap() ----


@row(
    "ValueError", "capacity is from 1 to 2**40 bytes, not {}", "`capacity=` is out of range.", "A number in the range."
)
def _capacity() -> None:
    SharedQueue(capacity=0)


@row("ValueError", "max_items is at least 1, not {}", "`get_many(0)`.", "One or more.")
def _max_items() -> None:
    SharedQueue[int]().get_many(0)


@row(
    "ValueError",
    "task_done() called too many times",
    "There was a `task_done` for each item already.",
    "One for each `get`, and none for a `lease`.",
)
def _too_done() -> None:
    SharedQueue[int]().task_done()


@row(
    "OwnerDied",
    "{}: {} died between get() and task_done(); {} items that were taken are unaccounted for: do their work again, and "
    "call task_done() for each",
    "A consumer was killed while it worked on an item.",
    "As it says; `lease()` gives such items to another consumer by itself.",
)
def _debts() -> None:
    with SharedQueue[int]() as queue:
        queue.put(1)
        forked(queue.get)
        queue.join(timeout=5)


@row(
    "TypeError",
    "a transaction is over shared dicts, lists, sets and namespaces, not {}",
    "`transaction()` was given something else.",
    "A counter or value can be an item of a `SharedDict`.",
)
def _no_container() -> None:
    Anything.transaction(SharedCounter())


@row("ValueError", "a transaction needs a container", "`transaction()` without arguments.", "At least one.")
def _no_containers() -> None:
    transaction()


@row(
    "TypeError",
    "wrap() adopts a multiprocessing Value, Array, Queue or lock of any kind, a SharedMemory, or a Manager's Value, "
    "dict, list or Namespace, not a {}; share() copies other objects",
    "`wrap()` was given something else.",
    "`share(obj)`.",
)
def _no_wrap() -> None:
    Anything.wrap([1])


@row(
    "TypeError",
    "__init__ was called again on an object that exists; make a new one",
    "A subclass calls `super().__init__` twice, or somebody calls `x.__init__()`.",
    "Make a new object.",
)
def _again() -> None:
    x = SharedCounter()
    type(x).__init__(x)
