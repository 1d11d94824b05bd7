"""What one look at a container has shown, the next one shows too, in whatever way: nothing becomes visible in parts.

One process writes ever greater numbers; others look without a lock, first in one way and then in another.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from procshare import SharedCounter, SharedDict, SharedList, transaction
from procshare.backends import native_built
from support import Workers
from test_properties import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

ANY: Any = transaction
Look = tuple["Callable[[Any, Any], int]", "Callable[[Any, Any], int]"]


@pytest.fixture(scope="module")
def forked() -> Iterator[Workers]:
    """Processes of one start method."""
    with Workers("fork") as kept:
        yield kept


def look_until(one: Any, other: Any, done: Any, which: str) -> tuple[int, list[Any]]:
    """Look in two ways, of which the second may show no less: how often until the writer was done, and what was."""
    wrong: list[Any] = []
    looks, times = LOOKS[which], 0
    while not done.value or times < 2 * len(looks):
        number = times % len(looks)
        first = looks[number][0](one, other)
        second = looks[number][1](one, other)
        if second < first:
            wrong.append((number, first, second))
        times += 1
    return times, wrong[:10]


# ---- one container ----


def add_keys(d: Any, x: Any, done: Any, times: int) -> None:
    """Add key after key, and item after item; now and then empty both of all but the last."""
    for n in range(1, times):
        d[n] = f"value {n}"
        x.append(f"item {n}")
        if n % 500 == 0:
            for old in range(n - 499, n):
                del d[old]
                x.pop(0)
        os.sched_yield()
    done.increment()


def newest(d: Any) -> int:
    """The greatest key, found by trying upwards from what is certainly there."""
    n = max(d, default=0)
    while n + 1 in d:
        n += 1
    return n


KEYS: list[Look] = [
    (lambda d, _: newest(d), lambda d, _: max(d, default=0)),
    (lambda d, _: newest(d), lambda d, _: max(d.value, default=0)),
    (lambda d, _: newest(d), lambda d, _: max((n for n, text in d.items() if text == f"value {n}"), default=0)),
    (lambda d, _: max(d, default=0), lambda d, _: newest(d)),
    (lambda _, x: int(x[-1].split()[1]), lambda _, x: int(x.value[-1].split()[1])),
    (lambda _, x: int(x.value[-1].split()[1]), lambda _, x: int(x[-1].split()[1])),
    (lambda _, x: int(x[-1].split()[1]), lambda _, x: int(x[-1:][0].split()[1])),
]


def test_a_key_or_item_that_was_seen_is_seen_in_every_way(forked: Workers) -> None:
    """By lookup, in a snapshot, by its index, in a slice: while one process adds, and sometimes deletes what is old."""
    with SharedDict({0: "value 0"}) as d, SharedList(["item 0"]) as x, SharedCounter() as done:
        told = together(forked, [(add_keys, d, x, done, 4000), *[(look_until, d, x, done, "keys")] * 2])

        assert [wrong for _, wrong in told[1:]] == [[], []]


PLACED: tuple[tuple[Any, ...], ...] = ((0, 1, 2), ("a", "b", "c"))


def raise_together(one: Any, other: Any, done: Any, times: int) -> None:
    """Set the same number at several places of each, in a block; where it is odd by deleting and setting anew."""
    for n in range(1, times):
        for each in (one, other):
            with each.locked() as t:
                if each is one and n % 2:
                    for key in "abc":
                        del t[key]
                for place in PLACED[each is one]:
                    t[place] = n
        os.sched_yield()
    done.increment()


PLACES: list[Look] = [
    (lambda d, _: d["a"], lambda d, _: d["c"]),
    (lambda d, _: d["c"], lambda d, _: d["a"]),
    (lambda d, _: d["b"], lambda d, _: d.value["a"]),
    (lambda d, _: max(d.values()), lambda d, _: min(d["a"], d["b"], d["c"])),
    (lambda _, x: x[0], lambda _, x: x[2]),
    (lambda _, x: x[2], lambda _, x: x[0]),
    (lambda _, x: max(x.value), lambda _, x: min(x[0], x[1], x[2])),
]


def test_a_block_is_seen_at_all_its_places_from_one_moment_on(forked: Workers) -> None:
    """Whoever has seen one of its writes sees the others, by lookup too."""
    with SharedDict(dict.fromkeys("abc", 0)) as d, SharedList([0, 0, 0]) as x, SharedCounter() as done:
        told = together(forked, [(raise_together, d, x, done, 1500), *[(look_until, d, x, done, "places")] * 2])

        assert [wrong for _, wrong in told[1:]] == [[], []]


# ---- several ----


def raise_both(one: Any, other: Any, done: Any, times: int) -> None:
    """Set the same number in both, in a transaction."""
    for n in range(1, times):
        with ANY(one, other) as (t, u):
            t["n"] = t["m"] = u["n"] = u["m"] = n
        os.sched_yield()
    done.increment()


SEVERAL: list[Look] = [
    (lambda one, _: one["n"], lambda _, other: other["n"]),
    (lambda _, other: other["n"], lambda one, _: one["n"]),
    (lambda one, _: one.value["n"], lambda _, other: other["m"]),
    (lambda _, other: other["m"], lambda one, _: one.value["m"]),
]


LOOKS = {"keys": KEYS, "places": PLACES, "several": SEVERAL}


def test_a_transaction_is_seen_in_all_its_containers_from_one_moment_on(forked: Workers) -> None:
    """Whoever has seen it in one sees it in the other, without a lock and in either order."""
    with SharedDict({"n": 0, "m": 0}) as one, SharedDict({"n": 0, "m": 0}) as other, SharedCounter() as done:
        told = together(
            forked, [(raise_both, one, other, done, 1500), *[(look_until, one, other, done, "several")] * 2]
        )

        assert [wrong for _, wrong in told[1:]] == [[], []]
