"""Processes that are meant to die: started by any start method, talked to with a deadline, always reaped.

multiprocessing is imported with the first of them: the pytest plugin looks at `entries()` and needs no more.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from typing import Self

SHM = Path("/dev/shm")
START_METHODS = ("fork", "spawn", "forkserver")
PATIENCE = 20.0  # seconds after which something that should happen at once counts as hung


class Hung(Exception):
    """Something that should have happened did not, in any reasonable time."""


class Ended(Exception):
    """A process ended before it said what was awaited.

    Attributes:
        code: Its exit status; negative: the signal that killed it.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(f"the process ended with {code}")
        self.code = code


class Line:
    """A child's way to talk to its parent; `line.say("ready")`, `line.hear()`."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection

    def say(self, message: object) -> None:
        """Send a message."""
        self._connection.send(message)

    def hear(self, timeout: float = PATIENCE) -> Any:
        """The parent's next message.

        Raises:
            Hung: None came in time.
        """
        if not self._connection.poll(timeout):
            raise Hung(f"nothing was said for {timeout} s")
        return self._connection.recv()


class Child:
    """A process that runs `target(line, *args)`.

    Args:
        method: "fork", "spawn" or "forkserver".
        target: A function of a module.
        args: Handles among them travel by pickle, as a pool's would.
    """

    def __init__(self, method: str, target: Callable[..., None], *args: Any, daemon: bool = True) -> None:
        import multiprocessing

        context: Any = multiprocessing.get_context(method)
        self._connection, theirs = context.Pipe()
        message = pickled((target, args))
        self.process: Any = context.Process(target=_run, args=(theirs,), daemon=daemon)
        self.process.start()
        theirs.close()
        self._connection.send_bytes(message)

    @property
    def pid(self) -> int:
        """Its process id."""
        pid: int = self.process.pid
        return pid

    def say(self, message: object = None) -> None:
        """Send it a message; if it is dead, that is noticed when its answer is awaited."""
        with suppress(ConnectionError):
            self._connection.send(message)

    def hear(self, timeout: float = PATIENCE) -> Any:
        """Its next message.

        Raises:
            Ended: It ended first.
            Hung: None came in time.
        """
        from multiprocessing.connection import wait

        ready = wait([self._connection, self.process.sentinel], timeout)
        if not ready:
            raise Hung(f"process {self.pid} said nothing for {timeout:g} s")
        try:
            if not self._connection.poll():
                self.end(timeout)  # one that closed all its descriptors only seems to have ended
            if self._connection.poll():
                return self._connection.recv()
        except (EOFError, ConnectionError):
            pass
        raise Ended(self.end(timeout))

    def end(self, timeout: float = PATIENCE) -> int:
        """Wait for its end: its exit status; negative: the signal that killed it.

        Raises:
            Hung: It did not end in time.
        """
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise Hung(f"process {self.pid} did not end for {timeout:g} s")
        code: int = self.process.exitcode
        return code

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.exitcode is None:
            self.kill()
        self.process.join()
        self.process.close()
        self._connection.close()


def pickled(message: object) -> bytes:
    """As `multiprocessing` pickles what it sends."""
    from multiprocessing.reduction import ForkingPickler

    buffer = io.BytesIO()
    ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()


def _run(connection: Connection[Any, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    target, args = pickle.loads(connection.recv_bytes())
    target(Line(connection), *args)


def until(true: Callable[[], object], timeout: float = PATIENCE) -> bool:
    """Whether *true* became true in time; asked every few milliseconds."""
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def entries() -> set[str]:
    """What procshare has in /dev/shm now."""
    return {name for name in os.listdir(SHM) if name.startswith("procshare")}


def left_since(before: set[str], timeout: float = 3) -> set[str]:
    """What appeared in /dev/shm since *before* and is still there after *timeout*; empty as soon as nothing is."""
    until(lambda: not entries() - before, timeout)
    return entries() - before
