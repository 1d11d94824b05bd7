"""Producers and consumers that use a queue until they are killed, and keep account of it in files that outlive them.

In the `Ledger` a producer has: HITS, how many of its items are put for certain; PAIRS, how many it has begun to put.
A consumer has: HITS, how many items it has logged; PAIRS, how many it may just have taken and not logged yet. Its log
has a line for each item that it took, and for each that it leased, before the lease ended.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

from ledger import HITS, PAIRS, WRONG, Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from procshare import SharedQueue

SIZES = (0, 10, 70, 300, 2000, 70_000)  # the last is larger than the queue


def payload(who: int, n: int) -> bytes:
    """What an item carries."""
    size = SIZES[(who * 7 + n) % len(SIZES)] if n % 11 == 0 else SIZES[n % 4]
    return bytes([(who + n) % 251]) * size


def pending(home: Path, me: int) -> Path:
    """A consumer's log."""
    return home / f"log-{me}"


def produce(home: Path, me: int, queue: SharedQueue[Any]) -> None:
    """Put one or several, over and over."""
    ledger, chance = Ledger(home / "ledger"), random.Random(me)
    n = 0
    try:
        while True:
            several = chance.choice((1, 1, 1, 5, 30))
            items = [(me, n + i, payload(me, n + i)) for i in range(several)]
            ledger[me, PAIRS] = n + several
            if several == 1:
                queue.put(items[0])
            else:
                queue.put_many(items)
            n += several
            ledger[me, HITS] = n
    except BaseException:
        ledger[me, WRONG] = 1
        raise


def consume(home: Path, me: int, queue: SharedQueue[Any]) -> None:
    """Get one or several, or lease one, over and over."""
    ledger, chance = Ledger(home / "ledger"), random.Random(me)
    log = os.open(pending(home, me), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        while True:
            how = chance.choice(("get", "get", "get_many", "lease", "lease", "give back"))
            if how == "get" or how == "get_many":
                ledger[me, PAIRS] = 1 if how == "get" else 20
                items = [queue.get()] if how == "get" else queue.get_many(20)
                note(log, "got", items)
                ledger[me, PAIRS] = 0
                for _ in items:
                    queue.task_done()
            elif how == "lease":
                with queue.lease() as item:
                    items = [item]
                    note(log, "leased", items)
                note(log, "got", items)
            else:
                block = queue.lease()
                items = [block.__enter__()]
                block.__exit__(KeyError, KeyError(), None)
            assert all(data == payload(who, n) for who, n, data in items)
            ledger[me, HITS] += len(items)
    except BaseException:
        ledger[me, WRONG] = 1
        raise


def note(log: int, what: str, items: list[Any]) -> None:
    """All of them, unless it is killed meanwhile."""
    os.write(log, "".join(f"{what} {who} {n}\n" for who, n, _ in items).encode())


def delivered(home: Path, total: int) -> tuple[list[tuple[int, int]], set[tuple[int, int]]]:
    """What all consumers noted that they got, and which leases they began that may have ended."""
    got: list[tuple[int, int]] = []
    leased: set[tuple[int, int]] = set()
    for me in range(total):
        if not pending(home, me).exists():
            continue
        last: tuple[int, int] | None = None
        whole, _, _cut_off_by_its_death = pending(home, me).read_text().rpartition("\n")
        for line in whole.splitlines():
            what, who, n = line.split()
            if what == "got":
                got.append((int(who), int(n)))
                last = None
            else:
                last = int(who), int(n)
        if last is not None:
            leased.add(last)
    return got, leased
