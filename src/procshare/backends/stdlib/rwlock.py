"""`StdlibRWLock`: counts of readers and writers in shared memory, and a lock of `multiprocessing`'s beside them.

Who waits looks again ever less often. So nobody has to be woken, and one that was killed while it waited keeps
nobody waiting; one that was killed inside does.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from procshare._errors import LockTimeout
from procshare._locks import SharedRWLock
from procshare.backends.stdlib.interrupts import Undisturbed
from procshare.backends.stdlib.primitive import Kept, StdlibPrimitive, made, spawning

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from procshare.backends import Backend

FIRST, LONGEST, PATIENCE = 0.0002, 0.005, 0.05
FRESH = 100_000_000
"""Nanoseconds for which a writer that asked keeps new readers out; it asks again every 5 ms."""
READERS, WRITERS, ASKED = range(3)

Thread = tuple[int, int]


class Turn:
    """A thread's hold, and how deep it is in its blocks."""

    __slots__ = ("depth", "writing")
    depth: int
    writing: bool

    def __init__(self, writing: bool) -> None:
        self.writing, self.depth = writing, 1


class Turns(Kept):
    """The lock of the counts, the counts, and what this process's threads hold."""

    __slots__ = ("counts", "held")
    counts: Any
    held: dict[Thread, Turn]

    def __init__(self, lock: Any, counts: Any) -> None:
        super().__init__(lock)
        self.counts, self.held = counts, {}

    def level(self, me: Thread) -> int:
        """How deep a thread is in its blocks: what `leave` takes to go back."""
        turn = self.held.get(me)
        return 0 if turn is None else turn.depth

    def enter(self, me: Thread, writing: bool, timeout: float | None, name: str) -> None:
        """Wait for the turn of this thread, or go one deeper.

        Raises:
            LockTimeout: It did not come in time.
            RuntimeError: A reader wants to write.
        """
        turn = self.held.get(me)
        if turn is not None:
            if writing and not turn.writing:
                raise RuntimeError("this thread is reading, and a writer waits for all readers; leave reading() first")
            turn.depth += 1
            return
        started, pause = time.monotonic(), FIRST
        try:
            while not self._try(me, writing):
                waited = time.monotonic() - started
                if timeout is not None:
                    if waited >= timeout:
                        raise LockTimeout(name, waited)
                    pause = min(pause, timeout - waited)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST)
        finally:
            if writing:
                self.counts[ASKED] = 0  # another that waits says so again

    def _try(self, me: Thread, writing: bool) -> bool:
        with Undisturbed():
            if not self.thing.acquire(True, PATIENCE):
                return False
            try:
                now, (readers, writers, asked) = time.monotonic_ns(), self.counts
                if writing:
                    self.counts[ASKED] = now
                if writers or (readers if writing else now - asked < FRESH):
                    return False
                self.counts[WRITERS if writing else READERS] += 1
                self.held[me] = Turn(writing)
                return True
            finally:
                self.thing.release()

    def leave(self, me: Thread, level: int) -> None:
        """Go back to *level*, and give the turn up at 0; nothing in a child that was forked inside the block.

        Called twice it does no more than once.
        """
        turn = self.held.get(me)
        if turn is None or me[0] != os.getpid():
            return
        turn.depth = level
        if not level:
            with Undisturbed(), self.thing:
                if self.held.pop(me, None) is not None:
                    self.counts[WRITERS if turn.writing else READERS] -= 1


class StdlibRWLock(StdlibPrimitive[Turns], SharedRWLock):
    """A read-write lock over a `multiprocessing.Lock`."""

    __slots__ = ()
    _implements: ClassVar[Any] = SharedRWLock

    def __init__(
        self,
        *,
        name: str | None = None,
        mode: int = 0o600,
        group: str | int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self._start(name, mode, group)
        counts: Any = multiprocessing.RawArray(ctypes.c_longlong, 3)
        self._place(Turns(made(spawning().Lock), counts), created=True)

    def _parts(self) -> tuple[Any, ...]:
        return self._core.thing, self._core.counts

    def _restore(self, *parts: Any) -> None:
        self._place(Turns(*parts))

    def reading(self, timeout: float | None = None) -> AbstractContextManager[None]:
        return _inside(self._opened(), False, timeout, self._label)

    def writing(self, timeout: float | None = None) -> AbstractContextManager[None]:
        return _inside(self._opened(), True, timeout, self._label)


@contextmanager
def _inside(turns: Turns, writing: bool, timeout: float | None, name: str) -> Generator[None]:
    me = os.getpid(), threading.get_ident()
    level = turns.level(me)
    try:
        turns.enter(me, writing, timeout, name)
        yield
    finally:
        try:
            turns.leave(me, level)
        except BaseException:  # Ctrl-C in the midst of it: once more, which does nothing twice
            turns.leave(me, level)
            raise
