"""Processes that die by SIGKILL with a lock, in a wait, or at any step of either, and what that is to the others."""

from __future__ import annotations

import os
import random
import signal
import struct
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from death_support import PROMPT, SYNC_STEPS, Task, asleep, in_time, patient
from ledger import HITS, PAIRS, WAIT, WRONG, Ledger
from nursery import Nursery
from procshare import (
    SharedArray,
    SharedBarrier,
    SharedCondition,
    SharedEvent,
    SharedLock,
    SharedRLock,
    SharedRWLock,
    SharedSemaphore,
    testing,
)
from procshare.backends import native_built
from scripts import SHM, until
from support import Child, Line, WorkerDied, kept
from sync_doom import ACTIONS, Action, doomed, touching
from sync_storm import ROWS, blow
from sync_support import Keeper, nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy.typing as npt

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads; we fork with threads
]

STEPS = [point for point in testing.fault_points() if point.startswith(SYNC_STEPS)] if native_built() else []
LATER = [
    "semaphore.counting",
    "semaphore.counted",
    "rwlock.clearing",
    "rwlock.cleared",
]  # only who comes after a death comes to them
POINTS = [point for point in STEPS if point not in LATER]
GENERAL = ["lock.acquired", "lock.releasing", "lock.released"]
VISITS = (1, 2)
FAMILIES = {
    "semaphore": ("semaphore", "bounded semaphore", "robust semaphore", "permits", "robust permits"),
    "event": ("event", "flag"),
    "condition": ("condition", "condition of a lock", "condition's lock"),
    "barrier": ("barrier", "barrier with an action", "barrier with a failing action"),
    "rwlock": ("reading", "writing"),
    "lock": ("lock", "named lock", "rlock", "condition's lock", "condition", "barrier", "writing", "robust permits"),
}
"""Which actions come to the points of a structure."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process of the core's test build."""
    with Nursery(PROCSHARE_FAULT="-") as made:
        yield made


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """The file where a doomed process keeps account of its steps."""
    Ledger(tmp_path / "ledger", 1).close()
    return tmp_path / "ledger"


# ---- at every step ----


def die(nursery: Nursery, point: str, jobs: list[tuple[str, Any]], ledger: Path) -> tuple[int, int]:
    """Let a process do the actions and die: in which it died, and after how many steps; -1 if it did them all."""
    nursery.start(doomed, point, jobs, ledger)
    killed = nursery.wait()
    account = Ledger(ledger)
    which, done = account[0, PAIRS], account[0, HITS]
    account.close()
    return (which, done) if killed else (-1, 0)


def sound(action: Action, x: Any) -> None:
    """Nobody waits for the dead: it is taken, waited for and let go at once, by the living alone."""
    begun = time.monotonic()
    if isinstance(x, SharedBarrier):
        x.reset()
        in_time(time.monotonic() - begun)
        together(x, action.passes)
        return
    if isinstance(x, SharedSemaphore):
        settle(x)
    for _ in range(2):
        with Keeper(action.way, x) as keeper:
            in_time(time.monotonic() - begun)
            assert action.way.wait(x, 0, nothing) is False
            waiter = Task(partial(action.way.wait, x, 10, nothing))
            waiter.join(0.01)
            assert waiter.is_alive()
            moment = time.monotonic()
            keeper.let_go()
            assert waiter.result() is True
            in_time(waiter.ended - moment)
        begun = time.monotonic()


def settle(x: SharedSemaphore) -> None:
    """See that a semaphore has one permit, whatever the dead took of it; a robust one has it of itself."""
    held = x.get_value()
    for _ in range(held - 1):
        assert x.acquire(timeout=0)
    if held == 0:
        x.release()


def together(x: SharedBarrier, told: frozenset[Any] = frozenset({0, 1})) -> None:
    """Two who live pass it, or are told that its action failed."""
    waiter = Task(partial(passing, x))
    moment = time.monotonic()
    assert {passing(x), waiter.result()} == told
    in_time(waiter.ended - moment)
    assert (x.broken, x.n_waiting) == ("broken" in told, 0)


