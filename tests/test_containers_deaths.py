"""Processes that die by SIGKILL at each step of the core's containers, and what those who survive them see.

A doomed process makes the steps of an action, each of which is one commit, and keeps account of those that are done.
Whoever looks after its death, and never writes, sees the state after those, or after one more. Nothing is between.
"""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from container_doom import ACTIONS, alike, doomed, states, touching
from container_storm import blow, check
from death_storm import HITS, PAIRS, WAIT, WRONG, Ledger
from death_support import CONTAINER_STEPS, PROMPT, another, in_time, patient
from nursery import Nursery
from procshare import SharedDict, SharedList, SharedSet, testing, transaction
from procshare.backends import native_built
from scripts import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

POINTS = [point for point in testing.fault_points() if point.startswith(CONTAINER_STEPS)] if native_built() else []
GENERAL = ["lock.acquired", "lock.releasing", "lock.released", "change.bumped", "segment.reserving"]
VISITS = (1, 2, 5, 23)


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


def die(nursery: Nursery, name: str, point: str, containers: list[Any], ledger: Path, done: int = 0) -> int | None:
    """Let a process make an action's steps and die; how many were done, or None if it never came to the point."""
    account = Ledger(ledger)
    account[0, HITS] = done
    nursery.start(doomed, name, point, containers, ledger, done)
    killed = nursery.wait()
    done = account[0, HITS]
    account.close()
    return done if killed else None


def found(name: str, containers: list[Any], done: int) -> int:
    """The number of the state that the containers are in: that after *done* steps, or after one more."""
    possible = range(done, min(done + 2, len(states(name))))
    (number, *_) = [n for n in possible if alike(containers, states(name)[n])] or [-1]
    assert number >= 0, f"{name}, after {done} steps: {[each.value for each in containers]}"
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
    assert alike(containers, states(name)[done])
    for step in ACTIONS[name].steps[done:]:
        step(containers)
    assert alike(containers, states(name)[-1])
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


@pytest.mark.parametrize("point", [*POINTS, *GENERAL])
@patient
def test_a_death_leaves_one_of_the_states(point: str, nursery: Nursery, ledger: Path) -> None:
    """In every action that comes to the point, at some of its visits; and at least one does."""
    met: list[str] = []
    for name, action in ACTIONS.items():
        for visit in VISITS:
            containers = action.make()
            done = die(nursery, name, f"{point}:{visit}", containers, ledger)
            if done is not None:
                met.append(name)
                number = found(name, containers, done)
                fresh = [another(each) for each in containers]
                assert found(name, fresh, done) == number
                go_on(name, fresh, number)
                assert alike(containers, states(name)[-1])
                for each in fresh:
                    each.close()
            for each in containers:
                each.close()
            if done is None:
                break
    assert met


@pytest.mark.parametrize("then", [*POINTS, *GENERAL, "lock.taken_over", "lock.recovered"])
@patient
def test_whoever_takes_over_may_die_as_well(then: str, nursery: Nursery, ledger: Path) -> None:
    """Each of two who come after the dead and before the one who goes on; and nobody undoes a commit."""
    for point in (point for point in POINTS if point.startswith(("redo.", "container."))):
        for name in ("block", "block on a list", "dict and list", "grow"):
            containers = ACTIONS[name].make()
            done = die(nursery, name, point, containers, ledger)
            if done is not None:
                number = found(name, containers, done)
                for _ in range(2):
                    nursery.start(touching, then, containers)
                    nursery.wait()
                    assert found(name, containers, number) == number
                go_on(name, containers, number)
            for each in containers:
                each.close()


@patient
def test_a_series_of_deaths(nursery: Nursery, ledger: Path) -> None:
    """Each goes on where the one before died, at another step; in the end all is done, and nothing twice."""
    chance = random.Random(3)
    for name in ("grow", "shrink", "turn over", "grow list", "shrink list", "dict and list"):
        containers = ACTIONS[name].make()
        done = 0
        for _ in range(12):
            point = f"{chance.choice(POINTS)}:{chance.randrange(1, 9)}"
            died = die(nursery, name, point, containers, ledger, done)
            done = len(ACTIONS[name].steps) if died is None else found(name, containers, died)
            if died is None:
                break
        go_on(name, containers, done)
        for each in containers:
            each.close()


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
