"""Acts, as in `_acts.py`, by which an object of any type is made, attached to, nested, left and removed."""

from __future__ import annotations

import gc
import os
import pickle
from contextlib import suppress
from functools import partial
from itertools import count
from queue import Empty
from typing import TYPE_CHECKING, Any

import procshare
from procshare import NotFound, SharedDict, SharedQueue
from procshare.testing._acts import BIG, Act, at, do, drop
from procshare.testing._acts_channels import PIPE, QUEUE, join_in_vain, put_touched, touch_queue
from procshare.testing._acts_containers import CONTAINERS
from procshare.testing._acts_states import WORDS, lock_it, same_again
from procshare.testing._acts_sync import SYNC
from procshare.testing._acts_together import TOGETHER
from procshare.testing._kinds import KINDS, kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from procshare.testing._kinds import Step

MADE: list[Any] = []  # what this process has
NUMBERS = count()
KNOWN: dict[str, dict[str, Act]] = {**WORDS, **CONTAINERS, **TOGETHER, "SharedQueue": QUEUE, "SharedPipe": PIPE, **SYNC}
LIVES = "creator", "attacher", "nester", "sender"  # the roles of this module
ENDINGS = "named", "opened", "kept"


class Place:
    """Names that the doomed give to what they make."""

    def __init__(self) -> None:
        self.name = f"sweep-{os.getpid()}-{next(NUMBERS)}"

    def close(self) -> None:
        """Clear away what is there."""
        for ending in ENDINGS:
            with suppress(NotFound):
                procshare.attach(f"{self.name}-{ending}").unlink()
        procshare.prune()


def constructor(kind: str) -> tuple[Any, tuple[Any, ...]]:
    """The class of a type, and what it is made with."""
    make: Any = KINDS[kind].make
    return (make.func, make.args) if isinstance(make, partial) else (make, ())


def anonymous(kind: str) -> Step:
    """Make one, and tell its name."""

    def step(_place: Any) -> None:
        MADE.append(KINDS[kind].make())
        assert MADE[-1].name

    return step


def named(kind: str) -> Step:
    """Make one that has a name."""
    return lambda place: MADE.append(KINDS[kind].make(name=f"{place.name}-named"))


def opened(kind: str, ending: str, **options: Any) -> Step:
    """Make or attach to one that belongs to all."""
    cls, args = constructor(kind)
    return lambda place: MADE.append(cls.open(f"{place.name}-{ending}", *args, **options))


def last(method: str, *, gone: bool = True) -> Step:
    """Do something with what was made last."""

    def step(_x: Any) -> None:
        getattr(MADE[-1], method)()
        if gone:
            MADE.pop().close()

    return step


def block_of_one(kind: str) -> Step:
    """Make one, for the length of a block; its name is known."""

    def step(_place: Any) -> None:
        with kept(KINDS[kind].make()) as made:
            assert made.name

    return step


def try_attach(place: Any) -> None:
    """Attach to what is there."""
    for ending in ENDINGS:
        with suppress(NotFound):
            procshare.attach(f"{place.name}-{ending}").close()


def clear_away(place: Any) -> None:
    """What whoever comes after the dead does."""
    procshare.prune()
    try_attach(place)


def make_again(kind: str) -> Step:
    """The names can be used at once."""
    cls, args = constructor(kind)

    def use(place: Any) -> None:
        makes: tuple[Callable[[], Any], ...] = (
            lambda: KINDS[kind].make(name=f"{place.name}-named"),
            lambda: cls.open(f"{place.name}-opened", *args),
            lambda: cls.open(f"{place.name}-kept", *args, persist=True),
        )
        for make in makes:
            with kept(make()) as made:
                KINDS[kind].use(made)

    return use


def creator(kind: str) -> Act:
    """Everything that makes and removes one."""
    steps = [
        anonymous(kind),
        last("close", gone=False),
        last("unlink"),
        anonymous(kind),
        last("hand_over"),
        block_of_one(kind),
        named(kind),
        last("unlink"),
        named(kind),
        last("close"),
        opened(kind, "opened"),
        last("close"),
        opened(kind, "opened"),
        last("unlink"),
        opened(kind, "kept", persist=True),
        last("close"),
        opened(kind, "kept", persist=True),
        last("unlink"),
    ]
    return Act(steps, Place, lambda _x: None, make_again(kind), clear_away, (try_attach, lambda _x: procshare.prune()))


def let_go(x: Any) -> None:
    """Give it up; its name is known still."""
    MADE.append(x.name)
    x.close()


def attach(_x: Any) -> None:
    """Attach by name."""
    MADE.append(procshare.attach(MADE[0]))


def travel(_x: Any) -> None:
    """Attach as who is sent it does."""
    MADE.append(pickle.loads(pickle.dumps(MADE[-1])))


def attacher(kind: str) -> Act:
    """Everything that an attacher does."""
    known, (model, *_) = KINDS[kind], [*KNOWN[kind].values()]
    steps = [let_go, attach, last("close"), attach, travel, last("close"), last("close"), attach]
    return Act(steps, known.make, model.look, model.use, model.touch, model.blocked, also=model.also)


def look_inside(kind: str) -> Callable[[Any], Any]:
    """What is in a dict, and in what is in it, which can be used."""
    look: Callable[[Any], Any] = next(iter(KNOWN[kind].values())).look

    def seen(x: Any) -> dict[str, Any]:
        return {key: see_one(value, look) for key, value in x.items()}

    return seen


def see_one(value: Any, look: Callable[[Any], Any]) -> Any:
    """What a value is."""
    if not hasattr(value, "segment"):
        return value
    seen = ("handle", look(value))
    value.close()
    return seen


def nester(kind: str) -> Act:
    """Who puts one in a dict, replaces it, takes it out and has it cleared away."""

    def put(key: str) -> Step:
        return lambda x: x.__setitem__(key, KINDS[kind].make())

    churn = [at("big", f"{n}" * 900) for n in range(9)]
    steps = [put("child"), put("child"), put("other"), drop("child"), *churn, put("child"), do("clear"), put("last")]
    make = partial(SharedDict[str, Any], {"big": BIG})
    return Act(steps, make, look_inside(kind), KINDS["SharedDict"].use, same_again, (lock_it, len))


def sender(kind: str) -> Act:
    """Who puts one in a queue, and gets one."""
    look: Callable[[Any], Any] = next(iter(KNOWN[kind].values())).look

    def put(x: Any) -> None:
        x.put(KINDS[kind].make())

    def receive(x: Any) -> None:
        x.get(timeout=0).close()
        gc.collect()

    def seen(x: Any) -> list[Any]:
        found = list[Any]()
        with suppress(Empty):
            while True:
                found.append(see_one(x.get(timeout=0), look))
        return [each for each in found if each != "touched"]

    steps = [put, put, receive, put, receive]
    return Act(steps, SharedQueue[Any], seen, lambda _x: None, touch_queue, (put_touched, do("qsize"), join_in_vain))


def all_acts() -> dict[str, dict[str, Act]]:
    """By type, then by role."""
    lives: dict[str, dict[str, Act]] = {
        kind: {"creator": creator(kind), "attacher": attacher(kind), "nester": nester(kind), "sender": sender(kind)}
        for kind in KINDS
        if kind != "SharedPipe"
    }
    return {kind: {**roles, **lives.get(kind, {})} for kind, roles in KNOWN.items()}
