"""What is tried of dicts, lists, sets, namespaces, and of transactions over several, when something runs out."""

from __future__ import annotations

from functools import partial
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from procshare import SharedCounter, SharedDict, SharedList, SharedNamespace, SharedSet, transaction
from procshare.testing._attempts import (
    MANY,
    SIZES,
    Attempt,
    blank,
    churn,
    drain_by,
    drain_mapping,
    frugal_list,
    frugal_mapping,
    frugal_set,
    in_block,
    one_by_one,
    plain,
    put,
)
from procshare.testing._processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[Any], object]


def modified(x: Any, more: Any) -> None:
    """A block by `modify`."""

    def change(now: Any) -> Any:
        return now + more if isinstance(now, list) else {**now, **more}

    x.modify(change)


def lengthened(now: str) -> str:
    """A value that is replaced by a larger one."""
    return now + "t" * 70_000


def add_key(x: Any, n: int, value: Any) -> None:
    """One more key."""
    x[f"n{n}"] = value


def add_item(x: Any, _n: int, value: Any) -> None:
    """One more item."""
    x.append(value)


def add_element(x: Any, n: int, size: int) -> None:
    """One more element."""
    x.add(f"{n:09}" + "e" * size)


def make_dict() -> SharedDict[Any, Any]:
    """What there is before."""
    return SharedDict({"a": 1, "b": "text", "c": [1, 2], "long": "y" * 5000})


MAPPING = (frugal_mapping, drain_mapping)
LIST = (frugal_list, drain_by("pop"))
SET = (frugal_set, drain_by("pop"))


def of_mapping(make: Callable[[], Any]) -> list[Attempt]:
    """Ways to write to a dict or a namespace."""
    whole: dict[str, Step] = {}
    for size in SIZES:
        whole[f"new {size}"] = put("new", blank(size))
        whole[f"replace {size}"] = put("b", blank(size))
        whole[f"update with {size}"] = methodcaller("update", {"a": 2, "new": 3, "big": blank(size)})
        whole[f"set {size}"] = methodcaller("set", {"a": 3, "big": blank(size)})
        whole[f"block {size}"] = in_block(put("a", 7), put("new", blank(size)), put("b", 8), put("n", "t"))
    whole["update many"] = methodcaller("update", {f"n{n}": n for n in range(MANY)})
    whole["modify"] = partial(modified, more={"a": 5, "big": blank(70_000)})
    whole["child"] = put("child", partial(SharedCounter, 3))
    whole["grandchild"] = put("child", lambda: SharedList([1, SharedList(["x" * 9000])]))
    attempts = [Attempt(what, make, act, plain, *MAPPING) for what, act in whole.items()]
    attempts.append(Attempt("churn", make, churn, plain, *MAPPING, whole=False))
    for what, value, count in (("words", 1, 6000), ("records", blank(300), 3000), ("large", blank(30_000), 80)):
        act = one_by_one(partial(add_key, value=value), count)
        attempts.append(Attempt(f"fill with {what}", make, act, plain, *MAPPING, whole=False))
    return attempts


def of_dict() -> list[Attempt]:
    """Ways to write to a dict only."""
    whole: dict[str, Step] = {
        "increment": lambda x: x.increment("new", 3),
        "modify_item": methodcaller("modify_item", "b", lengthened),
        "setdefault": lambda x: x.setdefault("new", blank(5_000)),
    }
    for size in SIZES:
        whole[f"key of {size}"] = put("k" * size, 1)
    return [Attempt(what, make_dict, act, plain, *MAPPING) for what, act in whole.items()]


def make_list() -> SharedList[Any]:
    """What there is before."""
    return SharedList([1, "text", [1, 2], "y" * 5000])


def of_list() -> list[Attempt]:
    """Ways to write to a list."""
    whole: dict[str, Step] = {}
    for size in SIZES:
        whole[f"append {size}"] = methodcaller("append", blank(size))
        whole[f"insert {size}"] = methodcaller("insert", 1, blank(size))
        whole[f"replace {size}"] = put(1, blank(size))
        whole[f"slice {size}"] = put(slice(1, 3), [1, blank(size), 2])
        whole[f"set {size}"] = methodcaller("set", [3, blank(size)])
        whole[f"block {size}"] = in_block(put(0, 7), methodcaller("append", blank(size)), methodcaller("pop", 1))
    whole["extend many"] = methodcaller("extend", range(MANY * 20))
    whole["extend records"] = methodcaller("extend", [blank(300)] * MANY)
    whole["pop from the middle"] = methodcaller("pop", 1)
    whole["reverse"] = methodcaller("reverse")
    whole["multiply"] = methodcaller("__imul__", 100)
    whole["modify"] = partial(modified, more=[blank(70_000)])
    whole["child"] = lambda x: x.append(SharedCounter(3))
    whole["grandchild"] = lambda x: x.append(SharedDict({1: SharedList(["x" * 9000])}))
    attempts = [Attempt(what, make_list, act, plain, *LIST) for what, act in whole.items()]
    for what, value, count in (("words", 1, 30_000), ("records", blank(300), 3000), ("large", blank(30_000), 80)):
        act = one_by_one(partial(add_item, value=value), count)
        attempts.append(Attempt(f"fill with {what}", make_list, act, plain, *LIST, whole=False))
    return attempts


