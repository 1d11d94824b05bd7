"""Blocks of every container and backend: all at the end or nothing, for one container or several."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from container_support import fn, from_a_thread, is_held, same
from procshare import (
    Closed,
    LockTimeout,
    SharedDict,
    SharedList,
    SharedNamespace,
    SharedSet,
    transaction,
)
from support import Child, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY: Any = transaction


@dataclass(frozen=True)
class Sort:
    """One sort of container.

    Attributes:
        interface: Its class.
        start: What it holds at first.
        steps: Two changes of it, for a container and for a copy of its value alike.
        ends: What it holds after none, one and both.
    """

    interface: Any
    start: Any
    steps: tuple[Callable[[Any], Any], Callable[[Any], Any]]
    ends: tuple[Any, Any, Any]


SORTS: dict[str, Sort] = {
    "dict": Sort(
        SharedDict,
        {"a": 1, "b": "x"},
        (lambda d: d.update(a=[2], c=3), lambda d: d.pop("b")),
        ({"a": 1, "b": "x"}, {"a": [2], "b": "x", "c": 3}, {"a": [2], "c": 3}),
    ),
    "list": Sort(
        SharedList,
        [1, "x"],
        (lambda x: x.insert(1, [2]), lambda x: x.pop(0)),
        ([1, "x"], [1, [2], "x"], [[2], "x"]),
    ),
    "set": Sort(
        SharedSet,
        {1, "x"},
        (lambda s: s.update([2, (3,)]), lambda s: s.remove("x")),
        ({1, "x"}, {1, 2, (3,), "x"}, {1, 2, (3,)}),
    ),
    "namespace": Sort(
        SharedNamespace,
        {"a": 1, "b": "x"},
        (lambda ns: ns.update(a=[2], c=3), lambda ns: ns.__delitem__("b")),
        ({"a": 1, "b": "x"}, {"a": [2], "b": "x", "c": 3}, {"a": [2], "c": 3}),
    ),
}


@pytest.fixture(params=SORTS)
def sort(request: pytest.FixtureRequest) -> Sort:
    """Each in turn."""
    return SORTS[request.param]


@pytest.fixture
def x(sort: Sort, backend: str) -> Iterator[Any]:
    """A container of the sort."""
    with sort.interface(sort.start, backend=backend) as made:
        yield made


def test_it_commits_at_its_end(x: Any, sort: Sort) -> None:
    """Others see the last commit until then; the block and the handle in its thread see what is written."""
    first, second = sort.steps
    with x.locked() as t:
        first(t)
        second(t)
        assert same(from_a_thread(lambda: x.value), sort.ends[0])
        assert from_a_thread(lambda: len(x)) == len(sort.ends[0])
        assert same(t.value, sort.ends[2])
        assert same(x.value, sort.ends[2])
        assert len(t) == len(x) == len(sort.ends[2])

    assert same(x.value, sort.ends[2])
    assert same(from_a_thread(lambda: x.value), sort.ends[2])


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_an_exception_undoes_all_of_it(x: Any, sort: Sort, error: type[BaseException]) -> None:
    """And goes on; the lock is free afterwards."""
    with pytest.raises(error), x.locked() as t:
        for step in sort.steps:
            step(t)
        t.clear() if hasattr(t, "clear") else t.set({})
        raise error

    assert same(x.value, sort.ends[0])
    assert not is_held(x)
    sort.steps[0](x)
    assert same(x.value, sort.ends[1])


def test_the_guard_is_of_the_handles_class(x: Any, sort: Sort) -> None:
    """The same interface, and no other object of this process's is in its place."""
    with x.locked() as t:
        assert isinstance(t, sort.interface)
        assert type(t) is type(x)
        assert t == x
        assert not t.closed


def test_the_handles_own_calls_join(x: Any, sort: Sort) -> None:
    """What the holder's thread writes by the handle is part of the block."""
    with pytest.raises(KeyError), x.locked():
        sort.steps[0](x)
        assert same(x.value, sort.ends[1])
        raise KeyError
    assert same(x.value, sort.ends[0])
    with x.locked() as t:
        sort.steps[0](x)
        sort.steps[1](t)
        assert same(from_a_thread(lambda: x.value), sort.ends[0])
    assert same(x.value, sort.ends[2])


def test_an_inner_block_rolls_back_alone(x: Any, sort: Sort) -> None:
    """The outer block keeps its own writes; what an inner block keeps, the outer one may still undo."""
    first, second = sort.steps
    with x.locked() as outer:
        first(outer)
        with pytest.raises(KeyError), x.locked() as inner:
            second(inner)
            x.set(sort.start)
            assert same(inner.value, sort.ends[0])
            raise KeyError
        assert same(outer.value, sort.ends[1])
        with pytest.raises(KeyError), outer.locked() as inner:
            second(inner)
            raise KeyError
        assert same(outer.value, sort.ends[1])
        with outer.locked() as inner:
            second(inner)
        assert same(from_a_thread(lambda: x.value), sort.ends[0])
    assert same(x.value, sort.ends[2])
    with pytest.raises(KeyError), x.locked() as outer:
        with x.locked() as inner:
            inner.set(sort.start)
        raise KeyError
    assert same(x.value, sort.ends[2])


