"""What befalls each worker of `chaos`, drawn from the seed, its slot and its life: so the same again in a replay.

A blow falls at a deed, not at a time. One that the worker deals itself falls at an exact place: inside a lock, or so
many microseconds after a deed began. One that the conductor deals falls as soon as it sees that the deed was begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

METHODS = {"fork": 24, "forkserver": 5, "spawn": 1}  # by what they cost
LONG = 5.0  # seconds that few are stopped for


@dataclass(frozen=True)
class Blow:
    """Something done to a worker.

    Attributes:
        deed: The number of the deed at which it falls.
        how: "kill", "stop": by the conductor. "alarm": by a timer that ends the process, so many *microseconds* into
            the deed. "dive", "faint": SIGKILL and SIGSTOP when the worker is next inside something. "fault": SIGKILL at
            a named point of the core, if it comes by there. "leave", "exit": it ends as a program does, or by
            `os._exit`.
        microseconds: Until it falls.
        seconds: For how long it is stopped.
        killed: Whether it is killed while it is stopped.
        point: Which of the core's fault points, from 0 to 1.
        visit: At which visit there.
    """

    deed: int
    how: str
    microseconds: int = 0
    seconds: float = 0.0
    killed: bool = False
    point: float = 0.0
    visit: int = 1


@dataclass(frozen=True)
class Fate:
    """A worker's life: how it is started, and its blows in order."""

    method: str
    blows: tuple[Blow, ...]


def fate(seed: int, slot: int, life: int, pace: float = 1.0) -> Fate:
    """What the seed holds for a life.

    Args:
        seed: The campaign's.
        slot: Which worker.
        life: How often it was started before.
        pace: How many times longer than usual they live.
    """
    rng = Random(f"{seed}/{slot}/{life}/fate")
    method = rng.choices(list(METHODS), list(METHODS.values()))[0]
    pace *= rng.choice((0.15, 0.15, 0.4, 1.0))
    deed = 0
    blows = list[Blow]()
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        deed += 1 + int(rng.expovariate(1 / (30 * pace)))
        how = rng.choice(("stop", "faint", "faint"))
        seconds = LONG if rng.random() < 0.007 else rng.choice((0.01, 0.03, 0.1, 0.4)) * rng.random()
        killed = rng.random() < 0.2
        blows.append(Blow(deed, how, _moment(rng), seconds, killed))
        if killed:
            return Fate(method, tuple(blows))
    for _ in range(rng.choice((0, 1, 2, 3))):
        deed += 1 + int(rng.expovariate(1 / (10 * pace)))
        blows.append(Blow(deed, "fault", point=rng.random(), visit=rng.choice((1, 1, 2, 5))))
    deed += 1 + int(rng.expovariate(1 / (40 * pace)))
    how = rng.choice(("kill", "kill", "alarm", "alarm", "alarm", "alarm", "dive", "dive", "dive", "leave", "exit"))
    blows.append(Blow(deed, how, _moment(rng)))
    return Fate(method, tuple(blows))


def _moment(rng: Random) -> int:
    # From a fraction of one call to a deed's whole length, each order of magnitude as often as the others.
    return int(10 ** rng.uniform(0.7, 3.7))