def passing(x: SharedBarrier) -> Any:
    """What a wait comes to."""
    try:
        return x.wait(10)
    except threading.BrokenBarrierError:
        return "broken"
    except ZeroDivisionError:
        return "failed"


@pytest.mark.parametrize("point", [*POINTS, *GENERAL])
@patient
def test_a_death_is_in_nobodys_way(point: str, nursery: Nursery, ledger: Path) -> None:
    """In every action that comes to the point, at its first visit or at a later one; and at least one does."""
    met: list[str] = []
    for visit in VISITS:
        with ExitStack() as stack:
            names = FAMILIES[point.partition(".")[0]]
            jobs = left = [(name, stack.enter_context(ACTIONS[name].made())) for name in names]
            while (found := die(nursery, f"{point}:{visit}", left, ledger))[0] >= 0:
                which, done = found
                name, x = left[which]
                met.append(name)
                check(ACTIONS[name], x, done)
                left = left[which + 1 :]
            for name, x in jobs:
                if name not in met:
                    check(ACTIONS[name], x, len(ACTIONS[name].steps))
    assert met


def check(action: Action, x: Any, done: int) -> None:
    """It is in one of the states, and sound."""
    if action.states:
        begun = time.monotonic()
        told = action.look(x)
        in_time(time.monotonic() - begun)
        assert told in action.states[done : done + 2]
    sound(action, x)


SUCCESSIONS = {
    "lock.acquired": ["lock.taken_over", "lock.recovered", "lock.released"],
    "semaphore.taken": ["semaphore.counting", "semaphore.counted", "lock.taken_over"],
    "condition.entered": ["lock.taken_over", "condition.notified", "condition.woken"],
    "barrier.entered": ["barrier.breaking", "barrier.marking", "barrier.leaving"],
    "barrier.committed": ["barrier.marked", "barrier.opened"],
    "rwlock.writing": ["lock.taken_over", "rwlock.hinted", "rwlock.unhinting"],
    "rwlock.counted": ["rwlock.clearing", "rwlock.draining", "rwlock.counted"],
}
"""At which steps those may die who come after one that died at another."""
FORGETFUL = "semaphore", "bounded semaphore", "permits"  # what the dead took of these nobody can wait for
AFTERWARDS = [(point, then) for point, others in SUCCESSIONS.items() for then in others]


@pytest.mark.parametrize(("point", "then"), AFTERWARDS)
@patient
def test_whoever_comes_after_may_die_as_well(point: str, then: str, nursery: Nursery, ledger: Path) -> None:
    """Each of two who come after the dead and before the one who goes on."""
    met = 0
    with ExitStack() as stack:
        names = FAMILIES[point.partition(".")[0]]
        left = [(name, stack.enter_context(ACTIONS[name].made())) for name in names if name not in FORGETFUL]
        while (found := die(nursery, point, left, ledger))[0] >= 0:
            name, x = left[found[0]]
            for _ in range(2):
                if isinstance(x, SharedBarrier):
                    x.reset()
                nursery.start(touching, then, name, x)
                met += nursery.wait()
            sound(ACTIONS[name], x)
            left = left[found[0] + 1 :]
    assert met


# ---- the dead who held a lock ----

MUTEXES: dict[str, Any] = {
    "lock": SharedLock,
    "named lock": lambda: SharedLock(name="deaths-lock"),
    "rlock": SharedRLock,
    "condition": SharedCondition,
}


