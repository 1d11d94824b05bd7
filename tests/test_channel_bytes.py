"""Arbitrary bytes in the segment of a queue or a lock give an error or a wrong answer: never a crash, a hang or an access outside.

Other processes, living and dead, take part in what is damaged. The damage is aimed: at the books of a queue's two ends,
where its ring lies, heads and bodies of records, leases, debts; at the entries of those who wait, hold or read; at words
that name a process, which then name this one, another or a dead one. All calls are made afterwards.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from channel_victims import VICTIM
from victims import NUMBERS, Victims, victims

__all__ = ["VICTIM", "victims"]  # the program and the fixture

QUEUES = ["queue", "queue alone", "grown queue", "large items", "tight queue", "shut queue"]
TABLES = [
    "robust semaphore",
    "robust bounded semaphore",
    "condition",
    "condition of a lock",
    "barrier",
    "barrier with an action",
    "rwlock",
    "written rwlock",
]
SLOTS = [
    "lock",
    "lock of the living",
    "rlock",
    "semaphore",
    "bounded semaphore",
    "event",
    "small lock",
    "small semaphore",
    "small event",
]
KINDS = [*QUEUES, *TABLES, *SLOTS]
COMMON = ["slot", "first", "fields", "heap", "seats", "all"]
AREAS = {
    **dict.fromkeys(
        QUEUES,
        ["locks", "puts", "takes", "also", "ring", "bounds", "shut", "owed", "leases", "heads", "bodies", *COMMON],
    ),
    **dict.fromkeys(TABLES, ["table", "table", "entries", "entries", "meta", *COMMON]),
    **dict.fromkeys(SLOTS, ["first", "slot", "table", *COMMON]),
}


def extent(offset: int, order: int) -> int:
    """Where a ring, a large item or a lease's body lies."""
    return offset << 6 | order


def head(tag: int, length: int) -> int:
    """What is in front of a record."""
    return tag << 56 | length


def pair(high: int, low: int) -> int:
    """Two numbers in a word: a process and a count, a count and a length."""
    return high << 32 | low


def less(n: int) -> int:
    """As it is added to take away."""
    return -n % (1 << 64)


SMALL = st.one_of(st.integers(0, 300), st.sampled_from([(1 << 32) - 1, 1 << 31, (1 << 31) - 1, 1 << 20, 1 << 14]))
STEPS = st.one_of(st.integers(1, 9), st.sampled_from([8, 16, 64, 4096, 8192, 1 << 14, 1 << 16, 1 << 18, 1 << 40, 1 << 63]))
WORDS = st.one_of(
    NUMBERS,
    SMALL,
    st.builds(extent, st.sampled_from([0, 8192, 16384, 32768, 65536, 131072, 1 << 20]), st.integers(0, 63)),
    st.builds(head, st.sampled_from([0, 1, 2, 3, 4, 5, 9, 10, 11, 0x40, 0x44, 0x4B, 0x80, 0x84, 0x8B, 0xC4, 255]), SMALL),
    st.builds(pair, SMALL, SMALL),
)
HOWS = ["flip", "byte", "half", "word", "word", "add", "add", "less", "token", "token", "lock", "cut"]


@st.composite
def hurts(draw: st.DrawFn, kind: str) -> tuple[str, int, str, int]:
    """One piece of damage: where, and what is done there."""
    area, how = draw(st.sampled_from(AREAS[kind])), draw(st.sampled_from(HOWS))
    number = draw(STEPS if how in ("add", "less") else SMALL if how == "token" else WORDS)
    place = draw(st.integers(0, 1 << 16))
    return (area, place, "add", less(number)) if how == "less" else (area, place, how, number)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, int, list[Any]]:
    """A kind, the call to begin with, and the damage."""
    kind = draw(st.sampled_from(KINDS))
    return kind, draw(st.integers(0, 40)), draw(st.lists(hurts(kind), min_size=1, max_size=5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["before", "attached"])
def test_undamaged_nothing_is_wrong(kind: str, how: str, victims: Victims) -> None:
    """The victims themselves work."""
    verdict = victims.verdict(kind, how, 0, [])
    assert verdict.tells == []
    assert verdict.counts["answer"] > 5


TRIAL = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@TRIAL
@given(case=cases())
@example(case=("lock", 0, [("all", 0, "cut", 0)]))
def test_damage_before_attaching(case: tuple[str, int, list[Any]], victims: Victims) -> None:
    """Attaching refuses it, or the handle answers something."""
    kind, turn, damage = case
    told = victims.show(kind, "before", turn, damage)
    assert not told, "\n".join(told)


@TRIAL
@given(case=cases())
@example(case=("queue", 0, [("locks", 0, "token", 3)]))
def test_damage_while_attached(case: tuple[str, int, list[Any]], victims: Victims) -> None:
    """Every call returns or raises, and the handle closes."""
    kind, turn, damage = case
    told = victims.show(kind, "attached", turn, damage)
    assert not told, "\n".join(told)
