"""What processes do to objects of each type, by role: in steps of one commit each, between which and in which they die.

After a death in a step, what a survivor sees is what it would see after a death before that step, or after it.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from procshare.testing._processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procshare.testing._kinds import Step

BIG = "r" * 3000
BLOCKS: list[tuple[Any, Any]] = []  # what this process has entered: a context manager and what it gave


@dataclass(frozen=True)
class Act:
    """What one process does to an object.

    Attributes:
        steps: Done one after the other, each of them one commit.
        make: The object. What it makes is destroyed when it is closed.
        look: What a survivor sees, as plain data.
        use: What a survivor must be able to do at once.
        touch: What whoever comes first after a death does, and may die of too: all that repairs, and no new state.
        blocked: What survivors are at when the death comes, and must have done within 100 ms of it; no new state.
        meanwhile: What a survivor does all the time, so that who waits is let go.
        also: What else may be seen if the death was in a step, such as that an array's contents are not to be trusted.
        give: What of the object the doomed process is given.
        apart: Whether what is repaired after its deaths is not what is after those of the type's other acts.
    """

    steps: Sequence[Step]
    make: Callable[[], Any]
    look: Callable[[Any], Any]
    use: Step
    touch: Step
    blocked: Sequence[Step] = ()
    meanwhile: Step | None = None
    also: tuple[Any, ...] = ()
    give: Callable[[Any], Any] = lambda x: x
    apart: bool = False


def beside(how: str, then: Step) -> Step:
    """Do something that has to wait, while another thread of the same process has the lock for a moment."""

    def keep(x: Any, begun: threading.Event) -> None:
        with getattr(x, how)() if how else x:
            begun.set()
            time.sleep(0.005)

    def step(x: Any) -> None:
        begun = threading.Event()
        thread = threading.Thread(target=keep, args=(x, begun))
        thread.start()
        begun.wait(PATIENCE)
        then(x)
        thread.join()

    return step


# ---- steps ----


def do(method: str, *args: Any, **kwargs: Any) -> Step:
    """A method."""
    return lambda x: getattr(x, method)(*args, **kwargs)


def get(attribute: str) -> Step:
    """Look at something."""
    return lambda x: getattr(x, attribute)


def enter(how: str = "locked", *args: Any) -> Step:
    """Begin a block."""

    def step(x: Any) -> None:
        block = getattr(x, how)(*args) if how else x
        BLOCKS.append((block, block.__enter__()))

    return step


def inside(write: Step) -> Step:
    """Do something with what the block gave."""
    return lambda _x: write(BLOCKS[-1][1])


def leave(_x: Any) -> None:
    """End the block that was begun last."""
    BLOCKS.pop()[0].__exit__(None, None, None)


def fail(_x: Any) -> None:
    """End it by an exception."""
    BLOCKS.pop()[0].__exit__(KeyError, KeyError(), None)


def assign(value: Any) -> Step:
    """Write the value of a cell."""

    def step(cell: Any) -> None:
        cell.value = value

    return step


def at(key: Any, value: Any) -> Step:
    """`x[key] = value`."""
    return do("__setitem__", key, value)


def drop(key: Any) -> Step:
    """`del x[key]`."""
    return do("__delitem__", key)


def block(*writes: Step) -> Step:
    """Writes that are one commit."""

    def step(x: Any) -> None:
        with x.locked() as t:
            for write in writes:
                write(t)

    return step


def nested_block(x: Any) -> None:
    """A block in a block of its thread, which undoes what it did."""
    with x.locked():
        with suppress(KeyError), x.locked() as inner:
            if hasattr(inner, "clear"):
                inner.clear()
            raise KeyError
        with x.locked():
            pass