def make_set() -> SharedSet[Any]:
    """What there is before."""
    return SharedSet([1, "text", None, "y" * 5000])


def of_set() -> list[Attempt]:
    """Ways to write to a set."""
    whole: dict[str, Step] = {}
    for size in SIZES:
        whole[f"add {size}"] = methodcaller("add", blank(size))
        whole[f"symmetric difference {size}"] = methodcaller("symmetric_difference_update", {1, blank(size)})
        whole[f"set {size}"] = methodcaller("set", {2, blank(size)})
        add = methodcaller("add", blank(size))
        whole[f"block {size}"] = in_block(methodcaller("add", 7), add, methodcaller("discard", 1))
    whole["update many"] = methodcaller("update", range(MANY))
    attempts = [Attempt(what, make_set, act, list, *SET) for what, act in whole.items()]
    for what, size, count in (("small", 0, 6000), ("records", 300, 3000), ("large", 30_000, 80)):
        act = one_by_one(partial(add_element, size=size), count)
        attempts.append(Attempt(f"fill with {what}", make_set, act, list, *SET, whole=False))
    return attempts


def make_namespace() -> SharedNamespace:
    """What there is before."""
    return SharedNamespace({"a": 1, "b": "text", "c": [1, 2], "long": "y" * 5000})


def set_attribute(x: Any, size: int) -> None:
    """x.b = a record of so much."""
    x.b = blank(size)


def of_namespace() -> list[Attempt]:
    """Ways to write to a namespace only."""
    whole: dict[str, Step] = {f"attribute of {size}": partial(set_attribute, size=size) for size in SIZES}
    return [Attempt(what, make_namespace, act, plain, *MAPPING) for what, act in whole.items()]


def make_three() -> tuple[Any, ...]:
    """What transactions are over."""
    return make_dict(), make_list(), make_set()


def at_once(which: slice, *sizes: int) -> Step:
    """A transaction over some of them that writes a record of so much to each, besides small things."""

    def act(x: tuple[Any, ...]) -> None:
        with transaction(*x[which], timeout=PATIENCE) as guards:
            for each, size in zip(guards, sizes, strict=True):
                guard: Any = each
                if isinstance(each, SharedDict):
                    guard.update(new=blank(size), a=5)
                elif isinstance(each, SharedList):
                    guard.append(blank(size))
                    guard[0] = 6
                else:
                    guard.add(blank(size))
                    guard.discard(1)

    return act


def of_transactions() -> list[Attempt]:
    """Over one, two and three containers, of which the first, the middle or the last one needs most."""
    whole: dict[str, Step] = {}
    for size in SIZES:
        whole[f"one {size}"] = at_once(slice(0, 1), size)
        whole[f"two, first {size}"] = at_once(slice(0, 2), size, 10)
        whole[f"two, last {size}"] = at_once(slice(0, 2), 10, size)
        whole[f"three, middle {size}"] = at_once(slice(0, 3), 10, size, 200)
    whole["three"] = at_once(slice(0, 3), 200_000, 5_000, 70_000)
    return [Attempt(what, make_three, act, look_at_three, frugal_three, drain_three) for what, act in whole.items()]


def look_at_three(x: tuple[Any, ...]) -> list[Any]:
    """All that they hold."""
    return [list(each) if hasattr(each, "add") else plain(each) for each in x]


def frugal_three(x: tuple[Any, ...]) -> None:
    """What is frugal of each."""
    for each, (frugal, _) in zip(x, (MAPPING, LIST, SET), strict=True):
        frugal(each)


def drain_three(x: tuple[Any, ...]) -> None:
    """Take all out of each."""
    for each, (_, drain) in zip(x, (MAPPING, LIST, SET), strict=True):
        drain(each)
