"""The campaign of `procshare.testing.chaos`: a short one is survived, and what it looks for it finds."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from procshare import SharedCounter, SharedQueue
from procshare.testing import _chaos_channels as chaos_channels
from procshare.testing._chaos_fate import fate
from procshare.testing._chaos_ledger import TOPICS, Ledger, born, mark_of
from procshare.testing._chaos_worker import Worker, Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIAR = """
import sys
from procshare.testing import chaos, _chaos_program as chaos_program

def lie(w):
    w.intend("counter")
    w.ack("counter")
    w.between("counter", lambda: w.world["counter"].value)

if __name__ == "__main__":
    chaos_program.DEEDS["SharedCounter"] = lie
    sys.argv[1:] = ["--seconds", "5", "--seed", "3", "--workers", "2", "--only", "SharedCounter"]
    sys.exit(chaos.main())
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A program and what it said."""
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Books for two workers."""
    books = Ledger(tmp_path / "ledger", 2)
    yield books
    books.close()


def worker(ledger: Ledger, tmp_path: Path, slot: int, **world: object) -> Worker:
    """One of them, which is this process."""
    ledger.put(slot, "life", 1)
    ledger.put(slot, "pid", os.getpid())
    ledger.put(slot, "born", born(os.getpid()))
    return Worker(ledger, slot, 1, 0, world, tmp_path)


def test_a_short_campaign_is_survived() -> None:
    """Workers on all types for some seconds, dozens of deaths among them."""
    done = run("-m", "procshare.testing.chaos", "--seconds", "5", "--seed", "1", "--spare-tracker")

    assert done.returncode == 0, done.stderr
    assert all(f"| {topic} |" in done.stdout for topic in TOPICS)


def test_what_is_acknowledged_and_not_there_ends_it(tmp_path: Path) -> None:
    """It says how to run the seed again, and what the workers did last."""
    program = tmp_path / "liar.py"
    program.write_text(LIAR)

    done = run(str(program))

    assert done.returncode == 1
    assert "counter is 0, not between 1 and" in done.stderr
    assert "--seed 3 --workers 2 --only 'SharedCounter' --replay" in done.stderr
    assert "did counter" in done.stderr


def test_a_seed_holds_the_same_fate_each_time() -> None:
    """How a life is started and ended is a matter of seed, slot and life alone."""
    fates = {(slot, life): fate(5, slot, life) for slot in range(4) for life in range(20)}

    assert all(fate(5, *place) == found for place, found in fates.items())
    assert len(set(fates.values())) > 70


def test_two_inside_a_lock_are_noticed(ledger: Ledger, tmp_path: Path) -> None:
    """Whoever enters while a living worker is inside says so; after a dead one it knows that one died."""
    one, other = worker(ledger, tmp_path, 0), worker(ledger, tmp_path, 1)
    assert not one.enter("lock")

    with pytest.raises(Wrong, match="slot 1 is inside while slot and life"):
        other.enter("lock")
    with pytest.raises(Wrong, match="finds slot and life"):
        other.leave("lock")

    ledger.put(0, "born", 1)  # as if its process id were another's by now
    assert other.enter("lock")
    other.leave("lock")


def test_a_holder_is_alive_until_it_begins_to_exit(ledger: Ledger) -> None:
    """A child that ended, but was not waited for, is no more."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ledger.put(0, "life", 7)
    ledger.put(0, "pid", child.pid)
    ledger.put(0, "born", born(child.pid))
    assert ledger.lives(mark_of(0, 7))
    assert not ledger.lives(mark_of(0, 6))

    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not ledger.lives(mark_of(0, 7))
    child.communicate()


def test_a_count_that_is_short_is_noticed(ledger: Ledger, tmp_path: Path) -> None:
    """What was intended may be there; what was acknowledged must."""
    with SharedCounter(4) as counter:
        w = worker(ledger, tmp_path, 0)
        w.intend("counter", 4)
        w.between("counter", lambda: counter.value)
        w.intend("counter", 2)
        w.ack("counter", 4)
        w.between("counter", lambda: counter.value)
        w.ack("counter", 2)
        with pytest.raises(Wrong, match="counter is 4, not between 6 and 6"):
            w.between("counter", lambda: counter.value)


@pytest.mark.parametrize(
    ("account", "leased", "said"), [("put", False, "1 items were lost"), ("leased put", True, "1 items never came")]
)
def test_an_item_that_is_lost_is_noticed(ledger: Ledger, tmp_path: Path, account: str, leased: bool, said: str) -> None:
    """At the end each item that was put must have come."""
    with SharedQueue[object]() as queue, SharedQueue[object]() as small, SharedQueue[object]() as work:
        w = worker(ledger, tmp_path, 0, queue=queue, leased=work, **{"small queue": small})
        for serial in 1, 2, 3:
            w.intend(account)
            if serial != 2:
                (work if leased else queue).put((0, serial, chaos_channels.body(serial)))
            w.ack(account)

        with pytest.raises(Wrong, match=said):
            chaos_channels.settle(w)
