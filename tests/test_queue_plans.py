"""Producers and consumers in processes and threads, by plans of Hypothesis: every item arrives once, and in order."""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial
from itertools import cycle
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from death_support import Task
from procshare import SharedCounter, SharedQueue, ShutDown
from procshare.backends import native_built
from support import START_METHODS, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

Item = tuple[Any, int, bytes]
Step = tuple[str, list[int]]


class GiveBack(Exception):
    """What ends a lease badly."""


def payload(who: Any, n: int, size: int) -> bytes:
    """What an item carries, which nobody else's does."""
    return (f"{who}:{n}:".encode() * (size // 4 + 1))[:size]


# ---- producers ----


def produce(queue: SharedQueue[Any], left: SharedCounter, me: int, steps: list[Step]) -> int:
    """Put what the plan says, some of it from a thread of its own; the last producer shuts the queue down."""
    by_thread = [step for step in steps if step[0] == "thread"]
    thread = Task(lambda: put_all(queue, (me, "thread"), by_thread))
    count = put_all(queue, me, [step for step in steps if step[0] != "thread"])
    more: int = thread.result()
    if left.decrement() == 0:
        queue.shutdown()
    return count + more


def put_all(queue: SharedQueue[Any], who: Any, steps: list[Step]) -> int:
    """Put the items of the steps, numbered; how many."""
    n = 0
    for how, sizes in steps:
        items = [(who, n + i, payload(who, n + i, size)) for i, size in enumerate(sizes)]
        if how == "put_many":
            queue.put_many(iter(items), timeout=20)
        else:
            for item in items:
                put(queue, how, item)
        n += len(items)
    return n


def put(queue: SharedQueue[Any], how: str, item: Item) -> None:
    """Put one, in one way or another."""
    if how == "hasty":
        while True:
            try:
                queue.put(item, timeout=0.001)
            except Full:
                continue
            return
    queue.put(item, timeout=20)


# ---- consumers ----


def get(queue: SharedQueue[Any]) -> list[Item]:
    """One."""
    return [queue.get(timeout=20)]


def get_hastily(queue: SharedQueue[Any]) -> list[Item]:
    """One, if it is there soon."""
    try:
        return [queue.get(timeout=0.001)]
    except Empty:
        return []


def get_many(queue: SharedQueue[Any]) -> list[Item]:
    """Seven at most."""
    return queue.get_many(7, timeout=20)


def get_all(queue: SharedQueue[Any]) -> list[Item]:
    """What there is."""
    return queue.get_many(timeout=20)


def lease(queue: SharedQueue[Any]) -> list[Item]:
    """One, and be done with it."""
    with queue.lease(timeout=20) as item:
        return [item]


def lease_and_give_back(queue: SharedQueue[Any]) -> list[Item]:
    """None in the end."""
    try:
        with queue.lease(timeout=20) as item:
            raise GiveBack(item)
    except GiveBack:
        return []


BACK = "lease and give back"
WAYS: dict[str, Callable[[SharedQueue[Any]], list[Item]]] = {
    "get": get,
    "hasty": get_hastily,
    "get_many": get_many,
    "get_all": get_all,
    "lease": lease,
    BACK: lease_and_give_back,
}


def consume(queue: SharedQueue[Any], ways: list[str], threads: int) -> list[list[tuple[Any, int]]]:
    """Take items in those ways, over and over, until it is over: what each thread got, in order."""

    def work() -> list[tuple[Any, int]]:
        got: list[tuple[Any, int]] = []
        for way in cycle(ways):
            try:
                items = WAYS[way](queue)
            except ShutDown:
                return got
            for who, n, data in items:
                assert data == payload(who, n, len(data))
                got.append((who, n))
                if not way.startswith("lease"):
                    queue.task_done()
        raise AssertionError("a cycle ended")

    return [task.result() for task in [Task(work) for _ in range(threads)]]


# ---- plans ----

sizes = st.lists(st.sampled_from([0, 1, 8, 60, 61, 100, 250, 1000]) | st.integers(0, 6000), max_size=12)
steps = st.tuples(st.sampled_from(["put", "put_many", "hasty", "thread"]), sizes)
producers = st.lists(st.lists(steps, min_size=1, max_size=6), min_size=1, max_size=3)
ways = st.lists(st.sampled_from(list(WAYS)), min_size=1, max_size=4).filter(
    lambda ways: {*ways} != {"lease and give back"}
)
consumers = st.lists(st.tuples(ways, st.integers(1, 2)), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Processes that are kept."""
    with Workers("forkserver") as made:
        yield made


@settings(max_examples=120, deadline=None)
@given(
    plan=producers,
    takers=consumers,
    maxsize=st.sampled_from([0, 0, 1, 3]),
    capacity=st.sampled_from([1, 400, 3000, 20_000, 1 << 26]),
)
def test_every_item_arrives_once_and_in_order(
    workers: Workers, plan: list[list[Step]], takers: list[tuple[list[str], int]], maxsize: int, capacity: int
) -> None:
    """Whoever puts and gets how many of whatever size, by whichever methods; and all is done in the end."""
    with SharedQueue[Any](maxsize, capacity=capacity) as queue, SharedCounter(len(plan)) as left:
        calls: list[tuple[Any, ...]] = [(produce, (queue, left, me, each)) for me, each in enumerate(plan)]
        calls += [(consume, (queue, *each)) for each in takers]
        results = workers.run(call, calls, timeout=40)
        got = [each for result in results[len(plan) :] for each in result]

        put_by: dict[Any, int] = {}
        for me, each in enumerate(plan):
            put_by[me] = sum(len(some) for how, some in each if how != "thread")
            put_by[me, "thread"] = sum(len(some) for how, some in each if how == "thread")
        assert Counter(item for each in got for item in each) == Counter(
            (who, n) for who, count in put_by.items() for n in range(count)
        )
        if not any(BACK in each for each, _ in takers):
            for each in got:
                for producer in put_by:
                    order = [n for who, n in each if who == producer]
                    assert order == sorted(order)
        assert queue.qsize() == 0
        queue.join(timeout=0)


def call(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """In a worker: one of the two."""
    return fn(*args)


@pytest.mark.parametrize("method", START_METHODS)
def test_many_small_items_through_a_small_ring(method: str) -> None:
    """Thousands of them, by all ways, to two consumers of two threads each."""
    plan: list[list[Step]] = [
        [("put_many", [8] * 700), ("put", [30] * 300), ("thread", [100] * 300)],
        [("put", [0] * 500), ("put_many", [5] * 500), ("hasty", [200] * 100)],
    ]
    with Workers(method) as made, SharedQueue[Any](capacity=2000) as queue, SharedCounter(2) as left:
        calls: list[tuple[Any, ...]] = [(produce, (queue, left, me, each)) for me, each in enumerate(plan)]
        calls += [(consume, (queue, ["get", "get_many", "lease", "get_all"], 2))] * 2
        results = made.run(call, calls, timeout=60)
        got = [item for result in results[2:] for each in result for item in each]
        assert len(got) == len(set(got)) == sum(results[:2]) == 2400
        queue.join(timeout=0)


def test_threads_of_one_process_share_a_queue() -> None:
    """Eight put, eight get, at once; the sum is exact."""
    guard = threading.Lock()
    total = [0]

    def get_some() -> None:
        for item in queue:
            with guard:
                total[0] += item

    with SharedQueue[int](5, capacity=500) as queue:
        takers = [Task(get_some) for _ in range(8)]
        givers = [Task(partial(queue.put_many, range(me * 1000, me * 1000 + 200))) for me in range(8)]
        for task in givers:
            task.result()
        queue.shutdown()
        for task in takers:
            task.result()
        assert total[0] == sum(me * 1000 + n for me in range(8) for n in range(200))
