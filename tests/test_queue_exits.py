"""What a queue keeps when its processes leave, what it costs to wait for it, and the bounds that it keeps."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

import pytest

from death_support import used
from procshare import (
    NotFound,
    SharedBarrier,
    SharedCondition,
    SharedEvent,
    SharedLock,
    SharedQueue,
    SharedRWLock,
    SharedSemaphore,
    ShutDown,
    attach,
    prune,
)
from procshare.backends import native_built
from scripts import Script, entries, left_since, run, until
from support import Child, Line, WorkerDied

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads
]

# ---- a producer that leaves at once ----

PUT_AND_GO = """
queue = attach(sys.argv[1])
how, end = sys.argv[2:]
if how == "put":
    for n in range(10_000):
        queue.put((n, "x" * (n % 50)))
elif how == "put_many":
    queue.put_many((n, "x" * (n % 50)) for n in range(10_000))
elif how == "thread":
    import threading
    put = lambda: [queue.put((n, "x" * (n % 50))) for n in range(10_000)]
    thread = threading.Thread(target=put)
    thread.start()
    thread.join()
if end == "os._exit":
    os._exit(7)
elif end == "sys.exit":
    sys.exit(7)
elif end == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""
ENDS = {"os._exit": 7, "sys.exit": 7, "kill": -signal.SIGKILL, "the end": 0}


@pytest.mark.parametrize(
    ("how", "end"),
    [*(("put", end) for end in ENDS), ("put_many", "os._exit"), ("put_many", "kill"), ("thread", "kill")],
)
def test_ten_thousand_items_of_a_process_that_leaves_at_once_all_arrive(how: str, end: str) -> None:
    """In order, however it leaves; there is no thread that would have to send them."""
    with SharedQueue[Any]() as queue:
        ended = run(PUT_AND_GO, queue.name, how, end)
        assert (ended.code, ended.err) == (ENDS[end], "")
        assert queue.qsize() == 10_000
        got: list[Any] = []
        while len(got) < 10_000:
            got += queue.get_many(timeout=0)
        assert got == [(n, "x" * (n % 50)) for n in range(10_000)]


def test_a_producer_that_leaves_while_the_queue_is_full_blocks_nobody() -> None:
    """What it was about to put is not there; what it had put is."""
    with SharedQueue[int](3) as queue:
        with Child("fork", put_for_ever, queue) as child:
            assert until(queue.full)
            child.kill()
        first = [queue.get(timeout=1) for _ in range(3)]
        assert first == [0, 1, 2]
        assert queue.empty()
        queue.put(5, timeout=1)
        assert queue.get(timeout=1) == 5


def put_for_ever(_line: Line, queue: SharedQueue[int]) -> None:
    """In a child: count."""
    n = 0
    while True:
        queue.put(n)
        n += 1


# ---- a queue and its maker ----

MAKE_AND_GO = """
queue = SharedQueue(name=sys.argv[1])
queue.put_many(range(100))
if sys.argv[2] == "hand_over":
    queue.hand_over()
say("made")
sys.stdin.readline()
"""


def test_a_queue_goes_with_its_maker() -> None:
    """Those who are attached keep what is in it."""
    before = entries()
    with Script(MAKE_AND_GO, "exits-own", "keep") as script:
        assert script.hear() == "made"
        queue = SharedQueue[int].attach("exits-own")
        script.tell()
        assert script.ended().err == ""
    with pytest.raises(NotFound):
        attach("exits-own")
    assert [queue.get(timeout=0) for _ in range(100)] == list(range(100))
    queue.close()
    assert not left_since(before)


def test_a_queue_that_was_handed_over_waits_for_its_consumer() -> None:
    """Its maker is gone; the last one out removes it."""
    before = entries()
    with Script(MAKE_AND_GO, "exits-over", "hand_over") as script:
        assert script.hear() == "made"
        script.tell()
        assert script.ended().err == ""
    queue = SharedQueue[int].attach("exits-over")
    assert queue.get_many(1000, timeout=0)[:3] == [0, 1, 2]
    queue.close()
    assert not left_since(before)


def test_a_queue_of_a_killed_maker_is_gone_soon() -> None:
    """As everything is."""
    before = entries()
    with Script(MAKE_AND_GO, "exits-killed", "keep") as script:
        assert script.hear() == "made"
        script.kill()
    assert not left_since(before)
    assert not prune(dry_run=True)


def test_an_open_queue_keeps_its_items_until_the_last_one_leaves() -> None:
    """Every opener is equal."""
    one = SharedQueue[int].open("exits-open")
    two = SharedQueue[int].open("exits-open", 5)
    one.put_many(range(10))
    one.close()
    assert (two.qsize(), two.maxsize) == (10, 0)
    assert two.get() == 0
    two.close()
    with pytest.raises(NotFound):
        attach("exits-open")


# ---- what it costs to wait ----


