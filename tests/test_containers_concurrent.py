"""Several processes in one container at a time: exact totals, whole reads, no deadlock."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from container_support import fn
from procshare import SharedCounter, SharedDict, SharedList, SharedNamespace, SharedSet, transaction
from procshare.backends import native_built
from support import START_METHODS, Workers
from test_properties import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

ANY: Any = transaction


@pytest.fixture(scope="module", params=START_METHODS)
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Processes of each start method in turn."""
    with Workers(request.param) as kept:
        yield kept


@pytest.fixture(scope="module")
def forked() -> Iterator[Workers]:
    """Processes of one start method, for what does not depend on it."""
    with Workers("fork") as kept:
        yield kept


# ---- totals ----


def count(d: Any, x: Any, ns: Any, times: int) -> None:
    """Increment in every way."""
    for n in range(times):
        d.increment("a")
        d.increment(n % 10)
        d.modify_item("b", fn(lambda now: now + 1), 0)
        with d.locked() as t:
            t["c"] = t.get("c", 0) + 1
        with x.locked() as t:
            t[0] += 1
        ns.increment("n")
        ns.modify(fn(lambda now: {**now, "m": now.get("m", 0) + 1}))


def test_increments_total_exactly(workers: Workers) -> None:
    """Of the same and of different items, one by one and in blocks."""
    with SharedDict[Any, Any]() as d, SharedList[int]([0]) as x, SharedNamespace() as ns:
        together(workers, [(count, d, x, ns, 200)] * 4)

        assert d.value == dict.fromkeys("abc", 800) | dict.fromkeys(range(10), 80)
        assert x.value == [800]
        assert ns.value == {"n": 800, "m": 800}


def append_each(d: Any, x: Any, s: Any, ns: Any, me: int, times: int) -> None:
    """Put what is this worker's own in each."""
    for n in range(times):
        d[me, n] = n
        x.append((me, n))
        s.add((me, n))
        ns.items.append((me, n))


def test_everybodys_keys_and_items_arrive(workers: Workers) -> None:
    """Five processes write their own to the same containers, one of them inside a namespace, without a lock."""
    with SharedDict[Any, Any]() as d, SharedList[Any]() as x, SharedSet[Any]() as s, SharedNamespace() as ns:
        anything: Any = ns
        anything.items = SharedList()
        together(workers, [(append_each, d, x, s, ns, me, 60) for me in range(5)])
        every = [(me, n) for me in range(5) for n in range(60)]

        assert sorted(d) == every
        assert all(d[me, n] == n for me, n in every)
        assert s == set(every)
        for items in (x.value, anything.items.value):
            assert sorted(items) == every
            assert [[n for who, n in items if who == me] for me in range(5)] == [list(range(60))] * 5


def write_ten(d: Any, me: int) -> None:
    """The worker of the Manager exercise."""
    for n in range(10):
        d[f"worker {me}, key {n}"] = me * n


@pytest.mark.parametrize("turn", range(5))
def test_the_manager_exercise(turn: int, workers: Workers) -> None:
    """Five processes each write ten keys, and there are exactly fifty entries."""
    with SharedDict[str, int]() as d:
        together(workers, [(write_ten, d, me) for me in range(5)])

        assert len(d) == 50, turn
        assert d == {f"worker {me}, key {n}": me * n for me in range(5) for n in range(10)}


