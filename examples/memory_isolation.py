"""Processes share nothing by default: what a child does to a global or a list, its parent never sees.

The child changes a global, a list that it was given, and a `SharedCounter`. Only the last change reaches the parent.
"""

from __future__ import annotations

from multiprocessing import Process
from typing import NamedTuple

from procshare import SharedCounter

hits = 0


class Seen(NamedTuple):
    """What the parent sees after the child has counted."""

    plain_global: int
    plain_list: list[int]
    shared: int


def count(numbers: list[int], counter: SharedCounter) -> None:
    """Change all three, in the child."""
    global hits
    hits += 1
    numbers.append(1)
    counter.increment()
    print(f"in the child:  global {hits}, list {numbers}, SharedCounter {counter.value}")


def main() -> Seen:
    """Let a child count, and look at what came back."""
    numbers: list[int] = []
    with SharedCounter() as counter:
        child = Process(target=count, args=(numbers, counter))
        child.start()
        child.join()
        seen = Seen(hits, numbers, counter.value)
    print(f"in the parent: global {seen.plain_global}, list {seen.plain_list}, SharedCounter {seen.shared}")
    return seen


if __name__ == "__main__":
    main()
