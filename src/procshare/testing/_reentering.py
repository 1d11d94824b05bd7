"""Finalizers, pickling, signal handlers, exceptions and trace functions in the middle of calls."""

from __future__ import annotations

import gc
import random
import signal
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import finalize

from procshare import OwnerDied, SharedCounter, SharedDict, SharedValue
from procshare.testing._calls import CALLS, attempt
from procshare.testing._kinds import KINDS, kept
from procshare.testing._processes import PATIENCE
from procshare.testing._situations import Failed, hammering, some_call, use_quiet, use_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

# What wants to join the very change that it interrupted, or to wait for its own thread, is told so.
REFUSED = "in the middle of", "would be for ever"


def tolerant(act: Callable[[], object]) -> None:
    """Do something from within a call; only that it would join the change in progress may be refused."""
    try:
        act()
    except RuntimeError as error:
        if not any(reason in str(error) for reason in REFUSED):
            raise


# ---- the garbage collector ----


now: dict[str, Callable[[], object]] = {"act": list}  # what runs in the middle of calls


class Garbage:
    """A reference cycle whose collection uses objects."""

    made = 0
    ran = 0
    failed: BaseException | None = None

    def __init__(self) -> None:
        self.me = self
        Garbage.made += 1
        finalize(self, _collected).atexit = False


def _collected() -> None:
    Garbage.ran += 1
    try:
        tolerant(now["act"])
    except BaseException as error:  # noqa: BLE001 - it would only be printed
        Garbage.failed = error


class Pickled:
    """A value that uses the object while it is pickled, and again while it is unpickled; and makes garbage."""

    def __reduce__(self) -> tuple[Any, ...]:
        now["act"]()
        Garbage()
        return _unpickled, (1,)


def _unpickled(value: int) -> int:
    now["act"]()
    Garbage()
    return value


def collected(kind: str, tries: int) -> int:
    """With a collection at each allocation: finalizers use the same object, others, and close handles."""
    with kept(KINDS[kind].make()) as x, SharedValue("other") as value, SharedDict[str, Any]({"n": 1}) as d:

        def act() -> None:
            some_call(kind, x)
            value.set("x" * random.randrange(900))
            d["n"] = [1]
            SharedCounter(1).increment()  # its handle goes at once

        now["act"], Garbage.failed, Garbage.ran = act, None, 0
        threshold = gc.get_threshold()
        try:
            for n in range(tries):
                Garbage()
                gc.set_threshold(1)
                some_call(kind, x)
                _with_pickles(kind, x, n)
                gc.set_threshold(*threshold)
                if Garbage.failed is not None:
                    raise Garbage.failed
        finally:
            gc.set_threshold(*threshold)
            now["act"] = list
            gc.collect()
        if Garbage.ran == 0:
            raise Failed("no finalizer ran")
        use_quiet(kind, x)
    return tries


def _with_pickles(kind: str, x: Any, n: int) -> None:
    """Values that re-enter the object, in calls and in a block."""
    if kind == "SharedValue":
        x.set(Pickled())
        _ = x.value
    elif kind in ("SharedDict", "SharedNamespace"):
        x["pickled"] = Pickled()
        x.get("pickled") if kind == "SharedDict" else x["pickled"]
        if n % 4 == 0:
            with suppress(KeyError), x.locked() as guard:
                guard["pickled"] = Pickled()
                guard["other"] = Pickled()
                del guard["other"]
    elif kind == "SharedList":
        x.append(Pickled())
        with suppress(IndexError):
            x.pop(0)
        if n % 4 == 0:
            with suppress(IndexError), x.locked() as guard:
                guard.append(Pickled())
                guard.pop()
    elif kind == "SharedQueue":
        x.put(Pickled())
        x.get(timeout=5)


# ---- signals ----


@contextmanager
def ticking(handler: Callable[[], object], period: float = 0.001) -> Generator[None]:
    """A signal handler that runs every millisecond while a block does."""
    depth = 0

    def run(*_: object) -> None:
        nonlocal depth
        if depth < 3:  # it may be interrupted by itself, but not without end
            depth += 1
            try:
                handler()
            finally:
                depth -= 1

    before = signal.signal(signal.SIGALRM, run)
    signal.setitimer(signal.ITIMER_REAL, period, period)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def handled(kind: str, tries: int) -> int:
    """A handler uses the very object that the main thread uses, beside threads that do."""
    ran = 0
    with kept(KINDS[kind].make()) as x:
        names = list(CALLS[kind])
        safe = [name for name in names if kind != "SharedLock" or name == "try"]  # not re-entrant: it would be refused
        some_call(kind, x)

        def handler() -> None:
            nonlocal ran
            ran += 1
            tolerant(partial(some_call, kind, x, safe))

        with hammering(partial(some_call, kind, x), 2), ticking(handler):
            deadline = time.monotonic() + PATIENCE
            while ran < tries and time.monotonic() < deadline:
                tolerant(partial(some_call, kind, x))
        use_quiet(kind, x)
    return ran


def interrupted(kind: str, tries: int) -> int:
    """A handler raises KeyboardInterrupt at random moments inside each call: nothing stays locked, all is whole."""
    raised = 0
    armed = False

    def handler() -> None:
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    with kept(KINDS[kind].make()) as x:
        some_call(kind, x)
        calls = [name for name in CALLS[kind] if name not in ("acquire", "try", "put, get", "put large")]
        with ticking(handler, 0.0007):
            for n in range(tries):
                name = calls[n % len(calls)]
                try:
                    armed = True
                    for _ in range(500):
                        attempt(CALLS[kind][name], x)
                    armed = False
                except (KeyboardInterrupt, OwnerDied):
                    raised += 1
                armed = False
        use_whole(kind, x)
    return raised


def traced(kind: str, tries: int) -> int:
    """With a trace function that uses the same object."""
    busy = False

    def trace(_frame: object, _event: str, _arg: object) -> Any:
        nonlocal busy
        if not busy:
            busy = True
            try:
                tolerant(partial(some_call, kind, x))
            finally:
                busy = False
        return trace

    with kept(KINDS[kind].make()) as x:
        some_call(kind, x)
        sys.settrace(trace)
        try:
            for _ in range(tries):
                tolerant(partial(some_call, kind, x))
        finally:
            sys.settrace(None)
        use_whole(kind, x)
    return tries
