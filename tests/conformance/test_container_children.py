"""Containers of every backend in other processes, of every start method."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from conformance.test_dict import Tally
from container_support import fn
from procshare import LockTimeout, SharedDict, SharedList, SharedNamespace, SharedSet, transaction
from support import START_METHODS, Child, Line, call

methods = pytest.mark.parametrize("method", START_METHODS)


def use_all(d: Tally, x: SharedList[Any], s: SharedSet[Any], ns: Any) -> tuple[Any, ...]:
    """Write to one container of each sort, in many ways; what it was told of them."""
    counted = d.count("word")
    d.update(more=2)
    d.increment("n", 5)
    x.append("child")
    x[:1] = [0, 0]
    x.sort(key=str)
    s |= {"child"}
    s.discard(1)
    ns.made = [1]
    ns.increment("n")
    with transaction(d, x) as (t, items):
        t["in block"] = len(items)
        items.append("last")
    return counted, type(d).__name__, d.value, x.value, s.value, ns.value


@methods
def test_a_container_travels_as_a_process_argument(backend: str, method: str) -> None:
    """All sorts at once, with what a subclass adds: what the child wrote is here, and nothing was destroyed."""
    ns: Any
    with (
        Tally({"n": 1}, backend=backend) as d,
        SharedList[Any]([9, "x"], backend=backend) as x,
        SharedSet[Any]({1, 2}, backend=backend) as s,
        SharedNamespace({"n": 1}, backend=backend) as ns,
    ):
        told = call(method, use_all, d, x, s, ns)

        assert told[:2] == (1, "Tally")
        assert told[2:] == (d.value, x.value, s.value, ns.value)
        assert list(d.items()) == [("n", 6), ("word", 1), ("more", 2), ("in block", 4)]
        assert x.value == [0, 0, "child", "x", "last"]
        assert s == {2, "child"}
        assert ns.value == {"n": 2, "made": [1]}
        assert list(ns) == ["n", "made"]


def only_one(line: Line, d: Any, x: Any, s: Any, ns: Any) -> list[Any]:
    """Use the containers when the parent has let go of its own."""
    line.hear()
    d["child"] = x.pop()
    s.add("child")
    ns.child = 1
    return [d.value, x.value, s.value, ns.value]


@methods
def test_a_child_may_be_the_only_one_to_hold_it(backend: str, can: frozenset[str], method: str) -> None:
    """The parent drops its handles when the child has started; the child has them all the same."""

    def start() -> Child:
        made: list[Any] = [
            SharedDict({"a": 1}, backend=backend),
            SharedList([1, 2], backend=backend),
            SharedSet({1}, backend=backend),
            SharedNamespace({"x": 1}, backend=backend),
        ]
        if "hand_over" in can:  # else what was pickled stays until its creator, this process, exits
            made = [each.hand_over() for each in made]
        return Child(method, only_one, *made)

    with start() as child:
        child.tell("go")
        assert child.result() == [{"a": 1, "child": 2}, [1], {1, "child"}, {"x": 1, "child": 1}]


def count_in_threads(d: Any, x: Any, s: Any, ns: Any, me: str, rounds: int) -> None:
    """Count in each, in every way, in each of two threads."""

    def work(thread: int) -> None:
        for n in range(rounds):
            d.increment("hits")
            d.modify_item("more", fn(lambda now: now + 1), 0)
            with d.locked() as t:
                t["block"] = t.get("block", 0) + 1
            x.append((me, thread, n))
            s.add((me, thread, n))
            ns.increment("hits")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def counting(_line: Line, *args: Any) -> None:
    """`count_in_threads` in a Child."""
    count_in_threads(*args)


def test_processes_and_threads_together_lose_nothing(backend: str) -> None:
    """One process of each start method, each with two threads, and this one."""
    with (
        SharedDict[str, int](backend=backend) as d,
        SharedList[Any](backend=backend) as x,
        SharedSet[Any](backend=backend) as s,
        SharedNamespace(backend=backend) as ns,
    ):
        children = [Child(method, counting, d, x, s, ns, method, 25) for method in START_METHODS]
        count_in_threads(d, x, s, ns, "here", 25)
        for child in children:
            with child:
                child.result()
        every = {(me, thread, n) for me in (*START_METHODS, "here") for thread in range(2) for n in range(25)}

        assert d.value == {"hits": 200, "more": 200, "block": 200}
        assert ns.value == {"hits": 200}
        assert s == every
        assert len(x) == 200
        assert set(x) == every


def try_locks(_line: Line, *handles: Any) -> list[str]:
    """What each handle's lock answers to one try, and to a short wait."""
    answers: list[str] = []
    for handle in handles:
        for timeout in (0, 0.01):
            try:
                with handle.locked(timeout):
                    answers.append("held")
            except LockTimeout:
                answers.append("timeout")
    return answers


