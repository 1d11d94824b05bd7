"""A traced process that does an operation, tells what came of it and what it holds, and lives on with the object."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import procshare
from procshare.testing._operations import parts
from procshare.testing._processes import PATIENCE
from procshare.testing._tracer import Traced
from procshare.testing._trials import Failed

if TYPE_CHECKING:
    from typing import Self

    from procshare.testing._operations import Operation


@dataclass(frozen=True)
class Told:
    """What the traced process says of its work.

    Attributes:
        done: How many of its calls came back.
        error: The name of the class of what one of them raised, if any did.
        text: What that says.
        clear: It is one of procshare's errors, or an OSError or MemoryError that tells which object it is about and
            what to do; and neither speaks of damage nor of an interruption.
        fds, mapped: How many descriptors, and bytes of shared files in its memory, it has more than before.
    """

    done: int
    error: str | None
    text: str
    clear: bool
    fds: int
    mapped: int


def holdings() -> tuple[int, int]:
    """How many descriptors this process has, and bytes of shared files in its memory."""
    mapped = 0
    with open("/proc/self/maps") as lines:
        for line in lines:
            if " /dev/shm/" in line:
                first, last = (int(each, 16) for each in line.split()[0].split("-"))
                mapped += last - first
    return len(os.listdir("/proc/self/fd")), mapped


class Doer:
    """The process that does the work, seen from both sides.

    Args:
        operation: What it is to do.
        steps: How many of its calls.
        x: The object.
    """

    def __init__(self, operation: Operation, steps: int, x: Any) -> None:
        self.operation, self._steps, self.x = operation, steps, x
        self._ours, self._theirs = multiprocessing.Pipe()
        self.done, self._before = 0, (0, 0)
        self.traced = self.start()

    def start(self) -> Traced:
        """Fork it, and stop it before it does anything."""
        return Traced(self._work, self.prepare, self.tell)

    # in that process

    def prepare(self) -> Any:
        """What it does first, unseen."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # for what the standard library says of a tracker that seems dead
        given = self.operation.given(self.x)
        gc.collect()
        self._before = holdings()
        return given

    def _work(self, given: Any) -> None:
        for step in self.operation.steps[: self._steps]:
            step(given)
            self.done += 1

    def tell(self, outcome: Any, given: Any) -> None:
        """What it does when its work is done."""
        error = type(outcome).__name__ if isinstance(outcome, Exception) else None
        text, clear = str(outcome), is_clear(outcome)
        gc.collect()
        fds, mapped = holdings()
        self._theirs.send(Told(self.done, error, text, clear, fds - self._before[0], mapped - self._before[1]))
        self._hear()
        with suppress(procshare.Closed):
            self.operation.used(self.x)
        with suppress(procshare.Closed, procshare.NotFound), ExitStack() as held:
            for each in parts(self.x):
                held.enter_context(holding(each))
            self._theirs.send("held")
            self._hear()
        self._leave(given)

    def give_up(self, error: Exception, given: Any) -> None:
        """What it does if it cannot use the object: say so, and leave."""
        self._theirs.send(Told(self.done, type(error).__name__, str(error), is_clear(error), -1, -1))
        self._hear()
        self._leave(given)

    def _leave(self, given: Any) -> None:
        for each in parts(self.x):
            each.close()
        del given
        from multiprocessing import util

        getattr(util, "_exit_function")()
        self._theirs.send("left")
        self._hear()

    def _hear(self) -> None:
        if not self._theirs.poll(PATIENCE):
            raise TimeoutError("the process that looks on said nothing")
        self._theirs.recv()

    # in the one that looks on

    def hear(self) -> Any:
        """What it says next, if it lives."""
        deadline = time.monotonic() + PATIENCE
        while not self._ours.poll(0.02):
            if self.traced.poll():
                raise Failed(f"the process ended with {self.traced.ended}")
            if time.monotonic() > deadline:
                raise Failed("the process hangs")
        return self._ours.recv()

    def say(self) -> None:
        """Let it go on."""
        self._ours.send(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.traced.kill()
        self._ours.close()
        self._theirs.close()


def is_clear(error: object) -> bool:
    """Whether an error says what it is about and what to do, and does not speak of damage."""
    if isinstance(error, procshare.ProcshareError):
        return not isinstance(error, procshare.CorruptSegment)
    if isinstance(error, (OSError, MemoryError)) and not isinstance(error, InterruptedError):
        text = str(error)
        return ";" in text and ("procshare" in text or "/dev/shm" in text)
    return False


def holding(x: Any) -> Any:
    """A block in which a process has the object's lock, if it has one."""
    if isinstance(x, (procshare.SharedLock, procshare.SharedRLock)):
        return x
    if isinstance(x, procshare.SharedRWLock):
        return x.writing(PATIENCE)
    if isinstance(x, procshare.Shared):
        return x.locked(PATIENCE)
    return ExitStack()


def kept_out(x: Any) -> bool:
    """Whether another process has the object's lock; also if it has none."""
    try:
        if isinstance(x, (procshare.SharedLock, procshare.SharedRLock)):
            return not x.acquire(timeout=0)
        if isinstance(x, procshare.SharedRWLock):
            with x.reading(0):
                return False
        if isinstance(x, procshare.Shared):
            with x.locked(0):
                return False
    except procshare.LockTimeout:
        return True
    return True
