"""Processes that die by SIGKILL at each step of the core, and what those who survive them see.

A doomed process runs the core's test build (PROCSHARE_FAULT), does something until it meets the fault point, and must
have died there. The survivor is this process, which runs the ordinary build.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import procshare
from death_storm import blow
from death_support import (
    PROMPT,
    Task,
    Waiter,
    another,
    in_time,
    patient,
    same,
)
from ledger import HITS, PAIRS, WAIT, WRONG, Ledger
from nursery import Nursery
from procshare import NotFound, OwnerDied, SharedArray, SharedCounter, SharedValue
from procshare.backends import native_built
from scripts import Script, entries, left_since, run, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

DOOMED = """
from procshare import testing
point, name = sys.argv[1:]

def ready():
    "Wait for the word, and die at the point from then on."
    say("ready")
    new = pickle.loads(bytes.fromhex(sys.stdin.readline()))
    testing.arm(point)
    return new

"""

# What the doomed do. Each says "ready" once, is told what to write, and dies later.
INCREMENT = "x = attach(name); x.increment(ready())"
SET = "x = attach(name); x.set(ready())"
LEAVE = """
x = attach(name)
with x.locked() as cell:
    new = ready()
    if isinstance(x, SharedArray):
        cell[...] = new
    else:
        cell.value = new
"""
ENTER = "x = attach(name); ready(); x.locked().__enter__()"
RECOVER = "x = attach(name); ready(); x.recover()"
ATTACH = "ready(); x = attach(name)"
OPEN = "ready(); x = SharedCounter.open(name)"
MAKE_COUNTER = "ready(); x = SharedCounter(3); x.name"
MAKE_TWO = "x = SharedCounter(3); x.name; ready(); y = SharedCounter(4)"
MAKE_NAMED = "ready(); x = SharedValue(3, name=name)"
MAKE_ARRAY = "ready(); x = SharedArray.zeros(1000); x.name"
MAKE_IN_FORK = """
x = attach(name)
ready()
child = os.fork()
if child == 0:
    os._exit(0)
if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL:
    os.kill(os.getpid(), signal.SIGKILL)
