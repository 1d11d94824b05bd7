"""What every backend does for asyncio tasks: they wait, others run meanwhile, and a cancelled wait has nothing."""

from __future__ import annotations

import asyncio
import time
from queue import Empty, Full
from typing import Any

import pytest

from async_support import run, waiting
from procshare import (
    SharedBoundedSemaphore,
    SharedCounter,
    SharedEvent,
    SharedLock,
    SharedQueue,
    SharedRLock,
    SharedSemaphore,
    ShutDown,
    WaitTimeout,
)
from support import kept

TAKEN: list[Any] = [SharedLock, SharedRLock, SharedSemaphore, SharedBoundedSemaphore]
each_kind = pytest.mark.parametrize("kind", TAKEN, ids=lambda kind: kind.kind)


@each_kind
def test_tasks_exclude_each_other(backend: str, kind: Any) -> None:
    """One at a time is in the block, though all are of one thread; others go on while it awaits."""
    count = 0

    async def add(held: Any) -> None:
        nonlocal count
        for _ in range(10):
            async with held as taken:
                assert taken is True
                before = count
                await asyncio.sleep(0)
                count = before + 1

    async def main() -> None:
        with kept(kind(backend=backend)) as held:
            await asyncio.gather(*(add(held) for _ in range(10)))
            assert held.locked() is False

    run(main)
    assert count == 100


@each_kind
def test_acquiring_gives_up_in_time(backend: str, kind: Any) -> None:
    """It returns False when the time is over, at once if there is none; True if it was free."""

    async def try_it(held: Any) -> None:
        for timeout in (0, -1, 0.1):
            begun = time.monotonic()
            assert await held.acquire_async(timeout) is False
            assert max(timeout, 0) <= time.monotonic() - begun < timeout + 2

    async def main() -> None:
        with kept(kind(backend=backend)) as held:
            assert await held.acquire_async() is True
            await asyncio.create_task(try_it(held))
            held.release()
            assert await held.acquire_async(0) is True
            held.release()

    run(main)


@each_kind
def test_a_cancelled_wait_holds_nothing(backend: str, kind: Any) -> None:
    """Whoever waits behind it goes on as if it had not been there."""

    async def block(held: Any) -> None:
        async with held:
            pass

    async def main() -> None:
        with kept(kind(backend=backend)) as held:
            await held.acquire_async()
            first, second = await waiting(block(held)), await waiting(block(held))
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert not second.done()
            held.release()
            await second
            assert held.locked() is False

    run(main)


@each_kind
def test_a_block_that_raises_lets_go(backend: str, kind: Any) -> None:
    """As a `with` block does."""

    async def main() -> None:
        with kept(kind(backend=backend)) as held:
            with pytest.raises(ZeroDivisionError):
                async with held:
                    raise ZeroDivisionError
            assert held.locked() is False

    run(main)


def test_an_event_is_awaited(backend: str) -> None:
    """All who wait see it, at once if it is set already; False in time if it is not."""

    async def main() -> None:
        with SharedEvent(backend=backend) as event:
            assert await event.wait_async(0) is False
            assert await event.wait_async(-1) is False
            assert await event.wait_async(0.1) is False
            tasks = [await waiting(event.wait_async()) for _ in range(5)]
            event.set()
            assert await asyncio.gather(*tasks) == [True] * 5
            assert await event.wait_async(0) is True
            assert await event.wait_async() is True

    run(main)


def test_a_queue_is_awaited(backend: str) -> None:
    """Tasks get what other tasks put, in order, and wait for items and for room."""

    async def main() -> None:
        with SharedQueue[int](2, backend=backend) as queue:

            async def produce() -> None:
                for n in range(50):
                    await queue.put_async(n)

            producer = asyncio.create_task(produce())
            assert [await queue.get_async() for _ in range(50)] == list(range(50))
            await producer

    run(main)


def test_queue_waits_give_up_in_time(backend: str) -> None:
    """Full and Empty, as without `await`; nothing was put or taken."""

    async def main() -> None:
        with SharedQueue[str](1, backend=backend) as queue:
            for timeout in (0, -1, 0.1):
                with pytest.raises(Empty):
                    await queue.get_async(timeout)
            await queue.put_async("a", 0)
            for timeout in (0, -1, 0.1):
                with pytest.raises(Full):
                    await queue.put_async("b", timeout)
            assert await queue.get_async(1) == "a"
            assert queue.empty()

    run(main)


def test_cancelled_queue_waits_leave_it_alone(backend: str) -> None:
    """What was not put does not arrive; what was not taken is there for the next."""

    async def main() -> None:
        with SharedQueue[str](1, backend=backend) as queue:
            getter = await waiting(queue.get_async())
            getter.cancel()
            await asyncio.wait([getter])
            await queue.put_async("a")
            putter = await waiting(queue.put_async("b"))
            putter.cancel()
            await asyncio.wait([putter])
            assert getter.cancelled()
            assert putter.cancelled()
            assert await queue.get_async() == "a"
            with pytest.raises(Empty):
                await queue.get_async(0.05)

    run(main)


def test_shutdown_ends_async_waits(backend: str) -> None:
    """Whoever waits for items or room is told, and whoever comes."""

    async def main() -> None:
        with SharedQueue[int](backend=backend) as queue:
            getters = [await waiting(queue.get_async()) for _ in range(3)]
            queue.shutdown()
            outcomes = await asyncio.gather(*getters, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [ShutDown] * 3
            with pytest.raises(ShutDown):
                await queue.get_async()
            with pytest.raises(ShutDown):
                await queue.put_async(1)

    run(main)


def test_an_item_that_does_not_pickle_raises(backend: str) -> None:
    """In the put, and the queue is as it was."""

    async def main() -> None:
        with SharedQueue[Any](backend=backend) as queue:
            with pytest.raises((TypeError, AttributeError)):
                await queue.put_async(lambda: None)
            assert queue.empty()

    run(main)


def test_state_is_awaited(backend: str) -> None:
    """The value that made the predicate true is returned; WaitTimeout if none did in time."""

    async def main() -> None:
        with SharedCounter(backend=backend) as hits:
            waiters = [await waiting(hits.wait_until_async(lambda n: n >= 3)) for _ in range(3)]
            for _ in range(3):
                hits.increment()
            assert await asyncio.gather(*waiters) == [3] * 3
            assert await hits.wait_until_async(lambda n: n == 3, 0) == 3
            for timeout in (0, -1, 0.1):
                with pytest.raises(WaitTimeout):
                    await hits.wait_until_async(lambda n: n == 4, timeout)

    run(main)
