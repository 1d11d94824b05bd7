"""The demo's second part: workers read a real source tree into shared counters and a shared array.

There is no queue: the index of the next file is itself a `SharedCounter`, and whoever increments it has that
file. The parent sleeps in `wait_until` and shows how far they are.
"""

from __future__ import annotations

import sysconfig
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from procshare import SharedArray, SharedCounter
from procshare.cli.demo_workers import Stopwatch, follow, no_progress, stopwatch, team

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import numpy.typing as npt

    from procshare.cli.demo_workers import Progress


@dataclass(frozen=True)
class Totals:
    """What a source tree comes to."""

    files: int
    lines: int
    histogram: tuple[int, ...]
    """How often each of the 256 byte values occurs."""

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(self.histogram)


@dataclass(frozen=True)
class Reading:
    """The same tree, read by several workers and by one process alone."""

    root: str
    shared: Totals
    alone: Totals
    seconds: float
    seconds_starting: float
    """What it took to start the workers; not in `seconds`."""
    seconds_alone: float

    @property
    def ok(self) -> bool:
        """Whether both came to the same."""
        return self.shared == self.alone


@dataclass(frozen=True)
class _Tree:
    """What the workers share."""

    next_file: SharedCounter
    files: SharedCounter
    lines: SharedCounter
    histogram: SharedArray[np.int64]

    def totals(self) -> Totals:
        return Totals(self.files.value, self.lines.value, tuple(int(n) for n in self.histogram.value))


def library_root() -> Path:
    """Where the running Python keeps its standard library."""
    return Path(sysconfig.get_path("stdlib"))


def library_files(limit: int | None = None) -> list[Path]:
    """Every source file of the running Python's standard library, at most *limit*, in a fixed order."""
    root = library_root()
    foreign = {"site-packages", "dist-packages"}
    found = (path for path in root.rglob("*.py") if foreign.isdisjoint(path.relative_to(root).parts))
    return sorted(path for path in found if path.is_file())[:limit]


def count_file(path: Path) -> tuple[int, npt.NDArray[np.int64]]:
    """The lines of one file, and how often each byte value occurs in it."""
    data = path.read_bytes()
    return len(data.splitlines()), np.bincount(np.ndarray(len(data), np.uint8, data), minlength=256)


def count_alone(paths: Sequence[Path]) -> Totals:
    """The plain loop that the workers' result is compared with."""
    total, histogram = 0, np.zeros(256, np.int64)
    for path in paths:
        lines, bins = count_file(path)
        total += lines
        histogram += bins
    return Totals(len(paths), total, tuple(int(n) for n in histogram))


def _count_shared(watch: Stopwatch, tree: _Tree, paths: Sequence[Path]) -> None:
    with watch.timed():
        while (index := tree.next_file.increment() - 1) < len(paths):
            lines, bins = count_file(paths[index])
            tree.lines.increment(lines)
            with tree.histogram.locked() as histogram:
                histogram += bins
            # Last, so that whoever sees all files counted sees all their lines and bytes too.
            tree.files.increment()


@contextmanager
def _tree() -> Generator[_Tree]:
    with (
        SharedCounter() as next_file,
        SharedCounter() as files,
        SharedCounter() as lines,
        SharedArray.zeros(256, np.int64) as histogram,
    ):
        yield _Tree(next_file, files, lines, histogram)


def run_reading(workers: int, progress: Progress = no_progress, limit: int | None = None) -> Reading:
    """Read the standard library with so many workers, then alone.

    Args:
        workers: How many processes share the work.
        progress: What to show meanwhile.
        limit: Read only so many files.

    Raises:
        WorkerFailed: A worker died or raised.
    """
    paths = library_files(limit)
    for path in paths:  # both runs shall find the files in the page cache, else the second only looks faster
        path.read_bytes()
    with stopwatch() as watch, _tree() as tree:
        began = time.perf_counter()
        # The bar comes after the workers: it has a thread, and a process with threads should not fork.
        with team(workers, _count_shared, watch, tree, paths) as processes, progress(len(paths)) as show:
            watch.start(processes)
            starting = time.perf_counter() - began
            follow(tree.files, len(paths), processes, show)
        shared, seconds = tree.totals(), watch.seconds
    began = time.perf_counter()
    alone = count_alone(paths)
    return Reading(str(library_root()), shared, alone, seconds, starting, time.perf_counter() - began)