def test_a_block_excludes_other_processes(backend: str) -> None:
    """A child cannot enter while the parent is inside, and can afterwards."""
    handles: list[Any] = [
        SharedDict({"a": 1}, backend=backend),
        SharedList([1], backend=backend),
        SharedSet({1}, backend=backend),
        SharedNamespace({"a": 1}, backend=backend),
    ]
    with handles[0].locked() as t, handles[1].locked(), handles[2].locked(), handles[3].locked():
        t["a"] = 9
        with Child("fork", try_locks, *handles) as inside:
            assert inside.result() == ["timeout"] * 8
    with Child("fork", try_locks, *handles) as outside:
        assert outside.result() == ["held"] * 8

    assert handles[0].value == {"a": 9}
    for handle in handles:
        handle.close()


def wait_for(line: Line, d: Any, x: Any, s: Any, ns: Any) -> list[Any]:
    """Wait for one change after the other."""
    line.tell("waiting")
    return [
        d.wait_until(fn(lambda now: "b" in now), timeout=10),
        x.wait_until(fn(lambda now: len(now) > 1), timeout=10),
        s.wait_until(fn(lambda now: not now), timeout=10),
        ns.wait_until(fn(lambda now: now["x"] == 2), timeout=10),
    ]


def test_wait_until_sees_another_process_change_it(backend: str) -> None:
    """A child waits for its parent's changes, of each sort; a block's writes come together."""
    ns: Any
    with (
        SharedDict({"a": 1}, backend=backend) as d,
        SharedList([1], backend=backend) as x,
        SharedSet({1}, backend=backend) as s,
        SharedNamespace({"x": 1}, backend=backend) as ns,
        Child("fork", wait_for, d, x, s, ns) as child,
    ):
        assert child.hear() == "waiting"
        with d.locked() as t:
            t["b"] = 2
            t["c"] = 3
        x.extend([2, 3])
        s.clear()
        ns.update(x=2, y=3)

        assert child.result() == [{"a": 1, "b": 2, "c": 3}, [1, 2, 3], set(), {"x": 2, "y": 3}]


def in_block(_line: Line, *handles: Any) -> list[Any]:
    """Leave a `with` block of each inherited handle."""
    for handle in handles:
        with handle:
            pass
    return [handle.closed for handle in handles]


def test_a_child_never_destroys_what_its_parent_made(backend: str) -> None:
    """Leaving the handle's block in a child closes it there alone."""
    handles: list[Any] = [SharedDict({"a": 1}, backend=backend), SharedList([1], backend=backend)]
    for method in ("fork", "forkserver"):
        with Child(method, in_block, *handles) as child:
            assert child.result() == [True] * 2

    assert handles[0].value == {"a": 1}
    assert handles[1].value == [1]
    for handle in handles:
        with handle:
            pass


def make_own(_line: Line, backend: str) -> list[Any]:
    """Make and use containers of the child's own."""
    ns: Any
    with SharedDict({"a": 1}, backend=backend) as d, SharedNamespace({"x": []}, backend=backend) as ns:
        d["b"] = 2
        ns.x = [*ns.x, 1]
        return [d.value, ns.x]


def test_a_child_makes_containers_of_its_own(backend: str) -> None:
    """Under every start method, in a process that may have children."""
    for method in START_METHODS:
        with Child(method, make_own, backend, daemon=False) as child:
            assert child.result() == [{"a": 1, "b": 2}, [1]]
