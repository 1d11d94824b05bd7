"""Items that somebody works on, and what becomes of them and of the tasks that are owed when he dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task, asleep, forked, in_time, patient
from procshare import OwnerDied, SharedQueue, ShutDown, WaitTimeout
from procshare.backends import native_built
from scripts import until
from support import Child, Line, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads; we fork with threads
]


@pytest.fixture
def queue() -> Iterator[SharedQueue[Any]]:
    """Five items."""
    with SharedQueue[Any]() as made:
        made.put_many("abcde")
        yield made


def drain(queue: SharedQueue[Any]) -> list[Any]:
    """All that is queued."""
    got: list[Any] = []
    while not queue.empty():
        got += queue.get_many(timeout=0)
    return got


def hold(line: Line, queue: SharedQueue[Any], n: int = 1) -> None:
    """In a child: lease some items, say which, and end well when told."""
    blocks = [queue.lease() for _ in range(n)]
    line.tell([block.__enter__() for block in blocks])
    line.hear()
    for block in blocks:
        block.__exit__(None, None, None)
    line.tell("done")
    line.hear()


def test_what_is_back_takes_its_place() -> None:
    """A queue that is full of what came back is full."""
    with SharedQueue[int](1) as small:
        small.put(1)
        with pytest.raises(ZeroDivisionError), small.lease():
            raise ZeroDivisionError
        with pytest.raises(Full):
            small.put_nowait(2)
        assert small.get_nowait() == 1
        small.put_nowait(2)


# ---- a holder that dies ----


@patient
def test_a_dead_holders_item_is_first_again(queue: SharedQueue[Any]) -> None:
    """Whoever asks next gets it, by each way to get."""
    gets: list[Callable[[], Any]] = [
        queue.get_nowait,
        lambda: queue.get(timeout=5),
        lambda: queue.get_many(1, timeout=5)[0],
        lambda: queue.get_many(1, timeout=0)[0],
        lambda: leased(queue),
    ]
    for get, expected in zip(gets, "abcde", strict=True):
        with Child("fork", hold, queue) as holder:
            assert holder.hear() == [expected]
            rest = "abcde".index(expected)
            assert queue.qsize() == 4 - rest
            holder.kill()
            moment = time.monotonic()
            assert until(partial(has, queue, 5 - rest))
            assert get() == expected
            in_time(time.monotonic() - moment)


def has(queue: SharedQueue[Any], n: int) -> bool:
    """Whether so many are queued."""
    return queue.qsize() == n


def leased(queue: SharedQueue[Any]) -> Any:
    """An item, for good."""
    with queue.lease(timeout=5) as item:
        return item


@pytest.mark.parametrize("name", ["get", "get_many", "lease"])
@patient
def test_who_waits_gets_a_dead_holders_item(name: str) -> None:
    """Within 100 ms, though nobody puts anything; whoever waits in a thread or in a process."""
    gets: dict[str, Callable[[SharedQueue[Any]], Any]] = {
        "get": lambda queue: queue.get(timeout=10),
        "get_many": lambda queue: queue.get_many(timeout=10)[0],
        "lease": leased,
    }
    with SharedQueue[Any]() as queue:
        queue.put("x")
        with Child("fork", hold, queue) as holder:
            assert holder.hear() == ["x"]
            waiter = Task(partial(gets[name], queue))
            waiter.join(0.03)
            assert waiter.is_alive()
            moment = time.monotonic()
            holder.kill()
            assert waiter.result() == "x"
            in_time(waiter.ended - moment)
        queue.put("y")
        with Child("fork", hold, queue) as holder:
            assert holder.hear() == ["y"]
            with Child("fork", get_one, queue) as child:
                assert child.hear() == "ready"
                assert until(lambda: asleep(child.pid, child.pid))
                moment = time.monotonic()
                holder.kill()
                assert child.result() == "y"
                in_time(time.monotonic() - moment)


def get_one(line: Line, queue: SharedQueue[Any]) -> Any:
    """In a child."""
    line.tell("ready")
    return queue.get(timeout=10)


def test_what_several_dead_held_comes_back_in_order(queue: SharedQueue[Any]) -> None:
    """As it was before, and before all that was never taken."""
    with Child("fork", hold, queue, 2) as one, Child("fork", hold, queue, 1) as other:
        assert sorted([*one.hear(), *other.hear()]) == ["a", "b", "c"]
        one.kill()
        other.kill()
    assert [queue.get(timeout=1) for _ in range(5)] == list("abcde")
    with pytest.raises(Empty):
        queue.get_nowait()


def test_a_holder_that_leaves_gives_its_items_back(queue: SharedQueue[Any]) -> None:
    """Also if it leaves well: it did not say that it is done."""
    assert call("fork", lease_and_leave, queue) == "a"
    assert queue.get(timeout=5) == "a"
    assert drain(queue) == list("bcde")


def lease_and_leave(queue: SharedQueue[Any]) -> Any:
    """In a child: begin, and go."""
    return queue.lease().__enter__()


def test_a_living_holders_item_stays_with_it(queue: SharedQueue[Any]) -> None:
    """However long it takes, also while it is stopped."""
    with Child("fork", hold, queue) as holder:
        assert holder.hear() == ["a"]
        assert drain(queue) == list("bcde")
        os.kill(holder.pid, signal.SIGSTOP)
        with pytest.raises(Empty):
            queue.get(timeout=0.2)
        os.kill(holder.pid, signal.SIGCONT)
        holder.tell("go")
        assert holder.hear() == "done"
        with pytest.raises(Empty):
            queue.get(timeout=0)


def test_a_forked_child_has_no_part_in_a_lease(queue: SharedQueue[Any]) -> None:
    """It neither ends it, nor gives it back by its end."""
    block = queue.lease()
    assert block.__enter__() == "a"

    def leave() -> None:
        block.__exit__(KeyError, KeyError("x"), None)
        assert queue.qsize() == 4

    assert forked(leave) == 0
    assert queue.qsize() == 4
    block.__exit__(None, None, None)
    assert queue.get() == "b"


def test_a_lease_is_entered_and_left_once(queue: SharedQueue[Any]) -> None:
    """A second end changes nothing; one that was never entered has nothing."""
    block = queue.lease()
    block.__exit__(None, None, None)
    assert queue.qsize() == 5
    assert block.__enter__() == "a"
    with pytest.raises(RuntimeError):
        block.__enter__()
    block.__exit__(KeyError, KeyError("x"), None)
    block.__exit__(KeyError, KeyError("x"), None)
    block.__exit__(None, None, None)
    assert queue.qsize() == 5
    assert drain(queue) == list("abcde")


def test_a_lease_that_is_forgotten_comes_back(queue: SharedQueue[Any]) -> None:
    """Garbage collection is no end of work."""
    import gc

    block = queue.lease()
    assert block.__enter__() == "a"
    del block
    gc.collect()
    assert queue.get(timeout=1) == "a"


def test_another_thread_may_end_it(queue: SharedQueue[Any]) -> None:
    """A lease is its process's."""
    block = queue.lease()
    block.__enter__()
    Task(lambda: block.__exit__(None, None, None)).result()
    with pytest.raises(WaitTimeout):
        queue.join(timeout=0)
    assert drain(queue) == list("bcde")
    for _ in range(4):
        queue.task_done()
    queue.join(timeout=0)


