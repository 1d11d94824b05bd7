"""Workers that use shared objects of all kinds until they are killed, and keep account of it in a `Ledger`."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ledger import HITS, PAIRS, WAIT, WRONG, Ledger
from procshare import OwnerDied

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from procshare import SharedArray, SharedCounter, SharedValue

SIZES = (1, 20, 1000, 10_000, 100_000, 300_000)  # in the word's buffers, and in the heap from small to large


class Storm:
    """What one worker does, over and over.

    Args:
        path: The ledger's file.
        me: Which worker it is.
        hits: Counts increments and blocks.
        pair: A value of two equal numbers, replaced together.
        text: A value of repeated bytes of all sizes.
        grid: An array whose blocks make all elements equal.
    """

    def __init__(
        self,
        path: Path,
        me: int,
        hits: SharedCounter,
        pair: SharedValue[tuple[int, int]],
        text: SharedValue[bytes],
        grid: SharedArray[Any],
    ) -> None:
        self.ledger, self.me = Ledger(path), me
        self.hits, self.pair, self.text, self.grid = hits, pair, text, grid
        self.random = random.Random(me)

    def blow(self) -> None:
        """Go on until killed, or until something cannot be."""
        deeds = [self.hit, self.hit_in_block, self.commit_pair, self.resize, self.paint, self.read]
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
    def held(self, x: Any) -> Generator[Any]:
        """A block of *x*, and how long it had to wait."""
        began = time.monotonic_ns()
        with x.locked(timeout=20) as guard:
            waited = time.monotonic_ns() - began
            self.ledger[self.me, WAIT] = max(waited, self.ledger[self.me, WAIT])
            yield guard

    def hit(self) -> None:
        """Increment."""
        self.hits.increment()
        self.acknowledge(HITS)

    def hit_in_block(self) -> None:
        """Increment in a block."""
        with self.held(self.hits) as cell:
            cell.value += 1
        self.acknowledge(HITS)

    def commit_pair(self) -> None:
        """Replace both numbers together."""
        with self.held(self.pair) as cell:
            one, other = cell.value
            assert one == other
            cell.value = (one + 1, other + 1)
        self.acknowledge(PAIRS)

    def resize(self) -> None:
        """Replace the text by one of another size."""
        size = self.random.choice(SIZES)
        self.text.set(bytes([size % 251]) * size)

    def paint(self) -> None:
        """Write the whole array, alone; after a death, declare it good."""
        try:
            with self.held(self.grid) as live:
                live[:] = self.me
                assert (live == self.me).all()  # nobody else is in a block
        except OwnerDied:
            self.grid.recover()

    def read(self) -> None:
        """Look at everything, without a lock."""
        one, other = self.pair.value
        assert one == other
        text = self.text.value
        assert len(text) in SIZES
        assert text == bytes([len(text) % 251]) * len(text)
        assert self.hits.value >= 0
        assert np.isin(self.grid.array[0], np.arange(self.me + 1000))


def blow(*args: Any) -> None:
    """Be a worker."""
    Storm(*args).blow()
