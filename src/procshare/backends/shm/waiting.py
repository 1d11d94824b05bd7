"""How asyncio tasks wait: each tries, sleeps until the word to sleep on changes, and tries again.

It wakes after a slice of time in any case, for a process that died woke nobody. Where one change lets one go on (a
lock, a permit, an item, room), the tasks of a loop that wait for the same stand in line, and only the first of them
tries: they get it in the order in which they came, and a change wakes one task and not all.

All trying is done in one go, without an `await`: a task is cancelled before it has what it waited for, or after it
returned with it, and never in between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from itertools import count
from queue import Empty, Full
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from procshare._errors import LockTimeout, WaitTimeout
from procshare.backends.shm.parking import CHANGE, ITEMS, LOCK, SPACE, Sleeper

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE = 0.05  # seconds; a task that nobody wakes tries as often, at least at first
LONGEST = 0.2  # and this where there is no holder whose death would go unnoticed: it is for a waker that was killed
_NOTHING: Any = object()  # what an attempt returns that failed


# ---- for what one task gets ----


async def acquire(lock: Any, timeout: float | None) -> bool:
    """Take a lock for the running task."""
    owner = current_owner()
    if not owner:
        raise RuntimeError("a lock is acquired for a task, and no asyncio task is running")
    if lock.locked():  # perhaps by this task, which must not stand in line, where it would wait for itself
        try:
            if lock._acquire_as(owner, False):
                return True
        except RuntimeError:  # its own, and not re-entrant
            if timeout is not None and timeout <= 0:
                return False
            raise

    def attempt(slept: bool) -> Any:
        return lock._acquire_as(owner, slept) or _NOTHING

    return await _in_line(lock, LOCK, attempt, lock._watch_lock, timeout) is not _NOTHING


async def take(semaphore: Any, timeout: float | None) -> bool:
    """Take a permit."""

    def attempt(_slept: bool) -> Any:
        return semaphore.acquire(False) or _NOTHING

    return await _in_line(semaphore, CHANGE, attempt, semaphore._watch, timeout) is not _NOTHING


async def get(queue: Any, timeout: float | None) -> Any:
    """Take an item."""

    def attempt(_slept: bool) -> Any:
        try:
            return queue.get(False)
        except Empty:
            return _NOTHING

    item = await _in_line(queue, ITEMS, attempt, queue._watch_items, timeout)
    if item is _NOTHING:
        raise Empty
    return item


async def put(queue: Any, obj: object, timeout: float | None) -> None:
    """Put an item."""

    encoded = queue._encode(obj)  # once, and as it is now

    def attempt(_slept: bool) -> Any:
        return queue._put_encoded(encoded) or _NOTHING

    if await _in_line(queue, SPACE, attempt, queue._watch_space, timeout) is _NOTHING:
        raise Full


# ---- for what all see ----


async def wait(event: Any, timeout: float | None) -> bool:
    """Wait until an event is set, or was in between."""
    sets = event._sets()

    def attempt(_slept: bool) -> Any:
        return event.is_set() or event._sets() != sets or _NOTHING

    return await _seen(event, attempt, timeout) is not _NOTHING


async def wait_until(state: Any, predicate: Callable[[Any], bool], timeout: float | None) -> Any:
    """Wait until a snapshot satisfies *predicate*."""
    begun = asyncio.get_running_loop().time()

    def attempt(_slept: bool) -> Any:
        try:
            value = state._snapshot(0)
        except LockTimeout:
            return _NOTHING
        return value if predicate(value) else _NOTHING

    value = await _seen(state, attempt, timeout)
    if value is _NOTHING:
        raise WaitTimeout(state._label(), asyncio.get_running_loop().time() - begun)
    return value


async def _seen(handle: Any, attempt: Callable[[bool], Any], timeout: float | None) -> Any:
    got = attempt(False)
    if got is not _NOTHING:
        return got
    waits = timeout is None or timeout > 0
    sleeper = Sleeper(handle, CHANGE)
    if waits:
        handle._tally(False)
    try:
        got = await _persist(sleeper, attempt, handle._watch, _end(timeout), LONGEST)
        if waits and got is _NOTHING:
            handle._tally(True)
        return got
    finally:
        sleeper.leave(served=True)  # a change wakes all


# ---- trying until it works ----


def _end(timeout: float | None) -> float | None:
    return None if timeout is None else asyncio.get_running_loop().time() + timeout


async def _persist(
    sleeper: Sleeper, attempt: Callable[[bool], Any], watch: Callable[[], int], end: float | None, longest: float
) -> Any:
    """What an attempt brought, or `_NOTHING` if time ran out."""
    slept = False
    seconds = SLICE
    while True:
        token = watch()
        got = attempt(slept)
        if got is not _NOTHING:
            return got
        left = seconds if end is None else min(end - sleeper.loop.time(), seconds)
        if left <= 0:
            return _NOTHING
        if token:  # 0: it was free, and somebody was faster
            await sleeper.sleep(token, left)
            slept = True
            seconds = min(2 * seconds, longest)


class _Line:
    """The tasks of a loop that wait for the same, in the order in which they came; the first sleeps on the word."""

    __slots__ = ("places", "sleeper")

    def __init__(self, handle: Any, which: int) -> None:
        self.places: deque[asyncio.Future[None]] = deque()
        self.sleeper = Sleeper(handle, which)


_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[int, int], _Line]] = WeakKeyDictionary()


async def _in_line(
    handle: Any, which: int, attempt: Callable[[bool], Any], watch: Callable[[], int], timeout: float | None
) -> Any:
    """What an attempt brought when it was this task's turn, or `_NOTHING` if time ran out."""
    loop = asyncio.get_running_loop()
    at_once = timeout is not None and timeout <= 0
    lines = _lines.setdefault(loop, {})
    key = id(handle), which
    if at_once or key not in lines:
        got = attempt(False)
        if at_once or got is not _NOTHING:
            return got
    end = _end(timeout)
    line = lines.get(key) or lines.setdefault(key, _Line(handle, which))
    place = loop.create_future()
    line.places.append(place)
    handle._tally(False)
    got = _NOTHING
    try:
        if line.places[0] is not place:
            await _turn(place, end)
        if line.places[0] is place:
            longest = SLICE if which in (LOCK, CHANGE) else LONGEST
            got = await _persist(line.sleeper, attempt, watch, end, longest)
        if got is _NOTHING:
            handle._tally(True)
        return got
    finally:
        first = line.places[0] is place
        line.places.remove(place)
        if not line.places:
            del lines[key]
            line.sleeper.leave(served=got is not _NOTHING)
        elif first and not line.places[0].done():
            with suppress(RuntimeError):  # the loop was closed around its tasks
                line.places[0].set_result(None)


async def _turn(place: asyncio.Future[None], end: float | None) -> None:
    """Wait until it is this task's turn, or time ran out."""
    timer = None if end is None else place.get_loop().call_at(end, _resolve, place)
    try:
        await place
    finally:
        if timer is not None:
            timer.cancel()


def _resolve(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_result(None)


# ---- who holds a lock ----

_owners: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
_numbers = count(3, 2)


def current_owner() -> int:
    """What stands for the running task as a lock's holder: an odd number, never used again; 0 outside of a task."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return 0
    if task is None:
        return 0
    number = _owners.get(task)
    if number is None:
        _owners[task] = number = next(_numbers)
    return number
