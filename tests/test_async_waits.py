"""How asyncio tasks wait: one helper thread for all of them, which keeps nothing; and waits that are cancelled."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import weakref
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_support import block, helpers, run, turns, waiting
from death_support import Task, asleep, forked, patient
from procshare import Closed, SharedCounter, SharedEvent, SharedLock, SharedQueue, SharedRLock, SharedSemaphore
from procshare.backends import native_built
from scripts import until
from support import kept

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # the helper is a thread, and we fork
]


# ---- the helper ----


def test_five_hundred_waits_have_one_thread() -> None:
    """On as many objects as tasks, and on one; all of them are served."""

    async def main() -> None:
        events = [SharedEvent() for _ in range(500)]
        before = threading.active_count() - helpers()
        tasks = [asyncio.create_task(event.wait_async()) for event in events]
        await turns(5)
        assert helpers() == 1
        assert threading.active_count() <= before + 1  # one of before may have ended
        for event in reversed(events):
            event.set()
        assert await asyncio.gather(*tasks) == [True] * 500

        with SharedEvent() as one, SharedQueue[int]() as queue:
            tasks = [asyncio.create_task(one.wait_async()) for _ in range(500)]
            getters = [asyncio.create_task(queue.get_async()) for _ in range(500)]
            await turns(5)
            assert helpers() == 1
            assert threading.active_count() <= before + 1
            one.set()
            queue.put_many(range(500))
            assert await asyncio.gather(*tasks) == [True] * 500
            assert await asyncio.gather(*getters) == list(range(500))
        for event in events:
            event.close()

    run(main)


def test_the_helper_ends_when_nobody_waits() -> None:
    """A moment after the last wait there is no thread; the next wait has one."""

    async def wait_once() -> None:
        with SharedEvent() as event:
            assert await event.wait_async(0.01) is False
            assert helpers() == 1

    for _ in range(2):
        run(wait_once)
        assert until(lambda: helpers() == 0)


def test_two_loops_share_the_helper() -> None:
    """Each in a thread of its own, waiting for each other."""

    def loop(mine: SharedQueue[int], other: SharedQueue[int]) -> None:
        async def main() -> None:
            for n in range(50):
                await other.put_async(n)
                assert await mine.get_async() == n

        run(main)

    with SharedQueue[int]() as a, SharedQueue[int]() as b:
        tasks = [Task(partial(loop, a, b)), Task(partial(loop, b, a))]
        for task in tasks:
            task.result()
        assert helpers() == 1


def test_a_forked_child_has_a_helper_of_its_own() -> None:
    """Both processes wait and wake each other after the fork."""
    with SharedQueue[str]() as questions, SharedQueue[str]() as answers, SharedEvent() as never:

        async def wait_once() -> None:
            assert await never.wait_async(0.02) is False
            assert helpers() == 1

        async def ask() -> None:
            await questions.put_async("question")
            assert await answers.get_async() == "answer"

        async def reply() -> None:
            await wait_once()
            assert await questions.get_async() == "question"
            await answers.put_async("answer")

        run(wait_once)
        child = Task(lambda: forked(lambda: run(reply)))
        run(ask)
        assert child.result() == 0
        run(wait_once)


def test_a_handle_is_let_go_after_the_wait() -> None:
    """The helper keeps nothing that nobody waits for."""

    async def main() -> None:
        lock = SharedLock()
        async with lock:
            task = await waiting(block(lock))
            task.cancel()
            await asyncio.wait([task])
            second = await waiting(block(lock))
        await second
        gone = weakref.ref(lock)
        del lock, task, second
        gc.collect()
        assert await asyncio.to_thread(until, lambda: gone() is None)

    run(main)


def test_a_loop_that_is_closed_around_its_tasks() -> None:
    """The helper goes on for others, and what the tasks waited for is there for others."""
    with kept(SharedLock()) as lock, SharedEvent() as event:
        lock.acquire()
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(block(lock)), loop.create_task(block(lock)), loop.create_task(event.wait_async())]
        loop.run_until_complete(turns(5))
        loop.close()
        lock.release()
        event.set()
        run(lambda: block(lock))
        del tasks
        assert lock.acquire(timeout=5)
        lock.release()


def test_closing_ends_a_wait() -> None:
    """Whoever waits on the handle is told that it is closed; others are not disturbed."""

    async def main() -> None:
        with SharedCounter() as hits, SharedQueue[int]() as queue, kept(SharedLock()) as lock:
            lock.acquire()
            other = await waiting(hits.wait_until_async(bool))
            tasks = [await waiting(queue.get_async()), await waiting(lock.acquire_async())]
            queue.close()
            lock.close()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [Closed, Closed]
            hits.increment()
            assert await other == 1

    run(main)


def test_waiting_takes_hardly_any_time() -> None:
    """Fifty tasks that wait for nothing that comes use little of a processor."""

    async def main() -> None:
        with SharedEvent() as never, SharedEvent() as end:
            tasks = [await waiting(never.wait_async()) for _ in range(50)]
            before = time.process_time()
            assert await end.wait_async(1) is False
            assert time.process_time() - before < 0.3
            for task in tasks:
                task.cancel()

    run(main)


# ---- cancellation ----


STEPS = ["wait", "cancel", "turn", "release"]


@settings(max_examples=40, deadline=None)
@given(
    plan=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9)), max_size=60),
    kind=st.sampled_from([SharedLock, SharedRLock, SharedSemaphore]),
)
def test_whatever_is_cancelled_when_nothing_stays_held(plan: list[tuple[str, int]], kind: Any) -> None:
    """Tasks come, are cancelled and served in any order: in the end it is free."""

    async def main() -> None:
        with kept(kind()) as lock:
            release = asyncio.Event()
            served: set[int] = set()

            async def hold(n: int) -> None:
                async with lock:
                    served.add(n)
                    await release.wait()

            tasks: list[asyncio.Task[None]] = []
            for step, n in plan:
                if step == "wait":
                    tasks.append(asyncio.create_task(hold(len(tasks))))
                elif step == "cancel" and tasks:
                    tasks[n % len(tasks)].cancel()
                elif step == "turn":
                    await turns(n)
                elif step == "release":
                    release.set()
                    release = asyncio.Event()
            release.set()
            outcomes: list[Any] = []
            while any(not task.done() for task in tasks):
                release.set()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            completed = {n for n, outcome in enumerate(outcomes) if outcome is None}
            assert completed <= served
            assert lock.locked() is False
            assert await lock.acquire_async(0) is True
            lock.release()

    run(main)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_items_survive_cancelled_gets(seed: int) -> None:
    """Each item is got once, by a task that was not cancelled, in the order in which they were put."""
    chance = random.Random(seed)

    async def main() -> None:
        with SharedQueue[int](5) as queue:
            got: list[int] = []

            async def get() -> None:
                got.append(await queue.get_async())

            async def put_all() -> None:
                for n in range(40):
                    await queue.put_async(n)

            producer = asyncio.create_task(put_all())
            tasks: list[asyncio.Task[None]] = []
            while len(got) < 40:
                tasks.append(asyncio.create_task(get()))
                await turns(chance.randrange(3))
                if chance.random() < 0.5:
                    chance.choice(tasks).cancel()
                if len(tasks) > 20:
                    await turns(20)
                    await asyncio.wait(tasks[:1], timeout=0.01)
                tasks = [task for task in tasks if not task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(producer, *tasks, return_exceptions=True)
            assert got == list(range(40))
            assert queue.empty()

    run(main)


def test_a_timeout_of_asyncio_s_own_holds_nothing() -> None:
    """`asyncio.timeout` around a wait cancels it."""

    async def main() -> None:
        with kept(SharedLock()) as lock, SharedQueue[int]() as queue:
            lock.acquire()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await lock.acquire_async()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await queue.get_async()
            lock.release()
            assert lock.acquire(False)
            lock.release()
            queue.put(1)
            assert queue.get(False) == 1

    run(main)


@patient
def test_a_cancelled_wait_passes_its_wake_on() -> None:
    """A task that was woken and cancelled at once wakes the thread that waits behind it."""

    async def main() -> None:
        for _ in range(20):
            with SharedQueue[int]() as queue:
                task = await waiting(queue.get_async())
                thread = Task(queue.get)
                assert await asyncio.to_thread(until, partial(asleep, thread.native_id or 0))
                queue.put(1)
                task.cancel()
                await asyncio.wait([task])
                assert await asyncio.to_thread(thread.result) == 1

    run(main)