"""
UNLINK = "x = SharedCounter(3); x.name; ready(); x.unlink()"
UNLINK_NAMED = "x = SharedCounter(3, name=name); ready(); x.unlink()"
CLOSE_OPENED = "x = SharedCounter.open(name); ready(); x.close()"
GIVE_BACK = "x = SharedCounter(3); y = SharedCounter(4); x.name; ready(); y.close()"


class Doomed(Script):
    """A process that does something and dies at a fault point."""

    def __init__(self, action: str, point: str, name: str) -> None:
        super().__init__(DOOMED + action, point, name, environ={"PROCSHARE_FAULT": "-"})
        assert self.hear() == "ready"

    def go(self, new: object = None) -> None:
        """Let it run into its death."""
        self.tell(pickle.dumps(new).hex())

    def died(self) -> None:
        """Wait for its death, which must be the one meant for it."""
        code = self.process.wait(10)
        assert code == -signal.SIGKILL, f"it ended with {code}; stderr:\n{self.ended().err}"


def die(action: str, point: str, name: str, new: object = None) -> None:
    """Run a doomed process to its death."""
    with Doomed(action, point, name) as doomed:
        doomed.go(new)
        doomed.died()


# ---- commits: the old value or the new one ----


def grown(size: int) -> bytes:
    """A record of its own for each size; 10,000 bytes and more live in the heap."""
    return bytes([size % 251]) * size


def record_in_heap() -> SharedValue[Any]:
    """A value whose two buffers are extents of the heap."""
    x = SharedValue[Any](grown(70_000))
    x.set(grown(70_001))
    return x


def heap_with_room() -> SharedValue[Any]:
    """A value whose segment has free extents."""
    x = record_in_heap()
    x.set(7)
    return x


@dataclass(frozen=True)
class Commit:
    """A write that a death interrupts.

    Attributes:
        action: What the doomed process does.
        make: The object that it does it to.
        new: What it writes (for an increment: adds).
        committed: Whether the new value is in force when it dies.
        torn: Whether an array is left for `recover()`.
    """

    action: str
    make: Callable[[], Any]
    new: object
    committed: bool
    torn: bool = False
    last: object = field(default=99)

    def __str__(self) -> str:
        return ACTION_NAMES[self.action]


ACTION_NAMES = {text: name.lower() for name, text in [*globals().items()] if isinstance(text, str) and name.isupper()}


def counter() -> SharedCounter:
    """In a slab."""
    return SharedCounter(10)


def named_counter() -> SharedCounter:
    """In a segment of its own."""
    return SharedCounter(10, name="deaths-counter")


def number() -> SharedValue[Any]:
    """A value that is a word."""
    return SharedValue(10, "q")


def record() -> SharedValue[Any]:
    """A value that is a record; it and NEW_RECORD fit in the buffers that every value has."""
    return SharedValue[Any]("old")


def array() -> SharedArray[Any]:
    """Large enough to be seen half written."""
    return SharedArray(np.full(5000, 10))


NEW_RECORD = "new"
NEW_ARRAY = np.full(5000, 20)


def lock_commits(committed: bool, torn: bool) -> list[Commit]:
    """A block's end on each kind."""
    return [
        Commit(LEAVE, counter, 20, committed),
        Commit(LEAVE, named_counter, 20, committed),
        Commit(LEAVE, number, 20, committed),
        Commit(LEAVE, record, NEW_RECORD, committed),
        Commit(LEAVE, array, NEW_ARRAY, committed, torn=torn, last=np.full(5000, 99)),
    ]


def array_commit(action: str, committed: bool, torn: bool = True) -> Commit:
    """A write to an array."""
    return Commit(action, array, NEW_ARRAY, committed, torn, last=np.full(5000, 99))


COMMITS: dict[str, list[Commit]] = {
    "segment.reserving": [
        Commit(SET, record, grown(10_000), False),
        Commit(LEAVE, record_in_heap, grown(200_000), False),
    ],
    "lock.acquired": [
        Commit(SET, number, 20, False),
        Commit(SET, record, NEW_RECORD, False),
        Commit(ENTER, counter, None, False),
        Commit(ENTER, named_counter, None, False),
        Commit(ENTER, number, None, False),
        array_commit(ENTER, False, torn=False),
        array_commit(SET, False, torn=False),
    ],
    "lock.releasing": [
        *lock_commits(True, False),
        Commit(SET, record, NEW_RECORD, True),
        Commit(SET, number, 20, True),
    ],
    "lock.released": [*lock_commits(True, False), Commit(SET, record, NEW_RECORD, True)],
    "counter.saved": [Commit(ENTER, counter, None, False), Commit(ENTER, named_counter, None, False)],
    "counter.marked": [Commit(ENTER, counter, None, False), Commit(ENTER, named_counter, None, False)],
    "counter.committing": [Commit(LEAVE, counter, 20, False), Commit(LEAVE, named_counter, 20, False)],
    "counter.committed": [Commit(LEAVE, counter, 20, True), Commit(LEAVE, named_counter, 20, True)],
    "counter.added": [Commit(INCREMENT, counter, 10, True), Commit(INCREMENT, named_counter, 10, True)],
    "value.committing": [Commit(SET, number, 20, False), Commit(LEAVE, record, NEW_RECORD, False)],
    "value.committed": [
        Commit(SET, number, 20, True),
        Commit(LEAVE, number, 20, True),
        Commit(SET, record, NEW_RECORD, True),
        Commit(LEAVE, record, NEW_RECORD, True),
    ],
    "value.growing": [
        Commit(SET, record, grown(10_000), False),
        Commit(SET, record_in_heap, grown(200_000), False),
        Commit(LEAVE, record_in_heap, grown(20), False),
    ],
    "value.grown": [
        Commit(SET, record, grown(10_000), False),
        Commit(SET, record_in_heap, grown(20), False),
        Commit(SET, record_in_heap, 1.5, True),
    ],
    "value.writing": [Commit(SET, record, NEW_RECORD, False), Commit(LEAVE, record_in_heap, grown(70_002), False)],
    "value.written": [Commit(SET, record, NEW_RECORD, False), Commit(LEAVE, record_in_heap, grown(70_002), False)],
    "heap.extending": [Commit(SET, record, grown(10_000), False), Commit(SET, record_in_heap, grown(200_000), False)],
    "heap.popped": [Commit(SET, heap_with_room, grown(70_000), False)],
    "heap.pushing": [Commit(SET, record_in_heap, 20, True), Commit(SET, record_in_heap, grown(20), False)],
    "array.marked": [array_commit(ENTER, False), array_commit(SET, False)],
    "array.writing": [array_commit(SET, False)],
    "array.committing": [array_commit(LEAVE, True), array_commit(SET, True)],
    "array.committed": [array_commit(LEAVE, True, torn=False), array_commit(SET, True, torn=False)],
    "change.bumped": [
        Commit(INCREMENT, counter, 10, True),
        Commit(LEAVE, counter, 20, True),
        Commit(SET, record, NEW_RECORD, True),
        array_commit(SET, True, torn=False),
    ],
}