def wait_a_second(_line: Line, queue: SharedQueue[Any], name: str) -> float:
    """In a child: the processor time of a wait."""
    calls: dict[str, Any] = {
        "get": lambda: queue.get(timeout=1),
        "get_many": lambda: queue.get_many(timeout=1),
        "put": lambda: queue.put(b"x" * 60_000, timeout=1),
    }
    before = used()
    with pytest.raises((Empty, Full)):
        calls[name]()
    return used() - before


def test_who_waits_for_a_queue_sleeps() -> None:
    """Less than a fiftieth of a core, in processes that do nothing else; also while others use the queue."""
    with SharedQueue[Any](capacity=100_000) as empty, SharedQueue[Any](capacity=100_000) as full:
        full.put_many([b"x" * 60_000, b"x" * 30_000])
        waits = [(empty, "get"), (empty, "get_many"), (full, "put")]
        children = [Child("fork", wait_a_second, *wait) for wait in waits]
        for child in children:
            with child:
                assert child.result() < 0.02


# ---- bounds ----


def produce(_line: Line, queue: SharedQueue[Any], n: int, size: int) -> None:
    """In a child: put one at a time and several."""
    for _ in range(n):
        queue.put(b"p" * size)
        queue.put_many([b"m" * size] * 3)


@pytest.mark.parametrize("maxsize", [1, 5])
def test_no_more_than_maxsize_are_queued(maxsize: int) -> None:
    """Three producers put as fast as they can; nobody ever sees one too many."""
    with SharedQueue[bytes](maxsize) as queue:
        children = [Child("fork", produce, queue, 100, 5) for _ in range(3)]
        seen: set[int] = set()
        for _ in range(1200):
            seen.add(queue.qsize())
            queue.get(timeout=10)
        for child in children:
            with child:
                child.result()
        assert max(seen) == maxsize
        assert queue.empty()


def test_no_more_bytes_than_its_capacity_are_used() -> None:
    """Items of 10 kB from three producers in 200 kB; its file stays near that."""
    with SharedQueue[bytes](capacity=200_000) as queue:
        children = [Child("fork", produce, queue, 50, 10_000) for _ in range(3)]
        most = 0
        for _ in range(600):
            most = max(most, queue.qsize())
            queue.get(timeout=10)
        for child in children:
            with child:
                child.result()
        assert 10 <= most <= 20
        assert os.stat(f"/dev/shm/{queue.segment}").st_size < 1 << 20


def test_a_long_queue_gives_its_memory_back() -> None:
    """What it needed when it was long is not what it needs when it is short."""
    with SharedQueue[bytes]() as queue:
        queue.put_many([b"x" * 1000] * 20_000)
        path = f"/dev/shm/{queue.segment}"
        assert os.stat(path).st_blocks * 512 > 20_000_000
        while not queue.empty():
            queue.get_many(timeout=0)
        for _ in range(20):
            queue.put_many([b"x" * 1000] * 10)
            queue.get_many(timeout=0)
        assert os.stat(path).st_blocks * 512 < 68_000_000


def test_shutdown_reaches_everyone() -> None:
    """A program that is attached by name, and waits."""
    source = """
queue = attach(sys.argv[1])
say("waiting")
try:
    queue.get()
except ShutDown:
    say("shut down")
"""
    with SharedQueue[Any]() as queue, Script(source, queue.name) as script:
        assert script.hear() == "waiting"
        queue.shutdown()
        assert script.hear() == "shut down"
        with pytest.raises(ShutDown):
            SharedQueue[Any].attach(queue.name).put(1)


def test_a_killed_consumer_takes_what_it_took() -> None:
    """And no more than that: the next item is the next."""
    with SharedQueue[int]() as queue:
        queue.put_many(range(10))
        with Child("fork", take_one_and_die, queue) as child, pytest.raises(WorkerDied):
            child.result()
        assert queue.get_many(timeout=0) == list(range(1, 10))


def take_one_and_die(_line: Line, queue: SharedQueue[int]) -> None:
    """In a child."""
    queue.get()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("kind", ["queue", "lock", "rwlock", "semaphore", "robust", "event", "condition", "barrier"])
def test_many_that_come_and_go_leave_nothing(kind: str) -> None:
    """No file, no descriptor, no mapping, whether they were used, attached a second time, or neither."""
    makers: dict[str, Callable[[], Any]] = {
        "queue": SharedQueue[int],
        "lock": SharedLock,
        "rwlock": SharedRWLock,
        "semaphore": SharedSemaphore,
        "robust": lambda: SharedSemaphore(robust=True),
        "event": SharedEvent,
        "condition": SharedCondition,
        "barrier": lambda: SharedBarrier(1),
    }

    def come_and_go(n: int) -> None:
        made = makers[kind]()
        if n % 3 == 0:
            attach(made.name).close()
            made.unlink()
        if n % 2 == 0:
            made.close()

    come_and_go(0)
    gc.collect()
    before = len(os.listdir("/proc/self/fd")), mappings()
    for n in range(150):
        come_and_go(n)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before[0] + 2  # a slab may be kept
    assert mappings() <= before[1] + 2


def mappings() -> int:
    """How many of procshare's files this process has mapped."""
    return Path("/proc/self/maps").read_text().count("procshare-")
