"""The helper thread that sleeps in the kernel for all asyncio tasks of a process: one, however many of them wait.

    a task:      Sleeper.sleep(token, seconds) ---- native.ring() ---> the helper looks at its list again
    the helper:  native.park(all words that tasks sleep on) --- call_soon_threadsafe ---> the tasks whose word changed

A change may wake one sleeper of all processes. So if the helper was woken for a task that left meanwhile, it wakes
another in its place. The thread ends when nobody has waited for a moment. A forked child starts one of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from procshare._errors import Closed
from procshare.backends.shm.core import native

if TYPE_CHECKING:
    from collections.abc import Iterable

CHANGE, LOCK, ITEMS, SPACE = range(4)
"""Which word of a handle to sleep on, as `native.park` and `native.wake` number them."""
LINGER = 1.0  # seconds that the thread stays when nobody waits: it costs a little to start, and a fork warns of threads


class Sleeper:
    """The sleep of one task at a time on a word of a handle; the helper keeps it in its list from slice to slice."""

    __slots__ = ("_future", "_known", "handle", "loop", "token", "which")
    handle: Any
    which: int
    loop: asyncio.AbstractEventLoop
    token: int

    def __init__(self, handle: Any, which: int) -> None:
        self.handle, self.which = handle, which
        self.loop = asyncio.get_running_loop()
        self.token = 0
        self._future: asyncio.Future[None] | None = None
        self._known = False  # whether the helper ever was told of it

    async def sleep(self, token: int, seconds: float) -> None:
        """Sleep until the word is not *token*, or for *seconds*, or for no reason."""
        self._future = self.loop.create_future()
        timer = self.loop.call_later(seconds, self.rouse)
        self._known = True
        try:
            _helper.add(self, token)
            await self._future
        finally:
            timer.cancel()

    def rouse(self) -> None:
        """End the task's sleep; called in the loop."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def leave(self, *, served: bool) -> None:
        """Sleep no more. Who was not *served*, but may have been woken, wakes another."""
        if self._known and not _helper.remove(self) and not served:
            pass_on(self)


def pass_on(sleeper: Sleeper) -> None:
    """Wake another who sleeps on the same word, of whatever process."""
    with suppress(Closed):
        native.wake(sleeper.handle, sleeper.which)


class Helper:
    """The thread, its list, and the list's lock."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._sleepers: dict[Sleeper, None] = {}
        self._started = False

    def add(self, sleeper: Sleeper, token: int) -> None:
        """Tell the sleeper when its word is not *token*, once."""
        with self._mutex:
            if sleeper in self._sleepers and sleeper.token == token:
                return
            sleeper.token = token
            self._sleepers[sleeper] = None
            if not self._started:
                threading.Thread(target=self._run, name="procshare-async", daemon=True).start()
                self._started = True
        native.ring()

    def remove(self, sleeper: Sleeper) -> bool:
        """Take it off the list; False if it is not there, so that it was told."""
        with self._mutex:
            if sleeper not in self._sleepers:
                return False
            del self._sleepers[sleeper]
        native.ring()  # or the thread would keep its handle
        return True

    def _run(self) -> None:
        used = time.monotonic()
        while not self._over(used):
            if groups := self._groups():
                self._tell(_park(groups))
                used = time.monotonic()
            else:
                native.park([], LINGER)

    def _over(self, used: float) -> bool:
        """Whether nobody has slept for a while; who comes after that starts another thread."""
        with self._mutex:
            if not self._sleepers and time.monotonic() - used >= LINGER:
                self._started = False
            return not self._started

    def _groups(self) -> list[list[Sleeper]]:
        """Who sleeps now: one group for all whose word and token are the same."""
        same: dict[tuple[int, int, int], list[Sleeper]] = {}
        with self._mutex:
            for sleeper in self._sleepers:
                same.setdefault((id(sleeper.handle), sleeper.which, sleeper.token), []).append(sleeper)
        return list(same.values())

    def _tell(self, sleepers: list[Sleeper]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[Sleeper]] = {}
        left: list[Sleeper] = []
        with self._mutex:
            for sleeper in sleepers:
                if sleeper in self._sleepers:
                    del self._sleepers[sleeper]
                    by_loop.setdefault(sleeper.loop, []).append(sleeper)
                else:
                    left.append(sleeper)
        for loop, group in by_loop.items():
            try:
                loop.call_soon_threadsafe(_rouse_all, group)
            except RuntimeError:  # the loop was closed around its tasks
                left += group
        for sleeper in left:
            pass_on(sleeper)


def _park(groups: list[list[Sleeper]]) -> list[Sleeper]:
    """Sleep until words change or the list does; whoever sleeps on one that changed."""
    try:
        changed = native.park([(group[0].handle, group[0].which, group[0].token) for group in groups], None)
    except Exception:  # noqa: BLE001 - a handle was closed, say: the tasks find out which when they try
        changed = list(range(len(groups)))
    return [sleeper for i in changed for sleeper in groups[i]]


def _rouse_all(sleepers: Iterable[Sleeper]) -> None:
    for sleeper in sleepers:
        sleeper.rouse()


def _renew() -> None:
    global _helper
    _helper = Helper()  # the thread and perhaps the mutex's holder stayed in the parent


_helper = Helper()
os.register_at_fork(after_in_child=_renew)
