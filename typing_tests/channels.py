"""Type-checked, never run: queues, and how their element type is inferred and kept."""

from contextlib import suppress
from typing import assert_type

from procshare import Handle, SharedQueue, ShutDown, attach


class Jobs(SharedQueue[tuple[str, int]]):
    """A user's subclass that fixes T."""


numbers = SharedQueue[int]()
assert_type(numbers, SharedQueue[int])
words: SharedQueue[str] = SharedQueue(100, capacity=8 << 20, name="words", backend="shm")
Handle.attach("any")
SharedQueue[int](maxsize="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SharedQueue[int](100, 1 << 20)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# ---- putting ----

numbers.put(1)
numbers.put(1, False)
numbers.put(1, block=True, timeout=0.5)
numbers.put_nowait(1)
numbers.put_many([1, 2, 3])
numbers.put_many((n * n for n in range(5)), timeout=1)
numbers.put("one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
numbers.put_nowait(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
numbers.put_many(["one"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]

# ---- getting ----

assert_type(numbers.get(), int)
assert_type(numbers.get(True, 0.5), int)
assert_type(numbers.get_nowait(), int)
assert_type(numbers.get_many(), list[int])
assert_type(words.get_many(10, timeout=1.5), list[str])
for number in numbers:
    assert_type(number, int)
assert_type(list(words), list[str])
with words.lease(timeout=1) as word:
    assert_type(word, str)
with suppress(ShutDown):
    numbers.get()

# ---- the rest ----

assert_type(numbers.qsize(), int)
assert_type(numbers.empty(), bool)
assert_type(numbers.full(), bool)
assert_type(numbers.maxsize, int)
assert_type(numbers.capacity, int)
numbers.maxsize = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
numbers.task_done()
numbers.join()
numbers.join(timeout=1)
numbers.shutdown()
numbers.shutdown(immediate=True)
numbers.join_thread()
numbers.cancel_join_thread()
numbers.close()

# ---- as handles ----

jobs = Jobs(5)
assert_type(jobs.get(), tuple[str, int])
assert_type(jobs.hand_over(), Jobs)
assert_type(Jobs.attach("jobs"), Jobs)
assert_type(SharedQueue[int].open("numbers", 10, persist=True), SharedQueue[int])
assert_type(attach("jobs"), Handle)
with SharedQueue[bytes]() as entered:
    assert_type(entered, SharedQueue[bytes])


async def use(queue: SharedQueue[int]) -> None:
    """What tasks do."""
    assert_type(await queue.get_async(), int)
    assert_type(await queue.get_async(timeout=0.5), int)
    await queue.put_async(1)
    await queue.put_async(1, 0.5)
    await queue.put_async("one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