def test_whole_values_can_be_set_in_a_block(x: Any, sort: Sort) -> None:
    """`set` and `modify` are part of it."""
    with x.locked() as t:
        t.set(sort.ends[2])
        assert same(x.modify(fn(lambda _: sort.ends[1])), sort.ends[1])
        assert same(t.modify(fn(lambda now: now)), sort.ends[1])
        assert same(from_a_thread(lambda: x.value), sort.ends[0])
    assert same(x.value, sort.ends[1])


def test_a_failed_write_keeps_the_rest_of_the_block(x: Any, sort: Sort) -> None:
    """What cannot be written raises at once, and what else the block wrote is committed."""
    with x.locked() as t:
        sort.steps[0](t)
        with pytest.raises(TypeError):
            t.set(5)
        with pytest.raises(TypeError):
            t.update(q=threading.Lock()) if hasattr(t, "update") else t.append(threading.Lock())
        sort.steps[1](t)
    assert same(x.value, sort.ends[2])


def test_a_guard_is_dead_after_its_block(x: Any, sort: Sort) -> None:
    """After an inner one too, and after one that raised; the handle lives."""
    with x.locked() as outer:
        with x.locked() as inner:
            pass
        with pytest.raises(Closed):
            _ = inner.value
        assert len(outer) == 2
    with pytest.raises(KeyError), x.locked() as failed:
        raise KeyError
    uses: list[Callable[[Any], Any]] = [
        *sort.steps,
        len,
        lambda t: t.value,
        lambda t: t.set(sort.start),
        lambda t: t.locked().__enter__(),
    ]
    for dead in (outer, inner, failed):
        for use in uses:
            with pytest.raises(Closed):
                use(dead)
    assert same(x.value, sort.ends[0])
    assert not is_held(x)


def look(line: Line, guard: Any, handle: Any) -> Any:
    """In a process forked inside a block: what guard and handle are good for."""
    for use in (lambda: guard.value, lambda: guard.set(handle.value), lambda: len(guard)):
        try:
            use()
        except Closed:
            line.tell("closed")
        else:
            line.tell("alive")
    try:
        with handle.locked(timeout=0):
            line.tell("held")
    except LockTimeout:
        line.tell("timeout")
    return handle.value


def test_a_guard_is_dead_in_a_forked_child(x: Any, sort: Sort) -> None:
    """The child neither holds the lock nor sees or publishes what its parent has not committed."""
    with x.locked() as t:
        sort.steps[0](t)
        with Child("fork", look, t, x) as child:
            assert [child.hear() for _ in range(4)] == ["closed"] * 3 + ["timeout"]
            assert same(child.result(), sort.ends[0])
        assert same(t.value, sort.ends[1])
    assert same(x.value, sort.ends[1])


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_a_lock_held_by_another_thread_times_out(x: Any, timeout: float) -> None:
    """The body does not run, single writes wait, and all goes on afterwards."""

    def attempt() -> str:
        with x.locked(timeout):
            return "in"

    with x.locked():
        assert isinstance(from_a_thread(attempt), LockTimeout)
    assert from_a_thread(attempt) == "in"


def test_a_write_waits_for_the_end_of_a_block(x: Any, sort: Sort) -> None:
    """It is made after the commit, not lost in it."""
    begun = threading.Event()

    def write() -> None:
        begun.set()
        sort.steps[1](x)

    with x.locked() as t:
        writer = threading.Thread(target=write)
        writer.start()
        assert begun.wait(10)
        sort.steps[0](t)
        assert same(t.value, sort.ends[1])
    writer.join(10)

    assert same(x.value, sort.ends[2])


def test_who_waits_sees_only_what_was_committed(x: Any, sort: Sort) -> None:
    """A predicate is asked about the state before the block and after it, never between."""
    seen: list[Any] = []
    begun = threading.Event()

    def is_at_end(now: Any) -> bool:
        seen.append(now)
        begun.set()
        return same(now, sort.ends[2])

    waiter = threading.Thread(target=lambda: x.wait_until(is_at_end, timeout=10))
    waiter.start()
    assert begun.wait(10)
    with x.locked() as t:
        for step in sort.steps:
            step(t)
    waiter.join(10)

    assert same(seen[-1], sort.ends[2])
    assert all(same(state, sort.ends[0]) or same(state, sort.ends[2]) for state in seen)


def test_the_order_in_a_block_is_a_dicts(backend: str) -> None:
    """Of what is new, replaced, deleted and back again, there and after the commit."""
    with SharedDict[str, int]({"a": 1, "b": 2, "c": 3}, backend=backend) as d:
        with d.locked() as t:
            t["d"] = 4
            del t["a"]
            t["b"] = 20
            t["a"] = 10
            del t["d"]
            assert list(t.items()) == [("b", 20), ("c", 3), ("a", 10)]
            assert t.popitem() == ("a", 10)
            assert t.popitem(last=False) == ("b", 20)
            t["b"] = 200
            t["e"] = 5
            assert list(reversed(t)) == ["e", "b", "c"]
            assert len(t) == 3
        assert list(d.items()) == [("c", 3), ("b", 200), ("e", 5)]


def test_a_large_block(backend: str) -> None:
    """Thousands of writes, values of all sizes, more deletions than anything else."""
    with SharedDict[Any, Any](((n, n) for n in range(500)), backend=backend) as d:
        model = d.value
        with d.locked() as t:
            for both in (t, model):
                for n in range(400):
                    del both[n]
                for n in range(500):
                    both["new", n] = "x" * (n * 13 % 700)
                for n in range(450, 500):
                    both[n] = [n] * n
            assert same(t.value, model)
            assert len(d) == len(model)
        assert same(d.value, model)
