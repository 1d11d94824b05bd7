"""What the doomed do to queues: actions of steps, each of which is one commit and does the same to a model.

The states between the steps are all that anybody may ever see after a death.
"""

from __future__ import annotations

import pickle
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

import numpy as np

from ledger import HITS, PAIRS, Ledger
from procshare import SharedQueue, testing
from queue_support import Spoiled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Step = Callable[["Hand | Model"], object]


@dataclass
class State:
    """What a queue is, as seen when the doomed process is gone.

    Attributes:
        items: What is queued, in order, with what it had on lease.
        undone: How many tasks are not done.
        owed: How many of them it took.
        shut: Whether it was shut down.
    """

    items: list[Any]
    undone: int
    owed: int
    shut: bool


class Model:
    """What a queue would be."""

    def __init__(self, start: list[Any]) -> None:
        self.items = list(enumerate(start))
        self.count = self.undone = len(start)
        self.owed = 0
        self.shut = self.at_once = False
        self.leases: dict[int, tuple[int, Any]] = {}

    def put(self, item: Any) -> None:
        """Put one."""
        self.put_many([item])

    def put_many(self, items: list[Any]) -> None:
        """Put some."""
        self.items += enumerate(items, start=self.count)
        self.count += len(items)
        self.undone += len(items)

    def get(self) -> None:
        """Take one."""
        self.get_many(1)

    def get_many(self, n: int) -> None:
        """Take some."""
        del self.items[:n]
        self.owed += n

    def get_all_but_spoiled(self) -> None:
        """Take the one that does not unpickle."""
        del self.items[next(n for n, (_, item) in enumerate(self.items) if isinstance(item, Spoiled))]
        self.owed += 1

    def lease(self, n: int) -> None:
        """Begin to work on one, which is called *n*."""
        self.leases[n] = self.items.pop(0)

    def end(self, n: int) -> None:
        """Be done with it."""
        del self.leases[n]
        self.undone -= 1

    def give_back(self, n: int) -> None:
        """Fail to do it."""
        self.items = sorted([*self.items, self.leases.pop(n)], key=lambda each: each[0])

    def task_done(self) -> None:
        """Say so."""
        self.undone -= 1
        self.owed -= 1

    def shutdown(self, immediate: bool) -> None:
        """End it."""
        self.shut = True
        if immediate:
            self.undone -= len(self.items)
            self.items = []

    def get_in_vain(self) -> None:
        """Change nothing."""

    def put_in_vain(self) -> None:
        """Change nothing."""

    def state(self) -> State:
        """What others would see if its process died now."""
        found = sorted([*self.items, *self.leases.values()], key=lambda each: each[0])
        return State([item for _, item in found], self.undone, self.owed, self.shut)


class Hand:
    """The same for a queue."""

    def __init__(self, queue: SharedQueue[Any]) -> None:
        self.queue = queue
        self.leases: dict[int, Any] = {}
        self.put, self.put_many, self.task_done = queue.put_nowait, queue.put_many, queue.task_done
        self.shutdown = queue.shutdown

    def get(self) -> None:
        """Take one."""
        with suppress(LookupError):
            self.queue.get(timeout=0)

    def get_many(self, n: int) -> None:
        """Take some."""
        assert len(self.queue.get_many(n, timeout=0)) == n

    def get_all_but_spoiled(self) -> None:
        """Take several, one of which does not unpickle."""
        with suppress(LookupError):
            self.queue.get_many(timeout=0)

    def lease(self, n: int) -> None:
        """Begin."""
        self.leases[n] = self.queue.lease(timeout=0)
        self.leases[n].__enter__()

    def end(self, n: int) -> None:
        """Be done."""
        self.leases.pop(n).__exit__(None, None, None)

    def give_back(self, n: int) -> None:
        """Fail."""
        self.leases.pop(n).__exit__(KeyError, KeyError(), None)

    def get_in_vain(self) -> None:
        """Wait for what is not there."""
        with suppress(Empty):
            self.queue.get(timeout=0.01)

    def put_in_vain(self) -> None:
        """Wait for room, for one that fits into it and for one that fits nowhere."""
        for item in ("x", LARGE):
            with suppress(Full):
                self.queue.put(item, timeout=0.01)


@dataclass(frozen=True)
class Action:
    """Something that takes one commit or many.

    Attributes:
        steps: Each is called with a `Hand`, or with a `Model`.
        start: What is queued at first.
        options: What the queue is made with.
        between: What may also be seen of its only step, which takes several commits.
    """

    steps: list[Step]
    start: list[Any] = field(default_factory=list[Any])
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    between: list[State] = field(default_factory=list[State])

    def make(self) -> SharedQueue[Any]:
        """The queue."""
        queue = SharedQueue[Any](**self.options)
        queue.put_many(self.start)
        return queue


