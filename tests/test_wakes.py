"""Who sleeps is woken, and does not merely look by itself once a slice of its sleep is over.

Slices are the backstop for a waker that was killed. They would hide a wake that is missing: all would work, 25 ms late.
So many sleep until their slices are as long as they become, and half of them must go on in far less time than that.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from death_support import Task, in_time, patient
from procshare import (
    Handle,
    SharedArray,
    SharedBarrier,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedLock,
    SharedQueue,
    SharedRWLock,
    SharedSemaphore,
    SharedValue,
    ShutDown,
)
from scripts import until

if TYPE_CHECKING:
    from collections.abc import Callable

OBJECTS = 7
ASLEEP = 0.15  # seconds after which a waiter sleeps in slices of 50 ms
WOKEN = 0.01


class Sleep(NamedTuple):
    """A way to sleep.

    Attributes:
        on: The object.
        wait: What some threads do.
        wake: What this one does then, so that all of them go on.
        waiters: How many.
    """

    on: Handle
    wait: Callable[[], object]
    wake: Callable[[], object]
    waiters: int = 1


def for_a_lock() -> Sleep:
    """Whoever gets it lets go at once, which wakes the next one."""
    x = SharedLock()
    x.acquire()

    def wait() -> None:
        with x:
            pass

    return Sleep(x, wait, x.release, 3)


def for_a_thread_to_end() -> Sleep:
    """Which has the lock, and takes it along."""
    x = SharedLock()
    taken, done = threading.Event(), threading.Event()

    def end() -> None:
        x.acquire()
        taken.set()
        done.wait(10)

    holder = Task(end)
    assert taken.wait(10)

    def wake() -> None:
        done.set()
        holder.join(10)

    def wait() -> None:
        with x:
            pass

    return Sleep(x, wait, wake)


def for_a_block() -> Sleep:
    """The same of an object's own lock."""
    x = SharedValue("old")
    block = x.locked()
    block.__enter__()

    def wait() -> None:
        with x.locked(10):
            pass

    return Sleep(x, wait, lambda: block.__exit__(None, None, None), 3)


def for_a_change_of(x: Any, change: Callable[[], object]) -> Sleep:
    """In `wait_until`."""
    old = str(x.value)

    def is_new(value: object) -> bool:
        return str(value) != old

    return Sleep(x, lambda: x.wait_until(is_new, timeout=10), change, 3)


def for_a_counter() -> Sleep:
    """Changed without a lock."""
    x = SharedCounter()
    return for_a_change_of(x, x.increment)


def for_a_value() -> Sleep:
    """Changed under the lock."""
    x = SharedValue("old")
    return for_a_change_of(x, lambda: x.set("new"))


def for_an_array() -> Sleep:
    """Changed by a block."""
    x = SharedArray([1, 2, 3])
    return for_a_change_of(x, lambda: x.set([4, 5, 6]))


def for_a_dict() -> Sleep:
    """Changed by a key."""
    x = SharedDict({"a": 1})
    return for_a_change_of(x, lambda: x.update(b=2))


def for_permits() -> Sleep:
    """As many as there are waiters, given back at once."""
    x = SharedSemaphore(0)
    return Sleep(x, x.acquire, lambda: x.release(3), 3)


def for_an_event() -> Sleep:
    """It wakes all, and is cleared before they have looked."""
    x = SharedEvent()

    def wake() -> None:
        x.set()
        x.clear()

    return Sleep(x, lambda: x.wait(10), wake, 3)


def for_a_notification() -> Sleep:
    """Of all."""
    x = SharedCondition()

    def wait() -> None:
        with x:
            assert x.wait(10)

    def wake() -> None:
        with x:
            x.notify_all()

    return Sleep(x, wait, wake, 3)


def for_the_last_party() -> Sleep:
    """The others wait at the barrier."""
    x = SharedBarrier(4)
    return Sleep(x, x.wait, x.wait, 3)