@pytest.mark.parametrize(
    ("point", "commit"),
    [
        pytest.param(point, each, id=f"{point}-{each}-{each.make.__name__}")
        for point, commits in COMMITS.items()
        for each in commits
    ],
)
@patient
def test_a_death_leaves_the_old_value_or_the_new_one(point: str, commit: Commit) -> None:
    """Which of them is known for each step; whoever waits goes on at once, and the object works as before."""
    with commit.make() as x:
        value = x.value
        if commit.committed:
            value = value + commit.new if commit.action == INCREMENT else commit.new
        waiter = Waiter(x, value if commit.committed else commit.last)
        with Doomed(commit.action, point, x.name) as doomed:
            waits = commit.action == LEAVE and point != "change.bumped"  # it might bump the sequence first
            blocked = Task(lambda: take(x)) if waits else None
            moment = time.monotonic()
            doomed.go(commit.new)
            doomed.died()
            if blocked is not None:
                in_time(blocked.after(moment), PROMPT + 0.05)  # the way to its death is not the survivor's
                assert blocked.outcome == ("torn" if commit.torn else "free")

        moment = time.monotonic()
        assert take(x) == ("torn" if commit.torn else "free")
        in_time(time.monotonic() - moment)
        if commit.torn:
            in_time(waiter.after(moment))
            assert isinstance(waiter.outcome, OwnerDied)
            assert set(x.array.tolist()) <= {10, 20}
            x.recover()
        else:
            assert same(x.value, value)
            if commit.committed:
                in_time(waiter.after(moment))
                assert same(waiter.outcome, value)
        moment = time.monotonic()
        x.set(commit.last)
        if not commit.torn:
            in_time(waiter.after(moment))
        assert same(x.value, commit.last)


@patient
@pytest.mark.parametrize("point", ["counter.saved", "counter.marked", "lock.acquired"])
@pytest.mark.parametrize("make", [counter, named_counter])
def test_a_change_without_a_block_takes_over_as_well(point: str, make: Callable[[], SharedCounter]) -> None:
    """An increment, an exchange or a compare-and-exchange of a counter that a dead process had locked."""
    with make() as hits:
        changes: list[Callable[[], object]] = [
            hits.increment,
            lambda: hits.exchange(10),
            lambda: hits.compare_exchange(10, 12),
        ]
        for change, returned, value in zip(changes, (11, 11, True), (11, 10, 12), strict=True):
            die(ENTER, point, hits.name)
            moment = time.monotonic()
            assert change() == returned
            in_time(time.monotonic() - moment)
            assert hits.value == value


