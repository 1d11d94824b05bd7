"""Processes that work at the same time: they start at one moment, and are timed until the last has ended.

They are started once and told what to do as often as it takes, so that starting them is not in any figure. What they do
can be pickled unless they are forked, so it is a function of a module, with `functools.partial`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.managers import SyncManager
from typing import TYPE_CHECKING, Any, NamedTuple

from procshare.bench.interrupts import interrupts_held_back
from procshare.bench.measure import BenchmarkFailed, now

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess
    from types import TracebackType
    from typing import Self, TypeAlias

    Job: TypeAlias = Callable[[int], object]
    """Does something so many times."""

PATIENCE_SECONDS = 50.0
"""After so long nothing is waited for any longer: a benchmark that hangs says so."""


class Outcome(NamedTuple):
    """What processes that worked together came to."""

    seconds: float
    """From the first one's start to the last one's end."""
    results: list[Any]
    """What each returned, in the order in which they were given."""


class Crew:
    """A process for each job; all of them do it together when told to.

    Args:
        context: How they are started.
        jobs: What each does.
    """

    def __init__(self, context: BaseContext, *jobs: Job) -> None:
        self._context: Any = context  # typeshed knows `Process` of its subclasses alone
        self._jobs = jobs
        self._barrier = self._context.Barrier(len(jobs))  # kept: who is spawned looks for it later than this returns
        self._pipes: list[Connection[Any, Any]] = []
        self._processes: list[BaseProcess] = []

    def __enter__(self) -> Self:
        try:
            with interrupts_held_back():
                for job in self._jobs:
                    self._start(job)
        except BaseException:
            self._end()
            raise
        return self

    def _start(self, job: Job) -> None:
        ours, theirs = self._context.Pipe()
        self._pipes.append(ours)
        process = self._context.Process(target=_work, args=(job, self._barrier, theirs), daemon=True)
        with theirs:
            process.start()
        self._processes.append(process)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()

    def run(self, times: int) -> Outcome:
        """Let each do its job so many times.

        Raises:
            BenchmarkFailed: One of them died, raised, or does not answer.
        """
        try:
            for pipe in self._pipes:
                pipe.send(times)
            seen = [self._answer(pipe) for pipe in self._pipes]
        except (EOFError, OSError):
            raise BenchmarkFailed("a worker died; its traceback is on stderr") from None
        seconds = max(end for _, end, _ in seen) - min(began for began, _, _ in seen)
        return Outcome(seconds, [result for _, _, result in seen])

    def _answer(self, pipe: Connection[Any, Any]) -> tuple[float, float, Any]:
        ready = wait([pipe, *(process.sentinel for process in self._processes)], PATIENCE_SECONDS)
        if not ready:
            raise BenchmarkFailed(f"a worker has not answered for {PATIENCE_SECONDS:g} s")
        if pipe not in ready:
            raise EOFError
        answer: tuple[float, float, Any] = pipe.recv()
        return answer


def end_with_parent() -> None:
    """End this process when the one that started it has gone, however that went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_await_end, args=(parent.sentinel,), daemon=True).start()


def _await_end(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def manager(context: BaseContext) -> SyncManager:
    """What `context.Manager()` gives, but its process goes with this one."""
    made = SyncManager(ctx=context)
    with interrupts_held_back():
        made.start(end_with_parent)
    return made


def _work(job: Job, barrier: Any, pipe: Connection[Any, Any]) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent answers it, by ending its workers
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    while True:
        try:
            times: int = pipe.recv()
        except (EOFError, OSError):
            return
        barrier.wait(PATIENCE_SECONDS)
        began = now()
        result = job(times)
        pipe.send((began, now(), result))


def together(*jobs: Callable[[], object]) -> Outcome:
    """Run each once, in a forked process of its own."""
    with Crew(multiprocessing.get_context("fork"), *[_once(job) for job in jobs]) as crew:
        return crew.run(1)


def _once(job: Callable[[], object]) -> Job:
    return lambda _times: job()


def must_be(what: str, found: object, right: object) -> None:
    """See that nothing was lost or doubled.

    Raises:
        BenchmarkFailed: Something was.
    """
    if found != right:
        raise BenchmarkFailed(f"{what}: {found} instead of {right}")
