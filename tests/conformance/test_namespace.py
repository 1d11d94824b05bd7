"""What every backend's `SharedNamespace` does: attributes that several processes see as one."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from container_support import fn, from_a_thread, in_threads, is_held, same, unpicklable
from procshare import Closed, SharedNamespace, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AnyNamespace: Any = SharedNamespace


@pytest.fixture
def ns(backend: str) -> Iterator[Any]:
    """A namespace of two."""
    with SharedNamespace({"x": 1, "y": [2]}, backend=backend) as made:
        yield made


def test_attributes_are_read_written_and_deleted(ns: Any) -> None:
    """In the order in which they were first written."""
    assert (ns.x, ns.y) == (1, [2])
    ns.x = "new"
    ns.z = None
    del ns.y
    ns.y = 5

    assert same(ns.value, {"x": "new", "z": None, "y": 5})
    assert hasattr(ns, "z")
    assert getattr(ns, "w", "default") == "default"


def test_a_missing_attribute_is_an_attribute_error(ns: Any) -> None:
    """Which names it; to read and to delete."""
    for name in ("missing", "_private", "__custom__"):
        with pytest.raises(AttributeError, match=name) as caught:
            getattr(ns, name)
        assert caught.value.name == name
        with pytest.raises(AttributeError, match=name):
            delattr(ns, name)
        assert not hasattr(ns, name)


def test_items_are_the_same_store(ns: Any) -> None:
    """`ns["x"]` is `ns.x`; a missing one is a KeyError, and any str will do."""
    assert ns["x"] == ns.x == 1
    ns["x"] = 2
    ns["no identifier"] = 3
    ns[""] = 4
    del ns["y"]

    assert ns.x == 2
    assert same(ns.value, {"x": 2, "no identifier": 3, "": 4})
    with pytest.raises(KeyError, match="missing"):
        _ = ns["missing"]
    with pytest.raises(KeyError, match="missing"):
        del ns["missing"]


@pytest.mark.parametrize("wrong", [1, None, b"x", ("x",), 1.0], ids=repr)
def test_names_are_str(ns: Any, wrong: Any) -> None:
    """What would be a key of a dict is none here."""
    with pytest.raises(TypeError):
        ns[wrong] = 1
    with pytest.raises(TypeError):
        _ = ns[wrong]
    with pytest.raises(TypeError):
        ns.update({wrong: 1})

    assert ns.value == {"x": 1, "y": [2]}


@pytest.mark.parametrize("name", ["value", "set", "modify", "locked", "close", "closed", "name", "kind", "update"])
def test_a_name_of_the_class_is_refused_with_a_hint(ns: Any, name: str) -> None:
    """To write and to delete; as an item it can be used all the same."""
    with pytest.raises(AttributeError, match=rf"\[['\"]{name}['\"]\]"):
        setattr(ns, name, 1)
    with pytest.raises(AttributeError, match=rf"\[['\"]{name}['\"]\]"):
        delattr(ns, name)
    assert name not in ns
    ns[name] = 5

    assert ns[name] == 5
    assert ns.value[name] == 5
    assert ns.value["x"] == 1
    del ns[name]
    assert name not in ns


def test_it_has_a_length_and_names(ns: Any) -> None:
    """`in`, iteration and dir() go by names; iteration over a snapshot."""
    assert (len(ns), bool(ns), list(ns)) == (2, True, ["x", "y"])
    assert "x" in ns
    assert "z" not in ns
    assert {"x", "y", "value", "locked"} <= set(dir(ns))
    for name in ns:
        delattr(ns, name)
        setattr(ns, name + name, 0)
    assert list(ns) == ["xx", "yy"]
    assert ns


def test_update_is_one_commit(ns: Any) -> None:
    """By a mapping, keywords or both; none of it if one value cannot be stored."""
    ns.update({"x": 10}, z=26)
    ns.update(w=5)
    ns.update()
    assert same(ns.value, {"x": 10, "y": [2], "z": 26, "w": 5})
    with pytest.raises(TypeError):
        ns.update({"x": 11, "q": threading.Lock()})
    with pytest.raises(TypeError):
        ns.update(x=12, q=threading.Lock())

    assert same(ns.value, {"x": 10, "y": [2], "z": 26, "w": 5})


def test_namespaces_compare_by_value(ns: Any, backend: str) -> None:
    """Whatever the order of their names."""
    with SharedNamespace({"y": [2], "x": 1}, backend=backend) as other:
        assert ns == other
        other.x = 2
        assert ns != other
    assert ns != 5
    assert ns != None  # noqa: E711


def test_it_is_made_of_a_mapping(backend: str) -> None:
    """Or of nothing; names that it cannot use as attributes are kept as items."""
    with AnyNamespace(backend=backend) as empty:
        assert (len(empty), bool(empty), list(empty), empty.value) == (0, False, [], {})
        empty.first = 1
        assert empty.value == {"first": 1}
    with (
        AnyNamespace({"value": 1, "a b": 2}, backend=backend) as made,
        AnyNamespace(made.value, backend=backend) as two,
    ):
        assert two == made
        assert made["value"] == 1
    with pytest.raises(TypeError):
        AnyNamespace({1: 2}, backend=backend)
    with pytest.raises(TypeError):
        AnyNamespace({"x": threading.Lock()}, backend=backend)


def test_repr_is_short_and_waits_for_nobody(ns: Any) -> None:
    """Also while somebody else holds the lock, and of a closed namespace."""
    assert repr(ns) == "<SharedNamespace x=1 y=[2]>"
    with ns.locked() as t:
        t.x = "uncommitted"
        assert from_a_thread(lambda: repr(ns)) == f"<SharedNamespace x=1 y=[2] locked by pid {os.getpid()}>"
        assert "uncommitted" in repr(t)
    assert repr(t) == "<SharedNamespace closed>"
    ns.update({f"n{n}": "x" * 1000 for n in range(1000)})
    assert len(repr(ns)) < 3000
    ns.close()
    assert repr(ns) == "<SharedNamespace closed>"


def test_increment_and_modify_item_are_a_dicts(ns: Any) -> None:
    """By the name of the attribute."""
    assert ns.increment("x") == 2
    assert ns.increment("n", 2**70) == 2**70
    assert ns.modify_item("x", fn(lambda x: x * 10)) == 20
    assert ns.modify_item("new", fn(lambda x: x + 1), 1) == 2
    with pytest.raises(KeyError, match="missing"):
        ns.modify_item("missing", fn(lambda x: x))
    with pytest.raises(ZeroDivisionError):
        ns.modify_item("x", fn(lambda x: x // 0))
    with pytest.raises(TypeError):
        ns.increment("y")

    assert same(ns.value, {"x": 20, "y": [2], "n": 2**70, "new": 2})


def test_set_value_and_modify_exchange_plain_dicts(ns: Any) -> None:
    """And a `modify` that raises changes nothing."""
    ns.value["x"] = 100
    assert ns.x == 1
    ns.set({"a": 1})
    assert same(ns.value, {"a": 1})
    assert ns.modify(fn(lambda now: {**now, "b": 2})) == {"a": 1, "b": 2}
    with pytest.raises(ZeroDivisionError):
        ns.modify(fn(lambda now: {"x": now["a"] // 0}))
    with pytest.raises(TypeError):
        ns.set({1: 2})

    assert same(ns.value, {"a": 1, "b": 2})
    assert not is_held(ns)


def test_a_write_that_fails_changes_nothing(ns: Any) -> None:
    """What cannot be pickled is a TypeError."""
    for wrong in unpicklable():
        with pytest.raises(TypeError):
            ns.x = wrong
        with pytest.raises(TypeError):
            ns["new"] = wrong
        with pytest.raises(TypeError):
            ns.set({"x": wrong})
    assert same(ns.value, {"x": 1, "y": [2]})


def test_what_is_read_is_a_fresh_object(ns: Any) -> None:
    """The trap of a Manager's namespace: changing what was read changes nothing shared."""
    ns.y.append(3)
    ns["y"].append(4)

    assert ns.y == [2]


