"""Processes for users' tests: each runs one function, answers in time or is killed, and is reaped."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from procshare.testing._processes import Child, Line

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class WorkerDied(Exception):
    """A process ended before its function returned: it was killed, or called `os._exit`.

    Attributes:
        code: Its exit status; negative: the signal that killed it.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"the process ended with exit code {self.code} before its function returned"


class Worker(Generic[R_co]):
    """A process in which a function runs. The fixture `procshare_start` makes it, and ends it with the test."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._answer: tuple[Any, Exception | None] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def result(self, timeout: float = 20.0) -> R_co:
        """Wait until the function returns, and the process ends: what it returned.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            WorkerDied: The process was killed first.
            TimeoutError: It took longer. It goes on; the end of the test kills it.
            Exception: What the function raised.
        """
        from procshare.testing._processes import Ended, Hung

        try:
            if self._answer is None:
                self._answer = self._child.hear(timeout)
            self._child.end(timeout)
        except Ended as ended:
            raise WorkerDied(ended.code or 0) from None
        except Hung:
            raise TimeoutError(f"process {self.pid} has not ended for {timeout:g} s") from None
        value, error = self._answer or (None, None)
        if error is not None:
            raise error
        return cast("R_co", value)

    def kill(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self._child.kill()


class StartWorker:
    """What the fixture `procshare_start` is: `start(function, *args)` runs a function in a spawned process.

    The function is one of a module, since it travels by pickle, as do its arguments and what it returns.
    """

    def __init__(self) -> None:
        self._children: list[Child] = []

    def __call__(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Worker[R]:
        """Start a process that calls `fn(*args, **kwargs)`."""
        from procshare.testing._processes import Child

        child = Child("spawn", _serve, fn, args, kwargs, daemon=False)
        self._children.append(child)
        return Worker(child)

    def dying_at(self, point: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Worker[R]:
        """The same, in a process that kills itself by SIGKILL at a named step of the core.

        Args:
            point: One of `procshare.testing.fault_points()`; "point:n" for its n-th visit.
        """
        with _environment("PROCSHARE_FAULT", point):
            return self(fn, *args, **kwargs)

    def end(self) -> None:
        """Kill those that still run, and reap all."""
        while self._children:
            self._children.pop().__exit__()


def _serve(line: Line, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        answer: tuple[Any, Exception | None] = fn(*args, **kwargs), None
    except Exception as error:  # noqa: BLE001  # it is the other process's to handle
        error.add_note(f"in process {os.getpid()}, which ran {fn.__name__}()")
        answer = None, error
    line.say(answer)


@contextmanager
def _environment(name: str, value: str) -> Generator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
