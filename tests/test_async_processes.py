"""Asyncio tasks of several processes, and of one with another that blocks; and holders that were killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import pytest

from async_support import run, waiting
from death_support import in_time, patient
from procshare import SharedArray, SharedLock, SharedQueue, SharedRLock, SharedSemaphore
from procshare.backends import native_built
from support import START_METHODS, Child, Line, kept

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # the helper is a thread, and we fork
]

MUTEXES: list[Any] = [SharedLock, SharedRLock]
each_mutex = pytest.mark.parametrize("kind", MUTEXES, ids=lambda kind: kind.kind)
each_method = pytest.mark.parametrize("method", START_METHODS)


def add_async(line: Line, lock: Any, total: Any, rounds: int) -> None:
    """Tasks of a process that add under a lock of all processes."""

    async def add() -> None:
        for _ in range(rounds):
            async with lock:
                before = total.array[0]
                await asyncio.sleep(0)
                total.array[0] = before + 1

    async def main() -> None:
        await asyncio.gather(*(add() for _ in range(5)))

    line.tell("ready")
    line.hear()
    run(main)


@each_method
@each_mutex
def test_tasks_of_two_processes_exclude_each_other(method: str, kind: Any) -> None:
    """No addition is lost."""
    with kept(kind()) as lock, SharedArray([0]) as total:
        with Child(method, add_async, lock, total, 40) as a, Child(method, add_async, lock, total, 40) as b:
            for child in (a, b):
                assert child.hear() == "ready"
            for child in (a, b):
                child.tell("go")
            for child in (a, b):
                child.result(20)
        assert total.array[0] == 400


def hold_async(line: Line, lock: Any) -> None:
    """A task that takes a lock and keeps it."""

    async def main() -> None:
        async with lock:
            line.tell("held")
            line.hear(60)

    run(main, 60)


@patient
@each_mutex
def test_a_dead_task_s_lock_is_had_promptly(kind: Any) -> None:
    """A waiting task gets it, and is told by `owner_died` until it releases it."""

    async def main() -> None:
        with kept(kind()) as lock, Child("fork", hold_async, lock) as child:
            assert child.hear() == "held"
            task = await waiting(died(lock))
            killed = time.monotonic()
            os.kill(child.pid, signal.SIGKILL)
            had, owner_died = await task
            assert owner_died is True
            assert lock.owner_died is False
            in_time(had - killed, 0.15)
            async with lock:
                assert lock.owner_died is False

    async def died(lock: Any) -> tuple[float, bool]:
        async with lock:
            return time.monotonic(), lock.owner_died

    run(main)


@patient
def test_a_dead_process_s_permits_are_had_promptly() -> None:
    """A task that waits for a robust semaphore gets what a dead process held."""

    async def main() -> None:
        with kept(SharedSemaphore(1, robust=True)) as permits, Child("fork", hold_async, permits) as child:
            assert child.hear() == "held"
            task = await waiting(permits.acquire_async())
            killed = time.monotonic()
            os.kill(child.pid, signal.SIGKILL)
            assert await task is True
            in_time(time.monotonic() - killed, 0.15)
            permits.release()

    run(main)


def echo(_line: Line, questions: Any, answers: Any) -> None:
    """Answer each question, without asyncio."""
    for n in questions:
        answers.put(-n)


@each_method
def test_a_task_talks_to_a_process_that_blocks(method: str) -> None:
    """Questions and answers, in turn and many at once."""

    async def main() -> None:
        with (
            SharedQueue[int](10) as questions,
            SharedQueue[int](10) as answers,
            Child(method, echo, questions, answers) as child,
        ):
            for n in range(100):
                await questions.put_async(n)
                assert await answers.get_async() == -n

            async def ask_all() -> None:
                for n in range(200):
                    await questions.put_async(n)

            asking = asyncio.create_task(ask_all())
            assert [await answers.get_async() for _ in range(200)] == [-n for n in range(200)]
            await asking
            questions.shutdown()
            await asyncio.to_thread(child.result)

    run(main)
