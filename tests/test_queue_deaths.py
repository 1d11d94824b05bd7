"""Processes that die by SIGKILL at each step of a queue, and what those who survive them find in it.

A doomed process makes the steps of an action, each of which is one commit, and keeps account of those that are done.
What survives is the state after those, or after one more: nothing acknowledged is lost, and nothing is doubled.
"""

from __future__ import annotations

import gc
import os
import pickle
import random
import time
from functools import partial
from itertools import cycle
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

import procshare
from death_support import CHANNEL_STEPS, PROMPT, Task, in_time, patient
from ledger import HITS, PAIRS, WRONG, Ledger
from nursery import Nursery
from procshare import (
    OwnerDied,
    SharedArray,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedList,
    SharedQueue,
    ShutDown,
    WaitTimeout,
    testing,
)
from procshare.backends import native_built
from queue_doom import ACTIONS, Job, State, doomed, states, touching
from queue_storm import consume, delivered, pending, produce
from queue_support import Spoiled, alike
from scripts import entries, left_since, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

STEPS = [point for point in testing.fault_points() if point.startswith(CHANNEL_STEPS)] if native_built() else []
LATER = ["lease.returning", "lease.returned"]  # only who comes after a death comes to them
POINTS = [point for point in STEPS if point not in LATER]
GENERAL = ["lock.acquired", "lock.releasing", "lock.released", "heap.extending", "heap.popped", "heap.pushing"]
VISITS = (1, 3)
TAKES = ["queue.taking", "queue.taken", "queue.applied"]
PUTS = ["queue.putting", "queue.put"]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process of the core's test build."""
    with Nursery(PROCSHARE_FAULT="-") as made:
        yield made


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """What a failed test made is unlinked all the same."""
    made.clear()
    yield
    while made:
        queue = made.pop()
        queue.unlink()
        queue.close()


made: list[SharedQueue[Any]] = []


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """The file where a doomed process keeps account of its steps."""
    Ledger(tmp_path / "ledger", 1).close()
    return tmp_path / "ledger"


class Case(NamedTuple):
    """An action, its queue, and how many of its steps are done."""

    name: str
    queue: SharedQueue[Any]
    done: int = -1

    def job(self) -> Job:
        """What a doomed process is told of it."""
        return self.name, pickle.dumps(self.queue)

    def possible(self) -> list[State]:
        """What may be: that after the steps that are done, or after one more."""
        return [*states(self.name)[self.done :][:2], *ACTIONS[self.name].between]


def make(names: Iterable[str]) -> list[Case]:
    """Actions that nothing is done of yet."""
    cases = [Case(name, ACTIONS[name].make()) for name in names]
    made.extend(case.queue for case in cases)
    return cases


def die(nursery: Nursery, point: str, cases: list[Case], ledger: Path) -> int:
    """Let a process do the actions and die: in which it died, with its steps counted, or -1 if it did them all."""
    nursery.start(doomed, point, [case.job() for case in cases], ledger)
    killed = nursery.wait()
    account = Ledger(ledger)
    which, done = account[0, PAIRS], account[0, HITS]
    account.close()
    if not killed:
        return -1
    cases[which] = cases[which]._replace(done=done)
    return which


# ---- what survivors see ----


def joined(queue: SharedQueue[Any]) -> str:
    """What join says at once."""
    try:
        queue.join(timeout=0)
    except OwnerDied:
        return "died"
    except WaitTimeout:
        return "undone"
    return "done"


def next_item(queue: SharedQueue[Any]) -> Any:
    """What comes next; "none" if nothing does."""
    try:
        return queue.get(timeout=0)
    except LookupError:
        return Spoiled()
    except (Empty, ShutDown):
        return "none"


def same_item(one: Any, other: Any) -> bool:
    """Whether they are alike, or both do not unpickle."""
    return alike(one, other) or (isinstance(one, Spoiled) and isinstance(other, Spoiled))


def tasks(queue: SharedQueue[Any]) -> int:
    """How many tasks were not done; they are now."""
    count = 0
    while True:
        try:
            queue.task_done()
        except ValueError:
            return count
        count += 1


def is_shut(queue: SharedQueue[Any]) -> bool:
    """Whether nothing can be put any more; else one item is put, if it fits."""
    try:
        queue.put("last", timeout=0)
    except ShutDown:
        return True
    except Full:
        pass
    return False


