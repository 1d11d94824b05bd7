"""Waiting in a task of asyncio: the standard library's things can only be asked again, so that is done, in turns."""

from __future__ import annotations

import asyncio
import time
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from procshare._errors import LockTimeout, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

FIRST, LONGEST = 0.0002, 0.02

_owners: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
_numbers = count(1)


def running_task() -> int:
    """What stands for the running task as the owner of a lock; 0 outside of one."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # nor does a loop run
        return 0
    if task is None:
        return 0
    owner = _owners.get(task)
    if owner is None:  # not its id, which another task may have when it is gone
        owner = _owners[task] = next(_numbers)
    return owner


def this_task() -> int:
    """What stands for the running task as the owner of a lock.

    Raises:
        RuntimeError: No task is running.
    """
    task = running_task()
    if not task:
        raise RuntimeError("no asyncio task is running that could hold it")
    return task


async def until(attempt: Callable[[], T], timeout: float | None) -> T:
    """Try ever less often, down to 50 times a second, and let other tasks run; the first success, or the last failure.

    Nothing is awaited after a success: a task that is cancelled has nothing.
    """
    end, pause = None if timeout is None else time.monotonic() + timeout, FIRST
    while True:
        outcome = attempt()
        if outcome:
            return outcome
        if end is not None:
            left = end - time.monotonic()
            if left <= 0:
                return outcome
            pause = min(pause, left)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST)


async def until_true(read: Callable[[float], T], predicate: Callable[[T], Any], timeout: float | None, name: str) -> T:
    """The first value that *read* gives and *predicate* likes; *read* is given the seconds that it may wait, 0.

    Raises:
        WaitTimeout: There was none in time.
    """
    started = time.monotonic()

    def look() -> tuple[T] | None:
        try:
            value = read(0.0)
        except LockTimeout:
            return None
        return (value,) if predicate(value) else None

    found = await until(look, timeout)
    if found is None:
        raise WaitTimeout(name, time.monotonic() - started)
    return found[0]
