"""Timing things beside each other: each round runs all of them once, so that the machine's moods hit all alike.

A figure is a median over the rounds. A ratio is the median of the rounds' own ratios.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15


@dataclass
class Row:
    """One line of a benchmark: ours, the standard library's, and what the same costs without sharing (the floor)."""

    what: str
    ours: float
    stdlib: float | None
    floor: float | None
    faster: float | None
    """How many times as fast as the standard library."""
    over_floor: float | None
    """How many times the cost of the floor."""
    target: str = ""


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
    seen: list[tuple[float, float | None, float | None]] = []
    for _ in range(rounds + 1):
        seen.append((ours(), stdlib() if stdlib else None, floor() if floor else None))
    del seen[0]  # a warm-up
    middle = statistics.median
    return Row(
        what,
        middle(mine for mine, _, _ in seen),
        middle(other for _, other, _ in seen if other is not None) if stdlib else None,
        middle(least for _, _, least in seen if least is not None) if floor else None,
        middle(other / mine for mine, other, _ in seen if other is not None) if stdlib else None,
        middle(mine / least for mine, _, least in seen if least is not None) if floor else None,
        target,
    )


def loop(body: str, repeats: int, **names: object) -> Callable[[], float]:
    """A function that runs *body* in a `for` loop with *names* as its locals; seconds for one turn, loop included."""
    arguments = ", ".join(names)
    source = f"def run({arguments}, _clock, _turns):\n    start = _clock()\n    for _ in _turns:\n"
    source += "".join(f"        {line}\n" for line in body.splitlines())
    source += "    return _clock() - start\n"
    space: dict[str, Callable[..., float]] = {}
    exec(compile(source, "<benchmark>", "exec"), space)  # a call for each turn would cost more than what is measured
    turns = range(repeats)
    return lambda: space["run"](*names.values(), time.perf_counter, turns) / repeats


def timed(action: Callable[[], object], repeats: int = 1) -> Callable[[], float]:
    """A function that calls *action* so often; seconds for one call."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            action()
        return (time.perf_counter() - start) / repeats

    return run
