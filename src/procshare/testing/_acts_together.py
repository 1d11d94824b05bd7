"""Acts, as in `_acts.py`, on several containers at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import procshare
from procshare import SharedDict, SharedList, SharedNamespace
from procshare.testing._acts import BIG, BLOCKS, Act, at, do, drop, inside, leave
from procshare.testing._acts_containers import MANY
from procshare.testing._acts_states import lock_it, same_again
from procshare.testing._kinds import KINDS
from procshare.testing._processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from procshare.testing._kinds import Step


def look_at_several(xs: Any) -> Any:
    """What each holds."""
    return [(list(x.value.items()) if hasattr(x, "items") else x.value) for x in xs]


def use_several(xs: Any) -> None:
    """Lock and write all of them together."""
    with procshare.transaction(*xs, timeout=PATIENCE) as guards:
        for guard in guards:
            guard.set(guard.value)
    for x in xs:
        KINDS["SharedList" if hasattr(x, "append") else "SharedDict"].use(x)


def together(*writes: Step) -> Step:
    """Writes to several containers that are one commit."""

    def step(xs: Any) -> None:
        with procshare.transaction(*xs) as guards:
            for write in writes:
                write(guards)

    return step


def on(which: int, write: Step) -> Step:
    """A write to one of several."""
    return lambda xs: write(xs[which])


def in_all(step: Step) -> Step:
    """The same with each of several."""

    def all_of(xs: Any) -> None:
        for x in xs:
            step(x)

    return all_of


BOTH = together(on(0, at("a", 2)), on(0, at("b", 2)), on(1, at("a", 2)), on(1, drop("b")))
PAIR = {"a": 1, "b": 1}
SEVERAL: dict[str, Any] = {
    "look": look_at_several,
    "use": use_several,
    "touch": in_all(same_again),
    "blocked": (in_all(lock_it),),
}


def transacting(make: Callable[[], Any], *steps: Step) -> Act:
    """An act on several containers."""
    return Act(steps, make, **SEVERAL)


class Couple:
    """Two dicts, of which one belongs to whoever attaches to it, and so goes with the doomed."""

    def __init__(self) -> None:
        first = SharedDict[str, Any](PAIR)
        self.name = first.hand_over().name
        first.close()
        self.stays = SharedDict[str, Any](PAIR)

    def close(self) -> None:
        """Destroy what stays."""
        self.stays.unlink()
        self.stays.close()


def join_both(x: Any) -> None:
    """Attach to the other one."""
    BLOCKS.append((procshare.attach(x.name), x.stays))


def change_both(x: Any) -> None:
    """A commit to both."""
    with procshare.transaction(*BLOCKS[0]) as guards:
        for guard in guards:
            guard["a"] += 1
            guard["b"] += 1


def touch_what_stays(x: Any) -> None:
    """Clear away what went with the dead; then look what became of the transaction."""
    procshare.prune()
    same_again(x.stays)


TOGETHER: dict[str, dict[str, Act]] = {
    "transaction": {
        "writer": transacting(
            lambda: (SharedDict[str, Any](PAIR), SharedDict[str, Any](PAIR)),
            BOTH,
            together(on(0, do("update", {"a": 3, "new": BIG}))),
            together(on(1, do("clear")), on(0, drop("b")), on(0, at("a", 4))),
            together(),
        ),
        "holder": transacting(
            lambda: (SharedDict[str, Any](PAIR), SharedList[Any]([1]), SharedNamespace(PAIR)),
            lambda xs: BLOCKS.append((b := procshare.transaction(*xs), b.__enter__())),
            inside(on(1, do("append", BIG))),
            inside(on(0, at("a", 9))),
            inside(on(2, at("a", 9))),
            inside(on(2, at("c", 9))),
            leave,
            together(on(1, do("extend", range(300))), on(0, do("update", MANY)), on(2, do("clear"))),
        ),
        "holder of one that goes": Act(
            [join_both, change_both, change_both],
            Couple,
            lambda x: x.stays.value,
            lambda x: KINDS["SharedDict"].use(x.stays),
            touch_what_stays,
            (lambda x: lock_it(x.stays),),
            apart=True,
        ),
    }
}
