"""Timing things beside each other: each round runs all of them once, so that the machine's moods hit all alike.

A figure is a median over the rounds. A ratio is the median of the rounds' own ratios.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROUNDS = 15


@dataclass
class Row:
    """One line of a benchmark: ours, the standard library's, what the same costs without sharing (the floor), others'.

    All in seconds, unless *unit* says otherwise.
    """

    what: str
    ours: float
    stdlib: float | None
    floor: float | None
    faster: float | None
    """How many times as fast as the standard library."""
    over_floor: float | None
    """How many times the cost of the floor."""
    target: str = ""
    peers: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    """Other libraries: what the same takes there, and how many times as fast we are."""
    unit: str = "s"
    """Else "B" for bytes, "x" for how many times as much, or "%" for parts of a core."""


def compare(
    what: str,
    ours: Callable[[], float],
    stdlib: Callable[[], float] | None = None,
    floor: Callable[[], float] | None = None,
    *,
    peers: Mapping[str, Callable[[], float]] | None = None,
    rounds: int = ROUNDS,
    target: str = "",
) -> Row:
    """Run them in turn; each returns seconds for one operation."""
    sides = {"ours": ours, "stdlib": stdlib, "floor": floor, **(peers or {})}
    actions = {side: action for side, action in sides.items() if action}
    seen = [{side: action() for side, action in actions.items()} for _ in range(rounds + 1)]
    del seen[0]  # a warm-up
    median = {side: statistics.median(each[side] for each in seen) for side in actions}
    faster = {side: statistics.median(each[side] / each["ours"] for each in seen) for side in actions}
    return Row(
        what,
        median["ours"],
        median.get("stdlib"),
        median.get("floor"),
        faster.get("stdlib"),
        statistics.median(each["ours"] / each["floor"] for each in seen) if floor else None,
        target,
        {peer: (median[peer], faster[peer]) for peer in peers or {}},
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


def each(body: str, keys: Sequence[object], passes: int, **names: object) -> Callable[[], float]:
    """The same for `for k in keys: <body>`, so many times over; seconds for one key."""
    inner = "".join(f"\n    {line}" for line in body.splitlines())
    run = loop(f"for k in keys:{inner}", passes, keys=keys, **names)
    return lambda: run() / len(keys)


def timed(action: Callable[[], object], repeats: int = 1) -> Callable[[], float]:
    """A function that calls *action* so often; seconds for one call."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            action()
        return (time.perf_counter() - start) / repeats

    return run
