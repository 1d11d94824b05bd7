"""Readers that are stopped at whatever instruction they are at, while a writer changes everything under them.

A reader is a loop in C, so that most of its time is in one read. It is stopped by SIGSTOP; then the writer commits,
grows, compacts and gives back the memory that the reader was looking at; then the reader goes on.
"""

from __future__ import annotations

import os
import pickle
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from container_doom import ACTIONS, doomed
from ledger import Ledger
from nursery import Nursery
from procshare import SharedCounter, SharedDict, SharedList
from procshare.backends import native_built
from support import Child, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

STOPS, END = 300, -(10**9)
TEXT, HUGE, KEYS = "t" * 3000, "h" * 300_000, range(400)


@dataclass(frozen=True)
class Scene:
    """A container, what is written to it at each stop, and what a reader must see.

    Attributes:
        make: The container.
        write: A number of commits, given the number of the stop.
        read: Many reads, and whether they were right.
    """

    make: Callable[[], Any]
    write: Callable[[Any, int], object]
    read: Callable[[Any], Any]


def churn(d: Any, _n: int) -> None:
    """Replace records by equal ones until the dict has been compacted more than once; delete and set in a block."""
    for _ in range(25):
        d["text"] = TEXT
    with d.locked() as t:
        t["key"] = t.pop("key")


def churn_huge(d: Any, n: int) -> None:
    """Replace a huge record by others of one letter each."""
    for _ in range(4):
        d["huge"] = "abcdefg"[n % 7] * len(HUGE)


def rewrite(d: Any, n: int) -> None:
    """Set all values at once, in each of the ways to do that."""
    if n % 3 == 0:
        d.update(dict.fromkeys(KEYS, n))
    elif n % 3 == 1:
        with d.locked() as t:
            for key in KEYS:
                t[key] = n
    else:
        d.set(dict.fromkeys(KEYS, n))


def come_and_go(d: Any, n: int) -> None:
    """Fill and empty what is beside the one key that stays, by single writes, so that the index grows and shrinks."""
    for key in range(120):
        d[n, key] = key
    for key in range(120):
        del d[n, key]


def rewrite_list(x: Any, n: int) -> None:
    """Set all items at once, in each of the ways to do that; not always as many."""
    if n % 3 == 0:
        x[:] = [n] * (300 + n % 200)
    elif n % 3 == 1:
        with x.locked() as t:
            for i in range(len(t)):
                t[i] = n
    else:
        x.set([n] * (500 - n % 200))


def turn(x: Any, n: int) -> None:
    """Let the list grow and shrink at its end, and replace an item in front by an equal one."""
    for i in range(3000 if n % 2 else 200):
        x.append(i)
    x[0] = TEXT
    del x[2:]


def is_one_letter(text: str) -> bool:
    """Whether it is all of one value."""
    return text == text[0] * len(HUGE)


def gets(d: Any, key: str, times: int) -> set[Any]:
    """What that many looks at one key find."""
    return set(map(d.get, repeat(key, times)))


def contains(d: Any) -> set[Any]:
    """What that many looks for a key say."""
    return set(map(d.__contains__, repeat("key", 500)))


def elements(x: Any, place: int, times: int) -> set[Any]:
    """What that many looks at one place of a list find."""
    return set(map(x.__getitem__, repeat(place, times)))


def values(d: Any) -> set[Any]:
    """The values of a snapshot."""
    return set(d.value.values())


SCENES: dict[str, Scene] = {
    "get": Scene(lambda: SharedDict({"key": 1, "text": TEXT}), churn, lambda d: gets(d, "key", 500) == {1}),
    "in": Scene(lambda: SharedDict({"key": 1}), come_and_go, lambda d: contains(d) == {True}),
    "record": Scene(lambda: SharedDict({"key": 1, "text": TEXT}), churn, lambda d: gets(d, "text", 100) == {TEXT}),
    "huge": Scene(lambda: SharedDict({"huge": HUGE}), churn_huge, lambda d: is_one_letter(d["huge"])),
    "value": Scene(lambda: SharedDict(dict.fromkeys(KEYS, 0)), rewrite, lambda d: len(values(d)) == 1),
    "list": Scene(lambda: SharedList([0] * 300), rewrite_list, lambda x: len(set(x.value)) == 1),
    "slice": Scene(lambda: SharedList([0] * 300), rewrite_list, lambda x: len(set(x[5:200:3])) == 1),
    "word": Scene(lambda: SharedList[Any]([TEXT, 5]), turn, lambda x: elements(x, 1, 500) == {5}),
    "item": Scene(lambda: SharedList[Any]([TEXT, 5]), turn, lambda x: elements(x, 0, 100) == {TEXT}),
}


def look(line: Line, read: Callable[[Any], bool], container: Any, looks: SharedCounter) -> int:
    """Read until the writer is done; how often what was read was wrong."""
    wrong = 0
    line.tell("looking")
    try:
        while looks.value >= 0:
            wrong += not read(container)
            looks.increment()
    finally:
        looks.set(END)
    return wrong


def look_at(line: Line, name: str, container: Any, looks: SharedCounter) -> int:
    """`look` at a scene."""
    return look(line, SCENES[name].read, container, looks)


@contextmanager
def stopped(reader: Child, looks: SharedCounter, n: int) -> Generator[None]:
    """Stop the reader when it has looked once more and is anywhere in its next look, and let it go on afterwards."""
    before = looks.value
    while looks.value == before:
        os.sched_yield()
    for _ in range(n * 37 % 1000):
        pass
    if looks.value < 0:
        reader.result()  # which raises what ended it
    os.kill(reader.pid, signal.SIGSTOP)
    _, status = os.waitpid(reader.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), "it ended"
    yield
    os.kill(reader.pid, signal.SIGCONT)


@pytest.mark.parametrize("name", SCENES)
def test_a_stopped_reader_sees_what_was_before_or_after(name: str) -> None:
    """Never what is between, nor what is no longer there; and it raises nothing."""
    scene = SCENES[name]
    with scene.make() as container, SharedCounter() as looks, Child("fork", look_at, name, container, looks) as reader:
        assert reader.hear() == "looking"
        for n in range(STOPS):
            with stopped(reader, looks, n):
                scene.write(container, n)
        looks.set(END)

        assert reader.result() == 0


def look_for_key(line: Line, container: Any, looks: SharedCounter) -> int:
    """`look` for a key that is always there."""
    return look(line, lambda d: gets(d, "a", 100) == {1}, container, looks)


@pytest.mark.parametrize("point", ["redo.pending", "redo.applying", "redo.applied"])
def test_a_stopped_reader_finds_what_a_dying_writer_moved(point: str, tmp_path: Path) -> None:
    """The writer deletes a key and sets it anew in one block, and dies when that is half applied."""
    Ledger(tmp_path / "ledger", 1).close()
    case = ACTIONS["set anew"].make()
    with case[0] as d, SharedCounter() as looks, Nursery(PROCSHARE_FAULT="-") as nursery:
        job = "set anew", 0, pickle.dumps(case)
        with Child("fork", look_for_key, d, looks) as reader:
            assert reader.hear() == "looking"
            for n in range(80):
                with stopped(reader, looks, n):
                    nursery.start(doomed, point, [job], tmp_path / "ledger")
                    assert nursery.wait()
                looked = looks.value
                while looks.value in (looked, looked + 1):
                    os.sched_yield()
                if n % 4:
                    with d.locked():  # now nothing is half applied, until the next one dies
                        pass
            looks.set(END)

            assert reader.result() == 0
