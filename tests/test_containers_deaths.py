"""Processes that die by SIGKILL at each step of the core's containers, and what those who survive them see.

A doomed process makes the steps of an action, each of which is one commit, and keeps account of those that are done.
Whoever looks after its death, and never writes, sees the state after those, or after one more. Nothing is between.
"""

from __future__ import annotations

import pickle
import random
import time
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import procshare
from container_doom import ACTIONS, Job, alike, doomed, glimpse, states, touching
from container_storm import blow, check
from container_support import same
from death_support import CONTAINER_STEPS, PROMPT, in_time, patient
from ledger import HITS, PAIRS, WAIT, WRONG, Ledger
from nursery import Nursery
from procshare import SharedDict, SharedList, SharedSet, testing, transaction
from procshare.backends import native_built
from scripts import until
from support import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

STEPS = [point for point in testing.fault_points() if point.startswith(CONTAINER_STEPS)] if native_built() else []
LATER = ["container.recovering", "container.recounted", "container.recovered"]  # where who comes after a death may die
ASKING = [
    "transaction.told",
    "transaction.decided",
]  # likewise, of whoever has to ask or is asked; the sweep goes there
POINTS = [point for point in STEPS if point not in (*LATER, *ASKING)]
GENERAL = ["lock.acquired", "lock.releasing", "lock.released"]
ORDERS = cycle(
    [("items",), ("length", "items"), ("items", "length"), ()]
)  # in which a survivor looks, before it sees all


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


class Case(NamedTuple):
    """An action, its containers, and how many of its steps are done."""

    name: str
    containers: list[Any]
    done: int = 0

    def job(self) -> Job:
        """What a doomed process is told of it."""
        return self.name, self.done, pickle.dumps(self.containers)


def make(names: Iterable[str]) -> list[Case]:
    """Actions that nothing is done of yet."""
    return [Case(name, ACTIONS[name].make()) for name in names]


def unlink(cases: list[Case]) -> None:
    """Destroy their containers, and what the dead may have left of nested ones."""
    for case in cases:
        for each in case.containers:
            each.unlink()
    procshare.prune()


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


def found(case: Case) -> int:
    """The number of the state that the containers are in: that after the steps that are done, or after one more."""
    name, containers, done = case
    how = next(ORDERS)
    glimpsed = glimpse(containers, name, how)
    possible = range(done, min(done + 2, len(states(name))))
    (number, *_) = [n for n in possible if alike(containers, states(name)[n])] or [-1]
    assert number >= 0, f"{name}, after {done} steps: {[each.value for each in containers]}"
    assert same(glimpsed, glimpse(states(name)[number], name, how)), f"{name}, by {how}"
    for each in containers:
        consistent(each)
    return number


def consistent(container: Any) -> None:
    """All that a reader can ask agrees: length, iteration, membership, items, snapshot."""
    value, length = container.value, len(container)
    assert length == len(list(container)) == len(value)
    assert all(each in container for each in value)
    if container.kind == "list":
        assert [container[n] for n in range(length)] == value
    elif container.kind != "set":
        assert [container[key] for key in container] == list(value.values())


def go_on(name: str, containers: list[Any], done: int) -> None:
    """A survivor takes the locks at once, makes the remaining steps, and then fills and empties the containers."""
    moment = time.monotonic()
    for each in containers:
        with each.locked(timeout=10):
            pass
    in_time(time.monotonic() - moment)
    assert alike(containers, states(name)[done]), name
    for step in ACTIONS[name].steps[done:]:
        step(containers)
    assert alike(containers, states(name)[-1]), name
    for each in containers:
        fill_and_empty(each)


def fill_and_empty(container: Any) -> None:
    """All works as before, and leaves it as it was."""
    before = container.value
    more: list[Any] = [("more", n) for n in range(40)]
    kind = container.kind
    if kind == "dict":
        container.update(dict.fromkeys(more, "m" * 90))
        assert [container.popitem()[0] for _ in more] == more[::-1]
    elif kind == "list":
        container += more
        assert [container.pop() for _ in more] == more[::-1]
    elif kind == "set":
        container |= set(more)
        container -= set(more)
    consistent(container)
    assert container.value == before


AFTERWARDS = [*LATER, "lock.taken_over", "lock.recovered", "redo.applying", "redo.applied"]
UNFINISHED = ("redo.", "container.comm", "map.", "list.", "transaction.", "lock.acq")
VARIOUS = ("block", "block on a list", "dict and list")


@pytest.mark.parametrize("then", AFTERWARDS)
@patient
def test_whoever_takes_over_may_die_as_well(then: str, nursery: Nursery, ledger: Path) -> None:
    """Each of two who come after the dead and before the one who goes on; and nobody undoes a commit."""
    met = 0
    for point in (point for point in [*POINTS, *GENERAL] if point.startswith(UNFINISHED)):
        cases = left = make(VARIOUS)
        while (which := die(nursery, point, left, ledger)) >= 0:
            name, containers, _ = case = left[which]
            number = found(case)
            for _ in range(2):
                nursery.start(touching, then, containers)
                met += nursery.wait()
                assert found(case._replace(done=number)) == number
            go_on(name, containers, number)
            left = left[which + 1 :]
        unlink(cases)
    assert met


