"""Deaths after single stores, and system calls that fail: a few of what `procshare.testing` has programs for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from procshare import SharedArray, SharedCounter
from procshare.testing import steps, syscalls
from procshare.testing._catalogue import OPERATIONS
from procshare.testing._deaths import Subject, death, recorded, states
from procshare.testing._denied import Denial
from procshare.testing._kinds import KINDS
from procshare.testing._operations import Operation
from procshare.testing._stepping import bring, follow, spread
from procshare.testing._tracer import CONT, Traced, why_not
from procshare.testing._trials import Failed, forked
from procshare.testing.syscalls import trial, usual

if TYPE_CHECKING:
    from types import ModuleType

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def ran(program: ModuleType, *words: str) -> str:
    """What a program prints that finds nothing wrong."""
    command = [sys.executable, "-m", program.__name__, *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    assert "all survived" in ended.stdout
    return ended.stdout


def figures(table: str) -> list[int]:
    """The numbers in the last line of a table."""
    return [int(each.replace(",", "")) for each in re.findall(r"(?<=\| )[\d,]+(?= \|)", table.strip().splitlines()[-1])]


def named(kind: str, name: str) -> Operation:
    """An operation."""
    return next(each for each in OPERATIONS if (each.kind, each.name) == (kind, name))


def test_deaths_after_stores_are_survived() -> None:
    """Of every 13th operation every 5th death is survived."""
    _, _, stores, calls, deaths, *_ = figures(ran(steps, "--sample", "13", "--every", "5"))
    assert min(stores / 20, calls, deaths) > 50


def test_failing_system_calls_are_survived() -> None:
    """Of every 7th operation every 7th way in which a system call fails is survived."""
    _, calls, denials, *_ = figures(ran(syscalls, "--sample", "7", "--every", "7"))
    assert min(calls, denials) > 50


def test_each_type_has_operations() -> None:
    """No public type is left out."""
    assert {each.kind for each in OPERATIONS} == {*KINDS, "transaction"}


def test_an_increment_is_one_store() -> None:
    """Of an atomic increment exactly one instruction is seen to change shared bytes."""
    with SharedCounter() as x:
        assert x.name
        with Traced(x.increment) as traced:
            path = follow(traced)
        assert (path.stores, path.calls, path.unseen) == (1, 0, False)
        assert x.value == 1
        with Traced(x.increment) as traced:
            assert bring(traced, path.moments[0])
            traced.kill()
        assert x.value == 2


def test_a_store_of_the_interpreters_is_not_missed() -> None:
    """What NumPy writes into an array's memory at full speed is told, and found when it is stepped through."""
    with SharedArray([0.0, 0.0]) as x:
        assert x.name

        def write() -> None:
            x.array[1] = 2.5

        with Traced(write) as traced:
            assert follow(traced).unseen
        with Traced(write) as traced:
            traced_again = follow(traced, closely=True)
        assert not traced_again.stores  # it was 2.5 already
        x.array[1] = 0
        with Traced(write) as traced:
            assert follow(traced, closely=True).stores == 1


def test_a_torn_update_is_told() -> None:
    """Two commits that pass for one operation leave a state between them, which is a failure."""

    def both(x: Any) -> None:
        x.increment()
        x.increment()

    torn = Subject(Operation("SharedCounter", "torn", [both]))
    expected = forked(lambda: states(torn.operation), 60)
    moments = forked(lambda: recorded(torn), 60).moments
    assert [each.why for each in moments] == ["store", "store"]
    with pytest.raises(Failed, match="the state is"):
        forked(lambda: death(torn, moments[0], expected), 60)
    forked(lambda: death(torn, moments[1], expected), 60)


def test_a_lost_write_is_told() -> None:
    """What was done, and is not there after the death of who did it, is a failure."""
    lost = Operation("SharedList", "lost", [lambda x: x.locked().__enter__().append(1)], kept=True)
    with pytest.raises(Failed):
        forked(lambda: states(lost), 60)


def test_a_failing_call_that_leaves_something_behind_is_told() -> None:
    """A descriptor that stays open after an error is a failure."""
    leaked = list[int]()

    def leaky(x: Any) -> None:
        leaked.append(os.open("/dev/null", os.O_RDONLY))
        x.append("x" * 5000)
        os.close(leaked.pop())

    operation = Operation("SharedList", "leaky", [leaky])
    normal = forked(lambda: usual(operation), 60)
    assert normal.calls[0] == "fallocate"
    with pytest.raises(Failed, match="1 descriptors too many"):
        forked(lambda: trial(operation, Denial(0, "fallocate", "EIO", False), normal), 60)


def test_a_traced_process_that_crashes_is_told() -> None:
    """Death by a signal of its own is no end of the work."""
    with Traced(lambda: os.kill(os.getpid(), signal.SIGSEGV)) as traced:
        assert traced.go(CONT) == signal.SIGSEGV
        assert not traced.finished


def test_some_of_many() -> None:
    """The first and the last are among those that are chosen."""
    moments = list(range(100))
    assert spread(moments, 5) == [0, 25, 50, 74, 99]
    assert spread(moments, 1) == [99]
    assert spread(moments, 200) == moments