def test_a_block_is_a_namespace_too(ns: Any) -> None:
    """Its attributes appear together at its end, or not at all."""
    with ns.locked() as t:
        t.x += 1
        del t.y
        t.z = [t.x]
        assert (t.x, t.z, hasattr(t, "y"), list(t)) == (2, [2], False, ["x", "z"])
        assert from_a_thread(lambda: ns.value) == {"x": 1, "y": [2]}
    assert same(ns.value, {"x": 2, "z": [2]})
    with pytest.raises(KeyError), ns.locked() as t:
        t.x = 100
        raise KeyError
    assert ns.x == 2


def test_wait_until_wakes_for_a_change(ns: Any) -> None:
    """It returns the contents that made it true, or raises WaitTimeout in time."""
    with pytest.raises(WaitTimeout):
        ns.wait_until(fn(lambda now: "z" in now), timeout=0.02)
    waiting = threading.Event()
    waited: list[Any] = []

    def has_z(now: dict[str, Any]) -> bool:
        waiting.set()
        return "z" in now

    waiter = threading.Thread(target=lambda: waited.append(ns.wait_until(has_z, timeout=10)))
    waiter.start()
    assert waiting.wait(10)
    ns.z = 26
    waiter.join(10)

    assert waited == [{"x": 1, "y": [2], "z": 26}]


