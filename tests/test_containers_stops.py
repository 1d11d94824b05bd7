"""Readers that are stopped at whatever instruction they are at, while a writer changes everything under them.

A reader is a loop in C, so that most of its time is in one read. It is stopped by SIGSTOP; then the writer commits,
grows, compacts and gives back the memory that the reader was looking at; then the reader goes on.
"""

from __future__ import annotations

import os
import signal
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from procshare import SharedCounter, SharedDict, SharedList
from procshare.backends import native_built
from support import Child, Line

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

STOPS = 300
TEXT, HUGE, KEYS = "t" * 3000, "h" * 300_000, range(400)


class Scene(NamedTuple):
    """A container, what is written to it at each stop, and what a reader must see.

    Attributes:
        make: The container.
        write: A number of commits, given the number of the stop.
        read: Many reads, and whether they were right.
    """

    make: Callable[[], Any]
    write: Callable[[Any, int], object]
    read: Callable[[Any], bool]


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
    for key in range(300):
        d[n, key] = key
    for key in range(300):
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


SCENES = {
    "get": Scene(
        lambda: SharedDict({"key": 1, "text": TEXT}), churn, lambda d: None not in map(d.get, repeat("key", 500))
    ),
    "in": Scene(lambda: SharedDict({"key": 1}), come_and_go, lambda d: all(map(d.__contains__, repeat("key", 500)))),
    "record": Scene(
        lambda: SharedDict({"key": 1, "text": TEXT}), churn, lambda d: set(map(d.get, repeat("text", 100))) == {TEXT}
    ),
    "huge": Scene(
        lambda: SharedDict({"huge": HUGE}), churn_huge, lambda d: all(map(is_one_letter, map(d.get, ["huge"])))
    ),
    "value": Scene(lambda: SharedDict(dict.fromkeys(KEYS, 0)), rewrite, lambda d: len(set(d.value.values())) == 1),
    "list": Scene(lambda: SharedList([0] * 300), rewrite_list, lambda x: len(set(x.value)) == 1),
    "slice": Scene(lambda: SharedList([0] * 300), rewrite_list, lambda x: len(set(x[5:200:3])) == 1),
    "item": Scene(
        lambda: SharedList([TEXT, 5]),
        turn,
        lambda x: set(map(x.__getitem__, repeat(0, 100))) == {TEXT} and set(map(x.__getitem__, repeat(1, 400))) == {5},
    ),
}


def look(line: Line, name: str, container: Any, looks: SharedCounter) -> int:
    """Read until the writer is done; how often what was read was wrong."""
    read = SCENES[name].read
    wrong = 0
    line.tell("looking")
    while looks.value >= 0:
        wrong += not read(container)
        looks.increment()
    return wrong


@pytest.mark.parametrize("name", SCENES)
def test_a_stopped_reader_sees_what_was_before_or_after(name: str) -> None:
    """Never what is between, nor what is no longer there; and it raises nothing."""
    scene = SCENES[name]
    with scene.make() as container, SharedCounter() as looks, Child("fork", look, name, container, looks) as reader:
        assert reader.hear() == "looking"
        for n in range(STOPS):
            before = looks.value
            while looks.value == before:  # it looks at what the last stop left
                os.sched_yield()
            for _ in range(n * 37 % 1000):  # and now it is anywhere
                pass
            os.kill(reader.pid, signal.SIGSTOP)
            _, status = os.waitpid(reader.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status), "it ended"
            scene.write(container, n)
            os.kill(reader.pid, signal.SIGCONT)
        looks.set(-(10**9))

        assert reader.result() == 0