def take(x: Any) -> str:
    """Take the lock and give it back: "free", or "torn" if that is how its holder left it."""
    try:
        with x.locked(timeout=10):
            return "free"
    except OwnerDied:
        return "torn"


@patient
def test_an_array_may_be_made_to_go_on_after_its_holder() -> None:
    """With on_owner_death="proceed" there is nothing to recover, whatever the holder left."""
    with SharedArray(np.full(5000, 10), on_owner_death="proceed") as x:
        for point, action in ("array.marked", ENTER), ("array.writing", SET), ("array.committing", LEAVE):
            die(action, point, x.name, NEW_ARRAY)
            moment = time.monotonic()
            with x.locked(timeout=10) as live:
                assert set(live.tolist()) <= {10, 20}
            in_time(time.monotonic() - moment)


# ---- those who take over may die too ----

SUCCESSIONS: dict[str, list[Callable[[], Any]]] = {
    "lock.taken_over": [counter, named_counter, number, record, array],
    "lock.recovered": [counter, named_counter, number, record, array],
}
HELD: dict[Any, str] = {counter: "counter.marked", named_counter: "counter.marked"}


@pytest.mark.parametrize(
    ("point", "make"),
    [pytest.param(point, make, id=f"{point}-{make.__name__}") for point in SUCCESSIONS for make in SUCCESSIONS[point]],
)
@patient
def test_whoever_takes_over_may_die_as_well(point: str, make: Callable[[], Any]) -> None:
    """The holder dies, then each of two who take over, at that step; the fourth goes on with the last commit."""
    with make() as x:
        before = x.value
        die(ENTER, HELD.get(make, "lock.acquired"), x.name)
        die(ENTER, point, x.name)
        assert make is array or same(x.value, before)
        die(ENTER, point, x.name)

        moment = time.monotonic()
        assert take(x) == "free"
        in_time(time.monotonic() - moment)
        assert same(x.value, before)


@pytest.mark.parametrize("point", ["lock.taken_over", "array.marked", "array.committing"])
def test_whoever_recovers_may_die_as_well(point: str) -> None:
    """An array is not good again before `recover()` has ended."""
    with array() as x:
        die(ENTER, "array.marked", x.name)
        die(RECOVER, point, x.name)

        assert take(x) == "torn"
        x.recover()
        assert take(x) == "free"


@patient
def test_a_committer_that_dies_while_it_takes_over_a_waiting_heap() -> None:
    """The heap's own lock passes on as well."""
    with record() as x:
        for point in "heap.extending", "lock.taken_over", "lock.taken_over:2", "lock.recovered:2":
            die(SET, point, x.name, grown(10_000))
            assert x.value == "old"
        moment = time.monotonic()
        x.set(grown(20_000))
        in_time(time.monotonic() - moment)
        assert x.value == grown(20_000)


# ---- making, attaching, leaving ----


@dataclass(frozen=True)
class Life:
    """A step of an object's life that a death interrupts.

    Attributes:
        action: What the doomed process does.
        lingers: Whether a name is left that only the next creation, or `prune()`, removes.
    """

    action: str
    lingers: bool = False

    def __str__(self) -> str:
        return ACTION_NAMES[self.action]


