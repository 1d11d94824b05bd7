"""Histories of several processes in one container, recorded with their times: some order of the calls explains each."""

from __future__ import annotations

import operator
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from container_support import fn
from linearizability import MISSING, Call, item, linearizable
from procshare import SharedDict, SharedList
from procshare.backends import native_built
from support import START_METHODS, Workers
from test_properties import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

op: Any = operator  # of whose functions some have no types


@pytest.fixture(scope="module", params=START_METHODS)
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Processes of each start method in turn."""
    with Workers(request.param) as kept:
        yield kept


def delete(d: Any, key: Any) -> Any:
    """`del d[key]`, or MISSING."""
    try:
        del d[key]
    except KeyError:
        return MISSING
    return None


def set_in_block(d: Any, key: Any, arg: Any) -> None:
    """Write one key in a block, where it has another value for a while."""
    with d.locked() as t:
        t[key] = -1
        t.pop(key)
        t[key] = arg


def increment_in_block(d: Any, key: Any, arg: Any) -> Any:
    """Read, add and write, in a block."""
    with d.locked() as t:
        t[key] = t.get(key, 0) + arg
        return t[key]


WAYS: dict[str, list[Callable[[Any, Any, Any], Any]]] = {
    "get": [lambda d, key, _: d.get(key, MISSING), lambda d, key, _: d.value.get(key, MISSING)],
    "set": [op.setitem, lambda d, key, arg: d.update({key: arg}), set_in_block],
    "delete": [lambda d, key, _: delete(d, key)],
    "pop": [lambda d, key, _: d.pop(key, MISSING)],
    "setdefault": [lambda d, key, arg: d.setdefault(key, arg)],
    "increment": [
        lambda d, key, n: d.increment(key, n),
        lambda d, key, n: d.modify_item(key, fn(lambda now: now + n), 0),
        increment_in_block,
    ],
}
"""For each op that `linearizability.item` knows the ways to do it."""


def record(d: Any, keys: list[Any], seed: int, times: int) -> list[tuple[Any, Call]]:
    """Do random things to random keys; when each began and ended, and what it returned."""
    rng = random.Random(seed)
    ops = ["get"] * 4 + ["set"] * 2 + ["increment"] * 2 + ["delete", "pop", "setdefault"]
    history: list[tuple[Any, Call]] = []
    for n in range(times):
        key, op, arg = rng.choice(keys), rng.choice(ops), 1000 * (seed * times + n + 1)
        way = rng.choice(WAYS[op])
        start = time.monotonic_ns()
        result = way(d, key, arg)
        history.append((key, Call(start, time.monotonic_ns(), op, arg if op != "get" else None, result)))
    return history


def stir(d: Any, times: int) -> int:
    """Let the dict grow and shrink under the others: other keys come and go."""
    for turn in range(times):
        for n in range(200):
            d["stir", n] = "s" * (n + turn)
        for n in range(200):
            del d["stir", n]
    return times


@pytest.mark.parametrize("keys", [["k"], ["a", 1, ("t",)]], ids=["one key", "three keys"])
def test_the_history_of_each_key_is_linearizable(keys: list[Any], workers: Workers) -> None:
    """Three processes use the same keys in every way while a fourth makes the dict grow, shrink and compact."""
    for turn in range(3):
        with SharedDict[Any, Any](backend="shm") as d:
            jobs = [(record, d, keys, 3 * turn + me, 2000) for me in range(3)]
            *histories, _ = together(workers, [*jobs, (stir, d, 30)])
            for key in keys:
                calls = [call for history in histories for where, call in history if where == key]
                assert linearizable(calls, MISSING, item), f"seed {turn}: no order explains {sorted(calls)}"


def record_element(x: Any, index: int, seed: int, times: int) -> list[Call]:
    """Read and write one element of a list; when, and what was read."""
    rng = random.Random(seed)
    history: list[Call] = []
    for n in range(times):
        arg = seed * times + n
        start = time.monotonic_ns()
        if rng.random() < 0.5:
            result, op = (x[index] if n % 3 else x[:][index] if n % 2 else x.value[index]), "get"
        elif rng.random() < 0.8:
            result, op = x.__setitem__(index, arg), "set"
        else:
            result, op = x.__setitem__(slice(index, index + 1), [arg]), "set"
        history.append(Call(start, time.monotonic_ns(), op, arg if op == "set" else None, result))
    return history


def stir_list(x: Any, times: int) -> None:
    """Let the list grow and shrink behind its first elements, in every way."""
    for turn in range(times):
        for n in range(100):
            x.append("s" * n)
        x.extend(range(100))
        x.insert(5, turn)
        del x[5]
        del x[150:]
        for _ in range(140):
            x.pop()
        x[4:] = [0] * 4


def test_the_history_of_an_element_is_linearizable(workers: Workers) -> None:
    """Of a list that grows and shrinks behind it."""
    with SharedList[Any]([0] * 8, backend="shm") as x:
        jobs: list[tuple[Any, ...]] = [(record_element, x, 2, me, 2500) for me in range(3)]
        *histories, _ = together(workers, [*jobs, (stir_list, x, 60)])

        assert linearizable([call for history in histories for call in history], 0, item)
