"""The operations on what holds something: counters, values, arrays and containers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import procshare
from procshare import (
    SharedArray,
    SharedDict,
    SharedList,
    SharedNamespace,
    SharedSet,
    SharedValue,
)
from procshare.testing._kinds import use_list, use_mapping
from procshare.testing._operations import Operation, bare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procshare.testing._kinds import Step

LARGE = "large " * 500
TRANSACTION: Any = procshare.transaction


def do(method: str, *args: Any, **options: Any) -> Step:
    """A call of a method."""
    return lambda x: getattr(x, method)(*args, **options)


def block(*inner: Step) -> Step:
    """A locked block in which these are done to its guard."""

    def step(x: Any) -> None:
        with x.locked() as guard:
            for each in inner:
                each(guard)

    return step


def assign(attribute: str, value: Any) -> Step:
    """`x.attribute = value`."""
    return lambda x: setattr(x, attribute, value)


def fill(x: Any) -> None:
    """`array[:] = 7`, in part."""
    x[100:140] = 7


def add_one(value: Any) -> Any:
    """For `modify`."""
    return value + 1


def become_large(_value: object) -> Any:
    """For `modify`, too."""
    return LARGE


def of(kind: str, make: Callable[[], Any] | None = None, **options: Any) -> Callable[..., Operation]:
    """Operations on such an object: called with the name and the steps of one."""

    def operation(name: str, *steps: Step, **more: Any) -> Operation:
        given: dict[str, Any] = {"make": make, **options, **more}
        return Operation(kind, name, steps, **given)

    return operation


# ---- state ----

counter = of("SharedCounter")
value = of("SharedValue")
number = of("SharedValue", partial(SharedValue[Any], 1, "d"))


def look_at_array(x: SharedArray[Any]) -> Any:
    """Its bytes; "half" first if its holder died in a block, after they were declared good."""
    try:
        return "whole", x.value.tobytes()
    except procshare.OwnerDied:
        x.recover()
        return "half", x.array.tobytes()


array = of("SharedArray", look=look_at_array, mixed=True)

DICT: dict[Any, Any] = {"a": 1, "b": "text", "long": LARGE, "key " * 20: None, ("t", 1): 2.5}
MANY: dict[Any, Any] = {n: f"value {n}" for n in range(126)}
a_dict = of("SharedDict", partial(SharedDict[Any, Any], DICT))
many = of("SharedDict", partial(SharedDict[Any, Any], MANY))

LIST: list[Any] = ["a", 3, LARGE, None, [2], 2.5]
a_list = of("SharedList", partial(SharedList[Any], LIST))
numbers = of("SharedList", partial(SharedList[Any], [3, 1, 2, *range(40)]))
a_set = of("SharedSet", partial(SharedSet[Any], {1, 2, "text", LARGE}))
namespace = of("SharedNamespace", partial(SharedNamespace, {"x": 1, "y": LARGE}))


def grown(x: Any) -> Any:
    """Full up to where the next one needs a longer table."""
    for n in range(x.value.__len__(), 511):
        x.append(n)
    return x


def nest(x: Any) -> None:
    """Put a list into it that is new, and known to nobody else."""
    x["child"] = SharedList([1, LARGE])


def several() -> Any:
    """Two containers."""
    return SharedDict[Any, Any](DICT), SharedList[Any](LIST)


def look_at_several(x: Any) -> Any:
    """What is in both, at one moment."""
    with TRANSACTION(*x) as (d, xs):
        return bare(d.value), bare(xs.value)


def use_several(x: Any) -> None:
    """Use each."""
    use_mapping(x[0])
    use_list(x[1])


def transact(x: Any) -> None:
    """Change both."""
    with TRANSACTION(*x) as (d, xs):
        d["a"] = 2
        d["new"] = LARGE
        del d["b"]
        xs.append("new")
        xs[0] = "b"


STATE: Sequence[Operation] = [
    counter("increment", do("increment"), do("increment", 5)),
    counter("exchange", do("exchange", 7)),
    counter("compare_exchange", do("compare_exchange", 10, 3)),
    counter("set", do("set", -5)),
    counter("modify", do("modify", add_one)),
    counter("block", block(assign("value", 99)), taken_over=True),
    value("set", do("set", 1), do("set", LARGE), do("set", "s"), do("set", LARGE * 3), taken_over=True),
    value("modify", do("modify", become_large)),
    value("block", block(assign("value", 2), assign("value", [LARGE, 3])), taken_over=True),
    number("set a number", do("set", 2.5), do("modify", add_one)),
    array("set", do("set", list(range(2000, 0, -1))), taken_over=True),
    array("modify", do("modify", add_one)),
    array("block", block(fill), taken_over=True),
    a_dict("set new", do("__setitem__", "new", 1), do("__setitem__", "newer", LARGE), do("__setitem__", "k" * 90, "v")),
    a_dict("replace", do("__setitem__", "a", 2), do("__setitem__", "b", LARGE), do("__setitem__", "long", 0)),
    a_dict("delete", do("__delitem__", "a"), do("pop", "long"), do("popitem")),
    a_dict("increment", do("increment", "a"), do("increment", "new", 2**70), do("increment", "a", 2**80)),
    a_dict("modify_item", do("modify_item", "a", add_one), do("modify_item", "c", add_one, 1)),
    a_dict("update", do("update", {"a": 2, "b": 3, "x": LARGE, "long": 0}), taken_over=True),
    a_dict("set", do("set", {"b": 1, "z": LARGE}), taken_over=True),
    a_dict("block", block(do("__setitem__", "a", 5), do("__delitem__", "long"), do("update", {"n": LARGE, "m": 1}))),
    a_dict("nest", nest, do("__delitem__", "child")),
    a_dict("churn", *(do("__setitem__", "a", f"{n} " * 300) for n in range(9)), taken_over=True),
    many("grow", *(do("__setitem__", f"new {n}", n) for n in range(5)), taken_over=True),
    many("clear", do("clear"), do("__setitem__", "a", 1), taken_over=True),
    a_list("append", do("append", 1), do("append", LARGE)),
    a_list("insert", do("insert", 2, LARGE), taken_over=True),
    a_list("pop", do("pop"), do("pop", 0), do("pop", 2)),
    a_list("assign", do("__setitem__", 0, LARGE), do("__setitem__", slice(1, 4), [7, LARGE])),
    a_list("extend", do("extend", [1, LARGE, 2])),
    a_list("delete", do("__delitem__", 1), do("__delitem__", slice(1, 3)), do("clear")),
    a_list("set", do("set", ["new", LARGE])),
    numbers("sort and reverse", do("sort"), do("reverse"), taken_over=True),
    numbers("grow", do("append", 1), do("append", 2), do("append", 3), before=grown, kept=False),
    a_set("add", do("add", 9), do("add", LARGE * 2)),
    a_set("discard", do("discard", 1), do("remove", LARGE)),
    a_set("update", do("update", [7, LARGE * 2, "t"]), do("intersection_update", {1, 7}), taken_over=True),
    namespace("assign", assign("x", 2), assign("z", LARGE), do("__delattr__", "y")),
    namespace("block", block(assign("x", 2), assign("new", 1), do("__delitem__", "y")), taken_over=True),
    Operation(
        "transaction",
        "of a dict and a list",
        [transact],
        several,
        look=look_at_several,
        use=use_several,
        taken_over=True,
    ),
]
