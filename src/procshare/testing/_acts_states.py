"""Acts, as in `_acts.py`, on the types that have a state: counters, values and arrays."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare import OwnerDied, SharedValue
from procshare.testing._acts import (
    BIG,
    Act,
    assign,
    at,
    beside,
    do,
    enter,
    fail,
    get,
    inside,
    leave,
)
from procshare.testing._kinds import KINDS, is_true, prompt
from procshare.testing._processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procshare.testing._kinds import Step


def lock_it(x: Any) -> None:
    """Take its lock, whatever its holder left."""
    with suppress(OwnerDied), prompt(x):
        pass


def same_again(x: Any) -> None:
    """Take its lock, and write what it is."""
    lock_it(x)
    with suppress(OwnerDied):
        x.set(x.value)


def hold_and_change(x: Any) -> None:
    """Keep others out for a moment, and let those look who wait for a change."""
    with suppress(OwnerDied):
        with x.locked():
            time.sleep(0.003)
        x.set(x.value)
    time.sleep(0.002)


def wait_for_lock(x: Any) -> None:
    """Wait until it can be had."""
    with prompt(x):
        pass


def wait_for_change(x: Any) -> None:
    """Wait until somebody has changed it twice."""
    looks = iter((False, False, True))

    def third(_value: object) -> bool:
        return next(looks, True)

    x.wait_until(third, timeout=PATIENCE)


def state(kind: str, steps: Sequence[Step], **more: Any) -> Act:
    """An act on a type that has a state."""
    known = KINDS[kind]
    defaults: dict[str, Any] = {
        "make": known.make,
        "look": known.look,
        "use": known.use,
        "touch": same_again,
        "blocked": (lock_it, get("value")),
    }
    return Act(steps, **{**defaults, **more})


def stateful(
    kind: str, holder: Sequence[Step], writer: Sequence[Step], reader: Sequence[Step], **more: Any
) -> dict[str, Act]:
    """The roles that all of them know."""
    return {
        "holder": state(kind, holder, **more),
        "writer": state(kind, writer, **more),
        "reader": state(kind, [lambda x: x.wait_until(is_true, timeout=PATIENCE), get("value"), *reader], **more),
        "waiter": state(
            kind, [wait_for_lock, beside("locked", wait_for_lock), wait_for_change], meanwhile=hold_and_change, **more
        ),
    }


def look_at_array(x: Any) -> Any:
    """Its elements, or that they are not to be trusted."""
    try:
        return x.value.tolist()
    except OwnerDied:
        return "torn"


def read_array(x: Any) -> None:
    """Read it, if it can be trusted."""
    with suppress(OwnerDied):
        assert len(x.value) == len(x.array)


def plus_one(value: Any) -> Any:
    """For `modify`."""
    return value + 1


def write_live(x: Any) -> None:
    """Write an element without the lock."""
    x.array[3] = 9


def many(kind: str, roles: dict[str, list[Step]], **more: Any) -> dict[str, Act]:
    """More roles of a type that has a state."""
    return {role: state(kind, steps, **more) for role, steps in roles.items()}


ARRAY: dict[str, Any] = {"look": look_at_array, "blocked": (lock_it, read_array), "also": ("torn",)}
OTHER = [*range(2000, 4000)]


WORDS: dict[str, dict[str, Act]] = {
    "SharedCounter": stateful(
        "SharedCounter",
        [
            enter(),
            leave,
            enter(),
            inside(assign(50)),
            leave,
            enter(),
            inside(assign(60)),
            fail,
            do("modify", plus_one),
        ],
        [
            do("increment"),
            do("decrement", 3),
            do("exchange", 7),
            do("compare_exchange", 7, 8),
            do("set", 2),
            do("increment"),
        ],
        [int, repr],
    ),
    "SharedValue": stateful(
        "SharedValue",
        [
            enter(),
            leave,
            enter(),
            inside(assign("new")),
            leave,
            enter(),
            inside(assign(BIG * 30)),
            leave,
            enter(),
            fail,
        ],
        [do("set", value) for value in ("new", 5, b"9" * 9000, BIG * 70, BIG * 71, 2.5, BIG * 72, "s", (1, BIG), None)],
        [repr],
    )
    | many(
        "SharedValue",
        {"writer of numbers": [do("set", 2), enter(), inside(assign(3)), leave]},
        make=partial(SharedValue, 1, "i"),
    ),
    "SharedArray": stateful(
        "SharedArray",
        [enter(), leave, enter(), inside(at(slice(0, 1000), 7)), leave, enter(), inside(at(5, 8)), fail],
        [do("set", OTHER), do("modify", plus_one), write_live, do("set", OTHER)],
        [read_array, do("recover"), do("recover")],
        **ARRAY,
    ),
}
