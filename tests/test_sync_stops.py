"""Those who do not run at the worst moment: stopped, dead half-way, or in a table by bytes that a test has written.

What they are stopped at is what the others do in between, which a race meets once in thousands.
"""

from __future__ import annotations

import os
import signal
import struct
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task, asleep
from nursery import Nursery
from procshare import (
    LockTimeout,
    NotFound,
    SharedBarrier,
    SharedCondition,
    SharedDict,
    SharedQueue,
    SharedRWLock,
    SharedSemaphore,
    SharedValue,
    attach,
    prune,
    testing,
)
from procshare.backends import native_built
from scripts import SHM, until
from support import Child, Line, kept
from sync_support import can

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads; we fork with threads
]

TABLE = 8192  # where a condition's table is; src/procshare/_native/layout.h
HEAD, ENTRY = struct.Struct("=QII"), struct.Struct("=IIQ")
DEAD = 701 << 21  # the token of a seat in which nobody sits


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process of the core's test build."""
    with Nursery(PROCSHARE_FAULT="-") as made:
        yield made


def stopped(pid: int) -> bool:
    """Whether a process is."""
    return asleep(pid, pid, "T")


# ---- segments ----


def attach_late(name: str) -> None:
    """In a process that is stopped when it has opened the file and sits in it."""
    testing.arm("segment.attached~")
    with pytest.raises(NotFound):
        attach(name)


def test_what_is_unlinked_while_somebody_attaches_is_not_found(nursery: Nursery) -> None:
    """Who sits down in a file looks whether it still has its name."""
    value = SharedValue("x", name="stops-value")
    pid = nursery.start(attach_late, value.name)
    assert until(lambda: stopped(pid))
    value.unlink()
    value.close()
    os.kill(pid, signal.SIGCONT)
    assert not nursery.wait()


def leave_late(name: str) -> None:
    """In a process that is stopped when it has given up its seat, and not yet looked whether it was the last one."""
    value = SharedValue[str].open(name, "x")
    testing.arm("segment.leaving~")
    value.close()


def test_what_is_claimed_while_the_last_one_leaves_stays(nursery: Nursery) -> None:
    """Who was there until then may have stored it in a container."""
    with kept(SharedDict[str, Any]()) as d:
        value = SharedValue[str].open("stops-left", "x")
        pid = nursery.start(leave_late, "stops-left")
        assert until(lambda: stopped(pid))
        d["value"] = value
        value.close()
        os.kill(pid, signal.SIGCONT)
        assert not nursery.wait()
        assert d["value"].value == "x"


def die_claiming(name: str) -> None:
    """In a process that stores in a container what it has handed over, and dies when that is claimed."""
    value = SharedValue("x", name=f"{name}-value")
    value.hand_over()
    d = SharedDict[str, Any](name=name)
    testing.arm("links.claimed")
    d["value"] = value


def test_what_was_handed_over_and_claimed_goes_when_its_container_is_lost(nursery: Nursery) -> None:
    """It waits for nobody, though its flag says so. Lost is a container whose name alone a tracker removed."""
    nursery.start(die_claiming, "stops-lost")
    assert nursery.wait()
    (SHM / f"procshare.{os.geteuid()}.stops-lost").unlink()
    gone = {info.name for info in prune()}
    assert "stops-lost-value" in gone
    assert not (SHM / f"procshare.{os.geteuid()}.stops-lost-value").exists()


def inspect_late(segment: str) -> None:
    """In a process that is stopped when it has read the header, and not yet looked who is there."""
    from procshare.backends.shm.core import native

    testing.arm("segment.inspecting~")
    seen = native.inspect(segment)
    assert (seen[4], len(seen[8])) == ([], 1)  # nobody is attached, one container has claimed it


def test_what_is_claimed_before_it_is_let_go_of_is_no_garbage(nursery: Nursery) -> None:
    """Whoever sweeps judges by what stands there after its look at the seats: else it would remove what is queued."""
    with kept(SharedQueue[Any]()) as queue:
        value = SharedValue("x", name="stops-claimed")
        pid = nursery.start(inspect_late, value.segment)
        assert until(lambda: stopped(pid))
        queue.put(value)
        value.close()
        os.kill(pid, signal.SIGCONT)
        assert not nursery.wait()
        with queue.get(timeout=5) as again:
            assert again.value == "x"
            again.unlink()


