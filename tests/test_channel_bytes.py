"""Arbitrary bytes in a queue's or lock's segment give an error or a wrong answer: no crash, no hang, no access outside.

Other processes, living and dead, take part in what is damaged. The damage is aimed: at the books of a queue's two ends,
where its ring lies, heads and bodies of records, leases, debts; at the entries of those who wait, hold or read. Words
that name a process then name this one, another or a dead one; but no word of a lock names a living one that has not got
it, since that is waited for. All calls are made afterwards.
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
COMMON = ["first", "slot", "table", "fields", "heap", "seats", "all"]
OF_QUEUES = ["locks", "puts", "takes", "also", "ring", "bounds", "shut", "owed", "leases", "heads", "bodies", *COMMON]
OF_TABLES = ["table", "table", "entries", "entries", "meta", *COMMON]


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
STEPS = st.one_of(st.integers(1, 9), st.sampled_from([1 << n for n in (3, 4, 6, 12, 13, 14, 16, 18, 20, 40, 63)]))
TAGS = [0, 1, 2, 3, 4, 5, 9, 10, 11, 0x40, 0x44, 0x4B, 0x80, 0x84, 0x8B, 0xC4, 255]
WORDS = st.one_of(
    NUMBERS,
    SMALL,
    st.builds(extent, st.sampled_from([0, 8192, 16384, 32768, 65536, 131072, 1 << 20]), st.integers(0, 63)),
    st.builds(head, st.sampled_from(TAGS), SMALL),
    st.builds(pair, SMALL, SMALL),
)
HOWS = ["flip", "byte", "half", "word", "word", "add", "add", "less", "token", "token", "lock", "cut"]


@st.composite
def hurts(draw: st.DrawFn, kind: str) -> tuple[str, int, str, int]:
    """One piece of damage: where, and what is done there."""
    areas = OF_QUEUES if kind in QUEUES else OF_TABLES if kind in TABLES else COMMON
    area, how = draw(st.sampled_from(areas)), draw(st.sampled_from(HOWS))
    number = draw(STEPS if how in ("add", "less") else SMALL if how == "token" else WORDS)
    place = draw(st.integers(0, 1 << 16))
    return (area, place, "add", less(number)) if how == "less" else (area, place, how, number)


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, int, list[Any]]:
    """A kind, the call to begin with, and the damage."""
    kind = draw(st.sampled_from(KINDS))
    return kind, draw(st.integers(0, 40)), draw(st.lists(hurts(kind), min_size=1, max_size=5))


BOOKS: list[Any] = [  # a field of a queue's, or two
    [("puts", 0, "add", 1)],  # commits: the other books are valid
    *([("puts", at, "word", (1 << 64) - 8)] for at in (8, 32)),  # heads
    *([("puts", at, "add", less(1 << 18))] for at in (8, 32)),
    [("puts", 8, "add", 1 << 20), ("puts", 32, "add", 1 << 20)],
    [("puts", 16, "word", 0), ("puts", 40, "word", 1 << 63)],  # items put
    [("puts", 24, "word", (1 << 64) - 1), ("puts", 48, "word", 1 << 63)],  # bytes in extents
    [("takes", 0, "add", 1)],
    [("takes", 16, "add", 1 << 20), ("takes", 1, "add", 1 << 20)],  # tails, ahead of the head
    [("takes", 16, "add", 4), ("takes", 1, "add", 4)],  # in the middle of a head
    [("takes", 16, "add", less(8)), ("takes", 1, "add", less(8))],
    [("takes", 32, "word", (1 << 64) - 1), ("takes", 17, "word", 0)],  # items taken
    [("takes", 64, "word", (1 << 64) - 1), ("takes", 49, "word", 1 << 63)],  # and done
    [*(("also", i, "word", 1032) for i in range(4)), ("locks", 2, "token", 5)],  # places: the root, and a dead taker
    [*(("also", i, "word", 32768) for i in range(4)), ("locks", 2, "token", 5)],
    [("locks", 0, "token", 3), ("locks", 2, "token", 3)],  # this process, which has them not
    [("ring", 0, "add", 1)],  # growths
    *([("ring", at, "word", extent(16384, order))] for at, order in [(8, 12), (8, 20), (16, 14), (8, 63)]),
    *([("ring", 8, "word", extent(at, 13)), ("ring", 16, "word", extent(at, 13))] for at in (0, 32768, 1 << 40)),
    [("bounds", 0, "word", 1 << 40)],  # items with handles
    [("bounds", 16, "word", 1)],  # capacity
    [("shut", 0, "half", 3)],
    [("shut", 8, "half", (1 << 32) - 1)],  # leases
    [("owed", 0, "half", (1 << 31) - 1), ("owed", 1, "half", 1 << 31)],
    [("owed", 0, "word", (1 << 63) - 1)],
    *([("leases", i + 48, "word", extent(at, order))] for i, at, order in [(0, 16384, 13), (1, 65536, 63), (2, 0, 40)]),
    [("leases", 0, "word", 2), ("leases", 96, "word", head(4, 1 << 40))],  # it is back, and large
    [("leases", 1, "token", 6), ("leases", 2, "token", 7)],  # the living one's
    *([("heads", 0, "word", head(tag, 16))] for tag in (3, 10, 11, 0x4B, 0x8B, 0xC4)),
    [("heads", 1, "word", head(3, (1 << 56) - 1))],
    [("heap", 4, "word", 1 << 40)],
    [*(("heap", 12 + 8 * order, "word", 16384) for order in (6, 13, 14, 20))],  # free lists
]
MEMBERS: list[Any] = [  # of those who wait, hold or read
    [("table", 0, "word", (1 << 64) - 1)],
    [("table", 8, "half", (1 << 32) - 1)],  # entries in use
    [("table", 4, "half", (1 << 32) - 1)],
    [("entries", 0, "token", 0), ("entries", 1, "token", 3)],  # this process, and a count
    [("entries", 0, "token", 1), ("entries", 1, "token", 4)],  # a living one
    [("entries", 0, "token", 5), ("entries", 2, "token", 2)],  # a dead one
    [("entries", 4 * 4, "half", 1), ("entries", 4 * 4 + 1, "half", (1 << 32) - 1)],  # states
    [("entries", 4 * 8, "word", (1 << 64) - 1), ("entries", 4 * 8 + 1, "word", 0)],  # tickets
    [("first", 0, "word", (1 << 63) - 1)],  # word, or permits
    [("first", 8, "word", 1 << 63), ("first", 16, "token", 5)],  # saved, or all permits, and a dead holder
    [("first", 0, "word", 1)],  # a writer wants it; or a barrier that acts
    [("first", 0, "word", 4), ("first", 0, "lock", 1)],  # a barrier that is being reset
    [("first", 0, "lock", 0)],
    [("meta", 0, "word", (1 << 64) - 1)],
    [("meta", 0, "half", 0)],
    [("meta", 8, "word", 1 << 62)],
]
WHOLE: list[Any] = [[("all", 0, "cut", size)] for size in (0, 8192, 12288, 16389)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["before", "attached"])
def test_undamaged_nothing_is_wrong(kind: str, how: str, victims: Victims) -> None:
    """The victims themselves work."""
    verdict = victims.verdict(kind, how, 0, [])
    assert verdict.tells == []
    assert verdict.counts["answer"] > 5
    assert "CorruptSegment" not in verdict.counts


def damage_each(victims: Victims, kind: str, how: str, examples: list[Any]) -> None:
    """Show one victim each; begin with another call each time."""
    for turn, hurts in enumerate(examples):
        told = victims.show(kind, how, turn * 5, hurts)
        assert not told, f"{hurts}\n" + "\n".join(told)


@pytest.mark.parametrize(
    ("kind", "how"),
    [("queue", "attached"), ("queue alone", "before"), ("large items", "attached"), ("tight queue", "before")],
)
def test_damage_to_each_of_the_books(kind: str, how: str, victims: Victims) -> None:
    """One field of a queue at a time, of those that lead somewhere."""
    damage_each(victims, kind, how, BOOKS)


@pytest.mark.parametrize("kind", [*TABLES, "semaphore", "small lock"])
def test_damage_to_each_member(kind: str, victims: Victims) -> None:
    """One word of those who take part at a time."""
    damage_each(victims, kind, "attached", MEMBERS)


@pytest.mark.parametrize("kind", ["queue", "condition", "barrier", "rwlock", "small event"])
def test_a_file_that_is_cut_off(kind: str, victims: Victims) -> None:
    """Attaching refuses it. (A file that is made shorter while it is mapped is a SIGBUS in any program.)"""
    damage_each(victims, kind, "before", WHOLE)


FOUND: list[tuple[str, int, Any]] = [  # what went wrong once
    ("tight queue", 4, [("takes", 16, "add", 4), ("takes", 1, "add", 4)]),
    ("queue", 7, [("takes", 16, "add", 1)]),
    ("grown queue", 23, [("puts", 32, "add", less(1 << 18))]),
    ("grown queue", 12, [("takes", 16, "add", 1 << 20), ("takes", 1, "add", 1 << 20)]),
    ("bomb in a queue", 1, [("heads", 7, "byte", 10)]),
    ("condition of a lock", 0, [("meta", 0, "itself", 0)]),
    ("semaphore", 5, [("first", 0, "word", (1 << 63) - 1)]),
    ("bounded semaphore", 1, [("first", 0, "word", (1 << 63) - 1)]),
    ("queue alone", 7, [("heap", 4, "half", 2)]),
    ("lock", 0, [("first", 28, "byte", 1)]),
]


@pytest.mark.parametrize("how", ["before", "attached"])
@pytest.mark.parametrize("case", FOUND, ids=lambda case: case[0])
def test_damage_that_once_did_harm(case: tuple[str, int, Any], how: str, victims: Victims) -> None:
    """It does none any more."""
    told = victims.show(case[0], how, *case[1:])
    assert not told, "\n".join(told)


TRIAL = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@TRIAL
@given(case=cases())
@example(case=("queue", 0, [("heads", 3, "word", head(0xC4, 16))]))
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
