"""What every backend's `SharedDict` has beyond a dict: atomic changes of one item, snapshots, waiting."""

from __future__ import annotations

import operator
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from conformance.test_dict import START, broken_pairs
from container_support import VALUES, in_threads, is_held, same, unpicklable
from procshare import SharedDict, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

op: Any = operator  # of whose functions some have no types


@pytest.fixture
def abc(backend: str) -> Iterator[SharedDict[str, Any]]:
    """A dict of three."""
    with SharedDict[str, Any](START, backend=backend) as d:
        yield d


def test_increment_counts(abc: SharedDict[str, Any]) -> None:
    """It returns the new value, counts what is missing as 0, and knows no limit."""
    assert abc.increment("a") == 2
    assert abc.increment("a", -5) == -3
    assert abc.increment("new") == 1
    assert abc.increment("other", 10) == 10
    for n in (2**46, 2**47, 2**61, 2**62, 2**63, -(2**64), -(2**65), 10**50):
        before = abc["a"]
        assert abc.increment("a", n) == before + n == abc["a"]

    assert list(abc) == ["a", "b", "c", "new", "other"]


def test_what_is_taken_out_may_be_anything(backend: str) -> None:
    """A pickle, a long text or a number, by key and from either end."""
    with SharedDict[int, Any](backend=backend) as d:
        for by_key in (True, False):
            d.set(dict(enumerate(VALUES)))
            left = d.value
            while left:
                last = len(left) % 3 != 0
                key = next(reversed(left)) if last else next(iter(left))
                taken = d.pop(key) if by_key else d.popitem(last=last)[1]
                assert same(taken, left.pop(key))
                assert len(d) == len(left)
            assert d.value == {}


@pytest.mark.parametrize("wrong", [True, False, None, 1.5, "1", b"1", [1]], ids=repr)
def test_increment_refuses_what_is_no_int(abc: SharedDict[str, Any], wrong: Any) -> None:
    """Be it the value or the amount: a TypeError that changes nothing."""
    abc["wrong"] = wrong
    with pytest.raises(TypeError):
        abc.increment("wrong")
    if not isinstance(wrong, bool):
        with pytest.raises(TypeError):
            abc.increment("a", wrong)
        with pytest.raises(TypeError):
            abc.increment("new", wrong)

    assert same(abc.value, {**START, "wrong": wrong})


def test_modify_item_is_atomic(abc: SharedDict[str, Any]) -> None:
    """It returns the new value; the function runs under the lock, and what it raises changes nothing."""
    held: list[bool] = []

    def doubled(n: Any) -> Any:
        held.append(is_held(abc))
        return n * 2

    assert abc.modify_item("a", doubled) == 2
    assert abc.modify_item("new", doubled, 21) == 42
    assert abc.modify_item("a", doubled, 1000) == 4
    assert abc.modify_item("none", lambda x: [x], None) == [None]
    with pytest.raises(KeyError, match="missing"):
        abc.modify_item("missing", doubled)
    with pytest.raises(ZeroDivisionError):
        abc.modify_item("a", lambda n: n // 0)
    with pytest.raises(ZeroDivisionError):
        abc.modify_item("other", lambda n: n // 0, 1)
    with pytest.raises(TypeError):
        abc.modify_item("a", lambda _: threading.Lock())

    assert held == [True] * 3
    assert same(abc.value, {"a": 4, "b": 2, "c": 3, "new": 42, "none": [None]})


def test_set_value_and_modify_exchange_plain_dicts(abc: SharedDict[str, Any]) -> None:
    """`value` is a copy; `set` takes a mapping or pairs; a `modify` that raises changes nothing."""
    snapshot = abc.value
    snapshot["a"] = 100
    assert abc["a"] == 1
    anything: Any = abc
    anything.set([("z", 1), ("y", 2)])
    assert same(abc.value, {"z": 1, "y": 2})
    abc.set({"q": 1})
    assert abc.modify(lambda now: {**now, "r": 2}) == {"q": 1, "r": 2}
    with pytest.raises(ZeroDivisionError):
        abc.modify(lambda now: {"x": now["q"] // 0})
    with pytest.raises((TypeError, ValueError)):
        anything.set(5)

    assert same(abc.value, {"q": 1, "r": 2})


def test_a_write_that_fails_changes_nothing(abc: SharedDict[str, Any]) -> None:
    """However many pairs came before the one that cannot be written."""
    before: dict[str, Any] = {**START, "s": "x" * 10_000}
    abc["s"] = before["s"]
    for wrong in unpicklable():
        writes: list[Callable[[], Any]] = [
            lambda: abc.__setitem__("a", wrong),  # noqa: B023 - called at once
            lambda: abc.__setitem__("new", wrong),  # noqa: B023
            lambda: abc.setdefault("new", wrong),  # noqa: B023
            lambda: abc.update({"a": 5, "new": wrong}),  # noqa: B023
            lambda: abc.update(new=1, newer=wrong),  # noqa: B023
            lambda: abc.set({"a": 5, "b": wrong}),  # noqa: B023
            lambda: op.ior(abc, {"a": 5, "new": wrong}),  # noqa: B023
        ]
        for write in writes:
            with pytest.raises(TypeError):
                write()
            assert same(abc.value, before)
            assert not is_held(abc)
    with pytest.raises(ZeroDivisionError):
        abc.update(broken_pairs())

    assert same(abc.value, before)


def test_what_is_read_is_a_fresh_object(abc: SharedDict[str, Any]) -> None:
    """Changing it changes nothing shared; neither does a change to what was stored."""
    stored = [1]
    abc["list"] = stored
    stored.append(2)
    abc["list"].append(3)
    abc.value["list"].append(4)
    next(iter(abc.items()))
    list(abc.values())[-1].append(5)

    assert abc["list"] == [1]
    assert abc["list"] is not abc["list"]


def test_wait_until_wakes_for_a_change(abc: SharedDict[str, Any]) -> None:
    """It returns the contents that made it true, or raises WaitTimeout in time."""
    with pytest.raises(WaitTimeout):
        abc.wait_until(lambda d: "z" in d, timeout=0.02)
    assert abc.wait_until(lambda d: "a" in d) == START
    waiting = threading.Event()
    waited: list[Any] = []

    def has_z(d: dict[str, Any]) -> bool:
        waiting.set()
        return "z" in d

    waiter = threading.Thread(target=lambda: waited.append(abc.wait_until(has_z, timeout=10)))
    waiter.start()
    assert waiting.wait(10)
    abc["z"] = 26
    waiter.join(10)

    assert waited == [{**START, "z": 26}]


def test_threads_share_setdefault_and_pop_fairly(backend: str) -> None:
    """One value wins each key for all, and each item is popped once."""
    with SharedDict[int, int](backend=backend) as d:
        agreed: list[list[int]] = []
        popped: list[tuple[int, int]] = []

        def settle(me: int) -> None:
            agreed.append([d.setdefault(key, me) for key in range(50)])

        def empty(me: int) -> None:
            with suppress(KeyError):
                while True:
                    popped.append(d.popitem(last=bool(me % 2)))

        in_threads(settle, range(3))
        items = list(d.items())
        in_threads(empty, range(3))

        assert agreed == [[value for _, value in items]] * 3
        assert sorted(popped) == items
        assert len(d) == 0
