"""Rates from counts: how often each shared object was changed and waited for, between one look and the next."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import procshare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from procshare import SegmentInfo, SegmentStats

METRICS = "changes", "waits", "timeouts", "owner_deaths"
KEPT = 120  # looks that a trend goes back
_BARS = "▁▂▃▄▅▆▇█"


class Look(NamedTuple):
    """One object, at one moment."""

    info: SegmentInfo
    use: SegmentStats
    rates: dict[str, float | None]
    """Per second, since the last look; None where that is not known: it is new, or it is not counted."""
    trends: dict[str, tuple[float, ...]]
    """The rates of the last looks, the newest at the end."""

    @property
    def activity(self) -> float:
        """What the busiest have most of."""
        return sum(rate or 0.0 for rate in self.rates.values())


class Sample(NamedTuple):
    """All objects, at one moment."""

    at: float
    """Seconds since the epoch."""
    interval: float | None
    """Seconds since the last look; None for the first one."""
    objects: tuple[Look, ...]


@dataclass
class Watcher:
    """Looks again and again.

    Args:
        names: Of what is watched; None: of everything.
        clock: What tells the time, in seconds.
    """

    names: frozenset[str] | None = None
    clock: Callable[[], float] = time.monotonic
    _last: dict[tuple[str, str], SegmentStats] = field(default_factory=dict)
    _when: float | None = None
    _trends: dict[tuple[str, str, str], deque[float]] = field(default_factory=dict)

    def look(self) -> Sample:
        """All objects as they are now, the busiest first."""
        uses = {use.name: use for use in self._stats()}
        infos = [info for info in procshare.segments() if info.name in uses]
        now = self.clock()
        interval = None if self._when is None else max(now - self._when, 1e-9)
        looks = [self._compare(info, uses[info.name], interval) for info in infos]
        self._when = now
        self._last = {(each.info.name, each.info.kind): each.use for each in looks}
        self._trends = {key: kept for key, kept in self._trends.items() if key[:2] in self._last}
        looks.sort(key=lambda each: (-each.activity, each.info.name))
        return Sample(time.time(), interval, tuple(looks))

    def _stats(self) -> Iterable[SegmentStats]:
        if self.names is None:
            return procshare.stats()
        return [use for use in procshare.stats() if use.name in self.names]

    def _compare(self, info: SegmentInfo, use: SegmentStats, interval: float | None) -> Look:
        before = self._last.get((info.name, info.kind))
        rates: dict[str, float | None] = {}
        trends: dict[str, tuple[float, ...]] = {}
        for metric in METRICS:
            rate = _rate(metric, before, use, interval)
            rates[metric] = rate
            kept = self._trends.setdefault((info.name, info.kind, metric), deque(maxlen=KEPT))
            if rate is not None:
                kept.append(rate)
            trends[metric] = tuple(kept)
        return Look(info, use, rates, trends)


def _rate(metric: str, before: SegmentStats | None, now: SegmentStats, interval: float | None) -> float | None:
    old, new = getattr(before, metric, None), getattr(now, metric)
    if interval is None or old is None or new is None or new < old:  # fewer than before: another one of the same name
        return None
    return float(new - old) / interval


def sparkline(values: Iterable[float], width: int) -> str:
    """A trend as one line of bars, the largest of them as high as the line."""
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(int(value / top * len(_BARS)), len(_BARS) - 1)] for value in shown)


def as_data(sample: Sample) -> dict[str, Any]:
    """For `--json`."""
    return {
        "time": sample.at,
        "interval": sample.interval,
        "objects": [
            {
                **each.use._asdict(),
                "per_second": each.rates,
                "size": each.info.size,
                "attached": list(each.info.attached),
                "holder": each.info.holder,
                "holder_for": each.info.holder_for,
            }
            for each in sample.objects
        ],
    }
