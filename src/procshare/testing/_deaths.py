"""One death at a moment of an operation, and what another process then finds and can do."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import procshare
from procshare.testing._kinds import take
from procshare.testing._stepping import Moment, Path, bring, follow
from procshare.testing._tracer import CONT, Traced
from procshare.testing._trials import Failed, left_by

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from procshare.testing._operations import Operation


@dataclass(frozen=True)
class Subject:
    """What is killed: one that makes an operation's calls; or one that takes over from such a one that died."""

    operation: Operation
    died: Moment | None = None
    nth: int = 0

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.operation.name if self.died is None else f"{self.operation.name}, takeover {self.nth}"

    @contextmanager
    def scene(self) -> Generator[Any]:
        """The object, as it is before."""
        with self.operation.scene() as x:
            if self.died is not None:
                with _doing(self.operation, x) as first:
                    if not bring(first, self.died):
                        with _again(first, self.operation, x) as second:
                            follow(second, self.died)
            yield x

    def traced(self, x: Any) -> Traced:
        """The process that is to be killed, stopped before it begins."""
        if self.died is None:
            return _doing(self.operation, x)
        return Traced(partial(_take_over, self.operation, x))


def _again(first: Traced, operation: Operation, x: Any) -> Traced:
    first.kill()
    return _doing(operation, x)


def _doing(operation: Operation, x: Any) -> Traced:
    return Traced(operation.run, lambda: operation.given(x))


def _take_over(operation: Operation, x: Any) -> None:
    """Take what the dead had, and change nothing."""
    if operation.kind == "transaction":
        with procshare.transaction(*x):
            return
    if operation.kind == "SharedQueue":
        with suppress(KeyError, Exception), x.lease(0):
            raise KeyError
        x.qsize()
    elif hasattr(x, "locked") and isinstance(x, procshare.Shared):
        with suppress(procshare.OwnerDied), x.locked():
            pass
    elif hasattr(x, "writing"):
        with x.writing():
            pass
    elif hasattr(x, "reset"):
        _ = x.broken, x.n_waiting
    elif hasattr(x, "acquire"):
        take(x)


# ---- trials, each in a process of its own ----


def states(operation: Operation) -> list[Any]:
    """What is seen of the dead before the first of an operation's calls, and after each of them."""
    found = list[Any]()
    for done in range(len(operation.steps) + 1):
        with operation.scene() as x:
            with Traced(partial(operation.run, steps=done), partial(operation.given, x)) as traced:
                while not traced.finished:
                    traced.go(CONT)
            found.append(operation.seen(x))
    if operation.kept:
        with operation.scene() as x:
            operation.run(operation.given(x))
            if (alive := operation.seen(x)) != found[-1]:
                raise Failed(f"what was done is gone when the process dies after it: {found[-1]!r}, not {alive!r}")
    return found


def recorded(subject: Subject) -> Path:
    """The path of one that lives."""
    with subject.scene() as x, subject.traced(x) as traced:
        path = follow(traced)
    if not path.unseen:
        return path
    with subject.scene() as x, subject.traced(x) as traced:  # of an array, NumPy
        return follow(traced, closely=True)


@dataclass(frozen=True)
class Death:
    """What came of a death.

    Attributes:
        took: Seconds until the other one had looked and used the object.
        stepped: The process was not where it should be, and was taken there step by step.
    """

    took: float
    stepped: bool


def death(subject: Subject, moment: Moment, expected: Sequence[Any]) -> Death:
    """Kill one at a moment, and look at what is left.

    Raises:
        Failed: It was not as it should be.
    """
    operation, pids, took = subject.operation, set[int](), -1.0
    for how in bring, _walk:
        with subject.scene() as x, subject.traced(x) as traced:
            pids.add(traced.pid)
            if how(traced, moment):
                took = _judged(operation, x, traced, expected)
                break
    if left := left_by(pids):
        raise Failed(f"left in /dev/shm: {', '.join(left)}")
    return Death(took, how is _walk)


def _walk(traced: Traced, moment: Moment) -> bool:
    follow(traced, moment)
    return True


def _judged(operation: Operation, x: Any, traced: Traced, expected: Sequence[Any]) -> float:
    traced.kill()
    began = time.monotonic()
    seen = operation.seen(x)
    if seen not in expected and not (operation.mixed and _mixed(seen, expected)):
        raise Failed(f"the state is {seen!r:.300}, and may be {' or '.join(f'{each!r:.300}' for each in expected)}")
    operation.used(x)
    return time.monotonic() - began


def _mixed(seen: Any, expected: Sequence[Any]) -> bool:
    named, (how, found) = seen
    columns = zip(*(each[1][1] for each in expected), strict=True)
    return named == expected[0][0] and how == "half" and all(a in b for a, b in zip(found, columns, strict=True))
