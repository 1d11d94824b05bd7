"""Counters and values: one operation at a time, in one process."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

from measure import compare

from procshare import SharedCounter, SharedValue
from procshare.bench.measure import loop, timed

if TYPE_CHECKING:
    from measure import Row

LOCKED = "with v.get_lock():\n    v.value += 1"


class Plain:
    """An attribute, which nobody shares."""

    def __init__(self) -> None:
        self.n = 10**6


def rows() -> list[Row]:
    """Increment, guarded block, read, write, creation."""
    hits, number, anything = SharedCounter(10**6), SharedValue(0, "q"), SharedValue(0)
    real, untyped = SharedValue(0.0, "d"), SharedValue(0.0)
    theirs, their_real = multiprocessing.Value("q", 0), multiprocessing.Value("d", 0.0)
    plain = Plain()
    guarded = loop(LOCKED, 50_000, v=theirs)
    block = "with v.locked() as cell:\n    cell.value += 1"
    return [
        compare(
            "counter.increment()",
            loop("c.increment()", 300_000, c=hits),
            guarded,
            loop("o.n += 1", 300_000, o=plain),
            target=">= 20x, <= 1.5x floor",
        ),
        compare("counter += 1", loop("c += 1", 300_000, c=hits), guarded, loop("o.n += 1", 300_000, o=plain)),
        compare("guarded += 1, counter", loop(block, 100_000, v=hits), guarded, target=">= 2.5x"),
        compare("guarded += 1, type code 'q'", loop(block, 100_000, v=number), guarded, target=">= 2.5x"),
        compare("guarded += 1, any object", loop(block, 100_000, v=anything), guarded, target=">= 2.5x"),
        compare(
            "SharedValue(0.0).value",
            loop("v.value", 300_000, v=untyped),
            loop("v.value", 100_000, v=their_real),
            target=">= 4x",
        ),
        compare(
            "SharedValue(0.0, 'd').value",
            loop("v.value", 300_000, v=real),
            loop("v.value", 100_000, v=their_real),
            target=">= 4x",
        ),
        compare("counter.value", loop("c.value", 300_000, c=hits), loop("v.value", 100_000, v=theirs)),
        compare("value.set(1)", loop("v.set(1)", 200_000, v=number), loop("v.value = 1", 100_000, v=theirs)),
        compare(
            "make and close a counter",
            timed(lambda: SharedCounter().close(), 5_000),
            timed(lambda: multiprocessing.Value("q", 0), 500),
            target=">= 10x",
        ),
    ]
