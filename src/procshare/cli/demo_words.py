"""The demo's third part: workers count the words of a real source tree into one shared dict.

Each counts the words of a file by itself and adds them to the dict with `increment`, which needs no lock. The same
with a `Manager().dict()` needs one, and two round trips to the manager for each word: so it is given a sample.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from procshare import SharedCounter, SharedDict, default_backend
from procshare.bench.interrupts import interrupts_held_back
from procshare.cli.demo_files import library_files
from procshare.cli.demo_workers import (
    Stopwatch,
    follow,
    no_progress,
    stopwatch,
    team,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from multiprocessing.managers import DictProxy
    from pathlib import Path
    from typing import TypeAlias

    from procshare.cli.demo_workers import Progress

    Add: TypeAlias = Callable[[str, int], object]
    """Adds so many occurrences of a word to what all have counted."""

SAMPLE_FILES = 24
"""How many files the manager is given: it takes about a tenth of a millisecond for each word of each."""

_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class Sample:
    """The same few files, counted into a shared dict and into a manager's."""

    files: int
    seconds: float
    seconds_manager: float
    equal: bool
    """Whether both came to what one process alone counted."""

    @property
    def ratio(self) -> float:
        """How many times as fast the shared dict was."""
        return self.seconds_manager / self.seconds


@dataclass(frozen=True)
class Words:
    """The words of a source tree, counted by several workers and by one process alone."""

    files: int
    total: int
    distinct: int
    frequent: tuple[tuple[str, int], ...]
    """The ten most frequent of them, by the workers' count."""
    seconds: float
    seconds_alone: float
    equal: bool
    """Whether workers and one process alone agree on each word."""
    sample: Sample

    @property
    def ok(self) -> bool:
        """Whether every count is right."""
        return self.equal and self.sample.equal


def count_words(path: Path) -> Counter[str]:
    """How often each word occurs in one file."""
    # Some of the library's own tests are not in UTF-8, on purpose.
    return Counter(_WORD.findall(path.read_bytes().decode("utf-8", "replace")))


def count_alone(paths: Sequence[Path]) -> Counter[str]:
    """The plain loop that the workers' result is compared with."""
    counts: Counter[str] = Counter()
    for path in paths:
        counts.update(count_words(path))
    return counts


@dataclass(frozen=True)
class _Files:
    """Which files there are, whose turn it is, and how many are done."""

    paths: Sequence[Path]
    next_file: SharedCounter
    done: SharedCounter

    def count(self, add: Add) -> None:
        """In a worker: count one file after the other until none is left."""
        while (index := self.next_file.increment() - 1) < len(self.paths):
            for word, times in count_words(self.paths[index]).items():
                add(word, times)
            # Last, so that whoever sees all files done sees all their words too.
            self.done.increment()


def _count_shared(watch: Stopwatch, files: _Files, counts: SharedDict[str, int]) -> None:
    with watch.timed():
        files.count(counts.increment)


def _count_managed(
    watch: Stopwatch, files: _Files, counts: DictProxy[str, int], lock: AbstractContextManager[bool]
) -> None:
    def add(word: str, times: int) -> None:
        with lock:
            counts[word] = counts.get(word, 0) + times

    with watch.timed():
        files.count(add)


def _share_out(
    workers: int, progress: Progress, paths: Sequence[Path], count: Callable[..., None], *shared: object
) -> float:
    """Let the workers count these files; seconds from the first one's start to the last one's end."""
    with SharedCounter() as next_file, SharedCounter() as done, stopwatch() as watch:
        files = _Files(paths, next_file, done)
        # The bar comes after the workers: it has a thread, and a process with threads should not fork.
        with team(workers, count, watch, files, *shared) as processes, progress(len(paths)) as show:
            watch.start(processes)
            follow(done, len(paths), processes, show)
        return watch.seconds


def _shared(workers: int, progress: Progress, paths: Sequence[Path]) -> tuple[dict[str, int], float]:
    with SharedDict[str, int]() as counts:
        seconds = _share_out(workers, progress, paths, _count_shared, counts)
        return counts.value, seconds


def _managed(workers: int, paths: Sequence[Path]) -> tuple[dict[str, int], float]:
    with interrupts_held_back():  # which the manager inherits, or a Ctrl-C while it starts would print a traceback
        manager = multiprocessing.Manager()
    with manager:
        counts: DictProxy[str, int] = manager.dict()
        seconds = _share_out(workers, no_progress, paths, _count_managed, counts, multiprocessing.Lock())
        return counts.copy(), seconds


def _some(paths: Sequence[Path]) -> Sequence[Path]:
    """A sample: files from all over the tree."""
    return paths[:: max(1, len(paths) // SAMPLE_FILES)][:SAMPLE_FILES]


def _sample(workers: int, paths: Sequence[Path]) -> Sample:
    """Count the same files in both ways."""
    shared, seconds = _shared(workers, no_progress, paths)
    managed, seconds_manager = _managed(workers, paths)
    return Sample(len(paths), seconds, seconds_manager, shared == managed == dict(count_alone(paths)))


def run_words(workers: int, progress: Progress = no_progress, limit: int | None = None) -> Words:
    """Count the words of the standard library with so many workers, then alone; a sample with a manager too.

    Args:
        workers: How many processes share the work.
        progress: What to show meanwhile.
        limit: Count only so many files.

    Raises:
        WorkerFailed: A worker died or raised.
    """
    paths = library_files(limit)
    sample = _sample(workers, _some(paths))
    if default_backend() == "stdlib":  # where a SharedDict is a manager's too, and all files would take minutes
        paths = list(_some(paths))
    shared, seconds = _shared(workers, progress, paths)
    began = time.perf_counter()
    alone = count_alone(paths)
    seconds_alone = time.perf_counter() - began
    return Words(
        files=len(paths),
        total=sum(shared.values()),
        distinct=len(shared),
        frequent=tuple(Counter(shared).most_common(10)),
        seconds=seconds,
        seconds_alone=seconds_alone,
        equal=shared == dict(alone),
        sample=sample,
    )