# ---- semaphores ----


def test_permits_that_a_dead_one_was_giving_back_are_free(nursery: Nursery) -> None:
    """All, though whoever takes the lock over finds one free already, and does not look for more."""
    with kept(SharedSemaphore(3, robust=True)) as semaphore:
        nursery.start(give_back_two, semaphore)
        assert nursery.wait()
        assert [semaphore.acquire(timeout=0) for _ in range(4)] == [True, True, True, False]


def give_back_two(semaphore: SharedSemaphore) -> None:
    """In a doomed process: it has none any more, and they are not yet counted."""
    semaphore.acquire()
    semaphore.acquire()
    testing.arm("semaphore.given")
    semaphore.release(2)


# ---- conditions ----


def test_a_notification_is_not_kept_by_the_dead() -> None:
    """Not for an instant: whoever notifies sees that nobody sits there, and frees the entry."""
    with kept(SharedCondition()) as condition:
        with (SHM / condition.segment).open("r+b") as file:
            file.seek(TABLE)
            file.write(HEAD.pack(1, 1, 0) + ENTRY.pack(DEAD, 1 << 2 | 1, 1))
        with condition:
            condition.notify()
        with (SHM / condition.segment).open("rb") as file:
            file.seek(TABLE + HEAD.size)
            token, _state, _ticket = ENTRY.unpack(file.read(ENTRY.size))
        assert token == 0


def test_the_place_in_the_table_is_not_the_place_in_the_queue() -> None:
    """Who came later and sits where an earlier one has left waits for the others' turn."""
    order: list[int] = []
    begun = threading.Semaphore(0)

    def work(n: int) -> None:
        with condition:
            begun.release()
            assert condition.wait(20)
            order.append(n)

    with kept(SharedCondition()) as condition:
        tasks: list[Task] = []

        def come(n: int) -> None:
            tasks.append(Task(partial(work, n)))
            assert begun.acquire(timeout=10)
            with condition:
                pass  # it is in its wait now, since it let go of the lock

        def go(n: int) -> None:
            with condition:
                condition.notify()
            assert until(lambda: len(order) > n)

        for n in range(3):
            come(n)
        go(0)
        come(3)
        for n in range(1, 4):
            go(n)
        assert order == [0, 1, 2, 3]


def test_waits_in_vain_use_nothing_up() -> None:
    """More of them than there are entries."""
    with kept(SharedCondition()) as condition, condition:
        assert not any(condition.wait(0) for _ in range(1100))


# ---- barriers ----


def outcome(barrier: SharedBarrier, timeout: float = 20) -> object:
    """What a wait comes to."""
    try:
        return barrier.wait(timeout)
    except threading.BrokenBarrierError:
        return "broken"


def wait_at(_line: Line, barrier: SharedBarrier, timeout: float) -> object:
    """In a child."""
    return outcome(barrier, timeout)


def test_a_party_that_was_stopped_goes_by_its_own_round() -> None:
    """It has passed, whatever happened since; and those of the rounds after it are not disturbed."""
    with SharedBarrier(2) as barrier, Child("fork", wait_at, barrier, 20) as late:
        assert until(lambda: barrier.n_waiting == 1 and asleep(late.pid, late.pid))
        os.kill(late.pid, signal.SIGSTOP)
        assert until(lambda: stopped(late.pid))
        numbers = [outcome(barrier)]
        other = Task(lambda: outcome(barrier))
        assert sorted([outcome(barrier), other.result()], key=str) == [0, 1]
        third = Task(lambda: outcome(barrier))
        assert until(lambda: barrier.n_waiting == 1)
        os.kill(late.pid, signal.SIGCONT)
        numbers.append(late.result())
        assert sorted(numbers, key=str) == [0, 1]
        assert not barrier.broken
        assert sorted([outcome(barrier), third.result()], key=str) == [0, 1]


def test_an_action_that_lasts_into_the_next_round_ends_its_own() -> None:
    """That was broken by a reset; the next one waits for its own action."""
    begun, end = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    rounds = iter(range(2))

    def action() -> None:
        n = next(rounds)
        begun[n].set()
        assert end[n].wait(10)

    with kept(SharedBarrier(2, action)) as barrier:
        first = [Task(lambda: outcome(barrier)) for _ in range(2)]
        assert begun[0].wait(10)
        barrier.reset()
        second = [Task(lambda: outcome(barrier)) for _ in range(2)]
        assert begun[1].wait(10)
        end[0].set()
        assert [each.result() for each in first] == ["broken", "broken"]
        assert all(each.is_alive() for each in second)
        end[1].set()
        assert sorted((each.result() for each in second), key=str) == [0, 1]