def matches(state: State, told: dict[str, Any], items: list[Any], undone: int, shut: bool) -> bool:
    """Whether what was seen is a state."""
    if len(items) != len(state.items) or not all(map(same_item, items, state.items)):
        return False
    join = "died" if state.owed else "undone" if state.undone else "done"
    right = {"qsize": len(state.items), "empty": not state.items, "join": join}
    return all(right[look] == answer for look, answer in told.items()) and (undone, shut) == (state.undone, state.shut)


FIRST = cycle(["qsize", "empty", "join", "get", "put"])  # what a survivor does first


def check(case: Case) -> None:
    """Nobody waits for the dead, and all is as it was after the steps that were done, or after one more."""
    name, queue, _ = case
    looks: dict[str, Callable[[], Any]] = {"qsize": queue.qsize, "empty": queue.empty, "join": lambda: joined(queue)}
    first = next(FIRST)
    told: dict[str, Any] = {}
    begun = time.monotonic()
    shut = is_shut(queue) if first == "put" else None
    if first in looks:
        told[first] = looks[first]()
    items = [next_item(queue)]
    in_time(time.monotonic() - begun)
    while items[-1] != "none" if isinstance(items[-1], str) else True:
        items.append(next_item(queue))
    items.pop()
    extra = [item for item in items[-1:] if isinstance(item, str) and item == "last"]
    undone = tasks(queue) - len(extra)
    seen = items[: len(items) - len(extra)], undone, is_shut(queue) if shut is None else shut
    assert any(matches(state, told, *seen) for state in case.possible()), (name, case.done, told, seen)
    next_item(queue)
    tasks(queue)
    if not seen[2]:
        works(queue)


def works(queue: SharedQueue[Any]) -> None:
    """It takes and gives as a new one."""
    assert joined(queue) == "done"
    with SharedQueue[Any](queue.maxsize, capacity=queue.capacity) as fresh:
        assert fill(queue) == fill(fresh)
    for item in (b"x" * 10, b"y" * 3000, {"z": 5}):
        queue.put(item, timeout=0)
        with queue.lease(timeout=0) as got:
            assert got == item
    assert joined(queue) == "done"


def fill(queue: SharedQueue[Any], most: int = 200) -> int:
    """How many items fit; they are taken out again."""
    count = 0
    try:
        while count < most:
            queue.put(b"f" * 70, timeout=0)
            count += 1
    except Full:
        pass
    for _ in range(count):
        assert queue.get(timeout=0) == b"f" * 70
        queue.task_done()
    return count


# ---- deaths ----


@pytest.mark.parametrize("point", [*POINTS, *GENERAL])
@patient
def test_a_death_leaves_one_of_the_states(point: str, nursery: Nursery, ledger: Path) -> None:
    """In every action that comes to the point, at its first visit or at a later one; and at least one does."""
    met: list[str] = []
    for visit in VISITS:
        cases = left = make(ACTIONS)
        while (which := die(nursery, f"{point}:{visit}", left, ledger)) >= 0:
            met.append(left[which].name)
            check(left[which])
            left = left[which + 1 :]
        for case in cases:
            if case.name not in met:
                check(case)
    assert met


@pytest.mark.parametrize("then", [*LATER, "lock.taken_over", "lock.recovered", "lease.beginning", *TAKES, *PUTS])
@patient
def test_whoever_comes_after_may_die_as_well(then: str, nursery: Nursery, ledger: Path) -> None:
    """Each of two who come after the dead and before the one who goes on."""
    met = 0
    names = "put", "get many", "lease several", "lease large", "done"
    for point in ("queue.taken", "lease.beginning", "lock.acquired"):
        left = make(names)
        while (which := die(nursery, point, left, ledger)) >= 0:
            case = left[which]
            for _ in range(2):
                nursery.start(touching, then, case.queue, ledger)
                met += nursery.wait()
            check_touched(case)
            left = left[which + 1 :]
    assert met


