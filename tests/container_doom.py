"""What the doomed do to containers: actions of steps, each of which is one commit and does the same to a model.

The states between the steps are all that anybody may ever see.
"""

from __future__ import annotations

import copy
import pickle
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from container_support import plain, same
from ledger import HITS, PAIRS, Ledger
from procshare import Shared, SharedDict, SharedList, SharedNamespace, SharedSet, testing, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Step = Callable[[list[Any]], object]

CLASSES: dict[type, Any] = {dict: SharedDict, list: SharedList, set: SharedSet}
ANY: Any = transaction
BIG = "r" * 3000


@dataclass(frozen=True)
class Action:
    """Something that takes one commit or many.

    Attributes:
        start: What the containers hold at first: a dict, list or set each.
        steps: Each is called with the containers, or with their models.
        namespaces: Whether the dicts are namespaces.
    """

    start: list[Any]
    steps: list[Step]
    namespaces: bool = False

    def make(self) -> list[Any]:
        """The containers."""
        classes = {**CLASSES, dict: SharedNamespace} if self.namespaces else CLASSES
        return [classes[type(each)](each) for each in self.start]


@cache
def states(name: str) -> list[list[Any]]:
    """What the containers of an action hold before its steps, and after each of them."""
    action = ACTIONS[name]
    models = copy.deepcopy(action.start)
    found = [copy.copy(models)]
    for step in action.steps:
        models = [copy.copy(each) for each in models]
        step(models)
        found.append(models)
    return found


class Nested(list[Any]):
    """What a model has where a container has a handle on a list."""

    __slots__ = ()


def bare(value: Any) -> Any:
    """A value, or what a model has for it."""
    held = getattr(value, "value", None)  # of a handle
    return value if held is None else Nested(held)


def alike(containers: list[Any], models: list[Any]) -> bool:
    """Whether containers hold what their models hold, in order too."""
    return all(same(each, model) for each, model in zip(map(contents, containers), models, strict=True))


def contents(container: Any) -> Any:
    """What a container, or its model, holds."""
    held = plain(container)
    if hasattr(held, "items"):
        return {key: bare(each) for key, each in held.items()}
    return [bare(each) for each in held] if hasattr(held, "append") else held


def glimpse(containers: list[Any], name: str, how: Sequence[str]) -> list[Any]:
    """What single reads find, of all that the containers of an action might hold: lengths, items or both in some order.

    A whole read, or one of the length, may take the lock and finish what the dead left; so what comes first matters.
    """
    found: dict[str, list[Any]] = {}
    for each in how:
        looks = [
            length(c) if each == "length" else items(c, all_) for c, all_ in zip(containers, places(name), strict=True)
        ]
        found[each] = looks
    return [found[each] for each in sorted(found)]


def length(container: Any) -> int:
    """`len()`."""
    return len(container)


def items(container: Any, places: list[Any]) -> list[Any]:
    """What is at each place."""
    return [place in container if hasattr(container, "add") else at(container, place) for place in places]


def at(container: Any, place: Any) -> Any:
    """What is at one place, if anything."""
    try:
        return bare(container[place])
    except LookupError:
        return "nothing"


@cache
def places(name: str) -> list[list[Any]]:
    """For each container of an action the keys, positions or elements that it ever has."""
    every: list[list[Any]] = []
    for history in zip(*states(name), strict=True):
        if isinstance(history[0], list):
            every.append(list(range(-1, max(map(len, history)) + 1)))
        else:
            every.append(list(dict.fromkeys(key for state in history for key in state)))
    return every


Job = tuple[str, int, bytes]  # an action's name, how many of its steps are done, and its containers as a pickle


def doomed(point: str, jobs: list[Job], ledger: Path) -> None:
    """Do one job after the other, and die at a fault point if one of them comes to it."""
    account = Ledger(ledger)
    for number, (name, done, pickled) in enumerate(jobs):
        containers = pickle.loads(pickled)
        account[0, HITS], account[0, PAIRS] = done, number
        testing.arm(point)
        for step in ACTIONS[name].steps[done:]:
            step(containers)
            account[0, HITS] += 1
        testing.arm("-")


