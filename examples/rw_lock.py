"""Many readers or one writer: readers look at two shared numbers that must agree, a writer changes one after the other.

Readers exclude writers, but not each other: two of them meet at a barrier inside their blocks. A writer that waits goes
before readers who come later, so that it is not kept waiting for ever.
"""

from __future__ import annotations

from multiprocessing import Process
from typing import NamedTuple

from procshare import SharedBarrier, SharedCounter, SharedRWLock

READERS = 2
TIMES = 500


class Seen(NamedTuple):
    """What readers and writer came to."""

    reads: int
    torn: int
    """How often a reader saw one number changed and the other not yet."""
    writes: int
    inside_together: bool
    """Whether two readers met inside their blocks."""


def read(lock: SharedRWLock, pair: list[SharedCounter], reads: SharedCounter, torn: SharedCounter) -> None:
    """Look at both, again and again."""
    for _ in range(TIMES):
        with lock.reading():
            if pair[0].value != pair[1].value:
                torn.increment()
        reads.increment()


def write(lock: SharedRWLock, pair: list[SharedCounter]) -> None:
    """Change one, then the other."""
    for _ in range(TIMES):
        with lock.writing():
            pair[0].increment()
            pair[1].increment()


def meet(lock: SharedRWLock, barrier: SharedBarrier) -> None:
    """Wait for the other reader inside the block: with a lock for one alone, neither would ever get there."""
    with lock.reading():
        barrier.wait(timeout=30)


def run(*processes: Process) -> None:
    """Start all, and wait for all."""
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def main() -> Seen:
    """Read and write at the same time; then read together."""
    with SharedRWLock() as lock, SharedCounter() as reads, SharedCounter() as torn, SharedBarrier(READERS) as barrier:
        pair = [SharedCounter(), SharedCounter()]
        readers = [Process(target=read, args=(lock, pair, reads, torn)) for _ in range(READERS)]
        run(*readers, Process(target=write, args=(lock, pair)))
        run(*[Process(target=meet, args=(lock, barrier)) for _ in range(READERS)])
        seen = Seen(reads.value, torn.value, pair[0].value, not barrier.broken)
    print(f"{seen.reads:,} reads beside {seen.writes:,} writes; {seen.torn} saw one number without the other")
    print(f"{READERS} readers were inside at the same time: {seen.inside_together}")
    return seen


if __name__ == "__main__":
    main()