def check_touched(case: Case) -> None:
    """Two have put something, or died when they were about to; the rest is as it was."""
    items: list[Any] = []
    begun = time.monotonic()
    items.append(next_item(case.queue))
    in_time(time.monotonic() - begun)
    while not (isinstance(items[-1], str) and items[-1] == "none"):
        items.append(next_item(case.queue))
    own = [item for item in items[:-1] if not (isinstance(item, str) and item == "touched")]
    touched = len(items) - 1 - len(own)
    assert touched <= 2
    undone = tasks(case.queue)
    assert any(
        len(own) == len(state.items) and all(map(same_item, own, state.items)) and undone - touched == state.undone
        for state in case.possible()
    ), (case.name, case.done, items, undone)
    works(case.queue)


def test_a_queue_lives_through_a_hundred_deaths(nursery: Nursery, ledger: Path) -> None:
    """One after the other at any steps; it has as much room as at first, and its file does not grow for ever."""
    chance = random.Random(5)
    with SharedQueue[Any](capacity=1500) as queue:
        sizes: list[int] = []
        for _ in range(100):
            point = f"{chance.choice([*POINTS, *GENERAL])}:{chance.randrange(1, 5)}"
            nursery.start(doomed, point, [("come round", pickle.dumps(queue))], ledger)
            nursery.wait()
            while not queue.empty():
                queue.get_many(timeout=0)
            tasks(queue)
            sizes.append(os.stat(f"/dev/shm/{queue.segment}").st_size)
        works(queue)
        assert sizes[-1] <= 2 * sizes[20], sizes


# ---- those who wait when it happens ----


@pytest.mark.parametrize("point", ["queue.putting", "queue.put", "lock.releasing", "lock.released"])
@pytest.mark.parametrize("many", [False, True])
@patient
def test_who_waits_for_an_item_gets_what_was_committed(point: str, many: bool, nursery: Nursery, ledger: Path) -> None:
    """Within 100 ms of the death, though nobody woke it; and it is not woken by what was not."""
    with SharedQueue[Any]() as queue:
        waiter = Task(partial(queue.get_many, 5, timeout=10) if many else partial(queue.get, timeout=10))
        waiter.join(0.02)
        nursery.start(put_one, point, queue)
        assert nursery.wait()
        moment = time.monotonic()
        if point == "queue.putting":
            waiter.join(0.1)
            assert waiter.is_alive()
            queue.put("last")
            assert waiter.result() == (["last"] if many else "last")
        else:
            assert waiter.result() == (["put"] if many else "put")
        in_time(waiter.ended - moment, PROMPT + (0.1 if point == "queue.putting" else 0))


def put_one(point: str, queue: SharedQueue[Any]) -> None:
    """In a doomed process."""
    testing.arm(point)
    queue.put("put")


@pytest.mark.parametrize("point", ["queue.taking", "queue.taken", "queue.applied", "lock.releasing", "lock.released"])
@pytest.mark.parametrize("what", ["get", "get_many", "lease"])
@patient
def test_who_waits_for_room_gets_what_was_freed(point: str, what: str, nursery: Nursery) -> None:
    """A dead taker made room if it took; if it did not, there is none until someone else takes."""
    with SharedQueue[Any](1) as queue:
        queue.put("first")
        waiter = Task(partial(queue.put, "second", timeout=10))
        waiter.join(0.02)
        nursery.start(take_one, point, queue, what)
        assert nursery.wait()
        moment = time.monotonic()
        took = point != "queue.taking" and what != "lease"
        if not took:
            assert queue.get(timeout=1) == "first"
        waiter.result()
        in_time(waiter.ended - moment)
        assert queue.get(timeout=0) == "second"
        assert joined(queue) == ("died" if took else "undone")


def take_one(point: str, queue: SharedQueue[Any], what: str) -> None:
    """In a doomed process."""
    testing.arm(point)
    if what == "lease":
        queue.lease(timeout=1).__enter__()
    elif what == "get":
        queue.get(timeout=1)
    else:
        queue.get_many(timeout=1)


@pytest.mark.parametrize("point", ["queue.taking", "queue.taken", "queue.applied", "lock.released"])
@patient
def test_who_waits_in_join_goes_on(point: str, nursery: Nursery) -> None:
    """The last task is done, or was never said to be and its process is dead; nobody waits for ever."""
    with SharedQueue[Any]() as queue:
        queue.put("task")
        waiter = Task(queue.join)
        nursery.start(do_one, point, queue)
        assert nursery.wait()
        moment = time.monotonic()
        if point == "queue.taking":
            with pytest.raises(OwnerDied):
                waiter.result()
        else:
            waiter.result()
        in_time(waiter.ended - moment)


