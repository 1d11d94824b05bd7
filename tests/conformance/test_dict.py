"""What every backend's `SharedDict` does: all that a dict does, and what only a shared one needs."""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict, UserDict
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from container_support import agrees, fn, from_a_thread, in_threads, is_held, same, unpicklable
from procshare import Closed, SharedDict, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AnyDict: Any = SharedDict
op: Any = operator  # of whose functions some have no types
START = {"a": 1, "b": 2, "c": 3}


@pytest.fixture
def abc(backend: str) -> Iterator[SharedDict[str, Any]]:
    """A dict of three."""
    with SharedDict[str, Any](START, backend=backend) as d:
        yield d


class Keyed:
    """Not a Mapping, but what the constructor of dict takes for one."""

    def keys(self) -> list[str]:
        return ["k", "l"]

    def __getitem__(self, key: str) -> str:
        return key * 2


def broken_pairs() -> Iterator[tuple[str, int]]:
    """An iterable that raises when some of it was taken."""
    yield "a", 10
    raise ZeroDivisionError


def matched(d: Any) -> Any:
    """What a mapping pattern makes of it."""
    match d:
        case {"a": a, **rest}:
            return a, rest
        case _:
            return None


def reinserted(d: Any) -> list[Any]:
    """The order after a key was deleted and came back."""
    del d["a"]
    d["a"] = 9
    d["b"] = 8
    return list(d)


CALLS: dict[str, Callable[[Any], Any]] = {
    "d[a]": lambda d: d["a"],
    "d[missing]": lambda d: d["z"],
    "d[list]": lambda d: d[[]],
    "d[a] = new": lambda d: d.__setitem__("a", "new"),
    "d[new] = ": lambda d: d.__setitem__("z", 26),
    "d[list] = ": lambda d: d.__setitem__([], 1),
    "del": lambda d: d.__delitem__("b"),
    "del missing": lambda d: d.__delitem__("z"),
    "in": lambda d: ("a" in d, "z" in d, "z" not in d, 1 in d, None in d),
    "list in": lambda d: [] in d,
    "len": lambda d: (len(d), bool(d)),
    "get": lambda d: (d.get("a"), d.get("z"), d.get("z", 5), d.get("a", 5)),
    "get of a list": lambda d: d.get([]),
    "pop": lambda d: d.pop("b"),
    "pop missing": lambda d: d.pop("z"),
    "pop default": lambda d: (d.pop("z", None), d.pop("z", 7), d.pop("a", 7)),
    "pop too many": lambda d: d.pop("a", 1, 2),
    "popitem": lambda d: [d.popitem(), d.popitem(), d.popitem()],
    "popitem, added": lambda d: [d.popitem(), d.update(z=5), d.popitem(), d.popitem()],
    "setdefault": lambda d: (d.setdefault("a", 9), d.setdefault("z", 9), d.setdefault("z", 10), d.setdefault("y")),
    "clear": lambda d: d.clear(),
    "clear, go on": lambda d: (d.clear(), d.clear(), d.update(z=1), len(d), list(d)),
    "update mapping": lambda d: d.update({"b": 20, "z": 26}),
    "update keyed": lambda d: d.update(Keyed()),
    "update pairs": lambda d: d.update([("b", 20), ["z", 26], "xy"]),
    "update generator": lambda d: d.update((k, ord(k)) for k in "zyx"),
    "update keywords": lambda d: d.update(b=20, z=26),
    "update both": lambda d: d.update({"b": 1, "z": 1}, b=2),
    "update self keyword": lambda d: d.update(self=1, data=2, pairs=3),
    "update nothing": lambda d: d.update(),
    "update from itself": lambda d: d.update(d),
    "update number": lambda d: d.update(5),
    "update no pairs": lambda d: d.update(["abc"]),
    "update two arguments": lambda d: d.update({}, {}),
    "iter": list,
    "reversed": lambda d: list(reversed(d)),
    "keys": lambda d: (list(d.keys()), list(reversed(d.keys())), len(d.keys()), "a" in d.keys()),  # noqa: SIM118
    "values": lambda d: (list(d.values()), list(reversed(d.values())), len(d.values()), 3 in d.values()),
    "items": lambda d: (list(d.items()), list(reversed(d.items())), len(d.items())),
    "in items": lambda d: [pair in d.items() for pair in (("a", 1), ("a", 2), ("z", 1), ("a",), 5)],
    "keys ==": lambda d: (d.keys() == {"a", "b", "c"}, d.keys() == ["a", "b", "c"], d.keys() != {"a"}),
    "keys <=": lambda d: (d.keys() <= {"a", "b", "c"}, d.keys() < {"a", "b", "c"}, d.keys() >= {"a"}),
    "keys &": lambda d: (d.keys() & {"a", "z"}, {"a", "z"} & d.keys(), d.keys() & []),
    "keys |": lambda d: (d.keys() | {"z"}, {"z"} | d.keys()),
    "keys -": lambda d: (d.keys() - {"a"}, {"a", "z"} - d.keys()),
    "keys ^": lambda d: (d.keys() ^ {"a", "z"}, {"a", "z"} ^ d.keys()),
    "keys isdisjoint": lambda d: (d.keys().isdisjoint({"z"}), d.keys().isdisjoint(["a"])),
    "items ==": lambda d: (d.items() == START.items(), d.items() == {("a", 1)}, d.items() >= {("a", 1)}),
    "items &": lambda d: (d.items() & {("a", 1), ("b", 1)}, d.items() | {("z", 1)}, d.items() - {("a", 1)}),
    "copy": lambda d: d.copy(),
    "dict()": dict,
    "**": lambda d: {**d, "z": 1},
    "|": lambda d: d | {"a": 10, "z": 26},
    "| mapping": lambda d: d | MappingProxyType({"z": 26}),
    "ror": lambda d: {"z": 26, "a": 10} | d,
    "| pairs": lambda d: d | [("z", 26)],
    "|=": lambda d: op.ior(d, {"z": 26, "a": 10}),
    "|= pairs": lambda d: op.ior(d, [("z", 26)]),
    "|= number": lambda d: op.ior(d, 5),
    "==": lambda d: [d == x for x in ({"c": 3, "b": 2, "a": 1}, {"a": 1}, {}, {**START, "a": 1.0}, OrderedDict(START))],
    "== others": lambda d: [d == x for x in ([("a", 1)], 5, None, "abc")],
    "!=": lambda d: [d != x for x in (START, {"a": 1}, 5)],
    "reflected ==": lambda d: [START == d, {} == d, 5 == d, START != d],  # noqa: SIM300
    "<": lambda d: d < {},
    "+": lambda d: d + {},
    "sorted": lambda d: sorted(d, key=d.get, reverse=True),
    "unpacked": lambda d: [*d],
    "match": matched,
    "reinserted": reinserted,
    "hash": hash,
}