def test_threads_lose_no_increment(ns: Any) -> None:
    """Of one attribute."""

    def work(_me: int) -> None:
        for _ in range(50):
            ns.increment("x")

    in_threads(work, range(3))

    assert ns.x == 151


USES: dict[str, Callable[[Any], Any]] = {
    "get": lambda ns: ns.x,
    "set": lambda ns: setattr(ns, "x", 1),
    "del": lambda ns: delattr(ns, "x"),
    "get item": lambda ns: ns["x"],
    "set item": lambda ns: ns.__setitem__("x", 1),
    "del item": lambda ns: ns.__delitem__("x"),
    "in": lambda ns: "x" in ns,
    "len": len,
    "iter": list,
    "update": lambda ns: ns.update(x=1),
    "increment": lambda ns: ns.increment("x"),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_closed_namespace_and_a_dead_guard_raise_closed(ns: Any, use: Callable[[Any], Any]) -> None:
    """Each of its methods, and its attributes."""
    with ns.locked() as t:
        pass
    with pytest.raises(Closed):
        use(t)
    ns.close()
    with pytest.raises(Closed):
        use(ns)


class Config(SharedNamespace):
    """A namespace with a method, a property and a default of its own."""

    limit = 10

    def double(self) -> None:
        """Double `x`."""
        self["x"] = self.x * 2

    @property
    def area(self) -> int:
        """The product of two attributes."""
        area: int = self.x * self.limit
        return area


def test_a_subclass_keeps_what_it_defines(backend: str) -> None:
    """What the class has is the class's; everything else is shared."""
    config: Any
    with Config({"x": 3}, backend=backend) as config:
        config.double()
        assert (config.x, config.area, config.limit) == (6, 60, 10)
        for name in ("area", "limit", "double"):
            with pytest.raises(AttributeError):
                setattr(config, name, 1)
        assert repr(config) == "<Config x=6>"
        with config.locked() as t:
            assert isinstance(t, Config)
            t.double()
        assert config.value == {"x": 12}


def test_keyword_arguments_are_attributes(backend: str) -> None:
    """Alone, and after a mapping, whose values they replace; but for the options."""
    made = [SharedNamespace(x=1, y=2, backend=backend), SharedNamespace({"x": 0, "y": 2}, x=1, backend=backend)]

    assert [ns.value for ns in made] == [{"x": 1, "y": 2}] * 2
