"""Timing several ways of the same work beside each other.

Each round runs every way once, and each begins with another one, so that the machine's moods hit all alike. A figure is
the median over the rounds, with its quartiles; a ratio is the median of the rounds' own ratios. How many turns a way
takes in a round is found beforehand, so that all get about the same time; finding it warms them up.
"""

from __future__ import annotations

import statistics
import time
import timeit
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.context import BaseContext

    Seconds = Callable[[], float]
    Round = dict[str, float]

OURS = "procshare"
"""What our own way is called: it is the first of each row."""

_MOST = 100_000_000


class BenchmarkFailed(Exception):
    """A worker died or did not answer, or what came of the work is not what must come of it."""


@dataclass(frozen=True)
class Way:
    """One way of doing some work."""

    run: Callable[[int], float]
    """Does so many turns, and returns the seconds that they took."""
    per: int = 1
    """How many operations there are in a turn."""
    most: int = _MOST
    """How many turns there may be in a round."""


@dataclass(frozen=True)
class Figure:
    """What one way took: the median over the rounds, and the quartiles."""

    way: str
    median: float
    low: float
    high: float
    ratio: float = 1.0
    """How many times as much as procshare's, the median of the rounds' own ratios; and their quartiles."""
    ratio_low: float = 1.0
    ratio_high: float = 1.0

    @property
    def verdict(self) -> str:
        """Whether procshare takes less ("ahead") or more ("behind") in three rounds of four, or neither ("even")."""
        if self.ratio_low > 1:
            return "ahead"
        return "behind" if self.ratio_high < 1 else "even"


@dataclass(frozen=True)
class Row:
    """The same work done in several ways, ours first. Less is better in each unit."""

    what: str
    figures: Sequence[Figure]
    unit: str = "s"
    """"s" for seconds, "B" for bytes, "%" for parts of a core; each for one operation."""
    how: str = ""
    """What exactly each way does, where its name does not tell."""
    key: str = ""
    """What the row is called where rows are chosen."""

    @property
    def ours(self) -> Figure:
        """Procshare's figure."""
        return self.figures[0]

    @property
    def others(self) -> list[Figure]:
        """The other ways, the best one first."""
        return sorted(self.figures[1:], key=lambda figure: figure.ratio)

    @property
    def verdict(self) -> str:
        """Whether procshare is "ahead" of all others, "behind" one, or "even" with the best."""
        verdicts = {figure.verdict for figure in self.others}
        return "behind" if "behind" in verdicts else "even" if "even" in verdicts else "ahead"


def figures(seen: Sequence[Round]) -> list[Figure]:
    """What rounds came to; their first way is the one that the ratios refer to."""
    first = next(iter(seen[0]))
    found: list[Figure] = []
    for way in seen[0]:
        middle, ratio = _quartiles([each[way] for each in seen]), _quartiles([each[way] / each[first] for each in seen])
        found.append(Figure(way, middle[1], middle[0], middle[2], ratio[1], ratio[0], ratio[2]))
    return found


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def in_turn(actions: Mapping[str, Seconds], rounds: int, told: Callable[[int], object] = lambda _: None) -> list[Round]:
    """Run each action once a round, and return what they returned.

    Args:
        actions: By the name of the way; each returns seconds for one operation.
        rounds: How many.
        told: Called with the number of rounds done, after each.
    """
    seen: list[Round] = []
    names = list(actions)
    for number in range(rounds):
        first = number % len(names)
        taken = {name: actions[name]() for name in names[first:] + names[:first]}
        seen.append({name: taken[name] for name in names})
        told(number + 1)
    return seen


@dataclass(frozen=True)
class Effort:
    """How much is done for one row."""

    seconds: float
    """How long it should take, in seconds. Starting processes comes on top."""
    rounds: int
    context: BaseContext
    """How processes are started."""
    told: Callable[[float], object] = field(default=lambda _: None)
    """Called with the part of the row that is done."""

    def compare(self, what: str, how: str, ways: Mapping[str, Way]) -> Row:
        """Time the ways in turn, ours first among them."""
        for_each = self.seconds / len(ways) / (self.rounds + 1)
        actions = {name: _action(name, way, for_each) for name, way in ways.items()}
        seen = in_turn(actions, self.rounds, lambda done: self.told(done / self.rounds))
        return Row(what, figures(seen), how=how)


def _action(name: str, way: Way, seconds: float) -> Seconds:
    """One round of it: as many turns as take about so long."""

    def run(turns: int) -> float:
        try:
            return way.run(turns)
        except BenchmarkFailed as error:
            raise BenchmarkFailed(f"{name}: {error}") from error

    turns = turns_for(replace(way, run=run), seconds)
    return lambda: run(turns) / (turns * way.per)


def turns_for(way: Way, seconds: float) -> int:
    """How many turns take about so long; at least one.

    What starting costs, such as waking processes, is in each run: so many turns are tried that it is not most of it.
    """
    turns, took = 1, way.run(1)
    while turns < way.most:
        before = took
        turns = min(turns * 4, way.most)
        took = way.run(turns)
        if took >= max(seconds / 4, 2 * before):
            break
    return max(1, min(way.most, int(turns * seconds / took) if took else turns))


def statement(body: str, **names: object) -> Way:
    """Python code in a `for` loop, with *names* as its locals; the loop is included."""
    return after("pass", body, **names)


def after(first: str, body: str, **names: object) -> Way:
    """The same, where *first* is run before each round, and not timed."""
    local = "\n".join(f"{name} = _names[{name!r}]" for name in names)
    return Way(timeit.Timer(body, f"{local}\n{first}", globals={"_names": names}).timeit)


def for_each(body: str, keys: Sequence[object], **names: object) -> Way:
    """The same for `for k in keys: <body>`; a turn is all of them."""
    inner = "".join(f"\n    {line}" for line in body.splitlines())
    return Way(after("pass", f"for k in keys:{inner}", keys=keys, **names).run, per=len(keys))


def called(action: Callable[[], object]) -> Way:
    """Calls of a function."""
    return Way(timeit.Timer(action).timeit)


def loop(body: str, repeats: int, **names: object) -> Seconds:
    """A function that runs *body* so often, with *names* as its locals; seconds for one turn, loop included."""
    run = after("pass", body, **names).run
    return lambda: run(repeats) / repeats


def each(body: str, keys: Sequence[object], passes: int, **names: object) -> Seconds:
    """The same for `for k in keys: <body>`, so many times over; seconds for one key."""
    way = for_each(body, keys, **names)
    return lambda: way.run(passes) / (passes * way.per)


def timed(action: Callable[[], object], repeats: int = 1) -> Seconds:
    """A function that calls *action* so often; seconds for one call."""
    run = called(action).run
    return lambda: run(repeats) / repeats


def now() -> float:
    """Seconds of a clock that all processes of the machine share."""
    return time.perf_counter()
