"""What every backend's `SharedDict` does: all that a dict does, and what only a shared one needs."""

from __future__ import annotations

import operator
import os
from collections import OrderedDict, UserDict
from collections.abc import ItemsView, KeysView, Mapping, MutableMapping, ValuesView
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from container_support import agrees, fn, from_a_thread, same
from procshare import Closed, SharedDict

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


@pytest.mark.parametrize(("data", "error"), [(5, TypeError), ([5], TypeError), (["abc"], ValueError)])
def test_what_makes_no_dict_is_the_same_error(backend: str, data: Any, error: type[Exception]) -> None:
    """And nothing is created."""
    with pytest.raises(error):
        AnyDict(data, backend=backend)
    with pytest.raises(ZeroDivisionError):
        SharedDict(broken_pairs(), backend=backend)


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
        assert (
            from_a_thread(lambda: repr(abc)) == f"<SharedDict {{'a': 1, 'b': 2, 'c': 3}} locked by pid {os.getpid()}>"
        )
        assert "uncommitted" in repr(t)
    assert repr(t) == "<SharedDict closed>"
    abc.update((str(n), "x" * 1000) for n in range(1000))
    assert len(repr(abc)) < 3000
    abc.close()
    assert repr(abc) == "<SharedDict closed>"


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


def test_keyword_arguments_are_keys_as_with_a_dict(backend: str) -> None:
    """Alone, and after a mapping or pairs, whose values they replace; but for the options."""
    made = [
        SharedDict(ferrets=2, hamsters=4, backend=backend),
        SharedDict({"ferrets": 1, "hamsters": 4}, ferrets=2, backend=backend),
        SharedDict([("ferrets", 2)], backend=backend, hamsters=4),
    ]

    assert [d.value for d in made] == [{"ferrets": 2, "hamsters": 4}] * 3
    assert list(made[1]) == ["ferrets", "hamsters"]
