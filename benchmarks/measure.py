"""Rows of the detailed benchmarks: ours beside the standard library's, and beside the same without sharing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from procshare.bench.measure import OURS, figures, in_turn

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 9
QUICK_ROUNDS = 3
_limit = ROUNDS * 10


@dataclass
class Row:
    """One line of a benchmark, in seconds, unless *unit* says otherwise."""

    what: str
    ours: float
    stdlib: float | None
    floor: float | None
    faster: float | None
    """How many times as fast as the standard library."""
    over_floor: float | None
    """How many times the cost of the floor."""
    target: str = ""
    unit: str = "s"
    """Else "B" for bytes, "x" for how many times as much, or "%" for parts of a core."""


def be_quick() -> None:
    """From now on compare in few rounds: to see that all works."""
    global _limit
    _limit = QUICK_ROUNDS


def compare(
    what: str,
    ours: Callable[[], float],
    stdlib: Callable[[], float] | None = None,
    floor: Callable[[], float] | None = None,
    *,
    rounds: int = ROUNDS,
    target: str = "",
) -> Row:
    """Run them in turn; each returns seconds for one operation."""
    sides = {OURS: ours, "stdlib": stdlib, "floor": floor}
    actions = {side: action for side, action in sides.items() if action}
    in_turn(actions, 1)  # a warm-up
    found = {figure.way: figure for figure in figures(in_turn(actions, min(rounds, _limit)))}
    theirs, least = found.get("stdlib"), found.get("floor")
    return Row(
        what,
        found[OURS].median,
        theirs.median if theirs else None,
        least.median if least else None,
        theirs.ratio if theirs else None,
        1 / least.ratio if least else None,
        target,
    )
