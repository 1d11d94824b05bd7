"""What the doomed have done: a file of numbers, in which they keep account of it and which outlives them.

Four 64-bit integers for each of them: increments acknowledged, commits of a pair acknowledged, the longest wait for a
lock in nanoseconds, and 1 once it saw something that cannot be.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HITS, PAIRS, WAIT, WRONG, FIELDS = 0, 1, 2, 3, 4


class Ledger:
    """The file of accounts; what a worker stored there survives its death.

    Args:
        path: The file.
        workers: How many to make room for; 0: it exists.
    """

    def __init__(self, path: Path, workers: int = 0) -> None:
        if workers:
            path.write_bytes(bytes(8 * FIELDS * workers))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._cells = memoryview(self._map).cast("q")

    def __getitem__(self, place: tuple[int, int]) -> int:
        worker, field = place
        return self._cells[FIELDS * worker + field]

    def __setitem__(self, place: tuple[int, int], n: int) -> None:
        worker, field = place
        self._cells[FIELDS * worker + field] = n

    def column(self, field: int) -> list[int]:
        """One field of all workers."""
        return self._cells[field::FIELDS].tolist()

    def has_begun(self, worker: int) -> bool:
        """Whether a worker has acknowledged anything."""
        return self[worker, HITS] > 0

    def close(self) -> None:
        """Unmap it."""
        self._cells.release()
        self._map.close()