def touching(point: str, containers: list[Any]) -> None:
    """Take each lock, and write the same again, and die at a fault point on the way if it is met."""
    testing.arm(point)
    for each in containers:
        with each.locked():
            pass
        with each.locked() as t:
            t.set(t.value)
    testing.arm("-")


# ---- the steps ----


def block(*steps: Step) -> Step:
    """Steps that are one commit: in a block of the only container, or in a transaction of all."""

    def step(containers: list[Any]) -> None:
        if not isinstance(containers[0], Shared):
            run(containers)
        elif len(containers) == 1:
            with containers[0].locked() as t:
                run([t])
        else:
            with ANY(*containers) as guards:
                run(list(guards))

    def run(containers: list[Any]) -> None:
        for each in steps:
            each(containers)

    return step


def undone(inner: Step) -> Step:
    """A step that raises at its end, so that it changes nothing."""

    def step(containers: list[Any]) -> None:
        if isinstance(containers[0], Shared):
            with suppress(LookupError):
                block(inner, fail)(containers)

    def fail(_containers: list[Any]) -> None:
        raise LookupError

    return step


def do(method: str, *args: Any, on: int = 0) -> Step:
    """A method of one of the containers."""
    return lambda containers: getattr(containers[on], method)(*args)


def put(key: Any, value: Any) -> Step:
    """`d[key] = value`."""
    return do("__setitem__", key, value)


def drop(key: Any) -> Step:
    """`del d[key]`."""
    return do("__delitem__", key)


def set_all(value: Any) -> Step:
    """Replace the contents of the first container."""

    def step(containers: list[Any]) -> None:
        if isinstance(containers[0], Shared):
            do("set", value)(containers)
        else:
            containers[0] = type(containers[0])(value)

    return step


def add_to(key: Any, n: int) -> Step:
    """`increment`."""

    def step(containers: list[Any]) -> None:
        if isinstance(containers[0], Shared):
            do("increment", key, n)(containers)
        else:
            containers[0][key] = containers[0].get(key, 0) + n

    return step


def put_handle(key: Any, contents: list[Any]) -> Step:
    """`d[key] = SharedList(...)`, which the container claims."""

    def step(containers: list[Any]) -> None:
        nested = SharedList(contents) if isinstance(containers[0], Shared) else Nested(contents)
        put(key, nested)(containers)

    return step


both = block(add_to("a", 1), add_to("b", 1))
PAIR: dict[Any, Any] = {"a": 1, "b": 1}
SOME: dict[Any, Any] = {**PAIR, "text": "old", "long": BIG, None: [1], 5: 2.5}
MANY = {**PAIR, **{n: f"value {n}" for n in range(300)}}
ROW: list[Any] = ["a", 1, BIG, None, [2], 2.5]
LONG_ROW: list[Any] = [*range(200), BIG]
CROWD: set[Any] = {1, 2, "text", BIG}


def swap(containers: list[Any]) -> None:
    """Turn a list over, by assignment."""
    containers[0][:] = containers[0][::-1]


def intersect(containers: list[Any]) -> None:
    """Keep what is in another set."""
    containers[0] &= {1, BIG, "other"}