MAKES = [Life(MAKE_COUNTER), Life(MAKE_NAMED), Life(MAKE_ARRAY), Life(OPEN)]
LIVES: dict[str, list[Life]] = {
    "segment.made": MAKES,
    "segment.reserved": MAKES,
    "segment.filled": MAKES,
    "segment.seated": MAKES,
    "segment.registered": MAKES,
    "segment.linked": [
        Life(MAKE_COUNTER),
        Life(MAKE_NAMED, lingers=True),
        Life(MAKE_ARRAY),
        Life(OPEN, lingers=True),
    ],
    "segment.leaving": [Life(CLOSE_OPENED, lingers=True)],
    "segment.last_out": [Life(CLOSE_OPENED, lingers=True)],
    "segment.unlinked": [Life(UNLINK_NAMED), Life(CLOSE_OPENED)],
    "seat.locked": MAKES,
    "seat.raised": MAKES,
    "slab.taken": [Life(MAKE_COUNTER), Life(MAKE_TWO)],
    "slab.live": [Life(MAKE_COUNTER), Life(MAKE_TWO)],
    "slab.freeing": [Life(UNLINK), Life(GIVE_BACK)],
    "slab.freed": [Life(UNLINK), Life(GIVE_BACK)],
}
NAME = "deaths-life"


@pytest.mark.parametrize(
    ("point", "life"),
    [pytest.param(point, each, id=f"{point}-{each}") for point in LIVES for each in LIVES[point]],
)
def test_a_death_leaves_nothing_that_lasts(point: str, life: Life) -> None:
    """No half-made object is ever seen; what is left is gone within 3 s, or with the next use of its name."""
    before = entries()
    die(life.action, point, NAME)

    if life.lingers:
        assert len(entries() - before) == 1
        with pytest.raises(NotFound):
            SharedCounter.attach(NAME)
    assert not left_since(before, timeout=3)


@pytest.mark.parametrize("point", ["segment.linked", "segment.leaving", "segment.last_out"])
@pytest.mark.parametrize("how", ["make", "open", "prune", "a first creation"])
@patient
def test_what_the_dead_left_is_in_nobodys_way(point: str, how: str) -> None:
    """Its name can be used at once, and `prune()` or any process's first creation clears it away."""
    before = entries()
    die(OPEN if point == "segment.linked" else CLOSE_OPENED, point, NAME)
    left = entries() - before
    assert len(left) == 1

    moment = time.monotonic()
    if how == "make":
        with SharedCounter(5, name=NAME) as made:
            assert made.value == 5
    elif how == "open":
        with SharedCounter.open(NAME, 5) as opened:
            assert opened.value == 5
    elif how == "prune":
        assert {info.segment for info in procshare.prune()} == left
    if how != "a first creation":
        in_time(time.monotonic() - moment)
    else:
        assert run("x = SharedCounter()").code == 0
    assert entries() == before


ATTACHES = [Life(ATTACH), Life(MAKE_IN_FORK)]
ATTACHED: dict[str, list[Life]] = {
    "segment.opened": [Life(ATTACH)],
    "segment.attached": [Life(ATTACH)],
    "seat.locked": ATTACHES,
    "seat.raised": ATTACHES,
}


@pytest.mark.parametrize("make", [counter, named_counter])
@pytest.mark.parametrize(
    ("point", "life"),
    [pytest.param(point, each, id=f"{point}-{each}") for point in ATTACHED for each in ATTACHED[point]],
)
@patient
def test_a_death_while_attaching_is_nobodys_concern(point: str, life: Life, make: Callable[[], SharedCounter]) -> None:
    """The object goes on in its owner, in whoever attaches next, and goes with its owner."""
    with make() as x:
        die(life.action, point, x.name)

        moment = time.monotonic()
        assert take(x) == "free"
        with another(x) as other:
            assert other.increment() == 11
        in_time(time.monotonic() - moment)


@pytest.mark.parametrize("point", ["segment.opened", "segment.attached", "seat.locked", "seat.raised"])
@patient
def test_a_death_while_attaching_alone_to_what_persists(point: str) -> None:
    """Whoever is the only one there holds every seat for a moment; its death frees them all."""
    SharedCounter.open(NAME, 5, persist=True).close()
    die(ATTACH, point, NAME)

    moment = time.monotonic()
    attached = SharedCounter.attach(NAME)
    in_time(time.monotonic() - moment)
    assert attached.increment() == 6
    attached.unlink()
    attached.close()


