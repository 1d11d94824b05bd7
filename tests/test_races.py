"""Eight threads of one process in each type at once: its calls, waits, attaching and closing, and the ends of threads.

They are the tests of ThreadSanitizer's job (sanitizers.py), which looks for what races without the GIL. Without it they
tell of crashes and of threads that never go on.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from death_support import Task, forked, never
from procshare import OwnerDied, SharedArray, SharedDict, SharedLock, SharedQueue, SharedRWLock, SharedValue, attach
from procshare.backends import native_built
from procshare.testing._kinds import KINDS, kept

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

THREADS = 8
SECONDS = 1.0 if "PROCSHARE_SANITIZER" in os.environ else 0.15
ALONE = ("SharedBarrier", "SharedPipe", "SharedCondition")  # that one thread uses for itself, from time to time


def together(*work: Callable[[], object]) -> None:
    """All of them again and again, each in a thread of its own."""
    until = time.monotonic() + SECONDS

    def run(each: Callable[[], object]) -> None:
        while time.monotonic() < until:
            each()

    tasks = [Task(partial(run, each)) for each in work]
    for task in tasks:
        task.join(60)
        task.result()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ALONE])
def test_all_use_one(kind: str) -> None:
    """Through one handle and through others; two look at it, two attach and close, two fork or end with a hold."""
    what = KINDS[kind]
    with kept(what.make()) as x:
        name = x.name

        def come_and_go() -> None:
            with suppress(FileNotFoundError):
                attach(name).close()

        def use() -> None:
            with suppress(KeyError, IndexError, AssertionError, OwnerDied):  # another took it, or its thread ended
                what.use(x)

        together(use, use, use, partial(what.look, x), come_and_go, come_and_go, partial(threads_end, x), use)


def threads_end(x: Any) -> None:
    """Threads that end with its lock, which others then have."""
    if hasattr(x, "locked") and callable(x.locked) and hasattr(x, "value"):
        Task(lambda: x.locked(timeout=5).__enter__()).join(10)
        with suppress(AttributeError):
            x.recover()
    else:
        time.sleep(0.001)


def test_large_arrays() -> None:
    """They are copied without the GIL."""
    with SharedArray(np.zeros(200_000)) as x:
        ones = np.ones(200_000)
        together(*[partial(x.set, ones * n) for n in range(4)], *[lambda: x.value.sum()] * 4)


def test_waits_end_in_many_ways() -> None:
    """In time, by a change, by a closed handle."""
    with SharedValue[Any]("old") as x:

        def leave() -> None:
            twin: Any = attach(x.name)
            waiter = Task(lambda: twin.wait_until(never, timeout=0.02))
            twin.close()
            waiter.join(10)

        def wait() -> None:
            with suppress(TimeoutError):
                x.wait_until(lambda value: value == "new", timeout=0.01)

        together(
            wait, wait, wait, leave, leave, partial(x.set, "new"), partial(x.set, "old"), partial(x.set, b"x" * 5000)
        )


def test_queues_grow_and_shrink() -> None:
    """With waits at both ends."""
    with SharedQueue[bytes](capacity=1 << 16) as x:

        def put() -> None:
            with suppress(Exception):
                x.put(b"x" * 20_000, timeout=0.01)

        def get() -> None:
            with suppress(Exception):
                x.get(timeout=0.01)

        together(put, put, put, put, get, get, get, partial(x.get_many, 3, timeout=0) if x.qsize() else get)


def test_readers_and_writers() -> None:
    """Who ends with a hold gives it back."""
    with SharedRWLock() as x:

        def go_in(how: str) -> None:
            with getattr(x, how)(timeout=10):
                pass

        def end(how: str) -> None:
            Task(lambda: getattr(x, how)(timeout=10).__enter__()).join(20)

        together(
            *[partial(go_in, "reading")] * 4,
            *[partial(go_in, "writing")] * 2,
            partial(end, "reading"),
            partial(end, "writing"),
        )


def test_forks_in_the_middle() -> None:
    """Of everything; the children have no threads and no holds."""
    lock = SharedLock()
    with kept(lock), SharedDict({"n": 0}) as x:

        def take() -> None:
            with lock:
                x["n"] += 1

        def fork() -> None:
            assert forked(lambda: x.value) == 0

        together(take, take, take, take, fork, lambda: x.value, threading.Event().is_set, partial(x.set, {"n": 1}))