def do_one(point: str, queue: SharedQueue[Any]) -> None:
    """In a doomed process."""
    queue.get(timeout=1)
    testing.arm(point)
    queue.task_done()


@pytest.mark.parametrize("point", ["queue.taken", "queue.applied", "lock.releasing", "lock.released"])
@pytest.mark.parametrize("what", ["get", "get_many"])
@patient
def test_who_waits_in_join_is_told_of_a_taker_that_died_at_once(point: str, what: str, nursery: Nursery) -> None:
    """It took the item, and can never say that it is done; nobody else does anything to the queue."""
    with SharedQueue[Any]() as queue:
        queue.put("task")
        waiter = Task(queue.join)
        nursery.start(take_one, point, queue, what)
        assert nursery.wait()
        moment = time.monotonic()
        with pytest.raises(OwnerDied):
            waiter.result()
        in_time(waiter.ended - moment)
        queue.task_done()
        queue.join(timeout=0)


@pytest.mark.parametrize("immediate", [False, True])
@patient
def test_a_shutdown_that_died_half_way_is_one(immediate: bool, nursery: Nursery) -> None:
    """Those who wait are told, nothing can be put; what was not dropped can be got, or dropped by another."""
    with SharedQueue[Any]() as queue, SharedQueue[Any](1) as full:
        full.put("first")
        waiters = [Task(partial(queue.get, timeout=10)), Task(partial(full.put, "second", timeout=10))]
        waiters[0].join(0.02)
        for each in (queue, full):
            nursery.start(shut, each, immediate)
            assert nursery.wait()
        moment = time.monotonic()
        for waiter in waiters:
            with pytest.raises(ShutDown):
                waiter.result()
            in_time(waiter.ended - moment)
        full.shutdown(immediate)
        if not immediate:
            assert full.get(timeout=1) == "first"
            full.task_done()
        with pytest.raises(ShutDown):
            full.get(timeout=1)
        full.join(timeout=0)


def shut(queue: SharedQueue[Any], immediate: bool) -> None:
    """In a doomed process."""
    testing.arm("queue.shut")
    queue.shutdown(immediate)


@pytest.mark.parametrize("point", ["lease.ending", "queue.taking", "queue.taken", "lock.releasing", "lock.released"])
@pytest.mark.parametrize("well", [False, True])
@patient
def test_who_waits_for_a_lease_gets_it_unless_it_is_done(point: str, well: bool, nursery: Nursery) -> None:
    """A holder that dies while it ends its lease has ended it, or its item comes back."""
    with SharedQueue[Any]() as queue, SharedEvent() as leased, SharedEvent() as go:
        queue.put("work")
        nursery.start(end_lease, point, queue, well, leased, go)
        assert leased.wait(10)
        waiter = Task(partial(queue.get, timeout=0.5))
        waiter.join(0.02)
        go.set()
        assert nursery.wait()
        moment = time.monotonic()
        if well and point not in ("lease.ending", "queue.taking"):
            with pytest.raises(Empty):
                waiter.result()
        else:
            assert waiter.result() == "work"
            in_time(waiter.ended - moment)
            queue.task_done()
        assert joined(queue) == "done"


def end_lease(point: str, queue: SharedQueue[Any], well: bool, leased: SharedEvent, go: SharedEvent) -> None:
    """In a doomed process."""
    block = queue.lease(timeout=1)
    block.__enter__()
    leased.set()
    go.wait(10)
    testing.arm(point)
    block.__exit__(*((None, None, None) if well else (KeyError, KeyError(), None)))


# ---- shared objects that are in it ----

GIVEN: dict[str, Callable[[], Any]] = {
    "counter": lambda: SharedCounter(5),
    "array": lambda: SharedArray(np.arange(5000)),
    "dict": lambda: SharedDict({"n": SharedList([5])}),
}
HANDED = ["links.claimed", "queue.putting", "queue.put", "lock.released"]
TAKEN = ["queue.taking", "queue.taken", "queue.applied", "lock.released", "links.dropping"]


