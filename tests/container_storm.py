"""Workers that use containers of all sorts until they are killed, and keep account of it in a `Ledger`."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ledger import HITS, PAIRS, WAIT, WRONG, Ledger
from procshare import transaction

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from procshare import SharedDict, SharedList, SharedSet

KEPT = 100  # items of the list


class Storm:
    """What one worker does, over and over.

    Args:
        path: The ledger's file.
        me: Which worker it is.
        d: Has a pair "a" and "b" of equal numbers, a "count", and what is each worker's own.
        items: The last few counts, in order.
        names: Has what each worker puts in and takes out.
    """

    def __init__(
        self, path: Path, me: int, d: SharedDict[Any, Any], items: SharedList[Any], names: SharedSet[Any]
    ) -> None:
        self.ledger, self.me = Ledger(path), me
        self.d, self.items, self.names = d, items, names
        self.random = random.Random(me)

    def blow(self) -> None:
        """Go on until killed, or until something cannot be."""
        deeds = [self.hit, self.hit_in_block, self.commit_pair, self.count, self.grow_and_shrink, self.name, self.read]
        try:
            while True:
                self.random.choice(deeds)()
                sum(range(self.random.randrange(2000)))  # something of its own, or every lock would always be taken
        except BaseException:
            self.ledger[self.me, WRONG] = 1
            raise

    def acknowledge(self, field: int) -> None:
        """Count one more that is done."""
        self.ledger[self.me, field] += 1

    @contextmanager
    def held(self, *containers: Any) -> Generator[Any]:
        """A block, and how long it had to wait."""
        began = time.monotonic_ns()
        with transaction(*containers, timeout=20) as guards:
            waited = time.monotonic_ns() - began
            self.ledger[self.me, WAIT] = max(waited, self.ledger[self.me, WAIT])
            yield guards

    def hit(self) -> None:
        """Increment what is its own."""
        self.d.increment(("own", self.me))
        self.acknowledge(HITS)

    def hit_in_block(self) -> None:
        """The same in a block."""
        with self.held(self.d) as (t,):
            t["own", self.me] = t.get(("own", self.me), 0) + 1
        self.acknowledge(HITS)

    def commit_pair(self) -> None:
        """Replace both numbers together."""
        with self.held(self.d) as (t,):
            assert t["a"] == t["b"]
            t["a"] += 1
            t["b"] += 1
        self.acknowledge(PAIRS)

    def count(self) -> None:
        """Count on in the dict and in the list together."""
        with self.held(self.items, self.d) as (items, t):
            assert t["count"] == items[-1]
            t["count"] += 1
            items.append(t["count"])
            if len(items) > KEPT:
                del items[: KEPT // 2]

    def grow_and_shrink(self) -> None:
        """Fill a region of its own, check it, and empty it."""
        size = self.random.randrange(10, 120)
        pad = "p" * self.random.randrange(300)
        mine = {(self.me, n): f"{self.me}:{n}:{pad}" for n in range(size)}
        for key, value in mine.items():
            self.d[key] = value
        assert all(self.d[key] == value for key, value in mine.items())
        for key, value in mine.items():
            assert self.d.pop(key) == value

    def name(self) -> None:
        """Put something in the set and take it out again."""
        names = {f"{self.me}:{self.random.random()}" for _ in range(5)}
        self.names |= names
        assert self.names >= names
        self.names -= names
        assert self.names.isdisjoint(names)

    def read(self) -> None:
        """Look at everything, without a lock."""
        check(self.d.value, self.items.value)
        assert self.d["a"] >= 0
        assert ("own", self.me) not in self.d or self.d["own", self.me] >= self.ledger[self.me, HITS]


def check(d: dict[Any, Any], items: list[Any]) -> None:
    """What holds of every snapshot."""
    assert d["a"] == d["b"]
    assert items == list(range(items[0], items[0] + len(items)))
    for key, value in d.items():
        if isinstance(key, tuple) and isinstance(key[0], int):
            assert value.startswith(f"{key[0]}:{key[1]}:"), (key, value)


def blow(*args: Any) -> None:
    """Be a worker."""
    Storm(*args).blow()
