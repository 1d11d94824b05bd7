"""`transaction()` over containers of every sort and backend: all of their changes at the end, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from conformance.test_transactions import SORTS
from container_support import from_a_thread, in_threads, is_held, same
from procshare import Closed, LockTimeout, SharedCounter, SharedList, transaction
from support import START_METHODS, Child, Line

if TYPE_CHECKING:
    from collections.abc import Iterator

ANY: Any = transaction


@pytest.fixture
def four(backend: str) -> Iterator[list[Any]]:
    """One container of each sort."""
    made = [sort.interface(sort.start, backend=backend) for sort in SORTS.values()]
    yield made
    for each in made:
        each.unlink()
        each.close()


def at(four: list[Any], state: int) -> bool:
    """Whether all four have taken so many steps."""
    return all(same(each.value, sort.ends[state]) for each, sort in zip(four, SORTS.values(), strict=True))


def test_several_commit_together_or_not_at_all(four: list[Any]) -> None:
    """A guard for each, in the order of the arguments; in order they are locked, whatever that order is."""
    for order in (1, -1):
        with pytest.raises(KeyError), ANY(*four[::order]) as guards:
            for guard, sort in zip(guards[::order], SORTS.values(), strict=True):
                assert isinstance(guard, sort.interface)
                sort.steps[0](guard)
            assert at(four, 1)
            raise KeyError
        assert at(four, 0)
        assert not any(is_held(each) for each in four)
    with ANY(*four) as guards:
        for guard, sort in zip(guards, SORTS.values(), strict=True):
            sort.steps[0](guard)
            sort.steps[1](guard)
        assert from_a_thread(lambda: at(four, 0)) is True
        assert all(is_held(each) for each in four)
    assert at(four, 2)
    assert from_a_thread(lambda: at(four, 2)) is True
    with pytest.raises(Closed):
        _ = guards[0].value


def test_one_of_several_may_be_nested(four: list[Any]) -> None:
    """In a block of its own within; before, it could not be all or nothing, and is refused."""
    sort = SORTS["dict"]
    with four[0].locked() as outer:
        sort.steps[0](outer)
        with pytest.raises(RuntimeError, match="outside"), transaction(four[0], four[1]):
            pass
        with pytest.raises(KeyError), transaction(four[0]) as (d,):
            d.clear()
            raise KeyError
        assert same(outer.value, sort.ends[1])
    assert same(four[0].value, sort.ends[1])
    with transaction(four[0], four[1]) as (d, items):
        with four[1].locked() as inner:
            inner.append("inner")
        with pytest.raises(KeyError), four[0].locked() as inner:
            inner.clear()
            raise KeyError
        sort.steps[1](d)
        assert items[-1] == "inner"
    assert same(four[0].value, sort.ends[2])
    assert four[1][-1] == "inner"


def test_one_alone_is_a_transaction(four: list[Any]) -> None:
    """As `locked()` is."""
    with transaction(four[0]) as (d,):
        d["z"] = 26
    assert four[0]["z"] == 26


def test_those_that_took_part_go_with_their_handles(backend: str) -> None:
    """A transaction exports nothing: what nobody has a handle on leaves no trace, as this suite checks."""
    for _ in range(3):
        with transaction(SharedList([1], backend=backend), SharedList([2], backend=backend)) as (one, other):
            one.append(other.pop())


@pytest.mark.parametrize("held", range(4))
def test_one_that_is_held_times_out(four: list[Any], held: int) -> None:
    """None of the others stays locked."""

    def attempt() -> None:
        with ANY(*four, timeout=0):
            pass

    with four[held].locked():
        assert isinstance(from_a_thread(attempt), LockTimeout)
        assert not any(is_held(each) for each in four[:held] + four[held + 1 :])
    assert from_a_thread(attempt) is None


def test_what_is_no_container_is_refused(four: list[Any], backend: str) -> None:
    """ValueError for nothing at all, TypeError for what has no transactions, Closed for what is closed."""
    with pytest.raises(ValueError, match="container"):
        ANY()
    with SharedCounter(backend=backend) as hits:
        others: list[Any] = [hits, {}, [], None, "name"]
        for wrong in others:
            with pytest.raises(TypeError):
                ANY(four[0], wrong)
    four[1].close()
    with pytest.raises(Closed), ANY(*four):
        pass
    assert not is_held(four[0])


def test_opposite_orders_never_deadlock(four: list[Any]) -> None:
    """Threads that name the same containers in all orders."""
    counts = four[0]
    counts.set({"n": 0})

    def work(me: int) -> None:
        for n in range(20):
            with ANY(*(four[(me + n + k) % 4] for k in range(4))) as guards:
                guards[(-me - n) % 4]["n"] += 1

    in_threads(work, range(4))

    assert counts["n"] == 80


def transfer(line: Line, one: Any, other: Any) -> None:
    """Move items from one list to the other until there are none."""
    line.tell("begin")
    while True:
        with transaction(one, other) as (source, target):
            if not source:
                return
            target.append(source.pop())


@pytest.mark.parametrize("method", START_METHODS)
def test_processes_move_items_and_lose_none(backend: str, method: str) -> None:
    """Two move them, and under a transaction the total is always the same."""
    with (
        SharedList[int](range(60), backend=backend) as one,
        SharedList[int](backend=backend) as other,
        Child(method, transfer, one, other) as first,
        Child(method, transfer, one, other) as second,
    ):
        assert first.hear() == second.hear() == "begin"
        while True:
            with transaction(one, other) as (source, target):
                assert len(source) + len(target) == 60
                if not source:
                    break
        first.result()
        second.result()

        assert sorted(other) == list(range(60))
