"""What every backend's `SharedSet` does: all that a set does, and what only a shared one needs."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import MutableSet, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from container_support import agrees, from_a_thread, in_threads, is_held, same
from procshare import Closed, SharedSet, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AnySet: Any = SharedSet
op: Any = operator  # of whose functions some have no types
START = {1, 2, 3}
OTHERS: list[Any] = [set(), {1}, {1, 2, 3}, {1, 2, 3, 4}, {3, 4}, {7}, frozenset({1, 2, 3}), {1: 0, 9: 0}.keys()]
CHANGES: list[Any] = [{1, 9}, set(), frozenset({2}), 5]


@pytest.fixture
def numbers(backend: str) -> Iterator[SharedSet[Any]]:
    """A set of three."""
    with SharedSet[Any](START, backend=backend) as made:
        yield made


def broken() -> Iterator[int]:
    """An iterable that raises when some of it was taken."""
    yield 10
    raise ZeroDivisionError


def in_place(change: Callable[[Any, Any], Any], other: Any) -> Callable[[Any], Any]:
    """What a change in place returns; the set itself is compared by the test."""
    return lambda s: change(s, other)


CALLS: dict[str, Callable[[Any], Any]] = {
    "in": lambda s: (1 in s, 9 in s, "1" in s, None not in s, (1,) in s),
    "list in": lambda s: [] in s,
    "len": lambda s: (len(s), bool(s)),
    "iter": lambda s: sorted(s),
    "add": lambda s: [s.add(1), s.add(9), len(s)],
    "add list": lambda s: s.add([]),
    "discard": lambda s: [s.discard(1), s.discard(1), s.discard(9)],
    "remove": lambda s: s.remove(1),
    "remove missing": lambda s: s.remove(9),
    "remove tuple": lambda s: s.remove((1, 2)),
    "pop": lambda s: sorted(s.pop() for _ in range(3)),
    "clear": lambda s: [s.clear(), s.clear(), s.add(1), len(s)],
    "copy": lambda s: s.copy(),
    "set()": set,
    "union": lambda s: (s.union(), s.union({9}), s.union([8], "ab", {5: 6}), s.union(s)),
    "intersection": lambda s: (s.intersection(), s.intersection([1, 9]), s.intersection({1, 2}, iter([2, 3]))),
    "difference": lambda s: (s.difference(), s.difference([1, 9]), s.difference({1}, (2,))),
    "symmetric_difference": lambda s: (s.symmetric_difference([1, 9]), s.symmetric_difference(s)),
    "union number": lambda s: s.union(5),
    "intersection number": lambda s: s.intersection(5),
    "difference number": lambda s: s.difference(5),
    "symmetric_difference nothing": lambda s: s.symmetric_difference(),
    "issubset": lambda s: [s.issubset(other) for other in (*OTHERS, [1, 2, 3, 4], "abc")],
    "issuperset": lambda s: [s.issuperset(other) for other in (*OTHERS, [1, 2], "abc", ())],
    "isdisjoint": lambda s: [s.isdisjoint(other) for other in (*OTHERS, [1], "abc", ())],
    "|": lambda s: [s | other for other in OTHERS],
    "&": lambda s: [s & other for other in OTHERS],
    "-": lambda s: [s - other for other in OTHERS],
    "^": lambda s: [s ^ other for other in OTHERS],
    "ror": lambda s: [other | s for other in OTHERS[:6]],
    "rand": lambda s: [other & s for other in OTHERS[:6]],
    "rsub": lambda s: [other - s for other in OTHERS[:6]],
    "rxor": lambda s: [other ^ s for other in OTHERS[:6]],
    "| number": lambda s: s | 5,
    "& number": lambda s: s & 5,
    "- number": lambda s: s - 5,
    "number ^": lambda s: 5 ^ s,
    "==": lambda s: [s == other for other in (*OTHERS, [1, 2, 3], 5, None, {1.0, 2, 3})],
    "!=": lambda s: [s != other for other in (*OTHERS, [1, 2, 3], 5)],
    "reflected ==": lambda s: [other == s for other in (*OTHERS, [1, 2, 3], 5)],
    "<": lambda s: [(s < other, s <= other, s > other, s >= other) for other in OTHERS],
    "reflected <": lambda s: [(other < s, other <= s, other > s, other >= s) for other in OTHERS],
    "< number": lambda s: s < 5,
    ">= number": lambda s: s >= 5,
    "update": lambda s: [s.update([1, 9], "ab"), s.update(), s.update(s)],
    "update number": lambda s: s.update(5),
    "update raises": lambda s: s.update([*broken()]),
    "intersection_update": lambda s: [s.intersection_update([1, 2, 9], {2, 3}), s.intersection_update()],
    "difference_update": lambda s: [s.difference_update([1, 9], iter([2])), s.difference_update()],
    "symmetric_difference_update": lambda s: s.symmetric_difference_update([1, 9]),
    "symmetric_difference_update itself": lambda s: s.symmetric_difference_update(s),
    "difference_update itself": lambda s: s.difference_update(s),
    **{
        f"{sign}= {other}": in_place(change, other)
        for sign, change in {"|": op.ior, "&": op.iand, "-": op.isub, "^": op.ixor}.items()
        for other in CHANGES
    },
    "&= itself": lambda s: op.iand(s, s),
    "-= itself": lambda s: op.isub(s, s),
    "^= itself": lambda s: op.ixor(s, s),
    "hash": hash,
}


@pytest.mark.parametrize("inside", [False, True], ids=["handle", "block"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_it_does_what_a_set_does(numbers: SharedSet[Any], call: Callable[[Any], Any], inside: bool) -> None:
    """The same result or exception, and the same contents; also inside a block, and after it."""
    model: set[Any] = set(START)
    if inside:
        with numbers.locked() as t:
            agrees(call, t, model)
            assert same(numbers.value, model)
    else:
        agrees(call, numbers, model)

    assert same(numbers.value, model)


@pytest.mark.parametrize("data", [[], [1, "a", 1], "abca", {1, 2}, {1: 2}, range(3), frozenset({None})], ids=str)
def test_it_is_made_of_whatever_a_set_is_made_of(backend: str, data: Any) -> None:
    """Any iterable, another shared set too."""
    with AnySet(iter(data), backend=backend) as made, AnySet(made, backend=backend) as other:
        assert same(made.value, set(data))
        assert same(other.value, set(data))
        assert made == other
        assert made <= other
        assert not made < other
        assert same(made | other, set(data))
        assert same(made ^ other, set[Any]())
    with AnySet(backend=backend) as empty:
        assert (empty.value, len(empty), bool(empty)) == (set(), 0, False)
        with pytest.raises(KeyError):
            empty.pop()
    with pytest.raises(ZeroDivisionError):
        AnySet(broken(), backend=backend)
    with pytest.raises(TypeError):
        AnySet(5, backend=backend)
    with pytest.raises(TypeError):
        AnySet([5, []], backend=backend)


def test_it_is_a_mutable_set(numbers: SharedSet[Any]) -> None:
    """To isinstance, and to the set algebra of other classes."""
    assert isinstance(numbers, MutableSet)
    assert isinstance(numbers, Set)
    assert {1: 0, 9: 0}.keys() | numbers == {1, 2, 3, 9}


def test_operators_in_place_keep_the_handle(numbers: SharedSet[Any]) -> None:
    """Each changes the shared object."""
    same_set = numbers
    same_set |= {4, 5}
    same_set &= {1, 2, 4, 5}
    same_set -= {1}
    same_set ^= {5, 6}

    assert same_set is numbers
    assert numbers.value == {2, 4, 6}


def test_algebra_gives_plain_sets_of_anything(numbers: SharedSet[Any]) -> None:
    """The result is private, so it may hold what a shared set refuses."""
    assert same(numbers | {1.5, True}, {1, 2, 3, 1.5})
    assert same(numbers.union([2.5]), {1, 2, 3, 2.5})
    with pytest.raises(TypeError):
        numbers |= {9, 1.5}
    with pytest.raises(TypeError):
        numbers.update([8], [True])

    assert numbers.value == START


def test_iteration_goes_over_one_snapshot(numbers: SharedSet[Any]) -> None:
    """Changes on the way neither show nor raise."""
    seen: list[Any] = []
    for number in numbers:
        seen.append(number)
        numbers.discard(number)
        numbers.add(number + 10)

    assert sorted(seen) == [1, 2, 3]
    assert numbers.value == {11, 12, 13}


def test_it_is_unhashable(numbers: SharedSet[Any]) -> None:
    """As a set is."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(numbers)


