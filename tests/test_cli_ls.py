"""`procshare ls`, `holders` and `show`: what is there, who holds it, what is in it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import procshare
from cli_support import HOLDING, needs_shm, run, seen, spoil
from scripts import Script, until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [needs_shm, pytest.mark.timeout(60)]


def listed(name: str) -> dict[str, str]:
    """The row of `ls`, in a pipe, about one object."""
    [row] = [row for row in run("ls").rows if row["NAME"] == name]
    return row


def test_ls_lists_a_named_array() -> None:
    """In a pipe: exact figures, all columns, no blank within a field; and nothing once it is gone."""
    name = f"test ls {os.getpid()}"
    word = name.replace(" ", r"\x20")
    with procshare.SharedArray(np.zeros((2, 3)), name=name):
        row = listed(word)
        assert row["KIND"] == "array"
        assert row["OWNER"] == row["ATTACHED"] == str(os.getpid())
        assert int(row["BYTES"]) >= 48
        assert row["HOLDER"] == row["HELD"] == "-"
        assert (row["USER"], row["PERSIST"]) == (str(os.geteuid()), "no")
        [found] = [info for info in run("ls", "--json").data if info["name"] == name]
        assert found["attached"] == [os.getpid()]
    assert word not in run("ls").out


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 160])
def test_ls_fits_every_screen(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Every name is there in full, and no line is longer than the screen."""
    name = "x" * 70
    with procshare.SharedCounter(name=name), procshare.SharedDict({"a": 1}, name="test-dict"):
        lines = seen(monkeypatch, columns, "ls")
        assert name in "".join(line.strip() for line in lines)
        assert any("test-dict" in line for line in lines)


def test_ls_has_fewer_words_where_there_is_less_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are named, then counted; columns go; in the end each object has a few lines."""
    state = procshare.SegmentInfo(
        "training-state", "x", "value", 8192, 11001, (11001, 11002), 11002, False, "object", 0, 300.0, 7.25
    )

    def segments(all_users: bool = False) -> list[procshare.SegmentInfo]:
        del all_users
        return [state]

    monkeypatch.setattr(procshare, "segments", segments)
    assert "11001 11002  5.0 min  11002 for 7.2 s" in seen(monkeypatch, 100, "ls")[1]
    assert seen(monkeypatch, 81, "ls")[1].endswith("8 KiB  11001  2         5.0 min  11002 for 7.2 s")
    assert seen(monkeypatch, 52, "ls")[0].split() == ["name", "kind", "size", "locked", "by"]
    assert seen(monkeypatch, 40, "ls") == [
        "training-state",
        "  value of object · 8 KiB · 2 attached ·",
        "  5.0 min",
        "  locked by 11002 for 7.2 s",
    ]


def test_ls_says_so_where_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence for people, a line of titles for programs, an empty list in JSON."""

    def segments(all_users: bool = False) -> list[procshare.SegmentInfo]:
        del all_users
        return []

    monkeypatch.setattr(procshare, "segments", segments)
    assert run("ls").out.split()[:2] == ["NAME", "KIND"]
    assert run("ls", "--json").data == []
    assert seen(monkeypatch, 80, "ls") == ["There are no shared objects."]


