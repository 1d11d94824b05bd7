"""A way to count with each public type that must be exact, whatever else happens at the same time."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from procshare import (
    SharedArray,
    SharedBoundedSemaphore,
    SharedCounter,
    SharedDict,
    SharedList,
    SharedNamespace,
    SharedQueue,
    SharedSemaphore,
    SharedSet,
    SharedValue,
)
from procshare.testing._kinds import KINDS, kept

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    Call = Callable[[Any], object]


@dataclass
class Tally:
    """An object that is counted with, and a plain number that is added to under it where it is a lock.

    Attributes:
        x: The object.
        plain: One number, which nothing protects.
    """

    kind: str
    x: Any
    plain: SharedArray[Any]

    def add(self) -> None:
        """Count one."""
        x = self.x
        if self.kind in COUNTING:
            COUNTING[self.kind](x)
        elif self.kind == "SharedRWLock":
            with x.writing():
                self.plain.array[0] += 1
        else:
            with x:
                self.plain.array[0] += 1

    def total(self) -> int:
        """What it has counted."""
        return TOTAL[self.kind](self.x) if self.kind in TOTAL else int(self.plain.array[0])


def _add_in_block(x: Any) -> None:
    with x.locked() as guard:
        guard[0] += 1


def _add_to_name(x: Any) -> None:
    with x.locked() as guard:
        guard["n"] += 1


def _put(x: Any) -> None:
    if x.qsize() > 100_000:  # nobody takes anything: more slowly, lest it be full before all have counted
        time.sleep(0.001)
    x.put(("item", 1))


def _plus_one(value: Any) -> Any:
    return value + 1


COUNTING: Mapping[str, Call] = {
    "SharedCounter": lambda x: x.increment(),
    "SharedValue": lambda x: x.modify(_plus_one),
    "SharedArray": _add_in_block,
    "SharedDict": lambda x: x.increment("n"),
    "SharedList": lambda x: x.append(["item"]),
    "SharedSet": lambda x: x.add(random.getrandbits(60)),
    "SharedNamespace": _add_to_name,
    "SharedQueue": _put,
}
TOTAL: Mapping[str, Callable[[Any], int]] = {
    "SharedCounter": lambda x: x.value,
    "SharedValue": lambda x: x.value,
    "SharedArray": lambda x: int(x.array[0]),
    "SharedDict": lambda x: x["n"],
    "SharedList": len,
    "SharedSet": len,
    "SharedNamespace": lambda x: x["n"],
    "SharedQueue": lambda x: x.qsize(),
}
EMPTY: Mapping[str, Callable[[], Any]] = {
    "SharedCounter": SharedCounter,
    "SharedValue": lambda: SharedValue(0),
    "SharedArray": lambda: SharedArray([0, 0]),
    "SharedDict": lambda: SharedDict({"n": 0}),
    "SharedList": SharedList,
    "SharedSet": SharedSet,
    "SharedNamespace": lambda: SharedNamespace({"n": 0}),
    "SharedQueue": SharedQueue,
    "SharedSemaphore": SharedSemaphore,
    "SharedBoundedSemaphore": SharedBoundedSemaphore,
}
COUNTED = [kind for kind in KINDS if kind not in ("SharedPipe", "SharedEvent", "SharedBarrier")]


@contextmanager
def tally(kind: str) -> Generator[Tally]:
    """A new object of a kind, to be counted with."""
    with kept(EMPTY.get(kind, KINDS[kind].make)()) as x, SharedArray([0]) as plain:
        yield Tally(kind, x, plain)