def test_repr_is_short_and_waits_for_nobody(numbers: SharedSet[Any]) -> None:
    """Also while somebody else holds the lock, and of a closed or an empty set."""
    assert repr(numbers) == "<SharedSet {1, 2, 3}>"
    with numbers.locked() as t:
        t.add("uncommitted")
        assert from_a_thread(lambda: repr(numbers)) == f"<SharedSet {{1, 2, 3}} locked by pid {os.getpid()}>"
        assert "uncommitted" in repr(t)
    assert repr(t) == "<SharedSet closed>"
    numbers.update("x" * 1000 + str(n) for n in range(1000))
    assert len(repr(numbers)) < 3000
    numbers.clear()
    assert repr(numbers) in ("<SharedSet {}>", "<SharedSet set()>")
    numbers.close()
    assert repr(numbers) == "<SharedSet closed>"


def test_set_value_and_modify_exchange_plain_sets(numbers: SharedSet[Any]) -> None:
    """`set` takes any iterable; a `modify` that raises changes nothing."""
    snapshot = numbers.value
    snapshot.add(100)
    assert numbers.value == START
    anything: Any = numbers
    anything.set([5, 6, 5])
    assert same(numbers.value, {5, 6})
    assert numbers.modify(lambda now: now | {7}) == {5, 6, 7}
    with pytest.raises(ZeroDivisionError):
        numbers.modify(lambda now: {len(now) // 0})
    with pytest.raises(TypeError):
        anything.set(5)
    with pytest.raises(TypeError):
        anything.set([1, 2.0])

    assert same(numbers.value, {5, 6, 7})
    assert not is_held(numbers)


def test_wait_until_wakes_for_a_change(numbers: SharedSet[Any]) -> None:
    """It returns the contents that made it true, or raises WaitTimeout in time."""
    with pytest.raises(WaitTimeout):
        numbers.wait_until(lambda now: 9 in now, timeout=0.02)
    assert numbers.wait_until(lambda now: 1 in now) == START
    waiting = threading.Event()
    waited: list[Any] = []

    def has_nine(now: set[Any]) -> bool:
        waiting.set()
        return 9 in now

    waiter = threading.Thread(target=lambda: waited.append(numbers.wait_until(has_nine, timeout=10)))
    waiter.start()
    assert waiting.wait(10)
    numbers.add(9)
    waiter.join(10)

    assert waited == [{*START, 9}]


def test_threads_pop_each_element_once(backend: str) -> None:
    """And what they add together is there once."""
    with SharedSet[int](backend=backend) as made:
        popped: list[int] = []

        def pop(_me: int) -> None:
            with suppress(KeyError):
                while True:
                    popped.append(made.pop())

        in_threads(lambda me: made.update(range(me, 60)), range(3))
        assert made == set(range(60))
        in_threads(pop, range(3))

        assert sorted(popped) == list(range(60))
        assert len(made) == 0


def test_it_grows_and_shrinks(backend: str) -> None:
    """To thousands of elements, with long ones among them, and back, time and again."""
    with SharedSet[Any](backend=backend) as made:
        for size in (10, 3000, 0, 5000, 1):
            wanted: set[Any] = {n if n % 500 else f"{n}" * 5000 for n in range(size)}
            made.set(wanted)
            assert len(made) == size
            assert made.value == wanted
        with made.locked() as t:
            for n in range(2000):
                t.add((n,))
            for n in range(1990):
                t.remove((n,))
        assert made.value == {"0" * 5000, *((n,) for n in range(1990, 2000))}


USES: dict[str, Callable[[Any], Any]] = {
    **{name: CALLS[name] for name in ("in", "len", "iter", "add", "discard", "remove", "pop", "clear", "copy", "|")},
    **{name: CALLS[name] for name in ("&", "-", "^", "update", "intersection_update", "difference_update", "union")},
    **{name: CALLS[name] for name in ("symmetric_difference_update", "issubset", "issuperset", "isdisjoint")},
    "==": lambda s: s == set(),
    "<": lambda s: s < set(),
    "|=": lambda s: op.ior(s, {1}),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_closed_set_and_a_dead_guard_raise_closed(numbers: SharedSet[Any], use: Callable[[Any], Any]) -> None:
    """Each of its methods."""
    with numbers.locked() as t:
        pass
    with pytest.raises(Closed):
        use(t)
    numbers.close()
    with pytest.raises(Closed):
        use(numbers)


class Tags(SharedSet[str]):
    """A set with a method and an override of its own."""

    def tag(self, *words: str) -> int:
        """Add words."""
        for word in words:
            self.add(word)
        return len(self)

    def add(self, value: str) -> None:
        super().add(value.lower())


def test_a_subclass_keeps_what_it_defines(backend: str) -> None:
    """Methods and overrides, in a block too, and its name in the repr."""
    with Tags(["a"], backend=backend) as tags:
        assert tags.tag("A", "B") == 2
        with tags.locked() as t:
            assert isinstance(t, Tags)
            assert t.tag("C") == 3
        assert repr(tags) == "<Tags {'a', 'b', 'c'}>"
