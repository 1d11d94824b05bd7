"""The checker of histories tells good ones from bad ones."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linearizability import MISSING, Call, item, linearizable


def history(text: str) -> list[Call]:
    """A history as a drawing: a line for each call, `op arg -> result |----|`, where the bar gives its time."""
    calls: list[Call] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        what, bar = line.split("|", 1)
        op, arg, _, result = what.split()
        begin = len(what)
        calls.append(Call(begin, begin + bar.index("|") + 1, op, value(arg), value(result)))
    return calls


def value(word: str) -> Any:
    """A number, nothing, or what is missing."""
    return {"-": None, "gone": MISSING}.get(word) if not word.lstrip("-").isdigit() else int(word)


GOOD = {
    "nothing": "",
    "one after the other": """
        set 1 -> -        |---|
        get - -> 1              |---|
        increment 2 -> 3              |---|
        pop - -> 3                          |---|
        get - -> gone                             |---|""",
    "a read beside a write sees it": """
        set 1 -> -        |-------|
        get - -> 1          |---|""",
    "or does not": """
        set 1 -> -        |-------|
        get - -> gone       |---|""",
    "two reads in order": """
        set 1 -> -        |-------------|
        get - -> gone       |---|
        get - -> 1                |---|""",
    "two writes either way": """
        set 1 -> -        |-------|
        set 2 -> -        |-------|
        get - -> 1                  |---|""",
    "increments in the other order": """
        increment 1 -> 2  |-------|
        increment 1 -> 1    |-------|""",
    "one is much slower than the rest": """
        set 9 -> -        |----------------------|
        set 1 -> -          |--|
        get - -> 1               |--|
        set 2 -> -                    |--|
        get - -> 9                          |--|
        get - -> 9                               |--|""",
    "one setdefault wins": """
        setdefault 1 -> 2 |-------|
        setdefault 2 -> 2   |-------|
        delete - -> -                   |---|
        delete - -> gone                      |---|""",
}
BAD = {
    "a value from nowhere": "get - -> 5 |---|",
    "a lost write": """
        set 1 -> -        |---|
        get - -> gone           |---|""",
    "a stale read": """
        set 1 -> -        |---|
        set 2 -> -              |---|
        get - -> 1                    |---|""",
    "back again": """
        set 1 -> -        |-------------|
        get - -> 1          |---|
        get - -> gone             |---|""",
    "a lost increment": """
        increment 1 -> 1  |-------|
        increment 1 -> 1    |-------|""",
    "an increment too many": """
        increment 1 -> 1  |-------|
        increment 1 -> 3    |-------|""",
    "popped twice": """
        set 1 -> -        |---|
        pop - -> 1              |-------|
        pop - -> 1                |-------|""",
    "two setdefaults win": """
        setdefault 1 -> 1 |-------|
        setdefault 2 -> 2   |-------|""",
    "two readers disagree on the order": """
        set 1 -> -        |-------------|
        set 2 -> -        |-------------|
        get - -> 1          |-|
        get - -> 2              |-|
        get - -> 1                  |-|""",
}


@pytest.mark.parametrize("drawing", GOOD.values(), ids=GOOD)
def test_what_can_be_explained_is_accepted(drawing: str) -> None:
    """In whatever order the calls were recorded."""
    calls = history(drawing)
    for order in list(permutations(calls))[:24]:
        assert linearizable(order, MISSING, item)


@pytest.mark.parametrize("drawing", BAD.values(), ids=BAD)
def test_what_cannot_be_explained_is_rejected(drawing: str) -> None:
    """In whatever order the calls were recorded."""
    calls = history(drawing)
    for order in list(permutations(calls))[:24]:
        assert not linearizable(order, MISSING, item)


ops = st.sampled_from(["get", "set", "delete", "pop", "setdefault", "increment"])


@settings(deadline=None)
@given(plan=st.lists(st.tuples(ops, st.integers(0, 3), st.integers(0, 20), st.integers(0, 20)), max_size=60))
def test_every_history_of_a_real_order_is_accepted(plan: list[tuple[str, int, int, int]]) -> None:
    """Calls that take effect at one moment each, and last from before it to after it; a wrong result is noticed."""
    state: Any = MISSING
    calls: list[Call] = []
    for n, (op, arg, before, after) in enumerate(plan):
        state, result = item(state, op, arg)
        calls.append(Call(10 * n - before, 10 * n + after, op, arg, result))

    assert linearizable(calls, MISSING, item)
    if calls:
        assert not linearizable([*calls[:-1], calls[-1]._replace(result="wrong")], MISSING, item)


def test_long_histories_take_no_time() -> None:
    """Thousands of calls, four at a time."""
    calls: list[Call] = []
    for n in range(4000):
        calls.append(Call(n, n + 4, "increment", 1, n + 1))

    assert linearizable(calls, MISSING, item)
    assert not linearizable([*calls[:2000], *calls[2001:]], MISSING, item)
