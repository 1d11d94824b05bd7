"""What is tried of each type when something runs out: each way to make it, to write to it, and to make it grow.

Sizes are chosen for a /dev/shm of 4 MiB, so that each attempt would be done in all of it, and is refused in a part.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from typing import TYPE_CHECKING, Any

from procshare.testing._kinds import is_true, prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from procshare import SharedArray, SharedCounter

    Step = Callable[[Any], object]

SIZES = (
    100,
    5_000,
    70_000,
    600_000,
)  # of a record: within a page, beyond it, punched when it is free, much of all there is
MANY = 2_000


@dataclass(frozen=True)
class Attempt:
    """Something that may not have room.

    Attributes:
        what: For messages.
        make: Makes what is there before.
        act: What may be refused. Done again, it goes on where it was refused.
        look: All that it holds, as plain data. Changes nothing, and needs nothing.
        frugal: What must be possible although nothing is left; leaves what `look` sees.
        drain: Takes all out, one after the other; needs nothing either.
        whole: `act` is one commit: refused, it has changed nothing. Else what `look` sees is, at each moment, a part of
            what it will be, from the beginning.
    """

    what: str
    make: Callable[[], Any]
    act: Step
    look: Step
    frugal: Step
    drain: Step
    whole: bool = True


def plain(value: Any) -> Any:
    """A value with each handle in it replaced by what that holds, and each array by a list."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "value"):
        value = value.value
    if hasattr(value, "items"):
        return [(key, plain(each)) for key, each in value.items()]
    if hasattr(value, "append"):
        return [plain(each) for each in value]
    return value


def blank(size: int) -> bytes:
    """A record's worth of bytes."""
    return b"z" * size


# ---- what is possible with nothing left ----


def frugal_state(x: Any) -> None:
    """Read it, take its lock."""
    _ = x.value
    with prompt(x):
        pass
    x.wait_until(is_true, timeout=0)


def frugal_counter(x: SharedCounter) -> None:
    """Count up and down, with and without a block."""
    frugal_state(x)
    with prompt(x) as cell:
        cell.value += 1
    x.decrement()
    x.exchange(x.value)


def frugal_array(x: SharedArray[Any]) -> None:
    """Write all of it."""
    frugal_state(x)
    x.array[:] = x.array + 0
    x.set(x.value)


def frugal_mapping(x: Any) -> None:
    """Read each key, replace each small number, miss some."""
    frugal_state(x)
    for key in list(x)[:50]:
        value = x[key]
        if isinstance(value, int):
            x[key] = value + 1
            x[key] = value
        assert key in x
    assert "missing" not in x
    with prompt(x) as guard:
        assert len(guard) == len(x)


def frugal_list(x: Any) -> None:
    """Read each item, replace each small number."""
    frugal_state(x)
    for n in range(min(len(x), 50)):
        value = x[n]
        if isinstance(value, int):
            x[n] = value + 1
            x[n] = value


def frugal_set(x: Any) -> None:
    """Look for each element, add it again, discard what is not there."""
    frugal_state(x)
    for each in list(x)[:50]:
        assert each in x
        x.add(each)
    x.discard("missing")


def frugal_queue(x: Any) -> None:
    """Look at how many there are, and say that one is done which is not."""
    assert x.qsize() >= 0
    x.empty()


def frugal_pipe(x: Any) -> None:
    """Look whether there is anything."""
    for end in x:
        _ = end.readable and end.poll(0)


def drain_by(method: str) -> Step:
    """Take all out of a container by a method that takes one."""

    def drain(x: Any) -> None:
        while len(x) > 0:
            getattr(x, method)()

    return drain


def drain_mapping(x: Any) -> None:
    """Delete each key."""
    for key in list(x):
        del x[key]


def drain_queue(x: Any) -> list[Any]:
    """What was queued."""
    taken = list[Any]()
    with suppress(Empty):
        while True:
            taken.append(plain(x.get_nowait()))
    return taken


def drain_pipe(x: Any) -> None:
    """Receive all."""
    while x[1].poll(0):
        x[1].recv()


# ---- writing ----


def in_block(*steps: Step) -> Step:
    """Several writes in one block."""

    def act(x: Any) -> None:
        with prompt(x) as guard:
            for step in steps:
                step(guard)

    return act


def put(key: Any, value: Any) -> Step:
    """x[key] = value, a new object each time if *value* makes one."""
    return lambda x: x.__setitem__(key, value() if callable(value) else value)


def one_by_one(add: Callable[[Any, int], object], count: int) -> Step:
    """Add items until there are so many."""

    def act(x: Any) -> None:
        while len(x) < count:
            add(x, len(x))

    return act


def churn(x: Any) -> None:
    """Replace one large value again and again, so that the container is compacted."""
    for _ in range(60):
        x["churned"] = blank(20_000)


def hold_cell(value: Any) -> Step:
    """Assign in a block, twice."""

    def act(x: Any) -> None:
        with prompt(x) as cell:
            cell.value = "other"
            cell.value = value

    return act