def test_a_slab_outlives_an_object_that_its_maker_died_unlinking() -> None:
    """Those who are attached to a slab's other objects keep them."""
    action = "x = SharedCounter(3); y = SharedCounter(4); x.name; say(y.name); ready(); x.unlink()"
    for point in "slab.freeing", "slab.freed":
        with Script(DOOMED + action, point, "", environ={"PROCSHARE_FAULT": "-"}) as doomed:
            kept = SharedCounter.attach(doomed.hear())
            assert doomed.hear() == "ready"
            doomed.tell(pickle.dumps(None).hex())
            assert doomed.process.wait(10) == -signal.SIGKILL

        assert kept.increment() == 5
        assert take(kept) == "free"
        kept.close()


def test_who_attaches_while_somebody_leaves_lets_others_run() -> None:
    """It is stopped when it has all seats: who attaches waits until it goes on or dies, without the GIL."""
    program = "x = SharedCounter.open(name); ready(); x.close()"
    with Doomed(program, "segment.last_out!", NAME) as doomed:
        doomed.go()
        os.waitid(os.P_PID, doomed.process.pid, os.WSTOPPED | os.WNOWAIT)
        attaching = Task(lambda: SharedCounter.open(NAME, 7))
        begun = moment = time.monotonic()
        longest = 0.0
        while moment - begun < 1.5:
            time.sleep(0.001)
            moment, before = time.monotonic(), moment
            longest = max(longest, moment - before)
        assert attaching.is_alive()
        assert longest < 0.7  # with the GIL it would be all of a second
        doomed.process.kill()
        with attaching.result() as opened:
            assert opened.value in (0, 7)  # the one that was not removed yet, or a new one
            opened.unlink()


# ---- at random moments ----

KILLS, CROWD = 200, 5


def test_two_hundred_kills_at_random_moments(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Nothing acknowledged is lost, nothing is torn, nothing is stuck, and nobody waits long for the dead."""
    chance = random.Random(2)
    ledger = Ledger(tmp_path / "ledger", CROWD + KILLS)
    waits: list[float] = []
    with (
        SharedCounter() as hits,
        SharedValue((0, 0)) as pair,
        SharedValue(b"\1") as text,
        SharedArray(np.zeros(20_000)) as grid,
        Nursery() as nursery,
    ):
        things = hits, pair, text, grid
        for started in range(CROWD):
            nursery.start(blow, tmp_path / "ledger", started, *things)
        for started in range(CROWD, CROWD + KILLS):
            if started % 4:  # one of four may die before its first deed
                assert until(partial(ledger.has_begun, started - 1), timeout=10)
            time.sleep(chance.random() * 0.03)  # the random moment
            nursery.end(chance.randrange(CROWD))
            waits += [waited_for(x) for x in things]
            nursery.start(blow, tmp_path / "ledger", started, *things)
        while nursery.children:
            nursery.end(0)
        done = [sum(ledger.column(field)) for field in (HITS, PAIRS)]
        longest = sorted(ledger.column(WAIT))
        record_property("acknowledged", done)
        record_property("longest_wait", max(longest[-1] / 1e9, *waits))

        assert not any(ledger.column(WRONG))
        assert done[0] <= hits.value <= done[0] + KILLS + CROWD
        assert done[1] <= pair.value[0] <= done[1] + KILLS + CROWD
        assert min(done) > KILLS
        assert sorted(waits)[-2] < PROMPT, sorted(waits)[-5:]  # one may fall victim to a busy machine
        assert longest[-2] / 1e9 < PROMPT, longest[-5:]
    ledger.close()


def waited_for(x: Any) -> float:
    """How long it takes to get its lock, whatever the killed one left."""
    began = time.monotonic()
    if take(x) == "torn":
        x.recover()
    return time.monotonic() - began
