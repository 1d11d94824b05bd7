"""Processes that increment one counter at the same time: millions of increments a second, the total checked."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING, Any

from measure import compare

from procshare import SharedCounter

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Row

PROCESSES = 4


def _ours(counter: SharedCounter, start: Any, times: Any, n: int) -> None:
    start.wait()
    began = time.perf_counter()
    for _ in range(n):
        counter.increment()
    times.put((began, time.perf_counter()))


def _theirs(value: Any, start: Any, times: Any, n: int) -> None:
    start.wait()
    began = time.perf_counter()
    for _ in range(n):
        with value.get_lock():
            value.value += 1
    times.put((began, time.perf_counter()))


def _race(work: Callable[..., None], shared: Any, n: int) -> float:
    """Seconds for one increment, over all processes, from the first one's start to the last one's end."""
    context = multiprocessing.get_context("fork")
    start, times = context.Barrier(PROCESSES), context.SimpleQueue()
    before = shared.value
    workers = [context.Process(target=work, args=(shared, start, times, n)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    seen = [times.get() for _ in workers]
    for worker in workers:
        worker.join()
    if shared.value != before + n * PROCESSES:
        raise SystemExit(f"lost increments: {shared.value} instead of {before + n * PROCESSES}")
    seconds: float = max(end for _, end in seen) - min(began for began, _ in seen)
    return seconds / (n * PROCESSES)


def rows() -> list[Row]:
    """Four processes on one counter, beside four on one `mp.Value`."""
    counter, value = SharedCounter(), multiprocessing.Value("q", 0)
    return [
        compare(
            f"increment, {PROCESSES} processes contending",
            lambda: _race(_ours, counter, 1_000_000),
            lambda: _race(_theirs, value, 50_000),
            rounds=7,
            target=">= 35x",
        )
    ]