def take(d: Any, x: Any, s: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Take out of each until nothing is left; what this worker got."""
    got: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    takes: list[Callable[[], Any]] = [lambda: d.popitem()[0], x.pop, s.pop]
    for own, one in zip(got, takes, strict=True):
        try:
            while True:
                own.append(one())
        except (KeyError, IndexError):
            pass
    return got


def test_each_item_is_taken_once(workers: Workers) -> None:
    """By one of those who take all they can get."""
    every = list(range(2000))
    with SharedDict[int, str]((n, "v" * (n % 100)) for n in every) as d, SharedList(every) as x, SharedSet(every) as s:
        taken = together(workers, [(take, d, x, s)] * 3)

        for which in range(3):
            assert sorted(each for got in taken for each in got[which]) == every
        assert len(d) == len(x) == len(s) == 0


# ---- whole reads ----

ACCOUNTS, TOTAL = 10, 1000


def transfer(d: Any, other: Any, done: Any, seed: int, times: int) -> None:
    """Move amounts: within one dict in a block, and between two dicts in a transaction; some moves are undone."""
    rng = random.Random(seed)
    for n in range(times):
        amount, (one, two) = rng.randrange(1, 50), rng.sample(range(ACCOUNTS), 2)
        try:
            with d.locked() as t:
                t[one] -= amount
                t[two] += amount
                if n % 7 == 0:
                    raise LookupError
        except LookupError:
            pass
        first, second = (d, other) if n % 2 else (other, d)
        with ANY(first, second) as (source, target):
            source[one] -= amount
            target[two] += amount
    done.increment()


def audit(d: Any, other: Any, done: Any, writers: int) -> tuple[int, list[Any]]:
    """Add up, until the writers are done: how often, and what was no possible total."""
    wrong: list[Any] = []
    looks = 0
    while done.value < writers or looks == 0:
        looks += 1
        with ANY(d, other) as (one, two):
            if sum(one.values()) + sum(two.values()) != TOTAL:
                wrong.append(("transaction", one.value, two.value))
        with d.locked() as t:
            if t.value != d.value or sum(t.values()) != sum(d.value.values()):
                wrong.append(("block", t.value, d.value))
    return looks, wrong


def read_whole(d: Any, done: Any, writers: int) -> tuple[int, list[Any]]:
    """Add up without a lock, in every way that is one snapshot."""
    wrong: list[Any] = []
    looks = 0
    ways: list[Callable[[], Any]] = [
        lambda: sum(d.value.values()),
        lambda: sum(d.values()),
        lambda: sum(amount for _, amount in d.items()),
        lambda: sum(d.copy().values()),
    ]
    while done.value < writers or looks < len(ways):
        total = ways[looks % len(ways)]()
        if total != TOTAL:
            wrong.append((looks % len(ways), total))
        looks += 1
    return looks, wrong


def move_within(d: Any, done: Any, seed: int, times: int) -> None:
    """Move amounts within one dict, by each way of writing several items at once."""
    rng = random.Random(seed)
    for n in range(times):
        amount, (one, two) = rng.randrange(1, 50), rng.sample(range(ACCOUNTS), 2)
        with d.locked() as t:
            if n % 3 == 0:
                t.update({one: t[one] - amount, two: t[two] + amount})
            elif n % 3 == 1:
                t.increment(one, -amount)
                t.increment(two, amount)
            else:
                t[two] = t.pop(one) + t[two]
                t[one] = 0
    done.increment()


def accounts(total: int) -> dict[int, int]:
    """So much in all."""
    return dict.fromkeys(range(ACCOUNTS), total // ACCOUNTS)


def test_a_sum_is_kept_for_readers_without_a_lock(forked: Workers) -> None:
    """Two processes move amounts in blocks; no snapshot shows one half of a move."""
    with SharedDict(accounts(TOTAL)) as d, SharedCounter() as done:
        jobs: list[tuple[Any, ...]] = [(move_within, d, done, seed, 15_000) for seed in range(2)]
        *_, one, two = together(forked, [*jobs, (read_whole, d, done, 2), (read_whole, d, done, 2)])

        assert (one[1], two[1]) == ([], [])
        assert sum(d.values()) == TOTAL


def test_a_sum_over_two_dicts_is_kept_under_a_transaction(forked: Workers) -> None:
    """Moves between them, in both directions and named in both orders, with others within one of them."""
    half = TOTAL // 2
    with SharedDict(accounts(half)) as d, SharedDict(accounts(half)) as other, SharedCounter() as done:
        jobs: list[tuple[Any, ...]] = [(transfer, d, other, done, seed, 3000) for seed in range(2)]
        *_, audited = together(forked, [*jobs, (audit, d, other, done, 2)])

        assert audited[1] == []
        assert sum(d.values()) + sum(other.values()) == TOTAL


SIZE = 600


def pump(d: Any, x: Any, done: Any, times: int) -> None:
    """Fill both in order and empty them in order, over and over, with values that say whose they are."""
    for turn in range(times):
        pad = "p" * (turn * 37 % 200)
        for n in range(SIZE):
            d[n] = f"{n}:{turn}:{pad}"
            x.append((n, turn, pad))
        for n in range(SIZE):
            if turn % 2:
                del d[n]
            else:
                d.popitem(last=False)
            x.pop(0 if turn % 2 else -1)
        d.update((n, f"{n}:{turn}:") for n in range(SIZE))
        x.extend((n, turn, "") for n in range(SIZE))
        d.clear()
        del x[:]
    done.increment()


def watch(d: Any, x: Any, done: Any, seed: int) -> tuple[int, list[Any]]:
    """Read both in every way until the writer is done: how often, and what cannot be."""
    rng = random.Random(seed)
    wrong: list[Any] = []
    looks = 0
    while not done.value or looks < 10:
        looks += 1
        for key in rng.sample(range(SIZE), 20):
            found = d.get(key)
            if found is not None and not found.startswith(f"{key}:"):
                wrong.append((key, found))
        items = list(d.items())
        wrong += [pair for pair in items if not pair[1].startswith(f"{pair[0]}:")]
        check_run(wrong, [key for key, _ in items], {text.split(":")[1] for _, text in items})
        check_run(wrong, list(d), set())
        if not 0 <= len(d) <= SIZE or not 0 <= len(x) <= SIZE:
            wrong.append(("length", len(d), len(x)))
        triples = x.value
        check_run(wrong, [n for n, _, _ in triples], {turn for _, turn, _ in triples})
        try:
            key = rng.randrange(SIZE)
            n, _, _ = x[key]
            if n < key:
                wrong.append(("element", key, n))
        except IndexError:
            pass
    return looks, wrong[:20]


def check_run(wrong: list[Any], numbers: list[int], turns: set[Any]) -> None:
    """A state that really was holds numbers without a gap, all of one turn."""
    if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        wrong.append(("gap", numbers))
    if len(turns) > 1:
        wrong.append(("turns", turns))


def test_readers_see_real_states_while_all_grows_and_shrinks(forked: Workers) -> None:
    """Each value is its key's, and each snapshot is one that was, through growth, compaction and clearing."""
    with SharedDict[int, str]() as d, SharedList[Any]() as x, SharedCounter() as done:
        told = together(forked, [(pump, d, x, done, 50), (watch, d, x, done, 1), (watch, d, x, done, 2)])

        assert [wrong for _, wrong in told[1:]] == [[], []]
        assert (len(d), len(x)) == (0, 0)


def has_come(who: int, number: int, now: dict[int, int]) -> bool:
    """Whether the other has come so far."""
    return now[who] >= number


def wait_and_answer(d: Any, me: int, rounds: int) -> None:
    """Wait for the other's number, and write the next."""
    for n in range(rounds):
        d.wait_until(partial(has_come, 1 - me, n + me), timeout=20)
        d[me] += 1


def test_a_change_wakes_who_waits_for_it(forked: Workers) -> None:
    """Two processes that wait for each other's items, a hundred times."""
    with SharedDict({0: 0, 1: 0}) as d:
        began = time.monotonic()
        together(forked, [(wait_and_answer, d, 0, 50), (wait_and_answer, d, 1, 50)])

        assert d.value == {0: 50, 1: 50}
        assert time.monotonic() - began < 5


def hammer_blocks(containers: list[Any], seed: int, times: int) -> None:
    """Transactions over containers in random order and number."""
    rng = random.Random(seed)
    for _ in range(times):
        chosen = rng.sample(range(len(containers)), rng.randrange(1, len(containers) + 1))
        with ANY(*(containers[which] for which in chosen)) as guards:
            for guard in guards:
                guard["n"] += 1


def test_transactions_in_random_orders_never_deadlock(forked: Workers) -> None:
    """And lose nothing."""
    containers = [SharedDict({"n": 0}) for _ in range(4)]
    together(forked, [(hammer_blocks, containers, seed, 200) for seed in range(3)])
    wanted = 0
    for seed in range(3):
        rng = random.Random(seed)
        wanted += sum(len(rng.sample(range(4), rng.randrange(1, 5))) for _ in range(200))

    total = sum(d["n"] for d in containers)
    for d in containers:
        d.unlink()

    assert total == wanted
