"""What is specific to the stdlib backend's queue: its feeder thread, what it loses, and what it does not."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from queue import Empty
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task, forked, interrupted
from procshare import Closed, PipeEnd, SharedPipe, SharedQueue, ShutDown, UnsupportedByBackend, WaitTimeout
from scripts import run, until
from support import START_METHODS, Child, Line, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

methods = pytest.mark.parametrize("method", START_METHODS)


@pytest.fixture
def queue() -> Iterator[SharedQueue[Any]]:
    """One without a bound."""
    with SharedQueue[Any](backend="stdlib") as made:
        yield made


@pytest.fixture
def single() -> Iterator[SharedQueue[Any]]:
    """One that takes one item."""
    with SharedQueue[Any](1, backend="stdlib") as made:
        yield made


def pour(_line: Line, queue: SharedQueue[Any], count: int) -> None:
    """In a child: put many, and end."""
    for number in range(count):
        queue.put((number, "x" * 50))


@methods
def test_what_a_process_puts_before_it_ends_arrives(method: str, queue: SharedQueue[Any]) -> None:
    """All of it, in order, though the process is at its end before its thread is."""
    with Child(method, pour, queue, 10_000) as child:
        got = [queue.get(timeout=20)[0] for _ in range(10_000)]
        child.result()
    assert got == list(range(10_000))
    assert queue.empty()


ALONE = """
set_default_backend("stdlib")

def work(queue, begun=None):
    if begun:
        begun.set()
    for _ in range(100):
        queue.put(b"x" * 10_000)
    say("put")

if __name__ == "__main__":
    queue = SharedQueue()
    if sys.argv[1] == "child":
        context = mp.get_context(sys.argv[2])
        begun = context.Event()
        context.Process(target=work, args=(queue, begun)).start()
        begun.wait()
    else:
        work(queue)
    if sys.argv[1] == "closed":
        queue.close()
        queue.join_thread()
        say("joined")
"""


@pytest.mark.parametrize(
    ("who", "method"), [("parent", ""), ("closed", ""), *(("child", method) for method in START_METHODS)]
)
def test_nobody_waits_at_exit_for_a_pipe_that_nobody_can_read(who: str, method: str) -> None:
    """Where multiprocessing's queue hangs for ever: the last one who could read leaves, and the others go on."""
    code, out, err = run(ALONE, who, method, timeout=20)
    assert (code, err) == (0, "")
    assert out.split() == ["put", "joined"] if who == "closed" else ["put"]


def test_a_closed_queue_is_written_to_its_end(queue: SharedQueue[Any]) -> None:
    """Before close() returns from join_thread(); another process gets it all."""

    def collect(line: Line, queue: SharedQueue[Any]) -> int:
        line.hear()
        return sum(len(queue.get(timeout=10)) for _ in range(50))

    with Child("fork", collect, queue) as child:
        queue.put_many([b"x" * 10_000] * 50)
        queue.close()
        child.tell("begin")
        queue.join_thread()
        queue.join_thread()
        assert child.result() == 500_000


def test_join_thread_before_close_waits_for_nothing(queue: SharedQueue[Any]) -> None:
    """And cancel_join_thread() is a call that an exit does not have to wait after."""
    queue.put(b"x" * 1_000_000)
    queue.join_thread()
    queue.cancel_join_thread()
    queue.close()
    queue.cancel_join_thread()


def test_a_waiter_is_told_when_its_queue_is_closed(single: SharedQueue[Any]) -> None:
    """By another thread: it does not wait on for what it can no longer have."""
    getter = Task(single.get)
    assert until(getter.is_alive)
    single.close()
    with pytest.raises(Closed):
        getter.result()


def test_a_process_forked_by_hand_puts_too(queue: SharedQueue[Any]) -> None:
    """The thread that feeds the pipe is its parent's, so it starts its own."""
    queue.put("before")
    assert queue.get(timeout=5) == "before"

    def put() -> None:
        queue.put("child")
        queue.close()
        queue.join_thread()

    assert forked(put) == 0
    queue.put("parent")
    assert {queue.get(timeout=5), queue.get(timeout=5)} == {"child", "parent"}


