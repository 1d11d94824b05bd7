"""Type-checked, never run: locks, semaphores, events, conditions, barriers."""

from typing import assert_type

import numpy as np
import numpy.typing as npt

from procshare import (
    SharedArray,
    SharedBarrier,
    SharedBoundedSemaphore,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedLock,
    SharedRLock,
    SharedRWLock,
    SharedSemaphore,
)

lock = SharedLock()
rlock = SharedRLock(name="rlock", backend="shm")
permits = SharedSemaphore(3, robust=True)
bounded = SharedBoundedSemaphore(value=2)

# ---- locks and semaphores ----

assert_type(lock.acquire(), bool)
assert_type(lock.acquire(False), bool)
assert_type(rlock.acquire(block=True, timeout=0.5), bool)
assert_type(lock.release(), None)
assert_type(lock.locked(), bool)
assert_type(rlock.owner_died, bool)
with lock as taken:
    assert_type(taken, bool)
with rlock, permits, bounded:
    pass
assert_type(permits.acquire(timeout=1), bool)
permits.release()
permits.release(2)
assert_type(permits.get_value(), int)
assert_type(permits.locked(), bool)
assert_type(bounded, SharedBoundedSemaphore)
lock.owner_died = False  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
lock.release(2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
SharedLock(3)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
SharedSemaphore(3, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

guard = SharedRWLock()
with guard.reading() as read:
    assert_type(read, None)
with guard.writing(timeout=1) as written:
    assert_type(written, None)
with guard as entered:
    assert_type(entered, SharedRWLock)

# ---- events, conditions, barriers ----

event = SharedEvent()
assert_type(event.is_set(), bool)
assert_type(event.wait(), bool)
assert_type(event.wait(0.5), bool)
event.set()
event.clear()

condition = SharedCondition()
SharedCondition(lock)
SharedCondition(rlock, name="condition")
SharedCondition(permits)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
with condition as held:
    assert_type(held, bool)
    assert_type(condition.wait(1), bool)
    assert_type(condition.wait_for(event.is_set), bool)
    assert_type(condition.wait_for(lambda: "x", timeout=1), str)
    condition.notify()
    condition.notify(2)
    condition.notify_all()
assert_type(condition.acquire(), bool)
condition.release()
assert_type(condition.locked(), bool)

barrier = SharedBarrier(3)
SharedBarrier(3, event.set, 1.5)
SharedBarrier(parties=3, action=lambda: print("all here"), timeout=None)
SharedBarrier(3, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(barrier.wait(), int)
assert_type(barrier.wait(timeout=1), int)
barrier.reset()
barrier.abort()
assert_type(barrier.parties, int)
assert_type(barrier.n_waiting, int)
assert_type(barrier.broken, bool)

# ---- as handles ----

assert_type(SharedLock.attach("lock"), SharedLock)
assert_type(SharedSemaphore.open("permits", 3, persist=True), SharedSemaphore)
assert_type(barrier.hand_over(), SharedBarrier)
assert_type(condition.name, str)


async def use(hits: SharedCounter, table: SharedDict[str, int], pixels: SharedArray[np.uint8]) -> None:
    """What tasks do."""
    assert_type(await lock.acquire_async(), bool)
    assert_type(await rlock.acquire_async(timeout=0.5), bool)
    assert_type(await permits.acquire_async(0.5), bool)
    async with lock as locked:
        assert_type(locked, bool)
    async with rlock, permits, bounded:
        pass
    assert_type(await event.wait_async(), bool)
    assert_type(await event.wait_async(timeout=1), bool)
    assert_type(await hits.wait_until_async(lambda n: n > 5), int)
    assert_type(await table.wait_until_async(lambda d: "x" in d, timeout=1), dict[str, int])
    assert_type(await pixels.wait_until_async(lambda array: bool(array.any())), npt.NDArray[np.uint8])