def test_many_leases_at_once() -> None:
    """Hundreds, of items of all sizes, some of which come back; none of their memory is mixed up."""
    with SharedQueue[Any](capacity=20_000) as queue:
        items = [(n, bytes([n % 251]) * (n * 7 % 3000)) for n in range(300)]
        putter = Task(lambda: queue.put_many(items, timeout=20))
        blocks = [queue.lease(timeout=10) for _ in items]
        assert [block.__enter__() for block in blocks] == items
        putter.result()
        for n, block in enumerate(blocks):
            block.__exit__(*((KeyError, KeyError(), None) if n % 3 == 0 else (None, None, None)))
        assert [queue.get(timeout=0) for _ in range(100)] == items[::3]
        with pytest.raises(Empty):
            queue.get(timeout=0)


def test_one_lease_too_many_is_refused() -> None:
    """With an error that says so; nothing is lost, and ending one makes room."""
    with SharedQueue[int]() as queue:
        queue.put_many(range(3000))
        blocks: list[Any] = []
        with pytest.raises(RuntimeError, match="lease"):
            while True:
                block = queue.lease(timeout=5)
                assert block.__enter__() == len(blocks)
                blocks.append(block)
        assert queue.qsize() == 3000 - len(blocks)
        assert queue.get() == len(blocks)
        blocks.pop().__exit__(None, None, None)
        with queue.lease(timeout=5) as item:
            assert item == len(blocks) + 2
        for block in blocks:
            block.__exit__(KeyError, KeyError(), None)
        assert [queue.get(timeout=0) for _ in blocks] == list(range(len(blocks)))


def test_shutdown_lets_leases_end(queue: SharedQueue[Any]) -> None:
    """What is leased is taken: it may end well, or come back and be got by another, before all is over."""
    first, second = queue.lease(), queue.lease()
    assert (first.__enter__(), second.__enter__()) == ("a", "b")
    queue.shutdown()
    assert drain(queue) == list("cde")
    first.__exit__(None, None, None)
    second.__exit__(KeyError, KeyError(), None)
    assert queue.get(timeout=1) == "b"
    with pytest.raises(ShutDown):
        queue.get(timeout=1)


