"""A new object whose way into a container was refused goes with its last handle: nothing leads to it."""

from __future__ import annotations

import gc
from pickle import PicklingError
from queue import Full
from typing import TYPE_CHECKING, Any

import pytest

from nesting import KINDS, exists
from procshare import SharedDict, SharedList, SharedNamespace, SharedQueue, transaction

if TYPE_CHECKING:
    from collections.abc import Callable


def refused(child: Any) -> Any:
    """A value in which the handle is pickled before it turns out that the rest cannot be."""
    return (child, lambda: None)


def put_in_vain(queue: SharedQueue[Any], child: Any) -> None:
    """There is no room for it."""
    with SharedQueue[Any](maxsize=1) as full:
        full.put(None)
        full.put(child, block=False)


def raise_in_block(d: SharedDict[str, Any], child: Any) -> None:
    """Written in a block that then raises."""
    with d.locked() as inside:
        inside["child"] = child
        raise KeyError


def raise_in_transaction(d: SharedDict[str, Any], child: Any) -> None:
    """Written in a transaction that then raises."""
    with SharedList[Any]() as other, transaction(d, other) as (inside, also):
        inside["child"] = child
        also.append(child)
        raise KeyError


WAYS: dict[str, tuple[Callable[[], Any], Callable[[Any, Any], object]]] = {
    "dict": (SharedDict[str, Any], lambda x, child: x.__setitem__("child", refused(child))),
    "dict, update": (SharedDict[str, Any], lambda x, child: x.update(a=child, b=refused(child))),
    "list": (SharedList[Any], lambda x, child: x.append(refused(child))),
    "namespace": (SharedNamespace, lambda x, child: setattr(x, "child", refused(child))),
    "new list": (SharedList[Any], lambda _, child: SharedList([child, refused(child)])),
    "queue": (SharedQueue[Any], lambda x, child: x.put(refused(child))),
    "full queue": (SharedQueue[Any], put_in_vain),
    "block": (SharedDict[str, Any], raise_in_block),
    "transaction": (SharedDict[str, Any], raise_in_transaction),
}
ways = pytest.mark.parametrize("way", WAYS)


def try_it(way: str, x: Any, child: Any) -> None:
    """Put the child into it, in vain."""
    with pytest.raises((AttributeError, TypeError, PicklingError, KeyError, Full)):
        WAYS[way][1](x, child)


@ways
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_gone_when_nobody_has_it(way: str, kind: str) -> None:
    """And is usable until then, also when it is tried again."""
    with WAYS[way][0]() as x:
        child = KINDS[kind]()
        try_it(way, x, child)
        try_it(way, x, child)
        value, name = str(child.value), child._label()
        assert value == str(KINDS[kind]().value)
        del child
        gc.collect()
        assert not exists(name)


@pytest.mark.parametrize(
    "way", [way for way in WAYS if way != "full queue"]
)  # what waited for room belongs to whoever has it
def test_it_stays_if_it_was_exported_otherwise(way: str) -> None:
    """Before, in the meantime or afterwards: somebody may know its name."""
    with WAYS[way][0]() as x:
        for when in "before", "between", "after":
            child = SharedList([1])
            name = child.name if when == "before" else ""
            try_it(way, x, child)
            name = name or (child.name if when == "between" else "")
            try_it(way, x, child)
            name = name or child.name
            del child
            gc.collect()
            with SharedList[int].attach(name) as again:
                assert list(again) == [1]
                again.unlink()


def test_what_was_refused_once_and_written_then_is_kept() -> None:
    """Its container keeps it."""
    with SharedDict[str, Any]() as x:
        child = SharedList([1])
        try_it("dict", x, child)
        x["child"] = child
        del child
        gc.collect()
        assert x["child"] == [1]


def test_what_a_record_names_is_kept_though_nothing_claims_it() -> None:
    """The second of a ring: it would keep what keeps it."""
    first, second = SharedDict[str, Any](), SharedDict[str, Any]()
    first["second"] = second
    second["first"] = first
    name = second.name
    del first
    gc.collect()
    assert second["first"]["second"].name == name
    whole = second["first"]
    whole.unlink()
    second.unlink()


def test_one_value_of_two_that_is_written_keeps_it() -> None:
    """Though the other is refused while the first one waits to be written, and nothing claims it: it is of a ring."""
    first, second = SharedDict[str, Any](), SharedDict[str, Any]()
    first["second"] = second
    with second.locked() as inside:
        inside["first"] = first
        with pytest.raises((AttributeError, TypeError, PicklingError)):
            inside["other"] = refused(first)
    del first
    gc.collect()
    whole = second["first"]
    assert list(whole) == ["second"]
    whole.unlink()
    second.unlink()


def test_it_stays_if_its_name_was_told_while_it_was_to_be_written() -> None:
    """By whoever writes it, in the block that then raises."""
    with SharedDict[str, Any]() as x:
        child, name = SharedList([1]), ""
        with pytest.raises(KeyError), x.locked() as inside:
            inside["child"] = child
            name = child.name
            raise KeyError
        del child
        gc.collect()
        with SharedList[int].attach(name) as again:
            assert list(again) == [1]
            again.unlink()
