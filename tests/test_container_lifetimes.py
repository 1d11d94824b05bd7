"""How long a handle in a container lives: claimed by the first, gone when the outermost is, or when it was replaced."""

from __future__ import annotations

import gc
import os
import pickle
import signal
from typing import TYPE_CHECKING, Any

import pytest

from death_support import forked
from nesting import KINDS, exists, let_go, shared
from procshare import (
    NotFound,
    SharedArray,
    SharedCounter,
    SharedDict,
    SharedList,
    SharedNamespace,
    SharedSet,
    SharedValue,
    prune,
)
from procshare.backends.shm import listing
from procshare.backends.shm.core import native
from procshare.backends.shm.looking import look
from scripts import SHM, entries, left_since

if TYPE_CHECKING:
    from collections.abc import Callable

kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_a_child_outlives_its_handles(kind: str) -> None:
    """Closing and collecting them leaves it to its container, with which it goes."""
    before = entries()
    child = KINDS[kind]()
    with SharedDict({"child": child}) as parent:
        value, name = child.value, child.name
        child.close()
        del child
        gc.collect()
        assert exists(name)
        assert str(shared(parent["child"]).value) == str(value)
        assert shared(parent["child"]).name == name
        assert shared(parent.value["child"]).name == name
    assert let_go(name)
    assert not left_since(before)


@pytest.mark.parametrize("how", ["with", "unlink", "collected", "closed"])
@kinds
def test_a_child_goes_with_its_container(kind: str, how: str) -> None:
    """However that goes, at depth three."""
    before = entries()
    child = KINDS[kind]()
    outer = SharedDict({"ns": SharedNamespace({"list": SharedList([1, ("in a tuple", {"in": child})])})})
    name = child.name
    child.close()
    inner: Any = outer["ns"]
    assert str(inner.list[1][1]["in"].value) == str(KINDS[kind]().value)
    names = [name, inner.name, inner.list.name]
    assert all(map(exists, names))
    if how == "with":
        with outer:
            pass
    elif how == "unlink":
        outer.unlink()
    elif how == "closed":
        outer.close()
    del inner, child, outer
    assert let_go(*names)
    assert not left_since(before)


@kinds
def test_whoever_has_a_child_keeps_using_it(kind: str) -> None:
    """Its memory goes with the last handle, its name with the container."""
    child = KINDS[kind]()
    with SharedList([child]) as parent:
        again = shared(parent[0])
        name = again.name
    assert let_go(name)
    child.set(child.value)
    assert str(again.value) == str(child.value)
    for each in (child, again):
        each.close()


@kinds
def test_what_was_stored_and_not_committed_lives_as_before(kind: str) -> None:
    """A block that raises, and a value that cannot be pickled beside it, claim nothing that stays."""
    before = entries()
    with SharedDict[str, Any]({"a": 1}) as parent:
        child = KINDS[kind]()
        with pytest.raises(LookupError), parent.locked() as t:
            t["child"] = child
            raise LookupError
        with pytest.raises(TypeError):
            parent["child"] = [child, lambda: None]
        assert parent.value == {"a": 1}
        child.unlink()
        child.close()
    assert let_go()
    assert not left_since(before)


@pytest.mark.parametrize("kind", ["dict", "list", "set"])
def test_a_handle_is_no_key(kind: str) -> None:
    """Nor an element of a set."""
    with KINDS[kind]() as child, SharedDict[Any, Any]() as d, SharedSet[Any]() as s:
        with pytest.raises(TypeError):
            d[child] = 1
        with pytest.raises(TypeError):
            s.add(child)


def test_the_first_container_keeps_it() -> None:
    """A second one refers to it, and its reference leads nowhere when the first is gone."""
    child = SharedList([1])
    first, second = SharedDict({"child": child}), SharedDict({"child": child})
    name = child.name
    second.unlink()
    second.close()
    assert exists(name)
    with SharedDict({"child": child}) as third:
        child.close()
        assert first["child"].value == [1]
        first.unlink()
        first.close()
        assert let_go(name)
        with pytest.raises(NotFound):
            third["child"].append(1)
        assert third.keys() == {"child"}
        third["child"] = SharedList([2])
        assert third["child"].value == [2]


def test_a_container_inside_itself() -> None:
    """It does not keep itself alive, nor do two that hold each other."""
    before = entries()
    with SharedDict[str, Any]({"x": 1}) as d:
        d["me"] = d
        assert d["me"]["me"]["x"] == 1
        name = d.name
    assert let_go(name)
    one, two = SharedDict[str, Any]({"n": 1}), SharedList[Any]([2])
    one["two"] = two
    two.append(one)
    assert one["two"][1]["two"][0] == 2
    names = [one.name, two.name]
    two.close()
    one.unlink()
    one.close()
    assert let_go(*names)
    ring: list[Any] = [SharedList[Any]() for _ in range(5)]
    for number, each in enumerate(ring):
        each.append(ring[(number + 1) % 5])
    names = [each.name for each in ring]
    assert ring[0][0][0][0][0][0].name == names[0]
    for each in ring:
        each.unlink()
        each.close()
    assert let_go(*names)
    assert not left_since(before)


REPLACES: dict[str, Callable[[Any, Any, int], object]] = {
    "attribute": lambda ns, child, _: setattr(ns, "items", child),
    "item": lambda ns, child, _: ns.__setitem__("items", child),
    "block": lambda ns, child, _: ns.set({"items": child}),
    "update": lambda ns, child, n: ns.update({"items": child, "n": n}),
    "delete": lambda ns, child, _: (ns.__setitem__("items", child), ns.__delitem__("items")),
    "in a tuple": lambda ns, child, n: ns.__setitem__("items", ("x", {n: child})),
}


