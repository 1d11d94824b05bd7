"""The rest of the table of messages: arguments, permissions, what is over, and how the `stdlib` backend says it."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from messages import Anything, counters_bytes, held, memory, row, segment
from procshare import (
    Backend,
    SharedArray,
    SharedBarrier,
    SharedBoundedSemaphore,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedList,
    SharedLock,
    SharedQueue,
    SharedRLock,
    SharedRWLock,
    SharedSemaphore,
    SharedValue,
    attach,
    transaction,
    trust,
)

# ---- values and arrays ----


@row(
    "OverflowError",
    "{} + {} is outside a counter's range, -2**63 + 1 to 2**63 - 1; nothing was changed",
    "A counter holds 64 bits.",
    "A `SharedValue` without a type code, and `modify()`.",
)
def _counter_sum() -> None:
    SharedCounter((1 << 63) - 1).increment()


@row("TypeError", "expected at most one argument, n", "`increment(1, 2)`.", "One call for each, or their sum.")
def _two_arguments() -> None:
    Anything.SharedCounter().increment(1, 2)


@row(
    "TypeError",
    "a record of {} fields is given as a tuple of {}, not {}",
    "An element of a structured array is not whole.",
    "A tuple with each field.",
)
def _no_record() -> None:
    SharedArray([5], [("a", "i4"), ("b", "i4")])


@row(
    "AttributeError",
    "value is read-only, because writing it would race; use set(), modify() or locked()",
    "`array.value = ...`.",
    "As it says.",
)
def _array_read_only() -> None:
    x: Any = SharedArray([1])
    x.value = [2]


@row(
    "ValueError",
    "a {} array cannot be seen as {} without a copy",
    "`numpy.asarray(x, dtype=..., copy=False)` with a dtype that is not the array's.",
    "The array's own dtype, or a copy.",
)
def _array_seen() -> None:
    Anything.SharedArray([1]).__array__("f8", copy=False)


@row("TypeError", "locked() takes one argument, timeout", "`locked(1, 2)`.", "Seconds, or nothing.")
def _locked_arguments() -> None:
    Anything.SharedValue(1).locked(1, 2)


@row("AttributeError", "value cannot be deleted", "`del cell.value`.", "`cell.value = None`.")
def _deleted() -> None:
    with SharedValue(1).locked() as cell:
        del cell.value


# ---- containers ----


@row("IndexError", "list assignment index out of range", "As for a list.", "Catch it: others may have removed it.")
def _no_place() -> None:
    SharedList([1])[5] = 1


@row("IndexError", "pop from empty list", "As for a list.", "Catch it: others may have emptied it.")
def _pop_empty() -> None:
    SharedList[int]().pop()


@row("IndexError", "pop index out of range", "As for a list.", "Catch it.")
def _pop_nowhere() -> None:
    SharedList([1]).pop(5)


@row("TypeError", "pop() takes at most one argument, an index", "As for a list.", "One index, or none.")
def _pop_two() -> None:
    Anything.SharedList([1]).pop(0, None)


@row("TypeError", "can only assign an iterable", "As for a list: `x[1:2] = 5`.", "`x[1:2] = [5]`.")
def _no_iterable() -> None:
    x: Any = SharedList([1, 2])
    x[0:1] = 5


@row("TypeError", "expected a key and perhaps a default", "`d.get()`, `d.pop()`, `d.setdefault()`.", "As it says.")
def _no_key_given() -> None:
    Anything.SharedDict().get()


@row(
    "RuntimeError",
    "transaction() inside a block of one of its containers would commit that one apart from the others; put the "
    "transaction() outside, or over that one in it",
    "`with a.locked(): with transaction(a, b): ...`",
    "As it says.",
)
def _half_inside() -> None:
    a, b = SharedDict[str, int](), SharedDict[str, int]()
    with a.locked(), transaction(a, b):
        pass


# ---- locks, queues ----


@row(
    "RuntimeError",
    "{} is not yours to release: another thread of this process has it",
    "A `SharedLock` belongs to the thread or task that acquired it.",
    "Release it there; for a signal between threads there is `SharedSemaphore` and `SharedEvent`.",
)
def _anothers() -> None:
    lock = SharedLock()
    with held(lock):
        lock.release()


@row(
    "RuntimeError",
    "a lock is acquired for a task, and no asyncio task is running",
    "`acquire_async` is driven by something else than a task.",
    "`await` it in a coroutine of `asyncio.run()`.",
)
def _no_task() -> None:
    SharedLock().acquire_async().send(None)


@row("RuntimeError", "{}: this thread does not read it", "The end of a block that was not begun.", "`with`.")
def _not_reading() -> None:
    SharedRWLock().reading().__exit__(None, None, None)


@row("RuntimeError", "{}: this thread does not write it", "The same, of `writing()`.", "`with`.")
def _not_writing() -> None:
    SharedRWLock().writing().__exit__(None, None, None)


@row(
    "ValueError",
    "release({}) would give {} more than its {} permits; nothing was released",
    "A bounded semaphore was released more often than acquired.",
    "One release for each acquire; `with`.",
)
def _bounded() -> None:
    SharedBoundedSemaphore(1).release()


@row(
    "RuntimeError",
    "release({}) of {}, of which this process has {} permits; nothing was released",
    "A semaphore with `robust=True` is released by a process that has not acquired it.",
    "Release it where it was acquired, or make it without `robust`.",
)
def _robust() -> None:
    SharedSemaphore(1, robust=True).release()


@row("TypeError", "acquire() takes block and timeout", "Other arguments.", "As it says.")
def _acquire_arguments() -> None:
    Anything.SharedLock().acquire(blocking=True)


@row("Full", "{} of {} items were put", "`put_many` had not room for all in time.", "Put the others later.")
def _some_put() -> None:
    SharedQueue[int](maxsize=1).put_many([1, 2], timeout=0)


@row("TypeError", "put() needs the object to put", "`put()`.", "As it says.")
def _put_nothing() -> None:
    Anything.SharedQueue().put()


@row("TypeError", "put_many() needs the items to put", "`put_many()`.", "As it says.")
def _put_none() -> None:
    Anything.SharedQueue().put_many()


@row("TypeError", "unexpected argument {}", "A misspelt keyword.", "`put(obj, block=True, timeout=None)`.")
def _misspelt() -> None:
    Anything.SharedQueue().put(1, blocking=True)


@row("TypeError", "expected at most {} arguments, not {}", "Too many arguments.", "As it says.")
def _too_many() -> None:
    Anything.SharedQueue().put(1, True, None, 5)


@row(
    "RuntimeError",
    "{} has {} items on lease, which is the most",
    "As many `lease()` blocks are open.",
    "Fewer workers with a lease, or `get_many()` and a lease for each batch.",
)
def _leases() -> None:
    with ExitStack() as stack:
        queue = stack.enter_context(SharedQueue[int]())
        queue.put_many(range(1025))
        for _ in range(1025):
            stack.enter_context(queue.lease())


# ---- who may use it ----


@row("TypeError", "mode is a number, as 0o660, not {}", "`mode='rw'`.", "As it says.")
def _no_mode() -> None:
    Anything.SharedCounter(mode="rw")


@row(
    "ValueError",
    "{} cannot be a mode: give 0o600 and with it, for others, any of 0o040, 0o020, 0o004 and 0o002; its user reads and "
    "writes it, and nobody executes it",
    "`mode=0o777`, or 660 without `0o`.",
    "0o660 for a group, 0o666 for everybody.",
)
def _bad_mode() -> None:
    SharedCounter(mode=0o777)


@row("TypeError", "a {} is a name or a number, not {}", "`group=1.5`.", "As it says.")
def _no_group() -> None:
    Anything.SharedCounter(mode=0o660, group=1.5)


@row("ValueError", "{} is no {}'s number", "A negative number, or too large a one.", "One of `getent group`.")
def _no_number_of_group() -> None:
    SharedCounter(mode=0o660, group=-5)


@row("ValueError", "no group is called {}", "This machine or container does not know it.", "One of `getent group`.")
def _unknown_group() -> None:
    SharedCounter(mode=0o660, group="no-such-group")


@row("ValueError", "no user is called {}", "The same of a user.", "One of `getent passwd`.")
def _unknown_user() -> None:
    trust(user="no-such-user")


@row(
    "ValueError",
    "mode {} lets no group in; give mode=0o660 with group={}",
    "`group=` alone would change nothing.",
    "As it says.",
)
def _group_alone() -> None:
    SharedCounter(group=0)


@row(
    "NotOwned",
    "{} was refused: others may read or write it, group {} by its mode {}; if its members may run code in this "
    "process, call procshare.trust(group={}) first",
    "Who can write into a segment can make its readers run code.",
    "As it says, or make it with mode 0o600.",
)
def _by_group() -> None:
    with segment("said", counters_bytes(), 0o660):
        SharedCounter.attach("said")


@row(
    "NotOwned",
    "{} was refused: others may read or write it, all by its mode {}; if everybody may run code in this process, call "
    "procshare.trust(others=True) first",
    "The same.",
    "The same.",
)
def _by_all() -> None:
    with segment("said", counters_bytes(), 0o606):
        SharedCounter.attach("said")


@row(
    "NotOwned",
    "{} was refused: others may use it as no segment is used: see its mode",
    "The file is executable, or its user may not read it.",
    "Remove it: procshare did not make it so.",
)
def _strange_mode() -> None:
    with segment("said", b"", 0o711):
        attach("said")


@row("NotOwned", "{} was refused: it is not a regular file", "A FIFO of that name.", "Find out who makes such things.")
def _fifo() -> None:
    path = Path(f"/dev/shm/procshare.{os.geteuid()}.said")
    os.mkfifo(path, 0o600)
    try:
        attach("said")
    finally:
        path.unlink()


@row(
    "CorruptSegment",
    "{} does not hold a valid procshare object; unlink it and make it anew: the file is too short",
    "Somebody made an empty file of that name, or cut it.",
    "Remove it.",
)
def _short() -> None:
    with segment("said", b""):
        attach("said")


@row(
    "TypeError",
    "backend {} serves no {}; it serves {}",
    "A `Backend` of your own has no class for this kind.",
    "Add it to its classes, or use another backend.",
)
def _serves_none() -> None:
    SharedCounter(backend=Backend("mine", {}))


# ---- the stdlib backend, where it says it in other words ----


@row("TypeError", "type code {} holds a float, not {}", "A str where a float is meant.", "`float(x)`.")
def _no_float_stdlib() -> None:
    Anything.SharedValue("x", "d", backend="stdlib")


@row("OverflowError", "{} bytes do not fit type code 'c', which holds one", "More than one.", "No type code.")
def _two_bytes_stdlib() -> None:
    SharedValue(b"xx", "c", backend="stdlib")


@row("OverflowError", "{} does not fit type code {}, which holds {} to {}", "As above.", "As above.")
def _code_range_stdlib() -> None:
    SharedValue(200, "b", backend="stdlib")


@row("OverflowError", "{} is out of a counter's range, -2**63 + 1 to 2**63 - 1", "As above.", "As above.")
def _counter_range_stdlib() -> None:
    SharedCounter(1 << 63, backend="stdlib")


@row("ValueError", "a shape has no negative lengths: {}", "A length less than 0.", "Lengths from 0.")
def _negative_stdlib() -> None:
    SharedArray.zeros(-1, backend="stdlib")


@row(
    "TypeError",
    "None is no array; a function given to modify() returns the new contents",
    "The function changes its argument, and returns nothing.",
    "`return` it.",
)
def _none_stdlib() -> None:
    def change(_array: object) -> None:
        pass

    x: Any = SharedArray([1], backend="stdlib")
    x.modify(change)


@row("ValueError", "shape {} does not fit in shape {}", "An array keeps its shape.", "Data of this shape.")
def _shape_stdlib() -> None:
    SharedArray([1, 2], backend="stdlib").set([[1, 2], [3, 4]])


@row("ValueError", "an array of {} cannot be seen as {} without a copy", "As above.", "As above.")
def _seen_stdlib() -> None:
    Anything.SharedArray([1], backend="stdlib").__array__("f8", copy=False)


@row("Closed", "the locked() block of this cell has ended; enter a new one", "As above.", "As above.")
def _cell_over_stdlib() -> None:
    with SharedValue(1, backend="stdlib").locked() as cell:
        pass
    cell.value = 2


@row("Closed", "the locked() block of this {} has ended; enter a new one", "As above.", "As above.")
def _guard_over_stdlib() -> None:
    with SharedDict[str, int](backend="stdlib").locked() as inside:
        pass
    len(inside)


@row("TypeError", "a shared value must pickle, and this {} does not: {}", "As above.", "As above.")
def _no_pickle_stdlib() -> None:
    SharedDict[str, Any](backend="stdlib")["a"] = lambda: 5


@row("TypeError", "increment() adds to an int, and {} is a {}", "As above.", "As above.")
def _no_count_stdlib() -> None:
    SharedDict({"a": "text"}, backend="stdlib").increment("a")


@row(
    "RuntimeError",
    "this is for the holder of the condition's lock; acquire() the condition first",
    "As above.",
    "As above.",
)
def _without_lock_stdlib() -> None:
    SharedCondition(backend="stdlib").notify()


@row("ValueError", "a barrier is for at least one party, not {}", "As above.", "As above.")
def _no_party_stdlib() -> None:
    SharedBarrier(0, backend="stdlib")


@row("ValueError", "a semaphore has 0 to {} permits, not {}", "As above.", "As above.")
def _permits_stdlib() -> None:
    SharedSemaphore(-1, backend="stdlib")


@row("ValueError", "release() gives at least one permit back, not {}", "`release(0)`.", "One or more.")
def _release_nothing_stdlib() -> None:
    SharedSemaphore(backend="stdlib").release(0)


@row("ValueError", "{} more permits are too many; at most there are {}", "`release(n)`.", "Fewer.")
def _release_many_stdlib() -> None:
    SharedSemaphore(backend="stdlib").release((1 << 31) - 1)


@row(
    "RuntimeError",
    "only the thread or task that acquired a lock can release it, and that is another or none",
    "As above.",
    "As above.",
)
def _not_yours_stdlib() -> None:
    SharedLock(backend="stdlib").release()


@row(
    "RuntimeError",
    "this lock is held by an asyncio task of this thread, which cannot release it now",
    "`acquire()` by the thread whose event loop has a task that holds the lock: it would wait for itself.",
    "`acquire_async()`.",
)
def _held_by_task_stdlib() -> None:
    lock = SharedRLock(backend="stdlib")

    async def take() -> None:
        await lock.acquire_async()

    asyncio.run(take())
    lock.acquire()


@row("RuntimeError", "no asyncio task is running that could hold it", "As above.", "As above.")
def _no_task_stdlib() -> None:
    SharedLock(backend="stdlib").acquire_async().send(None)


@row(
    "RuntimeError",
    "this thread is reading, and a writer waits for all readers; leave reading() first",
    "As above.",
    "As above.",
)
def _writing_while_reading_stdlib() -> None:
    lock = SharedRWLock(backend="stdlib")
    with lock.reading(), lock.writing():
        pass


@row("ValueError", "capacity is at least 1 byte, not {}", "As above.", "As above.")
def _capacity_stdlib() -> None:
    SharedQueue(capacity=0, backend="stdlib")


@row("ShutDown", "the queue was shut down, and takes nothing more", "`put` after `shutdown()`.", "End the producer.")
def _shut_stdlib() -> None:
    queue = SharedQueue[int](backend="stdlib")
    queue.shutdown()
    queue.put(1)


@row("ShutDown", "the queue was shut down, and is empty", "`get` after that.", "End the consumer.")
def _shut_and_empty_stdlib() -> None:
    queue = SharedQueue[int](backend="stdlib")
    queue.shutdown()
    queue.get()


@row(
    "Closed",
    "the multiprocessing queue that this handle wraps was closed",
    "`close()` of the queue that was given to `wrap()`.",
    "Close it when nobody uses it.",
)
def _wrapped_closed() -> None:
    inner: multiprocessing.Queue[int] = multiprocessing.Queue()
    queue: Any = Anything.wrap(inner)
    inner.close()
    queue.put(1)


@row(
    "NotFound",
    "no live shared object is called {}; procshare.segments() lists what exists: the manager process that held it has "
    "ended",
    "A `Manager()` was shut down, or killed, and its proxies with it.",
    'Keep it, or use `backend="shm"`, which needs no such process.',
)
def _manager_gone() -> None:
    with multiprocessing.Manager() as manager:
        wrapped: Any = Anything.wrap(manager.dict())
    len(wrapped)


@row(
    "ValueError",
    "{} bytes do not fit in SharedMemory {} of {}",
    "`wrap(memory, dtype=..., shape=...)` asks for more than there is.",
    "A smaller shape.",
)
def _no_fit() -> None:
    with memory() as plain:
        Anything.wrap(plain, dtype="q", shape=100_000)


@row("ValueError", "SharedMemory {} is closed", "`wrap()` after `close()`.", "Wrap it before.")
def _closed_memory() -> None:
    with memory() as plain:
        plain.close()
        Anything.wrap(plain, dtype="q", shape=1)


@row(
    "TypeError",
    "this {} is private to the process; make it with multiprocessing.RawArray",
    "An array of ctypes that lies in this process's own memory.",
    "As it says.",
)
def _private() -> None:
    Anything.wrap((ctypes.c_int * 3)())