@pytest.fixture(params=MUTEXES)
def lock(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Something that one thread holds, of each kind in turn."""
    with kept(MUTEXES[request.param]()) as made:
        yield made


def hold(line: Line, lock: Any, times: int = 1) -> None:
    """In a child: take it, and never let go."""
    for _ in range(times):
        lock.acquire()
    line.tell("held")
    line.hear(60)


def died(lock: Any) -> Any:
    """Whether its holder is told that the one before died; a condition does not tell."""
    return getattr(lock, "owner_died", None)


@patient
def test_a_dead_holders_lock_goes_on(lock: Any) -> None:
    """To one after the other of those who wait; the first of them is told of the death, and nobody else."""
    told: list[Any] = []

    def take() -> None:
        with lock:
            told.append(died(lock))

    with Child("fork", hold, lock, 3 if isinstance(lock, SharedRLock) else 1) as holder:
        assert holder.hear() == "held"
        assert lock.locked()
        waiters = [Task(take) for _ in range(3)]
        waiters[-1].join(0.02)
        assert told == []
        moment = time.monotonic()
        holder.kill()
        for waiter in waiters:
            waiter.result()
            in_time(waiter.ended - moment)
    assert told == [None if isinstance(lock, SharedCondition) else True, *[died(lock)] * 2]
    assert not lock.locked()
    with lock:
        assert not died(lock)


@pytest.mark.parametrize("how", [{"block": False}, {"timeout": 0}, {"timeout": 5}, {}])
@patient
def test_a_dead_holders_lock_is_free_however_it_is_asked_for(lock: Any, how: dict[str, Any]) -> None:
    """Also to who does not wait; `locked()` knows it too."""
    with Child("fork", hold, lock) as holder:
        assert holder.hear() == "held"
        holder.kill()
    assert not lock.locked()
    moment = time.monotonic()
    assert lock.acquire(**how) is True
    in_time(time.monotonic() - moment)
    assert died(lock) in (True, None)
    lock.release()
    assert not died(lock)


@patient
def test_another_process_is_told_as_well(lock: Any) -> None:
    """Whoever is the next."""
    with Child("fork", hold, lock) as holder, Child("fork", take_and_tell, lock) as child:
        assert holder.hear() == "held"
        child.tell("go")
        assert child.hear() == "taking"
        moment = time.monotonic()
        holder.kill()
        first, second = child.hear(), child.result()
        in_time(time.monotonic() - moment)
        assert (first, second) == ((None, None) if isinstance(lock, SharedCondition) else (True, False))


def take_and_tell(line: Line, lock: Any) -> Any:
    """In a child: take it twice, one after the other."""
    line.hear()
    line.tell("taking")
    with lock:
        line.tell(died(lock))
    with lock:
        return died(lock)


@pytest.mark.parametrize(
    ("point", "told"), [("lock.acquired", True), ("lock.releasing", True), ("lock.released", False)]
)
@pytest.mark.parametrize("kind", ["lock", "named lock", "rlock"])
@patient
def test_who_died_before_it_let_go_was_the_owner(kind: str, point: str, told: bool, nursery: Nursery) -> None:
    """And not who died after it."""
    with kept(MUTEXES[kind]()) as lock:
        for _ in range(3):
            nursery.start(take_once, point, lock)
            assert nursery.wait()
            moment = time.monotonic()
            assert lock.acquire(timeout=5)
            in_time(time.monotonic() - moment)
            assert lock.owner_died is told
            lock.release()


def take_once(point: str, lock: Any) -> None:
    """In a doomed process."""
    testing.arm(point)
    with lock:
        pass


def test_a_hundred_holders_die(lock: Any) -> None:
    """One after the other, and each next one has it within 100 ms."""
    times: list[float] = []
    with Nursery() as nursery, kept(SharedSemaphore(0)) as held:
        for _ in range(25):
            nursery.start(hold_for_ever, lock, held)
            assert held.acquire(timeout=10)
            waiter = Task(partial(lock.acquire, timeout=10))
            nursery.end(0)
            moment = time.monotonic()
            assert waiter.result()
            times.append(waiter.ended - moment)
            assert lock.acquire(timeout=5)  # the thread that had it is gone as well
            lock.release()
    assert sorted(times)[-2] < PROMPT, times


def hold_for_ever(lock: Any, held: Any) -> None:
    """In a doomed process."""
    lock.acquire()
    held.release()
    signal.pause()


# ---- the dead who waited ----


def wait_in(line: Line, x: Any) -> Any:
    """In a child: wait, and say so."""
    if isinstance(x, SharedCondition):
        with x:
            line.tell("waiting")
            return x.wait(30)
    line.tell("waiting")
    return x.wait(30)


class Waiting(Child):
    """A process that waits for an event or a condition, or at a barrier, and is known to sleep."""

    def __init__(self, x: Any) -> None:
        super().__init__("fork", wait_in, x)
        assert self.hear() == "waiting"
        assert until(lambda: asleep(self.pid, self.pid))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("kind", [SharedEvent, SharedCondition])
@patient
def test_those_who_cannot_wake_hold_nobody_up(kind: Any, number: int) -> None:
    """However many were killed or stopped while they waited, set and notify_all return at once, again and again."""
    with kept(kind()) as x, ExitStack() as stack:
        children = [stack.enter_context(Waiting(x)) for _ in range(4)]
        for child in children[:3]:
            os.kill(child.pid, number)
        if number == signal.SIGKILL:
            for child in children[:3]:
                child.kill()
        begun = time.monotonic()
        wake_all(x)
        in_time(time.monotonic() - begun, 0.05)
        assert children[3].result() is True
        in_time(time.monotonic() - begun)
        for _ in range(100):
            wake_all(x)
        in_time(time.monotonic() - begun, 0.3)


def wake_all(x: Any) -> None:
    """Wake all who wait."""
    if isinstance(x, SharedEvent):
        x.set()
    else:
        with x:
            x.notify_all()


@patient
def test_notify_passes_over_the_dead() -> None:
    """It wakes as many living as it says, first come, first served."""
    with kept(SharedCondition()) as condition, ExitStack() as stack:
        children = [stack.enter_context(Waiting(condition)) for _ in range(6)]
        for n in (0, 1, 3):
            children[n].kill()
        for n, living in ((1, [2]), (2, [4, 5])):
            moment = time.monotonic()
            with condition:
                condition.notify(n)
            for each in living:
                assert children[each].result() is True
            in_time(time.monotonic() - moment)
        with condition:
            condition.notify()
            assert condition.wait(0.02) is False  # what nobody waited for is not kept


@pytest.mark.parametrize("point", ["condition.asleep", "condition.woken"])
@patient
def test_a_notification_that_met_the_dead_goes_to_another(point: str, nursery: Nursery) -> None:
    """One who died before it came back from its wait has not used it."""
    with kept(SharedCondition()) as condition, kept(SharedSemaphore(0)) as ready:
        nursery.start(wait_and_die, point, condition, ready)
        assert ready.acquire(timeout=10)
        second = Task(partial(wait_for_notice, condition))
        second.join(0.03)
        moment = time.monotonic()
        with condition:
            condition.notify()
        if point == "condition.asleep":
            assert nursery.wait()
            assert second.result() is True
        else:
            assert nursery.wait()
            assert second.result() is True
        in_time(second.ended - moment, PROMPT + 0.05)


def wait_and_die(point: str, condition: SharedCondition, ready: Any) -> None:
    """In a doomed process."""
    testing.arm(point)
    with condition:
        ready.release()
        condition.wait(10)


def wait_for_notice(condition: SharedCondition) -> bool:
    """In a thread."""
    with condition:
        return condition.wait(10)


@patient
def test_a_waiter_that_died_in_its_wait_does_not_keep_the_lock() -> None:
    """Neither asleep nor on its way."""
    with kept(SharedCondition()) as condition:
        for _ in range(5):
            with Waiting(condition) as child:
                child.kill()
            moment = time.monotonic()
            with condition:
                in_time(time.monotonic() - moment)


# ---- barriers ----


@patient
def test_a_barrier_breaks_when_a_party_dies_that_waits() -> None:
    """For those who wait, in threads and processes, within 100 ms; and for those who come, until it is reset."""
    with SharedBarrier(4) as barrier, Waiting(barrier) as dead, Waiting(barrier) as child:
        waiter = Task(partial(barrier.wait, 20))
        assert until(lambda: barrier.n_waiting == 3)
        moment = time.monotonic()
        dead.kill()
        with pytest.raises(threading.BrokenBarrierError):
            waiter.result()
        in_time(waiter.ended - moment)
        with pytest.raises(threading.BrokenBarrierError):
            child.result()
        in_time(time.monotonic() - moment)
        assert barrier.broken
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(10)
        barrier.reset()
        assert (barrier.broken, barrier.n_waiting) == (False, 0)


def wait_at(line: Line, x: SharedBarrier) -> None:
    """In a child: be the first party."""
    line.tell("waiting")
    x.wait(60)


def test_the_last_party_does_not_pass_with_a_dead_one() -> None:
    """It finds the barrier broken."""
    with kept(SharedBarrier(2)) as x:
        with Child("fork", wait_at, x) as first:
            assert first.hear() == "waiting"
            assert until(lambda: x.n_waiting == 1)
            first.kill()
        with pytest.raises(threading.BrokenBarrierError):
            x.wait(20)
        assert x.broken


def test_the_dead_leave_room_for_others() -> None:
    """All entries of a condition are theirs, and yet one who lives has one."""
    with kept(SharedCondition()) as x:
        assert x.name
        seat, room = 700, 1023  # nobody sits there; src/procshare/_native/layout.h
        head, entry = struct.pack("=QII", room, room, 0), struct.pack("=IIQ", (seat + 1) << 21, 1 << 2 | 1, 1)
        with (SHM / x.segment).open("r+b") as file:
            file.seek(8192)
            file.write(head + entry * room)
        with x:
            assert x.wait(0.01) is False


@patient
def test_a_barrier_is_seen_to_be_broken_by_who_does_not_wait() -> None:
    """`broken` and `n_waiting` know of the death, and so does who comes last."""
    with SharedBarrier(2) as barrier:
        with Waiting(barrier) as dead:
            dead.kill()
        moment = time.monotonic()
        assert until(lambda: barrier.broken)
        in_time(time.monotonic() - moment)
        barrier.reset()
        with Waiting(barrier) as dead:
            dead.kill()
        moment = time.monotonic()
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(10)
        in_time(time.monotonic() - moment)


def sleep_for_ever() -> None:
    """A barrier's action that does not end."""
    signal.pause()


def kill_itself() -> None:
    """A barrier's action that is its process's end."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("action", [sleep_for_ever, kill_itself])
@patient
def test_a_barrier_breaks_when_the_one_that_runs_the_action_dies(action: Callable[[], None]) -> None:
    """The others do not wait for an action that will never be done."""
    with SharedBarrier(3, action) as barrier, Waiting(barrier) as child:
        waiter = Task(partial(barrier.wait, 20))
        assert until(lambda: barrier.n_waiting == 2)
        with Child("fork", wait_in, barrier) as acting:
            assert acting.hear() == "waiting"
            if action is sleep_for_ever:
                assert until(lambda: asleep(acting.pid, acting.pid))
                waiter.join(0.05)
                assert waiter.is_alive()
                acting.kill()
            else:
                with pytest.raises(WorkerDied):
                    acting.hear()
            moment = time.monotonic()
            with pytest.raises(threading.BrokenBarrierError):
                waiter.result()
            in_time(waiter.ended - moment)
            with pytest.raises(threading.BrokenBarrierError):
                child.result()
        assert barrier.broken


@patient
def test_a_thread_that_ends_is_no_death_of_a_party() -> None:
    """Who has passed the barrier may die; the next round is the others' affair."""
    with SharedBarrier(2) as barrier:
        for _ in range(3):
            with Waiting(barrier) as child:
                assert barrier.wait(10) in (0, 1)
                assert child.result() in (0, 1)
                child.kill()
            assert not barrier.broken
        together(barrier)


# ---- readers and writers ----


def stay(line: Line, lock: SharedRWLock, how: str) -> None:
    """In a child: go in, and stay; or wait to."""
    line.tell("coming")
    with getattr(lock, how)(timeout=30):
        line.tell("inside")
        line.hear(60)


class Inside(Child):
    """A process inside a block of a readers-writer lock."""

    def __init__(self, lock: SharedRWLock, how: str) -> None:
        super().__init__("fork", stay, lock, how)
        assert self.hear() == "coming"
        assert self.hear() == "inside"


def enter(lock: SharedRWLock, how: str) -> float:
    """Go in and out; when it was in."""
    with getattr(lock, how)(timeout=10):
        return time.monotonic()


@pytest.mark.parametrize("dead", ["reading", "writing"])
@pytest.mark.parametrize("how", ["reading", "writing"])
@patient
def test_what_dead_readers_and_writers_had_is_free(dead: str, how: str) -> None:
    """For those who waited, and for those who come."""
    with SharedRWLock() as lock, Inside(lock, dead) as holder:
        waits = (dead, how) != ("reading", "reading")
        waiter = Task(partial(enter, lock, how))
        waiter.join(0.02)
        assert waiter.is_alive() is waits
        moment = time.monotonic()
        holder.kill()
        waiter.result()
        in_time(waiter.ended - moment)
        for other in ("writing", "reading"):
            moment = time.monotonic()
            in_time(enter(lock, other) - moment)


@patient
def test_one_of_several_readers_dies() -> None:
    """A writer waits for the living, and for nobody else."""
    with SharedRWLock() as lock, Inside(lock, "reading") as dead, Inside(lock, "reading") as living:
        waiter = Task(partial(enter, lock, "writing"))
        dead.kill()
        waiter.join(0.15)
        assert waiter.is_alive()
        moment = time.monotonic()
        living.tell("go")
        waiter.result()
        in_time(waiter.ended - moment)


@patient
def test_a_writer_that_died_waiting_lets_readers_in() -> None:
    """It does not keep the door shut that it had shut."""
    with SharedRWLock() as lock:
        with lock.reading(), Child("fork", stay, lock, "writing") as writer:
            assert writer.hear() == "coming"
            assert until(lambda: asleep(writer.pid, writer.pid))
            reader = Task(partial(enter, lock, "reading"))
            reader.join(0.03)
            assert reader.is_alive()
            moment = time.monotonic()
            writer.kill()
            reader.result()
            in_time(reader.ended - moment)
        in_time(enter(lock, "writing") - time.monotonic())


# ---- semaphores ----


def take_permits(line: Line, semaphore: Any, n: int) -> None:
    """In a child: take some, and keep them."""
    for _ in range(n):
        semaphore.acquire()
    line.tell("taken")
    line.hear(60)


@patient
def test_robust_permits_of_the_dead_come_back() -> None:
    """To those who wait, and to the count; as many as it had taken and not given back."""
    with kept(SharedSemaphore(5, robust=True)) as semaphore:
        for _ in range(3):
            with Child("fork", take_permits, semaphore, 3) as dead, Child("fork", take_permits, semaphore, 1) as child:
                assert dead.hear() == child.hear() == "taken"
                assert semaphore.acquire(False)
                assert semaphore.get_value() == 0
                waiters = [Task(partial(semaphore.acquire, timeout=10)) for _ in range(3)]
                waiters[0].join(0.02)
                assert all(waiter.is_alive() for waiter in waiters)
                moment = time.monotonic()
                dead.kill()
                for waiter in waiters:
                    assert waiter.result() is True
                    in_time(waiter.ended - moment)
                assert semaphore.acquire(timeout=0.15) is False
                semaphore.release(4)
                assert semaphore.get_value() == 4
                child.kill()
            moment = time.monotonic()
            assert until(lambda: semaphore.get_value() == 5)
            in_time(time.monotonic() - moment)


def test_plain_permits_of_the_dead_are_gone() -> None:
    """As in the standard library; anyone may put others in their place."""
    with kept(SharedSemaphore(2)) as semaphore:
        with Child("fork", take_permits, semaphore, 2) as dead:
            assert dead.hear() == "taken"
            dead.kill()
        assert semaphore.acquire(timeout=0.15) is False
        semaphore.release(2)
        assert semaphore.get_value() == 2


# ---- at random moments ----

KILLS, CROWD = 80, 4


def test_eighty_kills_at_random_moments(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """No two are ever inside, nothing counted is lost, permits come back, and nobody waits long for the dead."""
    chance = random.Random(7)
    ledger = Ledger(tmp_path / "ledger", CROWD + KILLS)
    waits: list[float] = []
    with ExitStack() as stack:
        live = stack.enter_context(SharedArray(np.zeros((len(ROWS), 2), "q")))
        things: dict[str, Any] = {
            "lock": stack.enter_context(kept(SharedLock())),
            "rlock": stack.enter_context(kept(SharedRLock())),
            "condition": stack.enter_context(kept(SharedCondition())),
            "rwlock": stack.enter_context(SharedRWLock()),
            "permits": stack.enter_context(kept(SharedSemaphore(2, robust=True))),
            "inside": stack.enter_context(kept(SharedSemaphore(2, robust=True))),
            "event": stack.enter_context(SharedEvent()),
        }
        nursery = stack.enter_context(Nursery())
        for started in range(CROWD):
            nursery.start(blow, tmp_path / "ledger", started, live, things)
        for started in range(CROWD, CROWD + KILLS):
            if started % 4:  # one of four may die before its first deed
                assert until(partial(ledger.has_begun, started - 1), timeout=10)
            time.sleep(chance.random() * 0.02)  # the random moment
            nursery.end(chance.randrange(CROWD))
            waits += [repaired(things[name], live.array[ROWS[name]]) for name in ("lock", "rlock")]
            waits += [waited_for(things[name]) for name in ("condition", "permits")]
            waits += [enter(things["rwlock"], how) - time.monotonic() for how in ("writing", "reading")]
            nursery.start(blow, tmp_path / "ledger", started, live, things)
        while nursery.children:
            nursery.end(0)
        assert not any(ledger.column(WRONG))
        longest = sorted(ledger.column(WAIT))
        record_property("longest_wait", max(longest[-1] / 1e9, *waits))
        counted = live.array
        assert np.all((counted[:, 0] - counted[:, 1] >= 0) & (counted[:, 0] - counted[:, 1] <= 1))
        acknowledged = sum(ledger.column(HITS))
        assert acknowledged <= counted[:, 1].sum() + KILLS + CROWD
        assert counted[:, 0].sum() <= acknowledged + KILLS + CROWD
        assert acknowledged > 10 * KILLS
        assert until(lambda: [things[name].get_value() for name in ("permits", "inside")] == [2, 2])
        assert sorted(waits)[-3] < PROMPT, sorted(waits)[-5:]  # some may fall victim to a busy machine
        assert longest[-3] / 1e9 < 2 * PROMPT, longest[-5:]
    ledger.close()


def repaired(lock: Any, pair: npt.NDArray[np.int64]) -> float:
    """The same for a lock that tells its next holder, and only that one, that what it guards may be half done."""
    begun = time.monotonic()
    with lock:
        waited = time.monotonic() - begun
        if lock.owner_died:
            pair[1] = pair[0]
    return waited


def waited_for(x: Any) -> float:
    """How long it takes to get it, whatever the killed one left."""
    begun = time.monotonic()
    assert x.acquire(timeout=20)
    waited = time.monotonic() - begun
    x.release()
    return waited
