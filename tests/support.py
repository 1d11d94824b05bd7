"""Processes for tests: kept and reused (`Workers`), or one for one call (`Child`). None outlives its `with` block.

A persistent worker gets its arguments through a pipe, as a pool's does. A `Child` gets them as `Process` arguments,
which is the only way that handles of the stdlib backend travel.
"""

from __future__ import annotations

import io
import multiprocessing
import pickle
import time
import traceback
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from scripts import SLOWER

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from multiprocessing.connection import Connection
    from typing import Self

START_METHODS = ("fork", "spawn", "forkserver")


def _pickled(message: object) -> bytes:
    # Not ForkingPickler.dumps, which gives a view of a BytesIO: Python 3.12.1 can crash when it collects one.
    buffer = io.BytesIO()
    ForkingPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(message)
    return buffer.getvalue()


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
        if not self._connection.poll(timeout * SLOWER):
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

    def post(self, message: Any) -> None:
        """Send a pickle; a dead process is noticed when its answer is awaited."""
        with suppress(ConnectionError):
            self.connection.send_bytes(message)

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
        messages = [_pickled((fn, call)) for call in calls]  # all before any is sent, since a pickle may fail
        while len(self._workers) < len(messages):
            self._workers.append(_Process(self.method, _serve, (), daemon=self._daemon))
        used = self._workers[: len(messages)]
        for worker, message in zip(used, messages, strict=True):
            worker.post(message)
        deadline = time.monotonic() + timeout * SLOWER
        outcomes = [self._outcome(worker, deadline) for worker in used]
        for error, _ in outcomes:
            if error is not None:
                raise error
        return [result for _, result in outcomes]

    def _outcome(self, worker: _Process, deadline: float) -> tuple[Exception | None, Any]:
        try:
            outcome: tuple[Exception | None, Any] = worker.answer(deadline)
        except (WorkerDied, TimeoutError) as error:
            self._workers.remove(worker)
            worker.stop()
            outcome = error, None
        return outcome

    @property
    def pids(self) -> list[int]:
        """The process ids, in the order of the calls."""
        return [worker.process.pid for worker in self._workers]

    def close(self) -> None:
        """End all of them."""
        while self._workers:
            worker = self._workers.pop()
            worker.post(b"")
            worker.process.join(5)
            worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class Child:
    """One process for one call of `fn(line, *args)`, with *args* passed as `Process` arguments.

    Its `line` and this object's `tell` and `hear` talk to each other.
    """

    def __init__(self, method: str, fn: Callable[..., Any], *args: Any, daemon: bool = True) -> None:
        self._worker = _Process(method, _call, (fn, args), daemon=daemon)
        self._ending = False

    @property
    def pid(self) -> int:
        """Its process id."""
        pid: int = self._worker.process.pid
        return pid

    def tell(self, message: object) -> None:
        """Send *message* to its line."""
        self._worker.connection.send(message)

    def hear(self, timeout: float = 10) -> Any:
        """The next message from its line.

        Raises:
            WorkerDied: It ended without another.
            TimeoutError: None came in time.
            Exception: What *fn* raised.
        """
        kind, content = self._worker.answer(time.monotonic() + timeout * SLOWER)
        self._ending = kind != "said"
        if kind == "raised":
            raise content
        return content

    result = hear
    """What *fn* returned: its last message."""

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._worker.process.kill()
        self._worker.process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._ending:
            self._worker.process.join(5)  # let it clean up
        self._worker.stop()


@contextmanager
def kept(handle: Any) -> Generator[Any]:
    """An object for the length of a block, also if its own `with` block means another thing."""
    try:
        yield handle
    finally:
        handle.unlink()
        handle.close()


def call(method: str, fn: Callable[..., Any], *args: Any, timeout: float = 10) -> Any:
    """`fn(*args)` in a process that is started for it; what it returned or raised."""
    with Child(method, _without_line, fn, args) as child:
        return child.result(timeout)


class _TaggedLine(Line):
    def tell(self, message: object) -> None:
        super().tell(("said", message))


def _without_line(_line: Line, fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return fn(*args)


def _call(connection: Connection[Any, Any], fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        message = "returned", fn(_TaggedLine(connection), *args)
    except Exception as error:  # noqa: BLE001 - raised again by whoever waits for the answer
        message = "raised", _portable(error)
    connection.send(message)


def _serve(connection: Connection[Any, Any]) -> None:
    parent: Any = multiprocessing.parent_process()
    while True:
        wait([connection, parent.sentinel])  # forked siblings hold our pipe's other end open: EOF alone may not come
        if not connection.poll():
            return
        message = connection.recv_bytes()
        if not message:
            return
        try:
            fn, args = pickle.loads(message)
            outcome: tuple[Exception | None, Any] = None, fn(*args)
        except Exception as error:  # noqa: BLE001 - raised again by run()
            outcome = _portable(error), None
        fn = args = None  # a kept worker keeps no handles
        connection.send(outcome)
        del outcome


def _portable(error: Exception) -> Exception:
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever keeps it from travelling
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
