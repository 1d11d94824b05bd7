"""Processes that work at the same time: they start at one moment, and are timed until the last has ended."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

PATIENCE = 50
"""After so many seconds nothing is waited for any longer: a benchmark that hangs says so."""


class Outcome(NamedTuple):
    """What processes that worked together came to."""

    seconds: float
    """From the first one's start to the last one's end."""
    results: list[Any]
    """What each returned, in the order in which they were given."""


def together(*jobs: Callable[[], object]) -> Outcome:
    """Run each in a forked process of its own."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(len(jobs))
    pipes = [context.Pipe(duplex=False) for _ in jobs]
    processes = [
        context.Process(target=_work, args=(job, start, pipe), daemon=True)
        for job, (_, pipe) in zip(jobs, pipes, strict=True)
    ]
    try:
        for process in processes:
            process.start()
        seen = [_answer(pipe) for pipe, _ in pipes]
        for process in processes:
            process.join(PATIENCE)
    finally:
        for process in processes:
            process.kill()
            process.join()
    seconds = max(end for _, end, _ in seen) - min(began for began, _, _ in seen)
    return Outcome(seconds, [result for _, _, result in seen])


def _work(job: Callable[[], object], start: Any, pipe: Any) -> None:
    start.wait(PATIENCE)
    began = time.perf_counter()
    result = job()
    pipe.send((began, time.perf_counter(), result))


def _answer(pipe: Connection[Any, Any]) -> tuple[float, float, Any]:
    if not pipe.poll(PATIENCE):
        raise SystemExit("a process of the benchmark does not answer")
    answer: tuple[float, float, Any] = pipe.recv()
    return answer


def must_be(what: str, found: object, right: object) -> None:
    """End the benchmark if something was lost or doubled."""
    if found != right:
        raise SystemExit(f"{what}: {found} instead of {right}")