@patient
def test_shutdown_waits_for_no_lease_of_the_dead(queue: SharedQueue[Any]) -> None:
    """Its item is got, and then it is over."""
    with Child("fork", hold, queue) as holder:
        assert holder.hear() == ["a"]
        queue.shutdown()
        assert drain(queue) == list("bcde")
        holder.kill()
    moment = time.monotonic()
    rest = list(queue)
    in_time(time.monotonic() - moment)
    assert rest == ["a"]


def test_an_immediate_shutdown_drops_what_comes_back(queue: SharedQueue[Any]) -> None:
    """It counts as done, so that join ends."""
    block = queue.lease()
    block.__enter__()
    queue.shutdown(immediate=True)
    with pytest.raises(WaitTimeout):
        queue.join(timeout=0)
    block.__exit__(KeyError, KeyError(), None)
    with pytest.raises(ShutDown):
        queue.get(timeout=1)
    queue.join(timeout=1)


def test_ctrl_c_in_a_lease_gives_the_item_back() -> None:
    """As any other exception."""
    with SharedQueue[int]() as queue:
        queue.put_many([1, 2])
        with pytest.raises(KeyboardInterrupt), queue.lease() as item:
            assert item == 1
            signal.raise_signal(signal.SIGINT)
        assert drain(queue) == [1, 2]


# ---- tasks that the dead owe ----


def take(line: Line, queue: SharedQueue[Any], n: int, done: int) -> None:
    """In a child: get some, say for some that they are done, and live on until told or killed."""
    for _ in range(n):
        queue.get()
    for _ in range(done):
        queue.task_done()
    line.tell("taken")
    line.hear()


def test_join_tells_of_the_dead(queue: SharedQueue[Any]) -> None:
    """At each call, until someone has called task_done for each item that it owed."""
    with Child("fork", take, queue, 3, 1) as taker:
        assert taker.hear() == "taken"
        with pytest.raises(WaitTimeout):
            queue.join(timeout=0.02)
        taker.kill()
    for _ in range(2):
        for timeout in (None, 0, 5):
            with pytest.raises(OwnerDied) as caught:
                queue.join(timeout)
            assert caught.value.name in queue.name
            assert "task_done" in str(caught.value)
        queue.task_done()
    with pytest.raises(WaitTimeout):
        queue.join(timeout=0)
    for _ in range(2):
        queue.get()
        queue.task_done()
    queue.join(timeout=0)


@patient
def test_who_waits_in_join_is_told_of_a_death(queue: SharedQueue[Any]) -> None:
    """Within 100 ms."""
    with Child("fork", take, queue, 1, 0) as taker:
        assert taker.hear() == "taken"
        joining = Task(queue.join)
        joining.join(0.03)
        assert joining.is_alive()
        moment = time.monotonic()
        taker.kill()
        with pytest.raises(OwnerDied):
            joining.result()
        in_time(joining.ended - moment)


def test_join_does_not_tell_of_those_who_owe_nothing(queue: SharedQueue[Any]) -> None:
    """Who said that all is done, and who only put, may die."""
    with Child("fork", take, queue, 5, 5) as taker:
        assert taker.hear() == "taken"
        taker.kill()
    queue.join(timeout=0)
    with Child("fork", put_and_die, queue) as putter, pytest.raises(Exception, match="ended"):
        putter.result()
    with pytest.raises(WaitTimeout):
        queue.join(timeout=0)


def put_and_die(_line: Line, queue: SharedQueue[Any]) -> None:
    """In a child."""
    queue.put("f")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_lease_of_the_dead_is_not_owed(queue: SharedQueue[Any]) -> None:
    """It is back in the queue, for the next to do."""
    with Child("fork", hold, queue, 5) as holder:
        assert len(holder.hear()) == 5
        holder.kill()
    for _ in range(5):
        with queue.lease(timeout=1), pytest.raises(WaitTimeout):
            queue.join(timeout=0)
    queue.join(timeout=0)


def test_task_done_of_another_process_pays_for_the_living_too(queue: SharedQueue[Any]) -> None:
    """One process may get, and another say that it is done, as in the standard library; nobody is dead then."""
    with Child("fork", take, queue, 5, 0) as taker:
        assert taker.hear() == "taken"
        for _ in range(5):
            queue.task_done()
        queue.join(timeout=0)
        taker.kill()
    queue.join(timeout=0)
    with pytest.raises(ValueError):
        queue.task_done()


def test_threads_owe_together() -> None:
    """One thread gets, another says that it is done."""
    with SharedQueue[int]() as queue:
        queue.put_many(range(50))
        taken = threading.Semaphore(0)

        def get() -> None:
            for _ in range(25):
                queue.get()
                taken.release()

        def finish() -> None:
            for _ in range(50):
                assert taken.acquire(timeout=10)
                queue.task_done()

        tasks = [Task(get), Task(get), Task(finish)]
        queue.join(timeout=10)
        for task in tasks:
            task.result()
        assert queue.empty()