def test_put_takes_what_multiprocessing_can_send(queue: SharedQueue[Any]) -> None:
    """Ends of pipes, which a plain pickle does not take; the handles of this backend are refused by put."""
    here: PipeEnd[Any, Any]
    there: PipeEnd[Any, Any]
    here, there = SharedPipe()
    queue.put(there)
    with queue.get(timeout=5) as again:
        again.send("through")
        assert here.recv() == "through"
    here.close()
    there.close()
    with pytest.raises(UnsupportedByBackend):
        queue.put(queue)
    assert queue.qsize() == 0


class Spoiled:
    """It pickles and does not unpickle."""

    def __reduce__(self) -> Any:
        return spoil, ()


def spoil() -> None:
    """Raise."""
    raise LookupError("spoiled")


def test_many_items_of_which_one_does_not_unpickle(queue: SharedQueue[Any]) -> None:
    """Its error is raised when it is the first, and nothing is lost beside it."""
    queue.put_many([1, 2, Spoiled(), 3])
    got: list[Any] = []
    while not queue.empty():
        try:
            got += queue.get_many(timeout=5)
        except LookupError:
            got.append("spoiled")
    assert got in ([1, 2, "spoiled", 3], [1, 2, 3, "spoiled"])


# ---- leases ----


def fail_in(queue: SharedQueue[Any]) -> None:
    """Take an item, and fail to do it."""
    with pytest.raises(ZeroDivisionError), queue.lease(timeout=5) as item:
        item.append("changed")
        raise ZeroDivisionError


def test_what_is_given_back_goes_to_the_end_as_it_was(queue: SharedQueue[Any]) -> None:
    """Not to the front, and without what the block did to it; it is still to be done."""
    queue.put_many([["a"], ["b"]])
    fail_in(queue)
    assert [queue.get(timeout=5), queue.get(timeout=5)] == [["b"], ["a"]]
    queue.task_done()
    with pytest.raises(WaitTimeout):
        queue.join(timeout=0)
    queue.task_done()
    queue.join(timeout=0)


def test_a_full_queue_takes_back_what_was_its_own(single: SharedQueue[Any]) -> None:
    """Else who leases and fails would wait for room for ever; for a moment there is one too many."""
    single.put(["a"])
    with pytest.raises(ZeroDivisionError), single.lease() as item:
        assert item == ["a"]
        single.put(["b"], timeout=5)
        raise ZeroDivisionError
    assert (single.qsize(), single.full()) == (2, True)
    assert [single.get(timeout=5), single.get(timeout=5)] == [["b"], ["a"]]
    single.put("c", False)
    assert (single.qsize(), single.full()) == (1, True)
    assert single.get() == "c"
    assert single.qsize() == 0


def test_a_child_forked_in_a_lease_gives_nothing_back(queue: SharedQueue[Any]) -> None:
    """The item is its parent's."""
    queue.put("one")
    child = 0
    try:
        with queue.lease(timeout=5):
            child = os.fork()
            if child == 0:
                raise ZeroDivisionError
    finally:
        if child == 0:
            queue.close()
            queue.join_thread()
            os._exit(0)
    os.waitpid(child, 0)
    assert queue.qsize() == 0
    with pytest.raises(Empty):
        queue.get(timeout=0.05)


def take_and_stay(line: Line, queue: SharedQueue[Any]) -> None:
    """In a child: begin a lease, and be killed."""
    with queue.lease(timeout=20) as item:
        line.tell(item)
        line.hear(60)


def test_a_killed_holder_takes_its_item_along(queue: SharedQueue[Any]) -> None:
    """The documented limit: nobody gets it again, and join() waits for it. The others go on."""
    queue.put_many("ab")
    with Child("fork", take_and_stay, queue) as child:
        assert child.hear() == "a"
        child.kill()
    assert queue.get(timeout=5) == "b"
    queue.task_done()
    with pytest.raises(WaitTimeout):
        queue.join(timeout=0.05)


