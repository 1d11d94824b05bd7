"""Processes for tests: kept and reused (`Workers`), or one for one call (`Child`). None outlives its `with` block.

A persistent worker gets its arguments through a pipe, as a pool's does. A `Child` gets them as `Process` arguments,
which is the only way that handles of the stdlib backend travel.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.connection import Connection
    from typing import Self

START_METHODS = ("fork", "spawn", "forkserver")


class WorkerDied(Exception):
    """A process ended before it answered."""

    def __init__(self, pid: int | None, exitcode: int | None) -> None:
        super().__init__(f"process {pid} ended with exit code {exitcode} before it answered")
        self.pid, self.exitcode = pid, exitcode


class Line:
    """One end of a two-way pipe whose `hear` has a deadline."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection

    def tell(self, message: object) -> None:
        """Send *message* to the other side."""
        self._connection.send(message)

    def hear(self, timeout: float = 10) -> Any:
        """The other side's next message.

        Raises:
            TimeoutError: None came in time.
        """
        if not self._connection.poll(timeout):
            raise TimeoutError(f"nothing was said for {timeout} s")
        return self._connection.recv()


class _Process:
    """A process and the pipe to it."""

    def __init__(self, method: str, target: Callable[..., None], args: tuple[Any, ...], *, daemon: bool) -> None:
        context: Any = multiprocessing.get_context(method)
        self.connection, theirs = context.Pipe()
        self.process: Any = context.Process(target=target, args=(theirs, *args), daemon=daemon)
        self.process.start()
        theirs.close()

    def answer(self, deadline: float) -> Any:
        """What came through the pipe.

        Raises:
            WorkerDied: The process ended first.
            TimeoutError: The deadline passed first.
        """
        ready = wait([self.connection, self.process.sentinel], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError(f"process {self.process.pid} did not answer in time")
        try:
            if self.connection.poll():
                return self.connection.recv()
        except (EOFError, ConnectionError):
            pass
        self.process.join(5)
        raise WorkerDied(self.process.pid, self.process.exitcode)

    def stop(self) -> None:
        """Kill it if it is alive, and reap it."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()
        self.connection.close()


class Workers:
    """Processes of one start method, kept for many calls, as many as the largest `run` needed at once.

    Args:
        method: "fork", "spawn" or "forkserver".
        daemon: Whether they may have no children of their own and end with this process.
    """

    def __init__(self, method: str = "spawn", *, daemon: bool = True) -> None:
        self.method = method
        self._daemon = daemon
        self._workers: list[_Process] = []

    def run(self, fn: Callable[..., Any], calls: Iterable[tuple[Any, ...]], timeout: float = 30) -> list[Any]:
        """Call *fn* with each tuple, all at the same time, each in a process of its own; the results in order.

        Raises:
            WorkerDied: A process was killed; it is replaced at the next call.
            TimeoutError: A call took longer than *timeout*; its process was killed, and is replaced.
            Exception: What *fn* raised first, by the order of the calls, after all have ended.
        """
        messages = [ForkingPickler.dumps((fn, call)) for call in calls]  # before any is sent: a pickle may fail
        while len(self._workers) < len(messages):
            self._workers.append(_Process(self.method, _serve, (), daemon=self._daemon))
        used = self._workers[: len(messages)]
        deadline = time.monotonic() + timeout
        outcomes = [self._sent(worker, message) or self._outcome(worker, deadline)
                    for worker, message in self._all_sent(used, messages)]
        for error, _ in outcomes:
            if error is not None:
                raise error
        return [result for _, result in outcomes]

    @property
    def pids(self) -> list[int]:
        """The process ids, in the order of the calls."""
        return [worker.process.pid for worker in self._workers]

    def close(self) -> None:
        """End all of them."""
        while self._workers:
            worker = self._workers.pop()
            try:
                worker.connection.send_bytes(b"")
                worker.process.join(5)
            except OSError:
                pass  # it is dead already
            worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
