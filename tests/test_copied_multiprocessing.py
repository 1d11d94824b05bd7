"""The package `multiprocess` is a copy of `multiprocessing` with registries of its own: its processes clean up too.

Here such a copy is made of the standard library's.
"""

from __future__ import annotations

import multiprocessing
import re
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from procshare import SharedArray, SharedCounter, SharedDict, SharedList
from scripts import Ended, entries, run, until

if TYPE_CHECKING:
    from collections.abc import Callable

CHILD = """
import multiprocess

def make(pipe):
    globals()["kept"] = SharedDict({"a": 1})
    pipe.send(kept.name)

if __name__ == "__main__":
    context = multiprocess.get_context(sys.argv[1])
    with SharedCounter():
        here, there = context.Pipe()
        child = context.Process(target=make, args=(there,))
        child.start()
        name = here.recv()
        child.join()
        say(child.exitcode, os.path.exists("/dev/shm/" + name))
"""
LAST = """
import {first}, {second}
import {package}.util

def look(pipe, name):
    pipe.recv()
    say(attach(name).value)

if __name__ == "__main__":
    kept = SharedDict({{"a": 1}})
    here, there = {package}.Pipe()
    {package}.Process(target=look, args=(there, kept.name)).start()
    {package}.util.Finalize(None, here.send, ("the end is near",), exitpriority=1)  # before children are joined
"""


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a package `multiprocess`."""
    home = tmp_path_factory.mktemp("copied")
    source = Path(multiprocessing.__file__).parent
    for path in source.glob("*.py"):
        target = home / "multiprocess" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(re.sub(r"(?<!_)\bmultiprocessing\b", "multiprocess", path.read_text()))
    return home


def run_with(copied: Path, source: str, *args: str) -> Ended:
    """Run a program that finds the copy, as its children do."""
    return run(source, *args, environ={"PYTHONPATH": str(copied)})


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_removes_what_it_made(copied: Path, method: str) -> None:
    """Its end runs the copy's finalizers, and not those of `multiprocessing`."""
    before = entries()
    ended = run_with(copied, CHILD, method)

    assert (ended.code, ended.out, ended.err) == (0, "0 False\n", "")
    assert until(lambda: entries() <= before)


@pytest.mark.parametrize("package", ["multiprocess", "multiprocessing"])
@pytest.mark.parametrize("first", ["multiprocess", "multiprocessing"])
def test_objects_go_after_the_children_of_both_packages(copied: Path, first: str, package: str) -> None:
    """Whichever was imported first, and is the last to join its children."""
    second = {"multiprocess": "multiprocessing", "multiprocessing": "multiprocess"}[first]
    ended = run_with(copied, LAST.format(first=first, second=second, package=package))

    assert (ended.code, ended.out, ended.err) == (0, "{'a': 1}\n", "")


@pytest.mark.parametrize("make", [SharedCounter, SharedDict, SharedList, lambda: SharedArray.zeros(1)])
def test_a_class_can_be_made_again_from_what_it_tells(make: Callable[[], Any]) -> None:
    """As dill makes a class of `__main__` again: from its `__orig_bases__`, wherever it finds them."""
    with make() as known:
        interface = known._implements
    mine: Any = type("Mine", (interface,), {"__slots__": ()})

    again: Any = types.new_class("Mine", mine.__orig_bases__, {"metaclass": type(mine)})

    assert interface in again.__mro__
    assert again.kind == interface.kind