def for_the_writer() -> Sleep:
    """To read, all at once."""
    x = SharedRWLock()
    block = x.writing()
    block.__enter__()

    def wait() -> None:
        with x.reading(10):
            pass

    return Sleep(x, wait, lambda: block.__exit__(None, None, None), 3)


def for_a_reader() -> Sleep:
    """To write."""
    x = SharedRWLock()
    block = x.reading()
    block.__enter__()

    def wait() -> None:
        with x.writing(10):
            pass

    return Sleep(x, wait, lambda: block.__exit__(None, None, None))


def for_items() -> Sleep:
    """One each."""
    x = SharedQueue[int]()
    return Sleep(x, x.get, lambda: x.put_many([1, 2, 3]), 3)


def for_an_item_on_lease() -> Sleep:
    """To be given back."""
    x = SharedQueue[int]()
    x.put(1)
    lease = x.lease()
    lease.__enter__()
    return Sleep(x, x.get, lambda: lease.__exit__(ValueError, ValueError(), None))


def for_places() -> Sleep:
    """In a queue that is full by number."""
    x = SharedQueue[int](3)
    x.put_many([1, 2, 3])
    return Sleep(x, lambda: x.put(4), lambda: x.get_many(3), 3)


def for_bytes() -> Sleep:
    """In a queue that is full by size."""
    x = SharedQueue[bytes](capacity=1000)
    x.put(b"x" * 900)
    return Sleep(x, lambda: x.put(b"x" * 200), x.get, 2)


def for_tasks() -> Sleep:
    """To be done: in join()."""
    x = SharedQueue[int]()
    x.put(x.qsize())
    x.get()
    return Sleep(x, x.join, x.task_done, 3)


def for_a_shutdown() -> Sleep:
    """To get what will never come."""
    x = SharedQueue[int]()
    return Sleep(x, lambda: list(x), x.shutdown, 3)


def for_a_shutdown_when_full() -> Sleep:
    """To put what will never fit: that it is refused is all that there is to see."""
    x = SharedQueue[int](1)
    x.put(1)

    def wait() -> None:
        with pytest.raises(ShutDown):
            x.put(2)

    return Sleep(x, wait, x.shutdown, 3)


SLEEPS = [
    for_a_lock,
    for_a_thread_to_end,
    for_a_block,
    for_a_counter,
    for_a_value,
    for_an_array,
    for_a_dict,
    for_permits,
    for_an_event,
    for_a_notification,
    for_the_last_party,
    for_the_writer,
    for_a_reader,
    for_items,
    for_an_item_on_lease,
    for_places,
    for_bytes,
    for_tasks,
    for_a_shutdown,
    for_a_shutdown_when_full,
]


def threads_in_wait(sleep: Sleep) -> list[Task]:
    """All of one object's."""
    return [Task(sleep.wait) for _ in range(sleep.waiters)]


@pytest.mark.parametrize("arrange", SLEEPS, ids=lambda arrange: arrange.__name__)
@patient
def test_a_wake_is_no_slice(arrange: Callable[[], Sleep]) -> None:
    """All who wait sleep, and go on long before they would look by themselves."""
    with ExitStack() as stack:
        sleeps = [arrange() for _ in range(OBJECTS)]
        for sleep in sleeps:
            stack.callback(sleep.on.close)
        tasks = [threads_in_wait(sleep) for sleep in sleeps]
        awake = time.process_time()
        time.sleep(ASLEEP)  # not for a state: so long must they have slept
        in_time(time.process_time() - awake, ASLEEP / 2)
        took = list[float]()
        # From the last to the first: in the order in which they lay down, each slice would end just when its turn came.
        for sleep, waiting in reversed(list(zip(sleeps, tasks, strict=True))):
            assert all(task.is_alive() for task in waiting)
            moment = time.monotonic()
            sleep.wake()
            took.append(max(task.after(moment) for task in waiting))
            for task in waiting:
                task.result()
        assert until(lambda: not any(task.is_alive() for waiting in tasks for task in waiting))
        in_time(median(took), WOKEN)
