"""Shared objects as items: who puts one may leave at once, and whoever gets it can use it; nothing is left behind."""

from __future__ import annotations

import gc
import os
import signal
from queue import Full
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from death_support import forked
from procshare import (
    NotFound,
    SharedArray,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedList,
    SharedQueue,
    SharedValue,
    prune,
)
from procshare.backends import native_built
from scripts import entries, left_since, run
from support import Child, Line, WorkerDied

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads
]

PUT = """
queue = attach(sys.argv[1])
made = eval(sys.argv[2])
queue.put(made if sys.argv[3] == "bare" else {"note": [1, (made, "x")]})
if sys.argv[4] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[4] == "os._exit":
    os._exit(0)
"""
KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "counter": ("SharedCounter(5)", lambda x: x.increment() == 6),
    "named counter": ("SharedCounter(5, name='handles-named')", lambda x: x.increment() == 6),
    "value": ("SharedValue('five' * 5000)", lambda x: bool(x.value == "five" * 5000)),
    "array": ("SharedArray(list(range(9000)))", lambda x: bool(x.array.sum() == sum(range(9000)))),
    "dict": ("SharedDict({'n': 5, 'inner': SharedList([1])})", lambda x: bool(x["n"] == 5 and x["inner"][0] == 1)),
    "lock": ("SharedLock()", lambda x: bool(x.acquire(timeout=1) and x.release() is None)),
    "event": ("SharedEvent()", lambda x: not x.is_set() and x.set() is None and x.wait(1)),
    "queue": ("SharedQueue(3)", lambda x: x.put("inner") is None and x.get(timeout=1) == "inner"),
}


