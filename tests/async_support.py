"""Loops and tasks for tests of what asyncio tasks wait for."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def run(main: Callable[[], Coroutine[Any, Any, None]], seconds: float = 20) -> None:
    """Run it in a loop of its own, with a deadline."""

    async def timed() -> None:
        async with asyncio.timeout(seconds):
            await main()

    asyncio.run(timed())


async def waiting(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that has made the call, and waits in it."""
    task = asyncio.create_task(call)
    await turns(5)
    assert not task.done()
    return task


async def turns(n: int) -> None:
    """Let the other tasks run *n* times."""
    for _ in range(n):
        await asyncio.sleep(0)


async def block(lock: Any) -> None:
    """Take it, and give it back."""
    async with lock:
        pass


def helpers() -> int:
    """How many helper threads there are."""
    return [thread.name for thread in threading.enumerate()].count("procshare-async")