@pytest.mark.parametrize("kind", GIVEN)
@pytest.mark.parametrize("point", [*HANDED, *TAKEN])
def test_no_shared_object_is_lost_or_left_behind(point: str, kind: str, nursery: Nursery) -> None:
    """Whoever dies while one is put or got: who gets it can use it, and what nobody has is cleared away."""
    before = entries()
    with SharedQueue[Any]() as queue:
        nursery.start(give, "-" if point in TAKEN and point not in HANDED else point, queue, kind)
        died_giving = nursery.wait()
        if point in TAKEN and not died_giving:
            nursery.start(take_away, point, queue)
            nursery.wait()
        while not queue.empty():
            (got,) = queue.get(timeout=1)
            assert got.kind == kind
            assert kind != "counter" or got.increment() == 6
            assert kind != "array" or got.array.sum() == sum(range(5000))
            assert kind != "dict" or got["n"].value == [5]
            got.close()
            del got
        gc.collect()
    procshare.prune()
    assert not left_since(before)


def give(point: str, queue: SharedQueue[Any], kind: str) -> None:
    """In a doomed process: make something, put it, and leave without a word."""
    made = GIVEN[kind]()
    testing.arm(point)
    queue.put([made])
    testing.arm("-")
    os._exit(0)


def take_away(point: str, queue: SharedQueue[Any]) -> None:
    """In a doomed process: get it, and let go."""
    testing.arm(point)
    (got,) = queue.get(timeout=1)
    got.close()
    del got
    gc.collect()


# ---- at random moments ----

KILLS, CROWD = 200, 3


def test_a_hundred_producers_and_a_hundred_consumers_are_killed(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Nothing acknowledged is lost but what a consumer had just taken, nothing is doubled, and nobody is held up."""
    chance = random.Random(6)
    total = 2 * CROWD + KILLS
    ledger = Ledger(tmp_path / "ledger", total)
    pauses: list[float] = []
    killed: set[int] = set()
    with SharedQueue[Any](200, capacity=60_000) as queue, Nursery() as nursery:
        kinds = [produce] * CROWD + [consume] * CROWD
        alive = list(range(2 * CROWD))
        for me in alive:
            nursery.start(kinds[me], tmp_path, me, queue)
        for me in range(2 * CROWD, total):
            if me % 4:  # one of four may die before its first deed
                assert until(lambda: all(ledger.has_begun(each) for each in alive), timeout=10)
            time.sleep(chance.random() * 0.01)  # the random moment
            which = chance.randrange(CROWD) + CROWD * (me % 2)
            nursery.end(which)
            killed.add(alive.pop(which))
            begun = time.monotonic()
            assert until(partial(more, ledger, sum(ledger.column(HITS))), timeout=10)
            pauses.append(time.monotonic() - begun)
            kind = kinds[CROWD * (me % 2)]
            nursery.start(kind, tmp_path, me, queue)
            nursery.children.insert(which, nursery.children.pop())
            alive.insert(which, me)
        while nursery.children:
            nursery.end(0)
        killed |= {*alive}
        rest: list[Any] = []
        while not queue.empty():
            rest += queue.get_many(timeout=0)
        undone = tasks(queue)
        assert not any(ledger.column(WRONG))

        got, leased = delivered(tmp_path, total)
        got += [(who, n) for who, n, _ in rest]
        assert len(got) == len(set(got))  # nothing is doubled
        producers = [me for me in range(total) if not pending(tmp_path, me).exists()]
        acknowledged = {(me, n) for me in producers for n in range(ledger[me, HITS])}
        begun_ = {(me, n) for me in producers for n in range(ledger[me, PAIRS])}
        assert {*got} <= begun_
        lost = acknowledged - {*got}
        taking = sum(ledger[me, PAIRS] for me in range(total) if me not in producers)
        record_property("lost", [len(lost), len(leased), taking, undone, len(got)])
        assert len(lost - leased) <= taking
        assert len(acknowledged) > 20 * KILLS
        assert sorted(pauses)[-3] < PROMPT, sorted(pauses)[-5:]  # some may fall victim to a busy machine
        works_after(queue)
    ledger.close()


def more(ledger: Ledger, than: int) -> bool:
    """Whether the living do something."""
    return sum(ledger.column(HITS)) > than


def works_after(queue: SharedQueue[Any]) -> None:
    """As a new one does."""
    for n in range(500):
        queue.put(n, timeout=1)
        assert queue.get(timeout=1) == n
        queue.task_done()
    queue.join(timeout=0)