@pytest.mark.parametrize("end", ["the end", "os._exit", "kill"])
@pytest.mark.parametrize("how", ["bare", "nested"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_receiver_can_use_what_its_sender_left(kind: str, how: str, end: str) -> None:
    """However the sender left; and when the receiver lets go, it is gone."""
    before = entries()
    source, works = KINDS[kind]
    if end == "the end" and how == "nested":
        end = "os._exit"  # one of each pair is enough
    with SharedQueue[Any]() as queue:
        ended = run(PUT, queue.name, source, how, end)
        assert ended.code == (-signal.SIGKILL if end == "kill" else 0), ended.err
        got = queue.get(timeout=5)
        made = got if how == "bare" else got["note"][1][0]
        assert works(made)
        made.close()
        del got, made
        gc.collect()
        assert not left_since({*before, queue.segment})
    assert not left_since(before)


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_took_goes_with_the_queue(kind: str) -> None:
    """Whether its sender is there or gone."""
    before = entries()
    source, _ = KINDS[kind]
    with SharedQueue[Any]() as queue:
        assert run(PUT, queue.name, source, "nested", "os._exit").code == 0
        assert entries() - before > {queue.segment}
    assert not left_since(before)


def test_an_immediate_shutdown_drops_handles_too() -> None:
    """They are gone with the items."""
    before = entries()
    with SharedQueue[Any]() as queue:
        for kind in ("array", "dict", "counter"):
            assert run(PUT, queue.name, KINDS[kind][0], "bare", "os._exit").code == 0
        queue.shutdown(immediate=True)
        assert not left_since({*before, queue.segment})
    assert not left_since(before)


def test_what_its_owner_keeps_stays() -> None:
    """Putting a handle that one goes on using: both have the same object, and it ends with the last of them."""
    before = entries()
    with SharedQueue[Any]() as queue:
        hits, grid = SharedCounter(5), SharedArray(np.zeros(5000))
        queue.put_many([hits, grid, hits])
        first, mine, second = (queue.get() for _ in range(3))
        first.increment()
        second.increment()
        mine.array[3] = 7
        assert (hits.value, grid.array[3]) == (7, 7)
        for each in (first, second, mine):
            each.close()
        assert hits.increment() == 8
        assert grid.array[3] == 7
        hits.close()
        grid.close()
    gc.collect()
    assert not left_since(before)


def test_a_handle_goes_round() -> None:
    """From process to process and back, by two queues; each uses it in turn."""
    before = entries()
    with (
        SharedQueue[Any]() as there,
        SharedQueue[Any]() as back,
        Child("fork", increment_and_pass_on, there, back) as child,
    ):
        hits = SharedCounter(0)
        for n in range(1, 11):
            there.put(hits)
            hits.close()
            hits = back.get(timeout=10)
            assert hits.value == n
        hits.close()
        there.shutdown()
        child.result()
    gc.collect()
    assert not left_since(before)


def increment_and_pass_on(_line: Line, there: SharedQueue[Any], back: SharedQueue[Any]) -> None:
    """In a child."""
    for hits in there:
        hits.increment()
        back.put(hits)
        hits.close()


def test_what_could_not_be_put_is_its_owners() -> None:
    """A queue that was full, or that did not take another item of the same put_many, has no claim."""
    before = entries()
    with SharedQueue[Any](1) as queue, SharedArray(np.zeros(5000)) as grid:
        queue.put(1)
        for _ in range(3):
            with pytest.raises(Full):
                queue.put(grid, timeout=0)
            with pytest.raises((TypeError, AttributeError)):
                queue.put_many([grid, lambda: None])
        assert queue.get() == 1
        assert grid.value.sum() == 0
    assert not left_since(before)


def test_a_leased_handle_comes_back_whole() -> None:
    """After its holder raised or died; and is gone in the end."""
    before = entries()
    with SharedQueue[Any]() as queue:
        assert run(PUT, queue.name, KINDS["dict"][0], "bare", "os._exit").code == 0
        with pytest.raises(ZeroDivisionError), queue.lease(timeout=1) as made:
            made["n"] = 6
            raise ZeroDivisionError
        made.close()
        with Child("fork", lease_and_die, queue) as child, pytest.raises(WorkerDied):
            child.result()
        with queue.lease(timeout=1) as made:
            assert (made["n"], made["inner"][0]) == (7, 1)
        made.close()
        del made
        gc.collect()
        assert not left_since({*before, queue.segment})
    assert not left_since(before)


def lease_and_die(_line: Line, queue: SharedQueue[Any]) -> None:
    """In a child."""
    block = queue.lease(timeout=1)
    block.__enter__()["n"] += 1
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_receiver_leaves_nothing_that_lasts() -> None:
    """What it took has no owner left, so it is cleared away as all that is orphaned."""
    before = entries()
    with SharedQueue[Any]() as queue:
        for kind in ("array", "dict", "counter", "queue"):
            assert run(PUT, queue.name, KINDS[kind][0], "nested", "os._exit").code == 0
        with Child("fork", get_all_and_die, queue) as child, pytest.raises(WorkerDied):
            child.result()
        assert queue.empty()
    prune()
    assert not left_since(before)


def get_all_and_die(_line: Line, queue: SharedQueue[Any]) -> None:
    """In a child."""
    kept = [queue.get() for _ in range(4)]
    assert len(kept) == 4
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_handle_whose_object_is_gone_is_an_error_for_its_receiver() -> None:
    """The item is consumed, and the next is as it was."""
    with SharedQueue[Any]() as queue:
        hits = SharedCounter(5)
        queue.put_many([hits, "next"])
        hits.unlink()
        hits.close()
        with pytest.raises(NotFound):
            queue.get()
        assert queue.get() == "next"


def test_a_queue_in_itself() -> None:
    """It may travel through itself."""
    before = entries()
    with SharedQueue[Any]() as queue:
        queue.put(queue)
        again = queue.get(timeout=1)
        again.put("x")
        assert queue.get(timeout=1) == "x"
        again.close()
        queue.put([queue])
    gc.collect()
    assert not left_since(before)


def test_many_handles_in_one_item() -> None:
    """Hundreds of counters, dropped by a sender that leaves; each is as it was."""
    source = """
queue = attach(sys.argv[1])
queue.put([SharedCounter(n) for n in range(300)])
queue.put_many([SharedCounter(n), n] for n in range(100))
os._exit(0)
"""
    before = entries()
    with SharedQueue[Any]() as queue:
        assert run(source, queue.name).code == 0
        counters = queue.get(timeout=1)
        assert [each.value for each in counters] == list(range(300))
        for n in range(100):
            counter, number = queue.get(timeout=1)
            assert counter.value == number == n
            counter.close()
        while counters:
            counters.pop().close()
        gc.collect()
        assert not left_since({*before, queue.segment})
    assert not left_since(before)


def test_a_forked_childs_handles_are_its_own() -> None:
    """A child that was forked with the queue gets, uses and puts back."""
    with SharedQueue[Any]() as queue, SharedEvent() as event, SharedValue({"a": 1}) as value:
        queue.put_many([event, value])

        def child() -> None:
            mine, other = queue.get(timeout=1), queue.get(timeout=1)
            assert not mine.is_set()
            mine.set()
            assert other.value == {"a": 1}
            queue.put(SharedDict({"b": 2}))
            queue.put(SharedList([3]).hand_over())

        assert forked(child) == 0
        assert event.is_set()
        first, second = queue.get(timeout=1), queue.get(timeout=1)
        assert (first.value, second.value) == ({"b": 2}, [3])
        first.close()
        second.close()
