"""What the situations of `procshare.testing.threads` share: hammering threads, raw forks that are always reaped."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from queue import Empty
from typing import TYPE_CHECKING, Any

from procshare.testing._calls import CALLS, attempt
from procshare.testing._kinds import KINDS
from procshare.testing._processes import PATIENCE, Hung

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

THREADS = 4


class Failed(Exception):
    """What should hold did not."""


class Hammer:
    """Threads that make calls over and over; whatever one of them raises is raised again at the end."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.made = 0
        self._errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, act: Callable[[], object], threads: int = THREADS) -> None:
        """Let threads do this until the end."""
        new = [threading.Thread(target=self._run, args=(act,), daemon=True) for _ in range(threads)]
        self._threads += new
        for thread in new:
            thread.start()

    def _run(self, act: Callable[[], object]) -> None:
        try:
            while not self.over.is_set():
                act()
                self.made += 1
        except BaseException as error:  # noqa: BLE001 - raised again by stop()
            self._errors.append(error)
            self.over.set()

    def stop(self) -> None:
        """Stop all of them.

        Raises:
            Hung: One does not.
        """
        self.over.set()
        deadline = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
            if thread.is_alive():
                raise Hung("a thread does not come back from its call")
        if self._errors:
            raise self._errors[0]


@contextmanager
def hammering(act: Callable[[], object], threads: int = THREADS) -> Generator[Hammer]:
    """Threads that do something over and over while a block runs."""
    hammer = Hammer()
    hammer.start(act, threads)
    try:
        yield hammer
    except BaseException:
        hammer.over.set()
        raise
    hammer.stop()


def some_call(kind: str, x: Any, names: Sequence[str] | None = None) -> None:
    """Any of a type's calls."""
    attempt(CALLS[kind][random.choice(names or list(CALLS[kind]))], x)


def drain(kind: str, x: Any) -> None:
    """Take out of a queue or a pipe what calls have left there."""
    if kind == "SharedQueue":
        with suppress(Empty):
            while True:
                x.get_nowait()
    elif kind == "SharedPipe":
        for end in x:
            while end.poll(0):
                end.recv()


def use_quiet(kind: str, x: Any) -> None:
    """All that a type offers, exactly, when nobody else uses the object."""
    drain(kind, x)
    KINDS[kind].use(x)


def reap(pid: int, deadline: float = PATIENCE) -> int:
    """Wait for a forked child: its exit status; negative: the signal that killed it.

    Raises:
        Hung: It did not end; it has told its stack on stderr and is gone.
    """
    until = time.monotonic() + deadline
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found == pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(pid, signal.SIGABRT)  # faulthandler writes down where it was
            os.waitpid(pid, 0)
            raise Hung(f"forked child {pid} did not end")
        time.sleep(0.001)


def fork(act: Callable[[], object], end: Callable[[], object] = lambda: None) -> int:
    """The pid of a raw fork that acts, and then ends in some way, or else by `os._exit(0)`; with 3 if it failed."""
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        act()
        end()
        code = 0
    except BaseException:  # noqa: BLE001 - a child that goes on would be a second parent
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def forked(act: Callable[[], object]) -> None:
    """A raw fork that acts and must end well.

    Raises:
        Failed: It did not.
    """
    code = reap(fork(act))
    if code != 0:
        raise Failed(f"a forked child ended with {code}")


def use_whole(kind: str, x: Any) -> None:
    """All that a type offers, in another thread: what this one still held would be in its way.

    Raises:
        Failed: Something stays locked.
    """
    failed = list[BaseException]()

    def use() -> None:
        try:
            use_quiet(kind, x)
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        raise Failed("something stays locked")
    if failed:
        raise failed[0]