@pytest.mark.parametrize("inside", [False, True], ids=["handle", "block"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_it_does_what_a_dict_does(abc: SharedDict[str, Any], call: Callable[[Any], Any], inside: bool) -> None:
    """The same result or exception, and the same contents in the same order; also inside a block, and after it."""
    model = dict(START)
    if inside:
        with abc.locked() as t:
            agrees(call, t, model)
            assert same(abc.value, model)
    else:
        agrees(call, abc, model)

    assert same(abc.value, model)


DATA: list[Any] = [
    {},
    {"a": 1},
    [],
    [("a", 1), ["b", 2], "cd", ("a", 3)],
    Keyed(),
    OrderedDict(z=1, y=2),
    UserDict({"u": 1}),
    MappingProxyType({"m": 1}),
    {"a": 1}.items(),
    zip("ab", (1, 2), strict=True),
]


@pytest.mark.parametrize("data", DATA, ids=lambda data: type(data).__name__)
def test_it_is_made_of_whatever_a_dict_is_made_of(backend: str, data: Any) -> None:
    """Mappings, pairs, iterators of pairs, and objects with keys()."""
    kept = list(data) if not hasattr(data, "keys") else data
    with AnyDict(kept, backend=backend) as d:
        assert same(d.value, dict(kept))
        with AnyDict(d, backend=backend) as other:
            assert same(other.value, dict(kept))
    with AnyDict(iter(list(dict(kept).items())), backend=backend) as d:
        assert same(d.value, dict(kept))


@pytest.mark.parametrize(
    ("data", "error"),
    [(5, TypeError), ([5], TypeError), (["abc"], ValueError), (broken_pairs(), ZeroDivisionError)],
    ids=["number", "numbers", "no pairs", "raises"],
)
def test_what_makes_no_dict_is_the_same_error(backend: str, data: Any, error: type[Exception]) -> None:
    """And nothing is created."""
    with pytest.raises(error):
        AnyDict(data, backend=backend)


def test_it_starts_empty(backend: str) -> None:
    """Without arguments; and is false then."""
    with AnyDict(backend=backend) as d:
        assert (d.value, len(d), bool(d), list(d), list(reversed(d))) == ({}, 0, False, [], [])
        assert d == {}
        with pytest.raises(KeyError):
            d.popitem()


def test_it_is_a_mutable_mapping(abc: SharedDict[str, Any]) -> None:
    """To isinstance, as its views are views."""
    assert isinstance(abc, MutableMapping)
    assert isinstance(abc, Mapping)
    assert isinstance(abc.keys(), KeysView)
    assert isinstance(abc.values(), ValuesView)
    assert isinstance(abc.items(), ItemsView)


def test_views_follow_the_dict(abc: SharedDict[str, Any]) -> None:
    """A view made before a change shows it, and its repr shows what is there."""
    keys, values, items = abc.keys(), abc.values(), abc.items()
    abc["d"] = 4
    del abc["a"]

    assert (list(keys), list(values), list(items)) == (["b", "c", "d"], [2, 3, 4], [("b", 2), ("c", 3), ("d", 4)])
    assert "'d'" in repr(keys)
    assert "4" in repr(values)
    assert "('d', 4)" in repr(items)


def test_iteration_goes_over_one_snapshot(abc: SharedDict[str, Any]) -> None:
    """Changes on the way neither show nor raise."""
    seen: list[Any] = []
    for key in abc:
        seen.append(key)
        del abc[key]
        abc[key + "!"] = 0
    pairs: list[Any] = []
    for pair in abc.items():
        pairs.append(pair)
        abc.clear()

    assert seen == ["a", "b", "c"]
    assert pairs == [("a!", 0), ("b!", 0), ("c!", 0)]


def test_two_shared_dicts_compare_by_value(abc: SharedDict[str, Any], backend: str) -> None:
    """Whatever their order; and | of two gives a plain dict."""
    with SharedDict({"c": 3, "b": 2, "a": 1}, backend=backend) as other:
        assert abc == other
        other["z"] = 26
        assert abc != other
        assert same(abc | other, {**START, "z": 26})
        abc |= other
        assert same(abc.value, {**START, "z": 26})


def test_or_assignment_keeps_the_handle(abc: SharedDict[str, Any]) -> None:
    """`d |= ...` is one update of the shared object, not a new one."""
    d = abc
    d |= {"z": 26}
    d |= [("y", 25)]

    assert d is abc
    assert same(abc.value, {**START, "z": 26, "y": 25})


def test_fromkeys_makes_a_new_shared_dict(backend: str) -> None:
    """With the options of the constructor, of the class that it was called on."""
    with AnyDict.fromkeys("aba", backend=backend) as d:
        assert issubclass(type(d), SharedDict)
        assert same(d.value, {"a": None, "b": None})
    with Tally.fromkeys(iter(["x"]), 5, backend=backend) as tally:
        assert issubclass(type(tally), Tally)
        assert same(tally.value, {"x": 5})


def test_popitem_takes_either_end(abc: SharedDict[str, Any]) -> None:
    """The last by default, the first on demand."""
    assert abc.popitem(last=False) == ("a", 1)
    assert abc.popitem() == ("c", 3)
    assert abc.popitem(last=False) == ("b", 2)
    with pytest.raises(KeyError):
        abc.popitem(last=False)


def test_it_is_unhashable(abc: SharedDict[str, Any]) -> None:
    """As a dict is."""
    assert SharedDict.__hash__ is None
    with pytest.raises(TypeError, match="unhashable"):
        hash(abc)


def test_repr_is_short_and_waits_for_nobody(abc: SharedDict[str, Any]) -> None:
    """Also while somebody else holds the lock, and of a closed dict."""
    assert repr(abc) == "<SharedDict {'a': 1, 'b': 2, 'c': 3}>"
    with abc.locked() as t:
        t["a"] = "uncommitted"
        assert from_a_thread(lambda: repr(abc)) == "<SharedDict {'a': 1, 'b': 2, 'c': 3}>"
        assert "uncommitted" in repr(t)
    assert repr(t) == "<SharedDict closed>"
    abc.update((str(n), "x" * 1000) for n in range(1000))
    assert len(repr(abc)) < 3000
    abc.close()
    assert repr(abc) == "<SharedDict closed>"


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


USES: dict[str, Callable[[Any], Any]] = {
    **{name: CALLS[name] for name in ("d[a]", "d[a] = new", "del", "in", "len", "get", "pop", "popitem", "setdefault")},
    **{name: CALLS[name] for name in ("clear", "update mapping", "update nothing", "iter", "reversed", "copy", "|")},
    "increment": lambda d: d.increment("a"),
    "modify_item": lambda d: d.modify_item("a", fn(lambda v: v)),
    "keys": lambda d: list(d.keys()),
    "==": lambda d: d == {},
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_closed_dict_and_a_dead_guard_raise_closed(abc: SharedDict[str, Any], use: Callable[[Any], Any]) -> None:
    """Each of its methods."""
    with abc.locked() as t:
        pass
    with pytest.raises(Closed):
        use(t)
    abc.close()
    with pytest.raises(Closed):
        use(abc)


class Tally(SharedDict[str, int]):
    """A dict with a method, an override and an attribute of its own."""

    label = "a class attribute"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen = 0

    def count(self, word: str) -> int:
        """Count a word."""
        self.seen += 1
        return self.increment(word)

    def __setitem__(self, key: str, value: int) -> None:
        super().__setitem__(key, abs(value))


def test_a_subclass_keeps_what_it_defines(backend: str) -> None:
    """Methods, attributes, constructor and overrides, and its name in the repr."""
    with Tally({"a": 1}, backend=backend) as tally:
        assert [tally.count("a"), tally.count("b")] == [2, 1]
        tally["c"] = -7
        assert (tally.seen, tally.label, tally.value) == (2, "a class attribute", {"a": 2, "b": 1, "c": 7})
        assert repr(tally) == "<Tally {'a': 2, 'b': 1, 'c': 7}>"
        with tally.locked() as t:
            assert isinstance(t, Tally)
            assert t.increment("a") == 3