ACTIONS: dict[str, Action] = {
    # dicts
    "put new": Action([SOME], [put("new", 1), put("newer", BIG), put(("n", 1), None), put("k" * 3000, "v")]),
    "replace": Action([SOME], [put("a", 2), put("text", "new"), put("long", 5), put(5, BIG), put("a", BIG * 2)]),
    "delete": Action([SOME], [drop("a"), drop("long"), put("a", 3), drop(5), put(5, 1)]),
    "pop": Action([SOME], [do("pop", "text"), do("popitem"), do("popitem")]),
    "setdefault": Action([SOME], [do("setdefault", "new", BIG), do("setdefault", "a", 5)]),
    "increment": Action([SOME], [add_to("a", 1), add_to("new", 2**70), add_to("a", 2**80), add_to("a", -(2**80))]),
    "update": Action([SOME], [do("update", {"a": 2, "b": 2, "x": BIG, "long": 0}), do("update", {"y": 1})]),
    "set": Action([SOME], [set_all({"b": 1, "a": 1, "z": BIG}), set_all({}), set_all(SOME)]),
    "clear": Action([SOME], [do("clear"), put("a", 1), do("clear"), put("a", BIG)]),
    "block": Action([SOME], [both, block(put("a", 5), put("b", 5), drop("long"), put("new", BIG), put("long", 1))]),
    "block of many": Action(
        [MANY],
        [block(*(put(n, BIG) for n in range(0, 300, 7)), *(drop(n) for n in range(1, 300, 7)))],
    ),
    "block that grows": Action([PAIR], [block(both, *(put(n, n) for n in range(400))), both]),
    "block that clears": Action([MANY], [block(do("clear"), put("a", 2), put("b", 2)), both]),
    "block undone": Action([SOME], [undone(put("a", 100)), both, undone(do("clear")), both]),
    "set anew": Action([SOME], [block(drop("a"), put("a", 1), drop("b"), put("b", 1))]),
    "grow": Action([PAIR], [put(n, "v" * (n % 90)) for n in range(300)]),
    "shrink": Action([MANY], [*(drop(n) for n in range(295)), put("new", 1)]),
    "churn": Action([PAIR], [put("a", f"{n}" * 200) for n in range(120)]),
    "turn over": Action([MANY], [step for n in range(60) for step in (drop(n), put(n, BIG))]),
    "nest": Action(
        [SOME], [put_handle("child", [1]), put_handle("child", [2, BIG]), drop("child"), put_handle("a", [3])]
    ),
    "nest in a block": Action(
        [SOME],
        [block(put_handle("a", [1]), put_handle("b", [2])), block(drop("a"), put("b", 1))],
    ),
    "nest and compact": Action([{}], [put_handle("a", [1]), drop("a"), *(put("b", f"{n}" * 200) for n in range(120))]),
    # lists
    "append": Action([ROW], [do("append", 1), do("append", BIG)]),
    "grow list": Action([[]], [do("append", n if n % 9 else f"{n}" * 50) for n in range(300)]),
    "shrink list": Action([LONG_ROW], [*[do("pop")] * 150, *[do("pop", 0)] * 45]),
    "extend": Action([ROW], [do("extend", [1, BIG, 2]), do("extend", range(500))]),
    "insert": Action([ROW], [do("insert", 0, 1), do("insert", 3, BIG), do("insert", 99, 2)]),
    "replace items": Action(
        [ROW],
        [put(0, BIG), put(-1, 1), put(2, 3), put(slice(1, 3), [7, BIG, 8]), put(slice(0, 6, 2), "xyz")],
    ),
    "cut": Action([LONG_ROW], [drop(5), drop(-1), drop(slice(3, 90)), drop(slice(None, None, 3)), drop(slice(None))]),
    "sort": Action([[3, 1, 2, *range(100)]], [do("sort"), do("reverse"), swap]),
    "replace list": Action([ROW], [set_all([1, 2]), set_all([]), set_all(LONG_ROW), do("clear")]),
    "block on a list": Action(
        [LONG_ROW],
        [block(put(0, "one"), do("append", "two"), drop(3), put(1, BIG)), block(drop(slice(2, 100)))],
    ),
    "churn list": Action([ROW], [put(n % 3, f"{n}" * 200) for n in range(120)]),
    # sets and namespaces
    "change set": Action([CROWD], [do("add", 9), do("discard", 1), do("update", [BIG * 2, 7]), intersect]),
    "change namespace": Action(
        [{"x": 1, "y": BIG}],
        [put("x", 2), put("z", BIG), drop("y"), block(add_to("x", 1), put("y", 1))],
        namespaces=True,
    ),
    # several
    "two dicts": Action([PAIR, PAIR], [block(both, do("update", {"a": 2, "new": BIG}, on=1)), block(both)]),
    "dict and list": Action(
        [SOME, ROW],
        [block(put("a", n), put("b", n), do("append", (n, BIG), on=1)) for n in range(2, 6)],
    ),
    "four at once": Action(
        [PAIR, ROW, CROWD, {}],
        [block(both, do("pop", on=1), do("add", "new", on=2), do("update", {"z": 1}, on=3))],
    ),
    "one of two": Action([PAIR, PAIR], [block(both), block(do("update", {"a": 5}, on=1)), block()]),
}
