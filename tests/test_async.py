"""Asyncio tasks that wait for shared things: who holds a lock, in which order they go on, and what they are told.

What every backend does for tasks is in conformance/test_async.py.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from functools import partial
from queue import Empty
from typing import TYPE_CHECKING, Any

import pytest

from async_support import block, run, turns, waiting
from death_support import Task, in_time, patient
from procshare import (
    SharedArray,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedList,
    SharedLock,
    SharedNamespace,
    SharedQueue,
    SharedRLock,
    SharedSemaphore,
    SharedSet,
    SharedValue,
    WaitTimeout,
)
from procshare.backends import native_built
from support import kept

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

MUTEXES: list[Any] = [SharedLock, SharedRLock]
each_mutex = pytest.mark.parametrize("kind", MUTEXES, ids=lambda kind: kind.kind)


# ---- who holds a lock ----


@each_mutex
def test_the_task_is_the_holder(kind: Any) -> None:
    """Neither another task of its thread, nor the thread outside of it, nor another thread releases it."""

    async def refused(lock: Any) -> None:
        with pytest.raises(RuntimeError, match="another task"):
            lock.release()
        assert lock.owner_died is False
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0) is False

    async def main() -> None:
        with kept(kind()) as lock:
            assert await lock.acquire_async()
            await asyncio.create_task(refused(lock))
            asyncio.get_running_loop().call_soon(pytest.raises, RuntimeError, lock.release)
            with pytest.raises(RuntimeError):
                Task(lock.release).result()
            assert Task(lambda: lock.acquire(False)).result() is False
            await turns(2)
            assert lock.locked() is True
            lock.release()
            assert lock.locked() is False
            with pytest.raises(RuntimeError):
                lock.release()

    run(main)


@each_mutex
def test_a_thread_s_hold_is_no_task_s(kind: Any) -> None:
    """What was acquired without `await` belongs to the thread, and tasks of the same thread wait for it."""

    async def main() -> None:
        with kept(kind()) as lock:
            lock.acquire()
            task = await waiting(block(lock))
            lock.release()
            await task

    run(main)


def test_a_lock_of_its_own_is_an_error_at_once() -> None:
    """A task that would wait for itself is told, also while others wait; without waiting it is False."""

    async def main() -> None:
        with kept(SharedLock()) as lock:
            async with lock:
                other = await waiting(block(lock))
                with pytest.raises(RuntimeError):
                    await lock.acquire_async()
                with pytest.raises(RuntimeError):
                    await lock.acquire_async(5)
                with pytest.raises(RuntimeError):
                    lock.acquire()
                assert await lock.acquire_async(0) is False
                assert lock.acquire(False) is False
            await other

    run(main)


def test_an_rlock_nests_in_its_task() -> None:
    """As deep as wanted, with and without `await`, also while others wait; they go on after the last release."""

    async def main() -> None:
        with kept(SharedRLock()) as lock:
            async with lock:
                other = await waiting(block(lock))
                async with lock:
                    with lock:
                        assert await lock.acquire_async(0) is True
                lock.release()
                await turns(5)
                assert not other.done()
            await other

    run(main)


def test_no_task_no_lock() -> None:
    """A coroutine that no task runs cannot hold one."""
    with kept(SharedLock()) as lock:
        with pytest.raises(RuntimeError):
            lock.acquire_async().send(None)
        assert lock.locked() is False


@each_mutex
def test_a_task_that_ended_is_not_mistaken_for_another(kind: Any) -> None:
    """It ended without a release: the lock stays held, whatever the id of the next task."""

    async def forget(lock: Any) -> None:
        await lock.acquire_async()

    async def try_it(lock: Any) -> None:
        assert await lock.acquire_async(0) is False
        with pytest.raises(RuntimeError):
            lock.release()

    async def main() -> None:
        with kept(kind()) as lock:
            await asyncio.create_task(forget(lock))
            for _ in range(50):
                await asyncio.create_task(try_it(lock))

    run(main)


# ---- order and progress ----


@each_mutex
def test_tasks_get_it_in_the_order_in_which_they_came(kind: Any) -> None:
    """Also those that come while others wait, and those behind one that gave up."""
    order: list[int] = []

    async def take(lock: Any, n: int) -> None:
        async with lock:
            order.append(n)
            await turns(2)

    async def main() -> None:
        with kept(kind()) as lock:
            await lock.acquire_async()
            tasks = [await waiting(take(lock, n)) for n in range(10)]
            tasks[4].cancel()
            lock.release()
            await asyncio.gather(take(lock, 10), *tasks, return_exceptions=True)

    run(main)
    assert order == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]


def test_a_semaphore_lets_in_as_many_as_it_says() -> None:
    """Never more tasks than permits are in the block, and in the end all were."""
    inside = most = done = 0

    async def work(permits: Any) -> None:
        nonlocal inside, most, done
        async with permits:
            inside += 1
            most = max(most, inside)
            await turns(3)
            inside -= 1
            done += 1

    async def main() -> None:
        with kept(SharedSemaphore(3)) as permits:
            await asyncio.gather(*(work(permits) for _ in range(50)))
            assert permits.get_value() == 3

    run(main)
    assert (inside, most, done) == (0, 3, 50)


def test_tasks_and_a_thread_take_turns() -> None:
    """A thread that blocks and tasks that await exclude each other, and neither is forgotten."""
    count = 0

    def add_blocking(lock: SharedLock) -> None:
        nonlocal count
        for _ in range(100):
            with lock:
                count += 1

    async def add(lock: SharedLock) -> None:
        nonlocal count
        for _ in range(50):
            async with lock:
                before = count
                await asyncio.sleep(0)
                count = before + 1

    async def main() -> None:
        with kept(SharedLock()) as lock:
            thread = Task(partial(add_blocking, lock))
            await asyncio.gather(add(lock), add(lock))
            await asyncio.to_thread(thread.result)

    run(main)
    assert count == 200


def test_questions_and_answers_between_a_task_and_a_thread() -> None:
    """One awaits, the other blocks, a hundred times in turn."""

    def answer(questions: SharedQueue[int], answers: SharedQueue[int]) -> None:
        for n in questions:
            answers.put(n * n)

    async def main() -> None:
        with SharedQueue[int]() as questions, SharedQueue[int]() as answers:
            thread = Task(partial(answer, questions, answers))
            for n in range(100):
                await questions.put_async(n)
                assert await answers.get_async() == n * n
            questions.shutdown()
            await asyncio.to_thread(thread.result)

    run(main)


def test_a_pulse_wakes_all_who_wait() -> None:
    """`clear` right after `set` takes nothing away from tasks."""

    async def main() -> None:
        with SharedEvent() as event:
            tasks = [await waiting(event.wait_async()) for _ in range(5)]
            event.set()
            event.clear()
            assert await asyncio.gather(*tasks) == [True] * 5
            assert await event.wait_async(0) is False

    run(main)


STATES: dict[str, tuple[Callable[[], Any], Any]] = {
    "counter": (lambda: SharedCounter(1), 2),
    "number": (lambda: SharedValue(1, "i"), 2),
    "object": (lambda: SharedValue("a"), "b"),
    "array": (lambda: SharedArray([1, 2]), [3, 4]),
    "dict": (lambda: SharedDict({"a": 1}), {"b": 2}),
    "list": (lambda: SharedList([1]), [2, 3]),
    "set": (lambda: SharedSet({1}), {2, 3}),
    "namespace": (lambda: SharedNamespace({"a": 1}), {"b": 2}),
}


@pytest.mark.parametrize("kind", STATES)
def test_every_state_is_awaited(kind: str) -> None:
    """`wait_until_async` sees what is set elsewhere, and returns the value that it saw."""
    make, wanted = STATES[kind]

    def is_wanted(value: Any) -> bool:
        return bool(value.tolist() == wanted) if kind == "array" else bool(value == wanted)

    def is_other(value: Any) -> bool:
        return not is_wanted(value)

    async def main() -> None:
        with make() as state:
            task = await waiting(state.wait_until_async(is_wanted))
            await asyncio.to_thread(state.set, wanted)
            assert is_wanted(await task)
            with pytest.raises(WaitTimeout):
                await state.wait_until_async(is_other, 0)

    run(main)


def test_an_array_in_a_block_does_not_stop_the_loop() -> None:
    """A wait for an array that another thread has locked lets other tasks run, and sees what the block wrote."""
    begun, end = threading.Event(), threading.Event()

    def hold(array: Any) -> None:
        with array.locked() as live:
            begun.set()
            assert end.wait(10)
            live[:] = 5

    async def main() -> None:
        with SharedArray([1, 2]) as array:
            thread = Task(partial(hold, array))
            await asyncio.to_thread(begun.wait, 10)
            with pytest.raises(WaitTimeout):
                await array.wait_until_async(lambda a: bool(a[0] == 5), 0.1)
            task = await waiting(array.wait_until_async(lambda a: bool(a[0] == 5)))
            end.set()
            assert (await task).tolist() == [5, 5]
            await asyncio.to_thread(thread.result)

    run(main)


def test_what_a_predicate_raises_comes_out() -> None:
    """And the wait is over."""

    async def main() -> None:
        with SharedCounter(1) as hits:
            task = await waiting(hits.wait_until_async(lambda n: 1 // (2 - n) < 1))
            hits.increment()
            with pytest.raises(ZeroDivisionError):
                await task

    run(main)


@patient
@pytest.mark.parametrize("wait", ["lock", "semaphore", "event", "queue", "state"])
def test_timeouts_are_kept(wait: str) -> None:
    """No sooner than they say, and hardly later."""

    async def main() -> None:
        with (
            kept(SharedLock()) as lock,
            kept(SharedSemaphore(0)) as none,
            SharedEvent() as event,
            SharedQueue[int]() as queue,
            SharedCounter() as hits,
        ):
            lock.acquire()
            call: Any = {
                "lock": lock.acquire_async,
                "semaphore": none.acquire_async,
                "event": event.wait_async,
                "queue": queue.get_async,
                "state": partial(hits.wait_until_async, bool),
            }[wait]
            for seconds in (0.03, 0.12):
                begun = time.monotonic()
                with suppress(Empty, WaitTimeout):
                    assert await call(timeout=seconds) is False
                took = time.monotonic() - begun
                assert took >= seconds - 0.001
                in_time(took, seconds + 0.02)
            lock.release()

    run(main)
