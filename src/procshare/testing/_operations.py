"""What is done to the public types, call by call: what one process does while others look at what comes of its death.

An operation is one call or a few, each of them one commit. So whatever becomes of the process that makes them, another
one sees the state before or after each of them, and no other; what these are is found out by letting it die there.
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import procshare
from procshare.testing._kinds import KINDS, kept
from procshare.testing._processes import SHM, pickled

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from procshare.testing._kinds import Step

FIRST = "the first one of a process"
GONE = "gone"  # what is seen of what is not there


@dataclass(frozen=True)
class Operation:
    """What one process does to an object that it has inherited from another.

    Attributes:
        kind: The type, a key of `KINDS`; or "transaction".
        name: What it is called among those of its type.
        steps: Called one after the other with what `before` returned.
        make: Makes the object in the process that looks on; as `KINDS` says if it is not given.
        before: Called first, with the object; returns what the steps are called with. The object itself if not given.
        look: All that can be seen of it, as plain data.
        use: What the other process must be able to do with it at once.
        kept: What it has done is there for good even if the process dies, as if it had not died.
        mixed: What is seen may be old in parts and new in parts, if `look` says "half": of an array's memory.
        taken_over: What its death leaves is also looked at by one that dies in turn.
    """

    kind: str
    name: str
    steps: Sequence[Step]
    make: Callable[[], Any] | None = None
    before: Step | None = None
    look: Step | None = None
    use: Step | None = None
    kept: bool = True
    mixed: bool = False
    taken_over: bool = False

    @contextmanager
    def scene(self) -> Generator[Any]:
        """A fresh object, with a name, for the length of a block."""
        with kept(self.make() if self.make is not None else KINDS[self.kind].make()) as x:
            for each in parts(x):
                pickled(each)  # which exports it, so that it has a file
            yield x

    def given(self, x: Any) -> Any:
        """What its steps are called with."""
        return x if self.before is None else self.before(x)

    def run(self, given: Any, steps: int | None = None) -> None:
        """Make its calls, or the first of them."""
        for step in self.steps[:steps]:
            step(given)

    def seen(self, x: Any) -> Any:
        """What is to be seen of it now: whether it has its name, how long it says it is, and all that is in it."""
        named = [os.path.lexists(SHM / each.segment) for each in parts(x) if hasattr(each, "segment")]
        if self.look is not None:
            return named, self.look(x)
        looked = KINDS[self.kind].look(x)
        lengths = [len(each) for each in parts(x) if hasattr(each, "__len__")]
        return named, lengths, bare(looked)

    def used(self, x: Any) -> None:
        """Use it."""
        (self.use if self.use is not None else KINDS[self.kind].use)(x)


def parts(x: Any) -> tuple[Any, ...]:
    """The objects that a made thing consists of."""
    return tuple(x) if x.__class__ is tuple else (x,)


def bare(value: Any) -> Any:
    """Plain data, with the values of handles in their place."""
    if hasattr(value, "locked"):
        try:
            return "handle", bare(value.value)
        except procshare.NotFound:
            return GONE
    if value.__class__ is dict:
        return [(key, bare(each)) for key, each in value.items()]
    if value.__class__ is set:
        return sorted(value, key=repr)
    return [bare(each) for each in value] if value.__class__ in (list, tuple) else value


# ---- what comes and goes ----

_places = count()


class Place:
    """A name that nothing has yet, and whatever gets it.

    Args:
        kind: The type of what will.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.name = f"place-{os.getpid()}-{next(_places)}"
        self.other = procshare.SharedCounter()  # so that the process has begun to share, and has a slab

    def make(self) -> Any:
        """Put one there."""
        return KINDS[self.kind].make(name=self.name)

    def find(self) -> Any:
        """Attach to it."""
        return procshare.attach(self.name)

    def look(self) -> Any:
        """What is there."""
        try:
            with closing(self.find()) as x:
                return bare(KINDS[self.kind].look(x))
        except procshare.NotFound:
            return GONE

    def use(self) -> None:
        """Have one there, and use it."""
        with suppress(procshare.NotFound), closing(self.find()) as x:
            KINDS[self.kind].use(x)
        self.unlink()
        with kept(self.make()) as x:
            KINDS[self.kind].use(x)

    def unlink(self) -> None:
        """Remove it."""
        with suppress(procshare.NotFound), closing(self.find()) as x:
            x.unlink()

    def close(self) -> None:
        """Be done."""
        self.other.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (self.name,)


def place_of(kind: str) -> dict[str, Any]:
    """How an operation on a place is made, looked at and used."""
    return {"make": partial(Place, kind), "look": Place.look, "use": Place.use, "kept": False}


def create_and_export(kind: str) -> None:
    """Make one, let everybody know, destroy it."""
    with kept(KINDS[kind].make()) as x:
        for each in parts(x):
            pickled(each)


def begun(x: Any) -> Any:
    """It, in a process that has made its first object, and so has cleared away what the dead had left."""
    procshare.SharedCounter().close()
    return x


def closed(x: Any) -> list[str]:
    """Close it here, where it was inherited: its names."""
    begun(x)
    names = [each.name for each in parts(x)]
    for each in parts(x):
        each.close()
    return names


def comings_and_goings(kind: str) -> list[Operation]:
    """The life of an object of any type."""
    made = [Operation(kind, "create, export and close", [lambda _: create_and_export(kind)], before=begun)]
    if kind == "SharedCounter":
        made.append(Operation(kind, FIRST, [lambda _: create_and_export(kind)]))
    if kind == "SharedPipe":
        return made
    cls: Any = getattr(procshare, kind)
    arguments: Any = getattr(KINDS[kind].make, "args", ())

    def open_it(place: Place) -> Any:
        return cls.open(place.name, *arguments)

    def attach(names: list[str]) -> None:
        cls.attach(names[0]).close()

    def look(x: Any) -> Any:
        return bare(KINDS[kind].look(x))

    def end(x: Any) -> None:
        x.unlink()
        x.close()

    return [
        *made,
        Operation(kind, "create with a name", [Place.make], before=begun, **place_of(kind)),
        Operation(kind, "open", [open_it], before=begun, **place_of(kind)),
        Operation(kind, "export", [lambda x: x.name], before=lambda _: KINDS[kind].make()),
        Operation(kind, "attach and close", [attach], before=closed, kept=False),
        Operation(kind, "close", [lambda x: x.close()], kept=False),
        Operation(kind, "unlink", [lambda x: x.unlink()], look=look, kept=False),
        Operation(kind, "the creator's end", [end], before=Place.make, **place_of(kind)),
        Operation(kind, "hand over", [lambda x: x.hand_over()], before=Place.make, **place_of(kind)),
        Operation(kind, "the last one out", [lambda x: x.close()], before=open_it, **place_of(kind)),
    ]