@pytest.mark.parametrize("kind", ["list", "namespace", "counter", "object", "array"])
@pytest.mark.parametrize("way", REPLACES)
def test_what_is_replaced_in_a_loop_does_not_pile_up(way: str, kind: str) -> None:
    """`ns.items = SharedList()`, a thousand times: a few dozen at most are there at a time, and as many descriptors."""
    before = entries()
    descriptors = len(os.listdir("/proc/self/fd"))
    with SharedNamespace() as ns:
        most = 0
        for n in range(600):
            REPLACES[way](ns, KINDS[kind](), n)
            if n % 20 == 0:
                most = max(most, len(entries() - before))
        assert most < 60
        assert len(os.listdir("/proc/self/fd")) - descriptors < 60
        if way == "attribute":
            anything: Any = ns
            assert str(anything.items.value) == str(KINDS[kind]().value)
    assert let_go()
    assert not left_since(before)


def test_what_is_taken_out_of_a_list_does_not_pile_up() -> None:
    """By pop, by slices, and by replacing."""
    before = entries()
    with SharedList[Any]() as x:
        most = 0
        for n in range(200):
            x.append(SharedCounter(n))
            x.append(SharedList([n]))
            x[0] = SharedValue(b"x" * 5000)
            if n % 3 == 0:
                x.pop().append(1)
            if n % 20 == 0:
                del x[1:]
                most = max(most, len(entries() - before))
        assert most < 120
    assert let_go()
    assert not left_since(before)


def test_a_small_object_may_be_put_in_by_the_thousand() -> None:
    """Counters and values lie in slabs, of which each goes when all in it are gone."""
    before = entries()
    with SharedDict[int, Any]() as d:
        for n in range(1500):
            d[n] = SharedCounter(n) if n % 2 else SharedValue(n)
        assert sum(each.value for each in d.values()) == sum(range(1500))
        assert len(entries() - before) < 15
        kept = d[77]
        for n in range(1500):
            del d[n]
        assert kept.value == 77
        assert len(entries() - before) < 12
    assert let_go()
    kept.close()
    gc.collect()
    assert not left_since(before)


def test_copies_of_a_container_refer_and_do_not_keep() -> None:
    """A plain snapshot has handles on the same children; put elsewhere, they stay the first one's."""
    with SharedDict({"child": SharedList([1])}) as d:
        plain = d.copy()
        with SharedDict(plain) as other:
            other["child"].append(2)
        assert plain["child"].value == [1, 2] == d["child"].value
        assert d == plain | {}


def test_a_pickled_container_brings_its_children() -> None:
    """A copy by pickle is the same container."""
    with SharedDict({"child": SharedArray([1, 2])}) as parent:
        again = pickle.loads(pickle.dumps(parent))
        again["child"].array[0] = 5
        assert parent["child"].array.tolist() == [5, 2]
        again.close()


# ---- clearing away, while others store ----


def stored_by_the_dead(parent: SharedDict[str, Any]) -> tuple[str, str]:
    """A dict with a counter in it, stored by a process that was killed then: the names of the two segments."""

    def store() -> None:
        parent["branch"] = SharedDict({"leaf": SharedCounter(5)})
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(store) == -signal.SIGKILL
    branch = parent["branch"]
    return branch.segment, branch["leaf"].segment


@pytest.mark.parametrize("unseen", [0, 1])
def test_what_is_stored_while_a_sweep_looks_is_kept(monkeypatch: pytest.MonkeyPatch, unseen: int) -> None:
    """The sweep, which may be stopped for long, had listed what there is before there was this container."""
    names: Callable[[], list[str]] = listing._mine  # pyright: ignore[reportPrivateUsage]
    with SharedDict[str, Any]() as parent:
        new = stored_by_the_dead(parent)[unseen]
        listed: list[list[str]] = []

        def mine() -> list[str]:
            listed.append([name for name in names() if listed or name != new])
            return listed[-1]

        monkeypatch.setattr(listing, "_mine", mine)
        gone = {info.segment for info in prune()}
        assert gone.isdisjoint({new, parent.segment})
        assert parent["branch"]["leaf"].value == 5
    assert unseen or len(listed) == 2


def test_what_was_stored_since_a_sweep_looked_is_kept() -> None:
    """It is not removed on the strength of what was seen before its seats were all taken."""
    with SharedDict[str, Any]() as parent:
        branch, leaf = stored_by_the_dead(parent)
        (kept,) = look(leaf).claims
        for segment in branch, leaf:
            gc.collect()
            assert not native.reap(segment, [], True)
            assert not native.reap(segment, [kept ^ 1], True)
        assert parent["branch"]["leaf"].value == 5
        del parent["branch"]


def test_what_was_handed_over_since_a_sweep_looked_is_kept() -> None:
    """Likewise."""
    before = entries()
    counter = SharedCounter(5)
    counter.hand_over()
    segment = counter.segment
    counter.close()
    assert not native.reap(segment, [], False)
    assert native.reap(segment, [], True)
    assert not left_since(before)


@pytest.mark.parametrize("first", [True, False])
@kinds
def test_what_its_lost_container_had_is_cleared_away(kind: str, first: bool) -> None:
    """Also if it was handed over. Lost is a container whose name alone was removed, as a tracker does."""
    before = entries()

    def store() -> None:
        child = KINDS[kind]()
        if first:
            child.hand_over()
        SharedDict({"child": child}, name="lost").hand_over()
        if not first:
            child.hand_over()
        os.kill(os.getpid(), signal.SIGKILL)

    assert forked(store) == -signal.SIGKILL
    assert len(entries() - before) == 2
    (SHM / f"procshare.{os.geteuid()}.lost").unlink()
    assert len(prune()) == 1
    assert not left_since(before)