@cache
def states(name: str) -> list[State]:
    """What a survivor sees of an action before its steps, and after each of them."""
    action = ACTIONS[name]
    model = Model(action.start)
    found = [model.state()]
    for step in action.steps:
        step(model)
        found.append(model.state())
    return found


Job = tuple[str, bytes]  # an action's name, and its queue as a pickle


def doomed(point: str, jobs: list[Job], ledger: Path) -> None:
    """Do one job after the other, and die at a fault point if one of them comes to it."""
    account = Ledger(ledger)
    hands: list[Hand] = []
    for number, (name, pickled) in enumerate(jobs):
        hands.append(Hand(pickle.loads(pickled)))
        account[0, HITS], account[0, PAIRS] = 0, number
        testing.arm(point)
        for step in ACTIONS[name].steps:
            step(hands[-1])
            account[0, HITS] += 1
        testing.arm("-")


def touching(point: str, queue: SharedQueue[Any], ledger: Path) -> None:
    """Look at what there is, begin to take it, put one more, and die at a fault point on the way if it is met."""
    account = Ledger(ledger)
    account[0, HITS] = 0
    testing.arm(point)
    with suppress(KeyError, Empty), queue.lease(timeout=0):
        raise KeyError
    queue.qsize()
    queue.put("touched")
    account[0, HITS] = 1
    testing.arm("-")


# ---- the steps ----


def do(method: str, *args: Any) -> Step:
    """A method of both."""
    return lambda hand: getattr(hand, method)(*args)


BIG = b"B" * 30_000
LARGE = np.arange(5000)
SORTS: list[Any] = [1, "two", b"3" * 200, (4, "four", None), [5], {"six": 6.5}, BIG, LARGE, 10**50, b""]
FEW: list[Any] = [("item", n, "x" * (n * 9 % 70)) for n in range(12)]
TIGHT = {"capacity": 1500}

ACTIONS: dict[str, Action] = {
    "put": Action([do("put", item) for item in SORTS]),
    "put in a tight one": Action([do("put", item) for item in FEW], options={"capacity": 4000}),
    "put large": Action([do("put", LARGE)], options=TIGHT),
    "put many": Action([do("put_many", SORTS), do("put_many", FEW), do("put_many", [])]),
    "put handfuls": Action([do("put_many", FEW[n:]) for n in range(0, 12, 4)]),
    "grow": Action([do("put", b"g" * 300) for _ in range(120)], options={"capacity": 1 << 20}),
    "grow at once": Action([do("put_many", [b"g" * 300] * 200)], FEW, {"capacity": 1 << 20}),
    "get": Action([do("get") for _ in SORTS], SORTS),
    "get large": Action([do("get")], [LARGE], TIGHT),
    "get many": Action([do("get_many", 3), do("get_many", 5), do("get_many", 4)], FEW),
    "get spoiled": Action([do("get"), do("get"), do("get")], ["a", Spoiled(), "b"]),
    "get many spoiled": Action(
        [do("get_all_but_spoiled")],
        ["a", Spoiled(), "b", "c"],
        between=[State(["a", "b", "c"][:n], 4, 4 - n, False) for n in range(3)],
    ),
    "come round": Action(
        [step for n in range(40) for step in (do("put", (n, b"r" * (n * 13 % 300))), do("get"))],
        FEW[:4],
        {"capacity": 2500},
    ),
    "lease": Action([do("lease", 0), do("end", 0), do("lease", 1), do("give_back", 1), do("lease", 2)], FEW),
    "lease several": Action(
        [
            *(do("lease", n) for n in range(5)),
            do("end", 3),
            do("give_back", 1),
            do("end", 0),
            do("lease", 9),
            do("give_back", 4),
            do("end", 9),
            do("get"),
        ],
        SORTS,
    ),
    "lease large": Action(
        [do("lease", 0), do("give_back", 0), do("lease", 1), do("end", 1), do("put", LARGE), do("lease", 2)],
        [LARGE],
        TIGHT,
    ),
    "done": Action([do("get"), do("get_many", 2), do("task_done"), do("task_done"), do("get"), do("task_done")], FEW),
    "shut down": Action([do("put", 1), do("get"), do("shutdown", False), do("get"), do("lease", 0), do("end", 0)], FEW),
    "shut down at once": Action([do("get"), do("lease", 0), do("give_back", 0), do("shutdown", True)], SORTS),
    "get in vain": Action([do("get_in_vain"), do("put", 1)]),
    "put in vain": Action([do("put_in_vain"), do("get")], ["first"], {"maxsize": 1, "capacity": 1000}),
}
