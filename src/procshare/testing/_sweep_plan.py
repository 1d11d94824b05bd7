"""How much a sweep does, and what it has done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from procshare.testing._processes import START_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Row:
    """What was done to a type.

    Attributes:
        acts: How many acts.
        points: The fault points at which somebody died.
        deaths: By start method.
        recoveries: Deaths of those who came after.
        slowest: The longest wait of a survivor, in seconds.
        late: How often somebody was late, and in time at a second attempt.
        failures: What was not survived.
    """

    acts: int = 0
    points: set[str] = field(default_factory=set[str])
    deaths: Counter[str] = field(default_factory=Counter[str])
    recoveries: int = 0
    slowest: float = 0.0
    late: int = 0
    failures: int = 0

    def add(self, other: Row) -> None:
        """Sum up."""
        self.acts += other.acts
        self.points |= other.points
        self.deaths += other.deaths
        self.recoveries += other.recoveries
        self.slowest = max(self.slowest, other.slowest)
        self.late += other.late
        self.failures += other.failures

    def cells(self) -> list[object]:
        """For the table."""
        deaths = [self.deaths[method] for method in START_METHODS]
        return [
            self.acts,
            len(self.points),
            *deaths,
            self.recoveries,
            round(self.slowest * 1000),
            self.late,
            self.failures,
        ]


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        methods: Start methods.
        full: Everything with each of them, and all recoveries. If not: with others than fork each point once, and
            each act.
        every_visit: At all visits of a point, not only the first, the second and the last.
        short: Each point of each type once, and some recoveries.
        points: Only these: "name" or "name:n"; None: all.
        then: Only this death in recovery.
    """

    methods: tuple[str, ...] = START_METHODS
    full: bool = False
    every_visit: bool = False
    short: bool = False
    points: tuple[str, ...] | None = None
    then: str | None = None

    def sparing(self, method: str) -> bool:
        """Whether not all is done with a start method."""
        return self.short or (not self.full and method != "fork" and self.points is None)

    def visits(self, method: str, point: str, count: int) -> Iterator[str]:
        """At which visits of a point to die."""
        exact = [each for each in self.points or () if each.startswith(point + ":")]
        if exact:
            yield from exact
        elif self.points is None or point in self.points:
            numbers = range(1, count + 1) if self.every_visit else sorted({1, min(count, 2), count})
            yield from (f"{point}:{n}" for n in ([1] if self.sparing(method) else numbers))
