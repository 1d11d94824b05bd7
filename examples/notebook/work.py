"""What spawned workers import: they have no notebook, so what they run is in a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procshare import SharedCounter, SharedDict


def square(done: SharedCounter, squares: SharedDict[int, int], n: int) -> int:
    """Store a square, and count it."""
    squares[n] = n * n
    return done.increment()