def test_ls_asks_for_all_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --all-users others' objects are listed, with their user's name instead of the owner."""
    asked: list[bool] = []
    other = procshare.SegmentInfo(
        "theirs", "procshare.0.theirs", "unknown", 8, None, (), None, False, "", 0, None, None
    )

    def segments(all_users: bool = False) -> list[procshare.SegmentInfo]:
        asked.append(all_users)
        return [other]

    monkeypatch.setattr(procshare, "segments", segments)
    titles, row = seen(monkeypatch, 80, "ls", "--all-users")
    assert "user" in titles.split()
    assert row.split()[:5] == ["theirs", "unknown", "-", "8", "B"]
    assert "root" in row
    assert asked == [True]


def test_the_holder_of_a_lock_is_told() -> None:
    """By `ls` and by `holders`, with its command line; gone with the hold."""
    name = f"test-held-{os.getpid()}"
    with Script(HOLDING, name) as program:
        pid = program.hear()
        assert listed(name)["HOLDER"] == pid
        [held] = [row for row in run("holders", "--json").data if row["name"] == name]
        assert str(held["holder"]) == pid
        assert "program.py" in held["command"]
        assert f"{name}  value" in run("holders").out
        assert f"held by pid {pid} (" in run("show", name).out
        program.tell()
        assert program.ended().code == 0
    assert name not in run("holders").out


def test_old_holds_are_told_from_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--older-than` leaves out what was taken later, and what has no time; the longest comes first."""

    def info(name: str, held: float | None) -> procshare.SegmentInfo:
        return procshare.SegmentInfo(name, name, "value", 1, 1, (1,), 1, False, "", 0, 9.0, held)

    found = [info("young", 2.0), info("old", 700.0), info("timeless", None), info("free", None)._replace(holder=None)]
    monkeypatch.setattr(procshare, "segments", lambda: found)
    assert [row["name"] for row in run("holders", "--json").data] == ["old", "young", "timeless"]
    assert [row["name"] for row in run("holders", "--older-than", "60", "--json").data] == ["old"]
    assert "12 min" in seen(monkeypatch, 80, "holders")[1]
    assert seen(monkeypatch, 80, "holders", "--older-than", "800") == ["No lock is held for longer than 13 min."]
    assert run("holders", "--older-than", "-1").code == 2


CONTENTS: list[tuple[Callable[[str], procshare.Handle], dict[str, str]]] = [
    (lambda name: procshare.SharedCounter(1234, name=name), {"value": "1,234"}),
    (lambda name: procshare.SharedValue({"a": [1]}, name=name), {"value": "{'a': [1]}"}),
    (lambda name: procshare.SharedValue("\x1b[2J", name=name), {"value": r"'\x1b[2J'"}),
    (
        lambda name: procshare.SharedArray(np.arange(12).reshape(3, 4), name=name),
        {"shape": "(3, 4), 12 elements of int64, 96 B", "range": "0 to 11, mean 5.5"},
    ),
    (lambda name: procshare.SharedDict({"a": 1, "b": "x"}, name=name), {"length": "2 items", "'a'": "1", "'b'": "'x'"}),
    (lambda name: procshare.SharedNamespace({"x": 5}, name=name), {"length": "1 item", "x": "5"}),
    (lambda name: procshare.SharedList(range(25), name=name), {"length": "25 items", "[9]": "9", "…": "15 more"}),
    (lambda name: procshare.SharedSet({"only"}, name=name), {"length": "1 element", "first": "'only'"}),
    (lambda name: procshare.SharedSemaphore(3, name=name), {"value": "3 permits left"}),
    (lambda name: procshare.SharedLock(name=name), {"state": "unlocked"}),
    (lambda name: procshare.SharedEvent(name=name), {"state": "unset"}),
    (lambda name: procshare.SharedBarrier(3, name=name), {"parties": "0 of 3 have come", "state": "whole"}),
    (lambda name: procshare.SharedCondition(name=name), {"state": "unlocked"}),
    (lambda name: procshare.SharedRWLock(name=name), {"state": "who reads or writes is not told"}),
]


@pytest.mark.parametrize(("make", "inside"), CONTENTS)
def test_show_tells_what_is_inside(make: Callable[[str], procshare.Handle], inside: dict[str, str]) -> None:
    """Of every kind; and the object is there afterwards as it was before."""
    name = f"test-show-{os.getpid()}"
    handle = make(name)
    try:
        told = run("show", name, "--json").data
        assert told["contents_error"] is None
        assert inside.items() <= told["contents"].items()
        assert told["commands"][str(os.getpid())]
        assert [info.attached for info in procshare.segments() if info.name == name] == [(os.getpid(),)]
    finally:
        handle.unlink()