@pytest.mark.parametrize("name", ["grow", "grow list"])
@pytest.mark.parametrize("step", ["placed", "added", "begun"])
@patient
def test_a_death_while_the_arena_grows_loses_no_record(step: str, name: str, nursery: Nursery, ledger: Path) -> None:
    """Neither the extent that was being added nor the one before it is taken for the other by whoever comes next."""
    for visit in (1, 2, 3):
        cases = make([name])
        if die(nursery, f"container.arena_{step}:{visit}", cases, ledger) == 0:
            go_on(name, cases[0].containers, found(cases[0]))
        else:
            assert visit > 1
        unlink(cases)


def read(container: Any) -> Any:
    """What a process that has only this container sees, without a lock."""
    return container.value


@pytest.fixture(scope="module")
def stranger() -> Iterator[Workers]:
    """A process that has nothing open."""
    with Workers("spawn") as made:
        yield made


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("transaction.")])
@pytest.mark.parametrize("name", ["two dicts", "dict and list"])
def test_who_sees_one_of_several_sees_what_became_of_all(
    name: str, point: str, nursery: Nursery, stranger: Workers, ledger: Path
) -> None:
    """A reader that has only one of them is told the truth, also when the other is destroyed."""
    for which in (0, 1):
        for destroy in (False, True):
            cases = make([name])
            (containers,) = [case.containers for case in cases]
            assert die(nursery, point, cases, ledger) == 0
            if destroy:
                other = containers[1 - which].value
                containers[1 - which].unlink()
                containers[1 - which].close()
                (number,) = [n for n in (0, 1) if states(name)[n][1 - which] == other]
            else:
                number = -1
            (seen,) = stranger.run(read, [(containers[which],)])
            if not destroy:
                number = found(cases[0])
            assert seen == states(name)[number][which]
            with containers[which].locked(timeout=10):
                pass
            assert containers[which].value == seen
            unlink(cases)


@patient
def test_a_series_of_deaths(nursery: Nursery, ledger: Path) -> None:
    """Each goes on where the one before died, at another step; in the end all is done, and nothing twice."""
    chance = random.Random(3)
    cases = make(["grow", "shrink", "turn over", "grow list", "shrink list", "dict and list"])
    for case in cases:
        running = [case]
        for _ in range(15):
            point = f"{chance.choice(POINTS)}:{chance.randrange(1, 9)}"
            if die(nursery, point, running, ledger) >= 0:
                running = [running[0]._replace(done=found(running[0]))]
                continue
            running = [running[0]._replace(done=len(states(case.name)) - 1)]
            break
        go_on(*running[0])
    unlink(cases)


# ---- at random moments ----

KILLS, CROWD = 200, 4


def test_two_hundred_kills_at_random_moments(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Nothing acknowledged is lost, no pair is torn, nothing is stuck, and nobody waits long for the dead."""
    chance = random.Random(4)
    ledger = Ledger(tmp_path / "ledger", CROWD + KILLS)
    waits: list[float] = []
    with (
        SharedDict[Any, Any]({"a": 0, "b": 0, "count": 0}) as d,
        SharedList[int]([0]) as items,
        SharedSet[str]() as names,
        Nursery() as nursery,
    ):
        things = d, items, names
        for started in range(CROWD):
            nursery.start(blow, tmp_path / "ledger", started, *things)
        for started in range(CROWD, CROWD + KILLS):
            if started % 4:  # one of four may die before its first deed
                assert until(partial(ledger.has_begun, started - 1), timeout=10)
            time.sleep(chance.random() * 0.02)  # the random moment
            nursery.end(chance.randrange(CROWD))
            check(d.value, items.value)
            waits += [waited_for(x) for x in things]
            nursery.start(blow, tmp_path / "ledger", started, *things)
        while nursery.children:
            nursery.end(0)
        longest = sorted(ledger.column(WAIT))
        record_property("longest_wait", max(longest[-1] / 1e9, *waits))

        assert not any(ledger.column(WRONG))
        check(d.value, items.value)
        for me, acknowledged in enumerate(ledger.column(HITS)):
            assert d.get(("own", me), 0) - acknowledged in (0, 1)
        pairs = sum(ledger.column(PAIRS))
        assert pairs <= d["a"] <= pairs + KILLS + CROWD
        assert pairs > KILLS
        with transaction(d, items) as (t, last):
            assert t["count"] == last[-1]
        for x in things:
            consistent(x)
        assert sorted(waits)[-2] < PROMPT, sorted(waits)[-5:]  # one may fall victim to a busy machine
        assert longest[-2] / 1e9 < PROMPT, longest[-5:]
    ledger.close()


def waited_for(x: Any) -> float:
    """How long it takes to get its lock, whatever the killed one left."""
    began = time.monotonic()
    with x.locked(timeout=20):
        return time.monotonic() - began