# ---- shutdown ----


def test_what_a_killed_producer_had_does_not_keep_the_others(queue: SharedQueue[Any]) -> None:
    """It is counted and never comes: a queue that was shut down ends all the same, after what did come."""
    inside: Any = queue
    inside._core.thing._sem.acquire()  # what put() does first, and a process that is then killed leaves
    queue.put("ours")
    assert queue.qsize() == 2
    queue.shutdown()
    begun = time.monotonic()
    assert list(queue) == ["ours"]
    queue.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        queue.get()
    assert time.monotonic() - begun < 5


def count(_line: Line, queue: SharedQueue[Any]) -> int:
    """In a child: how many come before the end."""
    return sum(1 for _ in queue)


@methods
def test_shutdown_reaches_children_that_wait(method: str, queue: SharedQueue[Any]) -> None:
    """All that was put is got by one of them, and then both end."""
    with Child(method, count, queue) as one, Child(method, count, queue) as other:
        queue.put_many(range(200))
        queue.shutdown()
        assert one.result(20) + other.result(20) == 200


def test_shutdown_at_once_empties_a_full_pipe(queue: SharedQueue[Any]) -> None:
    """Also of what its thread has not written yet."""
    queue.put_many([b"x" * 100_000] * 20)
    queue.shutdown(immediate=True)
    assert queue.qsize() == 0
    queue.join(timeout=0)
    with pytest.raises(ShutDown):
        queue.get()


# ---- Ctrl-C ----

WAITS: list[Callable[[SharedQueue[Any]], object]] = [
    lambda queue: queue.get(),
    lambda queue: queue.get(timeout=20),
    lambda queue: queue.get_many(),
    lambda queue: queue.lease().__enter__(),
]


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_interrupts_a_get(queue: SharedQueue[Any], wait: Callable[[SharedQueue[Any]], object]) -> None:
    """And leaves the queue to others."""
    assert interrupted(lambda: wait(queue)) < 1
    queue.put("next")
    assert Task(lambda: queue.get(timeout=5)).result() == "next"


def test_ctrl_c_interrupts_a_put_and_a_join(single: SharedQueue[Any]) -> None:
    """And nothing was put."""
    single.put(1)
    assert interrupted(lambda: single.put(2)) < 1
    assert interrupted(lambda: single.put_many([2, 3])) < 1
    assert interrupted(single.join) < 1
    assert single.qsize() == 1
    assert single.get() == 1
    single.task_done()
    single.join(timeout=0)


def test_ctrl_c_in_the_midst_of_a_message_spoils_nothing(queue: SharedQueue[Any]) -> None:
    """What comes after it is whole, and it is given back."""
    large = b"x" * 30_000_000
    queue.put(large)
    assert until(lambda: not queue.empty())
    timer = threading.Timer(0.005, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        assert len(queue.get(timeout=20)) == len(large)
        time.sleep(5)
    timer.join()
    queue.put("next")
    rest = queue.get(timeout=5)
    assert rest == "next" or (rest == large and queue.get(timeout=5) == "next")


# ---- what it refuses ----


def test_it_has_no_name_and_travels_only_to_a_child() -> None:
    """As everything of this backend; capacity is taken and told, and bounds nothing."""
    with pytest.raises(UnsupportedByBackend):
        SharedQueue[int](name="queue", backend="stdlib")
    for wrong in (0, -5):
        with pytest.raises(ValueError):
            SharedQueue[int](capacity=wrong, backend="stdlib")
    with SharedQueue[bytes](capacity=10, backend="stdlib") as queue:
        with pytest.raises(UnsupportedByBackend):
            pickle.dumps(queue)
        queue.put(b"x" * 1000)
        assert len(queue.get(timeout=5)) == 1000
        assert queue.capacity == 10
        assert call("spawn", capacity_of, queue) == 10


def capacity_of(queue: SharedQueue[Any]) -> int:
    """In a child: what it was made with."""
    return queue.capacity
