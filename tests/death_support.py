"""Calls in threads and in raw forks, and small things that the tests of locks, deaths and forks ask."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import pytest

from procshare import attach
from scripts import SLOWER, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Line

P = ParamSpec("P")
PROMPT = 0.1  # seconds within which whoever waits for the dead goes on
CONTAINER_STEPS = (
    "container.",
    "links.",
    "list.",
    "map.",
    "redo.",
    "transaction.",
)  # how their fault points' names begin
CHANNEL_STEPS = "queue.", "lease."
SYNC_STEPS = "semaphore.", "event.", "condition.", "barrier.", "rwlock."


class Late(AssertionError):
    """Something took longer than it may."""


def in_time(seconds: float, limit: float = PROMPT) -> None:
    """Fail if it took too long, in a way that a `patient` test may try again."""
    if seconds >= limit * SLOWER:
        raise Late(f"it took {seconds:.3f} s and may take {limit * SLOWER:g} s")


def patient(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test once more if it was late: a busy machine may be to blame for that once, but not twice."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            test(*args, **kwargs)
        except Late:
            test(*args, **kwargs)

    return run


class Task(threading.Thread):
    """A call in a thread: what it returned or raised, and when it did."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.outcome: Any = None
        self.ended = float("inf")
        self.start()

    def run(self) -> None:
        """Make the call."""
        try:
            self.outcome = self._call()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.outcome = error
        self.ended = time.monotonic()

    def after(self, moment: float) -> float:
        """Seconds between *moment* and its end, whatever its outcome."""
        self.join(10)
        assert not self.is_alive(), "it waits for ever"
        return self.ended - moment

    def result(self) -> Any:
        """What it returned; raises what it raised."""
        self.after(0)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Waiter(Task):
    """A thread that waits until the object has a value, and is known to have begun to."""

    def __init__(self, x: Any, wanted: object) -> None:
        self._begun = threading.Event()

        def is_wanted(value: object) -> bool:
            self._begun.set()
            return same(value, wanted)

        super().__init__(lambda: x.wait_until(is_wanted, timeout=10))
        assert self._begun.wait(10)


def forked(call: Callable[[], object]) -> int:
    """The exit code of a raw fork that makes the call and leaves by `os._exit`."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            call()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_with(line: Line, x: Any, how: str) -> None:
    """In a child: say the pid when there is something to die with, a lock, a permit, an item, and wait to be killed."""
    if how == "acquire":
        assert x.acquire(timeout=5)
    else:
        block = getattr(x, how)(timeout=5)
        block.__enter__()
    line.tell(os.getpid())
    signal.pause()


def take_over(x: Any, how: str) -> None:
    """Have for a moment what the dead one had."""
    if how == "acquire":
        assert x.acquire(timeout=5)
        x.release()
    else:
        with getattr(x, how)(timeout=5):
            pass


def another(x: Any) -> Any:
    """One more handle on the same object, of this process."""
    return attach(x.name)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, arrays included."""
    return bool(np.array_equal(one, other))


def never(_value: object) -> bool:
    """A predicate that no value makes true."""
    return False


def check(truth: bool) -> None:
    """Assert, in a lambda."""
    assert truth


def interrupted(call: Callable[[], object]) -> float:
    """Seconds from a SIGINT in a sleeping call to the KeyboardInterrupt that it raises."""
    sent = 0.0

    def interrupt() -> None:
        nonlocal sent
        assert until(lambda: asleep(main), timeout=5)
        sent = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    main = threading.get_native_id()
    task = Task(interrupt)
    with pytest.raises(KeyboardInterrupt):
        call()
        task.result()
    caught = time.monotonic()
    task.result()
    return caught - sent


def asleep(thread: int, process: int | str = "self", how: str = "S") -> bool:
    """Whether a thread of a process, of this one by default, sleeps in the kernel; with "T", whether it is stopped."""
    stat = Path(f"/proc/{process}/task/{thread}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == how


def used() -> float:
    """Processor seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
