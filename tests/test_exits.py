"""What is left after each way to end, what strangers can destroy, and what the standard library does in their place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from death_support import asleep, check, forked
from procshare import SharedCounter, SharedLock, SharedValue, segments
from procshare.backends import native_built
from procshare.testing._exit_table import WAYS
from procshare.testing._kinds import KINDS
from procshare.testing.exits import survive
from procshare.testing.stdlib import CASES, GOOD, outcome
from scripts import SHM, Script, run, until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")


SLOW_TO_START = "spawn", "forkserver"
SHORT = [
    way for way in WAYS if "goes on" in way or not any(how in way for how in SLOW_TO_START)
]  # the program tries all


@pytest.mark.parametrize("way", SHORT)
def test_nothing_is_left_and_nobody_is_hurt(way: str) -> None:
    """All types, in all sorts of life; whoever is attached goes on."""
    assert survive(WAYS[way], list(KINDS)).problems == []


@pytest.mark.parametrize("make", [SharedLock, SharedCounter, lambda: SharedValue("x")])
def test_a_forked_child_is_seated_in_what_its_parent_gave_away(make: Callable[[], Any]) -> None:
    """Also in a slab that holds nothing else: else its parent's exit would take it from under the child."""
    given = make()
    given.hand_over()
    assert forked(lambda: check(seated(given.name) == {os.getpid(), os.getppid()})) == 0
    given.close()


def seated(name: str) -> set[int]:
    """Who is attached, by the kernel's word."""
    return {pid for info in segments() if info.name == name for pid in info.attached}


def test_the_tracker_is_told_also_when_nothing_can_be_imported_any_more() -> None:
    """The last one out may be a handle that goes with the interpreter, after all modules."""
    source = """
from multiprocessing import util
from procshare.backends.shm import segment
def late():
    sys.modules.clear()
    sys.meta_path = None
    say(segment.tracker_id() > 0)
kept = SharedCounter()
kept.name
util.Finalize(None, late, exitpriority=-200)
"""
    ended = run(source)
    assert ended.out == "True\n", ended.err


def test_a_name_that_was_removed_by_force_and_given_again_stays_the_new_ones() -> None:
    """The old one's end neither removes it nor takes it off the resource tracker, which knows names only."""
    source = """
old = SharedCounter(name=f"exits-again-{os.getpid()}")
os.unlink(f"/dev/shm/{old.segment}")
new = SharedCounter(name=old.name)
say(new.segment)
old.unlink()
SharedCounter.attach(new.name).close()
if sys.argv[1] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = run(source, "end")
    assert (ended.code, ended.err) == (0, "")
    ended = run(source, "kill")
    segment = SHM / ended.out.strip()
    assert until(lambda: not segment.exists())


def test_a_worker_that_is_terminated_while_it_removes_tells_the_tracker_first() -> None:
    """As a pool's, which is about to leave by itself: else the tracker warns of a name that is gone."""
    source = """
from procshare import testing
x = SharedCounter(name=f"exits-terminated-{os.getpid()}")
testing.arm("segment.unlinked~")
say("ready")
x.unlink()
"""
    with Script(source, environ={"PROCSHARE_FAULT": "-"}) as script:
        assert script.hear() == "ready"
        assert until(lambda: asleep(script.process.pid, script.process.pid, "T"))
        script.signal(signal.SIGTERM)
        script.signal(signal.SIGCONT)
        ended = script.ended()
    assert (ended.code, ended.err) == (-signal.SIGTERM, "")


def test_strangers_lost_descriptors_and_namespaces_cost_nothing() -> None:
    """Each case of `procshare.testing.strangers` once."""
    done = subprocess.run(
        [sys.executable, "-m", "procshare.testing.strangers", "--rounds", "1"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("case", CASES)
def test_what_the_standard_library_does_not_survive(case: str) -> None:
    """The right-hand column of the table of `procshare.testing.stdlib`."""
    assert outcome(case, 1).startswith(GOOD)


def test_the_standard_library_is_measured() -> None:
    """One row of the left-hand column, which says what it does."""
    assert outcome("holder of a lock killed: the next one gets it", 0).startswith("never")