def test_show_takes_nothing_out_of_a_queue() -> None:
    """It tells how many items there are, and leaves them there."""
    name = f"test-show-{os.getpid()}"
    with procshare.SharedQueue[int](maxsize=9, name=name) as queue:
        queue.put_many([1, 2])
        assert run("show", name, "--json").data["contents"]["length"].startswith("2 of 9 items")
        assert queue.get_many(timeout=0) == [1, 2]


FOREIGN = """
class Job:
    pass
jobs = SharedDict({"good": 1, "bad": Job()}, name=sys.argv[1])
say()
sys.stdin.readline()
"""


def test_show_says_what_cannot_be_shown() -> None:
    """One value whose class is missing here does not hide the others."""
    name = f"test-foreign-{os.getpid()}"
    with Script(FOREIGN, name) as program:
        program.hear()
        inside = run("show", name, "--json").data["contents"]
        assert inside["'good'"] == "1"
        assert inside["'bad'"].startswith("cannot be shown: AttributeError")


def test_show_leaves_alone_what_its_own_leaving_would_remove() -> None:
    """An object that was handed over, and that nobody has attached yet, is still there after a look."""
    name = f"test-handed-{os.getpid()}"
    with Script("SharedList([1], name=sys.argv[1]).hand_over()", name) as program:
        assert program.ended().code == 0
    assert "nobody is attached" in run("show", name, "--json").data["contents_error"]
    attached = procshare.attach(name)
    assert isinstance(attached, procshare.SharedList)
    assert attached == [1]
    attached.close()


def test_show_fits_a_narrow_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 40 columns long values go on in the next line."""
    name = f"test-show-{os.getpid()}"
    with procshare.SharedDict({"key": "v" * 60}, name=name):
        lines = seen(monkeypatch, 40, "show", name)
    assert "v" * 60 in "".join(line.strip() for line in lines)


def test_show_says_what_is_not_there_and_what_is_damaged() -> None:
    """One line on stderr, exit code 1; in JSON an object that says so too."""
    missing = run("show", "no-such-object", "--json")
    assert (missing.code, missing.data["ok"]) == (1, False)
    assert missing.err.startswith("procshare: no live shared object is called 'no-such-object'")
    name = f"test-damaged-{os.getpid()}"
    with procshare.SharedDict({"a": 1}, name=name):
        spoil(name)
        damaged = run("show", name)
        assert (damaged.code, damaged.out) == (1, "")
        assert damaged.err.count("\n") == 1
        assert "does not hold a valid procshare object" in damaged.err


def test_json_is_what_the_functions_return() -> None:
    """`ls --json` is `segments()`, and `show --json` has the numbers of `stats()`."""
    name = f"test-json-{os.getpid()}"
    with procshare.SharedCounter(name=name):
        [from_python] = [info for info in procshare.segments() if info.name == name]
        [from_command] = [info for info in run("ls", "--json").data if info["name"] == name]
        fields: dict[str, Any] = json.loads(json.dumps(from_python._asdict()))
        assert from_command.keys() == fields.keys()
        assert {each: from_command[each] for each in fields if each != "age"} == {
            each: fields[each] for each in fields if each != "age"
        }
        shown = run("show", name, "--json").data
        assert shown["stats"].keys() == procshare.stats(name)._asdict().keys()


def test_a_busy_wait_is_not_needed() -> None:
    """An object that another process made a moment ago is listed as soon as that process says so."""
    name = f"test-new-{os.getpid()}"
    with Script("c = SharedCounter(name=sys.argv[1]); say(); sys.stdin.readline()", name) as program:
        program.hear()
        assert listed(name)["KIND"] == "counter"
        program.kill()
    until(lambda: not any(info.name == name and info.attached for info in procshare.segments()))
    procshare.prune()
