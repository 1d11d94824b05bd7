"""What can be a key and what can be a value in the containers of every backend, and that each comes back the same."""

from __future__ import annotations

from contextlib import suppress
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from container_support import KEYS, REFUSED, VALUES, Word, fn, same
from procshare import SharedDict, SharedList, SharedNamespace, SharedSet

if TYPE_CHECKING:
    from collections.abc import Callable

ANY: Any = SharedDict
AnySet: Any = SharedSet
texts = st.text(st.characters())  # surrogates as well
atoms = st.none() | st.integers() | st.integers(-(2**200), 2**200) | texts | st.binary()
keys = st.recursive(atoms, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
values = st.recursive(
    atoms | st.booleans() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=8,
)


class Color(IntEnum):
    """An int that is an enum's member."""

    RED = 1


class Mood(StrEnum):
    """A str that is an enum's member."""

    GOOD = "good"


class Point:
    """An object of a class of the test's own."""

    def __init__(self, x: object) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    def __hash__(self) -> int:
        return hash(self.x)


# ---- keys ----


def test_keys_of_every_sort_are_kept_apart(backend: str) -> None:
    """Each comes back exactly as it was, in order; "1", 1, b"1" and (1,) are four keys."""
    with ANY(((key, n) for n, key in enumerate(KEYS)), backend=backend) as d:
        assert same(list(d), KEYS)
        assert len(d) == len(KEYS)
        for n, key in enumerate(KEYS):
            assert d[key] == n
            assert key in d
        for key in KEYS[::2]:
            del d[key]
        assert same(list(d), KEYS[1::2])
        assert [key in d for key in KEYS] == [False, True] * (len(KEYS) // 2)
        for n, key in enumerate(KEYS):
            d[key] = -n
        assert same(list(d), KEYS[1::2] + KEYS[::2])
        assert [d[key] for key in KEYS] == [-n for n in range(len(KEYS))]
        with d.locked() as t:
            for key in KEYS:
                assert t.pop(key) is not None
                t[key] = key
        assert same(d.value, {key: key for key in KEYS})


def test_elements_of_every_sort_are_kept_apart(backend: str) -> None:
    """A set's elements are a dict's keys."""
    with AnySet(KEYS, backend=backend) as s:
        assert len(s) == len(KEYS)
        assert all(key in s for key in KEYS)
        assert {(type(key), key) for key in s} == {(type(key), key) for key in KEYS}
        for key in KEYS[::2]:
            s.remove(key)
        assert s == set(KEYS[1::2])


@settings(max_examples=60, deadline=None)
@given(chosen=st.lists(keys, max_size=12))
def test_any_key_finds_what_was_stored_by_an_equal_one(backend: str, chosen: list[Any]) -> None:
    """And nothing else does."""
    model = {key: n for n, key in enumerate(chosen)}
    with ANY(zip(chosen, range(len(chosen)), strict=True), backend=backend) as d, AnySet(chosen, backend=backend) as s:
        assert same(d.value, model)
        assert s == set(model)
        for key in chosen:
            assert d.pop(key, "gone") == model.pop(key, "gone")
            assert same(d.value, model)


WRITES: dict[str, Callable[[Any, Any], Any]] = {
    "d[k]": lambda d, k: d[k],
    "d[k] =": lambda d, k: d.__setitem__(k, 1),
    "del d[k]": lambda d, k: d.__delitem__(k),
    "in": lambda d, k: k in d,
    "get": lambda d, k: d.get(k),
    "get default": lambda d, k: d.get(k, 5),
    "pop": lambda d, k: d.pop(k),
    "pop default": lambda d, k: d.pop(k, None),
    "setdefault": lambda d, k: d.setdefault(k, 1),
    "increment": lambda d, k: d.increment(k),
    "modify_item": lambda d, k: d.modify_item(k, fn(lambda v: v), 1),
    "update": lambda d, k: d.update([("a", 5), (k, 1)]),
    "|=": lambda d, k: d.__ior__([("a", 5), (k, 1)]),
    "set": lambda d, k: d.set([("a", 5), (k, 1)]),
    "modify": lambda d, k: d.modify(fn(lambda _: [("a", 5), (k, 1)])),
}


@pytest.mark.parametrize("use", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("inside", [False, True], ids=["handle", "block"])
def test_what_is_no_key_is_refused_by_every_method(backend: str, use: Callable[[Any, Any], Any], inside: bool) -> None:
    """A TypeError as for an unhashable key of a dict, which changes nothing."""
    with ANY({"a": 1, 1: 2}, backend=backend) as d:
        for key in [*REFUSED, Color.RED, Mood.GOOD]:
            with pytest.raises(TypeError):
                if inside:
                    with d.locked() as t:
                        use(t, key)
                else:
                    use(d, key)
            assert same(d.value, {"a": 1, 1: 2}), key


def test_what_equals_a_key_is_not_taken_for_it(backend: str) -> None:
    """True == 1 == 1.0, so a plain dict on the way would hide that one of them is no key."""
    with ANY({1: "one"}, backend=backend) as d, AnySet([1], backend=backend) as s:
        for wrong in (True, 1.0):
            pairs = [(1, "again"), (wrong, "wrong")]
            calls: list[Callable[[], Any]] = [
                lambda: ANY(pairs, backend=backend),  # noqa: B023 - called at once
                lambda: ANY.fromkeys([1, wrong], backend=backend),  # noqa: B023
                lambda: d.update(pairs),  # noqa: B023
                lambda: d.set(pairs),  # noqa: B023
                lambda: AnySet([1, wrong], backend=backend),  # noqa: B023
                lambda: s.update([1, wrong]),  # noqa: B023
                lambda: s.set([1, wrong]),  # noqa: B023
            ]
            for call in calls:
                with pytest.raises(TypeError):
                    call()
        assert d.value == {1: "one"}
        assert s.value == {1}


@pytest.mark.parametrize("name", ["__contains__", "add", "discard", "remove"])
def test_what_is_no_element_is_refused_by_every_method(backend: str, name: str) -> None:
    """A TypeError which changes nothing."""
    with AnySet({"a", 1}, backend=backend) as s:
        for key in [*REFUSED, Color.RED]:
            with pytest.raises(TypeError):
                getattr(s, name)(key)
            with pytest.raises(TypeError):
                s.update(["b", key])
            assert s.value == {"a", 1}


def test_the_refusal_says_why(backend: str) -> None:
    """By every way to give a key, and for what is inside a tuple too."""
    uses: list[Callable[[Any], Any]] = [
        lambda key: ANY({key: 1}, backend=backend),
        lambda key: ANY.fromkeys([key], backend=backend),
        lambda key: AnySet([key], backend=backend),
        lambda key: AnySet(backend=backend).add(key),
        lambda key: ANY(backend=backend).setdefault(key, 1),
    ]
    for use in uses:
        for key, named in ((True, "True|bool"), (1.5, "1.5|float"), (("a", (2.5,)), "2.5|float"), (Word("a"), "Word")):
            with pytest.raises(TypeError, match=named) as caught:
                use(key)
            assert "cannot be a key" in str(caught.value)


def test_a_deeply_nested_key_is_a_key_or_refused(backend: str) -> None:
    """Never a crash."""
    key: Any = ()
    for _ in range(50_000):
        key = (key,)
    with ANY({"a": 1}, backend=backend) as d:
        for call in (lambda: d.__setitem__(key, 1), lambda: d.get(key), lambda: key in d):
            with suppress(TypeError, ValueError, RecursionError):
                call()
            assert d["a"] == 1
    while key:  # or its own collection would recurse
        (key,) = key


# ---- values ----

PLACES: dict[str, tuple[Any, Any, Callable[[Any, Any], None], Callable[[Any], Any]]] = {
    "dict": (SharedDict, {"v": 0}, lambda d, v: d.__setitem__("v", v), lambda d: d["v"]),
    "list": (SharedList, [0], lambda x, v: x.__setitem__(0, v), lambda x: x[0]),
    "namespace": (SharedNamespace, {"v": 0}, lambda ns, v: setattr(ns, "v", v), lambda ns: ns.v),
}
"""For each container: its class, what it holds at first, how to write its one value, and how to read it."""


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Any:
    """Each in turn."""
    return PLACES[request.param]


def test_values_of_every_sort_come_back_the_same(place: Any, backend: str) -> None:
    """In place of one another, at once and in a block, alone and in a snapshot."""
    interface, start, put, read = place
    with interface(start, backend=backend) as container:
        for value in [*VALUES, *reversed(VALUES), Point([1, "x"])]:
            put(container, value)
            assert same(read(container), value)
            with container.locked() as t:
                put(t, [value])
                assert same(read(t), [value])
                put(t, value)
                assert same(read(t), value)
            assert same(read(container), value)
            (snapshot,) = getattr(container.value, "values", lambda: container.value)()
            assert same(snapshot, value)


LARGE = st.integers(3000, 30_000).map(lambda length: (bytes(range(256)) * 120)[:length])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(chosen=st.lists(values | LARGE, min_size=1, max_size=6))
def test_any_value_comes_back_the_same(backend: str, chosen: list[Any]) -> None:
    """By each way of writing."""
    with ANY(enumerate(chosen), backend=backend) as d, SharedList[Any](chosen, backend=backend) as x:
        assert same(d.value, dict(enumerate(chosen)))
        assert same(x.value, chosen)
        turned = chosen[::-1]
        for n, value in enumerate(turned):
            d[n] = x[n] = value
        assert same(list(d.values()), turned)
        assert same(x[:], turned)
        d.update({-n: value for n, value in enumerate(chosen, 1)})
        x.extend(chosen)
        assert same([d[-n] for n in range(1, len(chosen) + 1)], chosen)
        assert same(x.value, turned + chosen)
        assert same([d.pop(n) for n in range(len(chosen))], turned)
        assert same([d.popitem()[1] for _ in chosen], turned)


def test_a_megabyte_comes_and_goes(place: Any, backend: str) -> None:
    """As a value that grows and shrinks, time and again."""
    interface, start, put, read = place
    with interface(start, backend=backend) as container:
        for size in (10, 2**20, 0, 3 * 2**20, 1000):
            for value in ("x" * size, bytes(size), [b"y" * size]):
                put(container, value)
                assert read(container) == value


def test_many_values_of_all_sizes(backend: str) -> None:
    """A thousand, replaced many times over by larger and smaller ones."""
    with ANY(backend=backend) as d:
        model: dict[Any, Any] = {}
        for turn in range(3):
            pairs = {n: "abc"[turn] * (n * (turn + 1) * 7919 % 2000) for n in range(300)}
            model.update(pairs)
            d.update(pairs)
            for n in range(turn, 300, 7):
                d[n] = model[n] = bytes([turn]) * n
            for n in range(turn, 300, 11):
                del d[n], model[n]
            assert same(d.value, model)
