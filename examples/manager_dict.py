"""Five processes each write ten keys into one dict: exactly fifty are there, with a manager and without.

A `Manager().dict()` lives in a process of its own, and each access is a message there and one back. A `SharedDict`
lives in memory that all processes see. The value of a key that all five change is right with `increment`, and would
not be with `d[key] += 1`, which reads, then writes.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing import Process
from typing import TYPE_CHECKING, NamedTuple

from procshare import SharedDict

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

WORKERS = 5
KEYS = 10


class Entries(NamedTuple):
    """How many entries each dict has, and what the shared one says of them."""

    managed: int
    shared: int
    right: bool
    """Whether each value is its key's."""
    total: int
    """What all processes counted together under one key."""


def write(entries: MutableMapping[str, int], worker: int) -> None:
    """Write ten keys that no other process writes."""
    for number in range(KEYS):
        entries[f"worker {worker}, key {number}"] = worker * KEYS + number


def count(counts: SharedDict[str, int]) -> None:
    """Add to a key that all processes write."""
    for _ in range(KEYS):
        counts.increment("written")


def run(target: Callable[..., None], argument_lists: list[tuple[object, ...]]) -> None:
    """Start a process for each list of arguments, and wait for all."""
    workers = [Process(target=target, args=arguments) for arguments in argument_lists]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main() -> Entries:
    """Write in both ways, then count."""
    with multiprocessing.Manager() as manager:
        managed = manager.dict()
        run(write, [(managed, worker) for worker in range(WORKERS)])
        in_manager = len(managed)
    print(f"Manager().dict(): {in_manager} entries")

    with SharedDict[str, int]() as shared, SharedDict[str, int]() as counts:
        run(write, [(shared, worker) for worker in range(WORKERS)])
        run(count, [(counts,)] * WORKERS)
        entries = Entries(in_manager, len(shared), sorted(shared.values()) == list(range(50)), counts["written"])
        print(f"SharedDict:       {entries.shared} entries, {'all' if entries.right else 'not all'} right")
        print(f"counts.increment('written') by all: {entries.total}")
    return entries


if __name__ == "__main__":
    main()
