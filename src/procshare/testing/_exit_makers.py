"""What the processes that `procshare.testing.exits` ends make before: each type, in each sort of life."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import procshare
from procshare.testing._kinds import KINDS
from procshare.testing._processes import until

GO, LEAVING, OVER = "go", "leaving", "over"  # files: it may end; its main program is done; its process is gone
LIVES = "anonymous", "exported", "named", "opened", "persistent", "handed over"  # and "stored", in a "tree"


class Object(NamedTuple):
    """One that was made.

    Attributes:
        kind: A key of `KINDS`.
        life: One of `LIVES`, or "stored" in a container, or that "tree" itself.
        name: What it is attached by; "" if it has none.
        segment: Where it lies.
        attached: Whether whoever looks at this end is to attach to it before.
        maker: The process that made it.
    """

    kind: str
    life: str
    name: str
    segment: str
    attached: bool
    maker: int


class World:
    """What one process makes and tells. It is pickled into children.

    Args:
        home: A directory for the files in which processes say things.
        kinds: Which of `KINDS`.
    """

    def __init__(self, home: Path, kinds: list[str]) -> None:
        self.home, self.kinds = home, kinds
        self.kept: list[Any] = []
        self.objects: list[Object] = []

    def __reduce__(self) -> Any:
        return World, (self.home, self.kinds)

    def make(self) -> None:
        """Make one of each type in each life, twice: one that somebody attaches to, one that nobody does."""
        self.kept, self.objects = [], []
        for attached in False, True:
            for life in LIVES:
                for kind in self.kinds:
                    self._make(kind, life, attached)
            self._make_tree(attached)
        KEPT.append(self)  # where a pool's worker has no other place to keep them
        self.tell("made", [each._asdict() for each in self.objects])

    def _make(self, kind: str, life: str, attached: bool) -> None:
        if kind == "SharedPipe":
            if life == "anonymous":
                self.kept.append(KINDS[kind].make())
                self.objects.append(Object(kind, life, "", "", False, os.getpid()))
            return
        name = f"exits-{self.home.name}-{os.getpid()}-{len(self.objects)}"
        make: Any = KINDS[kind].make
        cls: Any
        cls, args = getattr(make, "func", make), getattr(make, "args", ())
        if life == "opened":
            made = cls.open(name, *args)
        elif life == "persistent":
            made = cls.open(name, *args, persist=True)
        else:
            made = make(name=name) if life == "named" else make()
        if life == "handed over":
            made.hand_over()
        self.kept.append(made)
        nameless = life == "anonymous"
        words = ("", "") if nameless else (made.name, made.segment)
        self.objects.append(Object(kind, life, words[0], words[1], attached and not nameless, os.getpid()))

    def _make_tree(self, attached: bool) -> None:
        tree = procshare.SharedDict[str, Any]()
        self.kept.append(tree)
        self.objects.append(Object("SharedDict", "tree", tree.name, tree.segment, attached, os.getpid()))
        for kind in self.kinds:
            if kind != "SharedPipe":
                tree[kind] = made = KINDS[kind].make()
                self.objects.append(Object(kind, "stored", made.name, made.segment, attached, os.getpid()))

    def use(self, handles: list[Any]) -> list[str]:
        """Use objects of any kind, as a process that is attached must be able to; what went wrong."""
        return [problem for each in handles if (problem := use(kind_of(each), each))]

    def find(self, objects: list[Object]) -> list[str]:
        """Attach to objects by name; what went wrong."""
        problems = list[str]()
        for each in objects:
            if each.name:
                try:
                    procshare.attach(each.name).close()
                except procshare.ProcshareError as error:
                    problems.append(f"{each.kind} ({each.life}): {error}")
        return problems

    def tell(self, what: str, content: Any) -> None:
        """Leave a file that says something."""
        path = self.home / f".{what}-{os.getpid()}"
        path.write_text(json.dumps({"pid": os.getpid(), what: content}))
        path.rename(self.home / f"{what}-{os.getpid()}.json")

    def tell_problems(self, problems: list[str]) -> None:
        """Say how it went on."""
        self.tell("used", problems)

    def leave_word(self, word: str) -> None:
        """Say something to all."""
        (self.home / word).touch()

    def wait(self, word: str) -> None:
        """Until somebody has said that; not for ever."""
        until((self.home / word).exists, 60)


KEPT = list[World]()


def kind_of(handle: Any) -> str:
    """The key in `KINDS`."""
    if isinstance(handle, tuple):
        return "SharedPipe"
    return next(name for name in KINDS if name != "SharedPipe" and isinstance(handle, getattr(procshare, name)))


def use(kind: str, handle: Any) -> str:
    """Use an object; what went wrong, or nothing. What a tree keeps may be gone with it, so that is not read."""
    try:
        if kind == "SharedDict" and any(each in handle for each in KINDS):
            handle.increment("used")
        else:
            KINDS[kind].use(handle)
    except Exception as error:  # noqa: BLE001 - told to whoever counts
        return f"{kind}: {type(error).__name__}: {error}"
    return ""


def prepared(home: str, kinds: str) -> World:
    """By the words of a command line."""
    return World(Path(home), kinds.split(","))