@pytest.mark.parametrize(
    ("point", "passes"),
    [("barrier.committing", False), ("barrier.committed", True), ("barrier.marking", True), ("barrier.marked", True)],
)
def test_the_last_party_dies_and_the_others_pass_together_or_not(point: str, passes: bool, nursery: Nursery) -> None:
    """They do if it had said so, whether or not it came to tell each of them; and the barrier is of use afterwards."""
    with kept(SharedBarrier(3)) as barrier:
        others = [Task(lambda: outcome(barrier)) for _ in range(2)]
        assert until(lambda: barrier.n_waiting == 2)
        nursery.start(come_last, point, barrier)
        assert nursery.wait()
        told = [each.result() for each in others]
        assert sorted(told, key=str) == ([0, 1] if passes else ["broken"] * 2)
        assert barrier.broken is not passes
        barrier.reset()
        others = [Task(lambda: outcome(barrier)) for _ in range(2)]
        assert sorted([outcome(barrier), *(each.result() for each in others)], key=str) == [0, 1, 2]


def come_last(point: str, barrier: SharedBarrier) -> None:
    """In a doomed process."""
    testing.arm(point)
    barrier.wait(10)


# ---- readers and writers ----


def read(lock: SharedRWLock, inside: Any) -> None:
    """In a stopped process: it has looked for writers, and says so only when it is in."""
    testing.arm("rwlock.reading~")
    with lock.reading(timeout=20):
        inside.release()


def test_a_reader_looks_again_when_it_has_counted_itself(nursery: Nursery) -> None:
    """A writer that came in between has found no reader, so it is the reader that waits."""
    with kept(SharedRWLock()) as lock, kept(SharedSemaphore(0)) as inside:
        pid = nursery.start(read, lock, inside)
        assert until(lambda: stopped(pid))
        with lock.writing(timeout=5):
            os.kill(pid, signal.SIGCONT)
            assert until(lambda: asleep(pid, pid))
            assert not inside.acquire(timeout=0.05)
        assert inside.acquire(timeout=10)
        assert not nursery.wait()


def write(line: Line, lock: SharedRWLock) -> None:
    """In a child: wait to write."""
    line.tell("coming")
    with lock.writing(timeout=20):
        line.tell("inside")


def test_a_writer_that_leaves_does_not_open_the_door_that_another_has_shut() -> None:
    """Readers do not go in before one who waits to write, even if that one is stopped."""
    with SharedRWLock() as lock:
        with lock.writing():
            writer = Child("fork", write, lock)
            assert writer.hear() == "coming"
            assert until(lambda: asleep(writer.pid, writer.pid))
            os.kill(writer.pid, signal.SIGSTOP)
            assert until(lambda: stopped(writer.pid))
        with writer:
            assert not can(lock, "reading")
            os.kill(writer.pid, signal.SIGCONT)
            assert writer.hear() == "inside"
            writer.result()
        assert can(lock, "reading")


def test_a_writer_that_gave_up_has_nothing() -> None:
    """Its thread goes on, and others write."""
    inside, leave = threading.Event(), threading.Event()
    with SharedRWLock() as lock:

        def stay() -> None:
            with lock.reading():
                inside.set()
                assert leave.wait(10)

        reader = Task(stay)
        assert inside.wait(10)
        with pytest.raises(LockTimeout), lock.writing(timeout=0.01):
            pytest.fail("it went in")
        leave.set()
        reader.result()
        assert can(lock, "writing")


def visit(_line: Line, lock: SharedRWLock) -> bool:
    """In a child: write."""
    return can(lock, "writing")


def test_a_reading_thread_that_ended_is_gone_for_other_processes_too() -> None:
    """It is counted where they look."""
    blocks: list[Any] = []
    with SharedRWLock() as lock:

        def leave_open() -> None:
            blocks.append(lock.reading())
            blocks[0].__enter__()

        Task(leave_open).result()
        with Child("fork", visit, lock) as child:
            assert child.result() is True
