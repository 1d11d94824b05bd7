"""Worker processes for the demo: started together, timed together, and never waited for once dead.

A worker that dies leaves a count that will never be reached. So nobody here waits without looking at the
processes now and then, and whatever ends the wait, no worker outlives it.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from procshare import SharedCounter
from procshare.bench.interrupts import interrupts_held_back

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager
    from multiprocessing.process import BaseProcess
    from typing import TypeAlias

    Progress: TypeAlias = Callable[[int], AbstractContextManager[Callable[[int], object]]]
    """Given the number of files, a context whose function is told how many are done."""

LOOK_SECONDS = 0.25
"""How often a wait looks whether the workers are alive."""

_PATIENCE_SECONDS = 60.0
"""How long a worker waits for its start: for ever would leave it behind if the parent is killed."""


class WorkerFailed(Exception):
    """A worker died, raised, or stopped before its work was done."""


def _work(target: Callable[..., None], args: tuple[object, ...]) -> None:
    # Ctrl-C reaches every process of the terminal; the parent alone answers it, by ending its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    target(*args)


@contextmanager
def team(workers: int, target: Callable[..., None], *args: object) -> Generator[list[BaseProcess]]:
    """Run `target(*args)` in so many processes; the block ends when all have, and none outlives it.

    Raises:
        WorkerFailed: One of them died or raised.
    """
    processes: list[BaseProcess] = [
        multiprocessing.Process(target=_work, args=(target, args), name=f"worker {number}", daemon=True)
        for number in range(1, workers + 1)
    ]
    try:
        with interrupts_held_back():
            for process in processes:
                process.start()
        yield processes
        await_end(processes)
    finally:
        _end(processes)


@contextmanager
def victim(target: Callable[..., None], *args: object) -> Generator[BaseProcess]:
    """Run `target(*args)` in a process that is killed at the end of the block, if it was not in it."""
    process = multiprocessing.Process(target=_work, args=(target, args), name="the victim", daemon=True)
    try:
        with interrupts_held_back():
            process.start()
        yield process
    finally:
        _end([process])


def _end(processes: Sequence[BaseProcess]) -> None:
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.kill()
    for process in started:
        process.join()


def await_end(processes: Sequence[BaseProcess]) -> None:
    """Wait until all have ended.

    Raises:
        WorkerFailed: One of them died or raised; the others may still be running.
    """
    while running := [process.sentinel for process in processes if process.exitcode is None]:
        # Not for ever: a signal that comes between Python's look for one and the system call does not end that.
        wait(running, LOOK_SECONDS)
        check(processes)
    check(processes)


def check(processes: Sequence[BaseProcess]) -> None:
    """See that no worker has died.

    Raises:
        WorkerFailed: One has, or raised; of several, one that a signal ended, since the others may have failed for it.
    """
    failed = [(process.exitcode, process) for process in processes if process.exitcode]
    if not failed:
        return
    code, process = min(failed, key=lambda pair: pair[0])
    if code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}; its traceback is on stderr"
    raise WorkerFailed(f"{process.name} (pid {process.pid}) {how}")


def at_least(goal: int) -> Callable[[int], bool]:
    """The predicate that a count has come to *goal*."""
    return lambda count: count >= goal


def await_count(counter: SharedCounter, predicate: Callable[[int], bool], processes: Sequence[BaseProcess]) -> int:
    """`counter.wait_until(predicate)`, but not for ever where the workers that should bring it about are gone.

    Raises:
        WorkerFailed: One of them died or raised, or all ended and the predicate is still false.
    """
    while True:
        check(processes)
        ended = all(process.exitcode == 0 for process in processes)
        try:
            return counter.wait_until(predicate, timeout=LOOK_SECONDS)
        except TimeoutError:
            if ended:
                raise WorkerFailed("all workers ended before their work was done") from None


def follow(done: SharedCounter, total: int, processes: Sequence[BaseProcess], show: Callable[[int], object]) -> None:
    """Wait until so many files are done, and show how many are.

    Raises:
        WorkerFailed: One of the workers died or raised, or all ended before that.
    """
    # A hundred steps: the bar shows no more, and a wake-up for each file would only keep a worker off its CPU.
    step = max(1, total // 100)
    count = 0
    while count < total:
        count = await_count(done, at_least(min(count + step, total)), processes)
        show(count)


@contextmanager
def no_progress(total: int) -> Generator[Callable[[int], object]]:
    """Shows nothing."""
    del total
    yield lambda _done: None


@dataclass(frozen=True)
class Stopwatch:
    """Starts all workers at one moment, and times them from the first one's start to the last one's end.

    A worker counts to 50,000 while the next is being started: unless they wait for each other, they never meet.
    """

    ready: SharedCounter
    go: SharedCounter
    began: SharedCounter
    ended: SharedCounter

    @contextmanager
    def timed(self) -> Generator[None]:
        """In a worker: wait for the start, then time the block."""
        self.ready.increment()
        self.go.wait_until(bool, timeout=_PATIENCE_SECONDS)
        began = time.monotonic_ns()
        yield
        ended = time.monotonic_ns()
        self.began.modify(lambda earliest: min(earliest, began))
        self.ended.modify(lambda latest: max(latest, ended))

    def start(self, processes: Sequence[BaseProcess]) -> None:
        """In the parent: let them go once all are ready."""
        await_count(self.ready, at_least(len(processes)), processes)
        self.go.increment()

    @property
    def seconds(self) -> float:
        """From the first worker's start to the last one's end."""
        return (self.ended.value - self.began.value) / 1e9


@contextmanager
def stopwatch() -> Generator[Stopwatch]:
    """A stopwatch whose counters live as long as the block."""
    with SharedCounter() as ready, SharedCounter() as go, SharedCounter(2**63 - 1) as began, SharedCounter() as ended:
        yield Stopwatch(ready, go, began, ended)
