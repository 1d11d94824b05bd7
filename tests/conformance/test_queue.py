"""What every backend's `SharedQueue` does; what its robustness adds is in test_queue_*.py."""

from __future__ import annotations

import queue as stdlib_queue
import time
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task
from procshare import SharedEvent, SharedQueue, WaitTimeout
from scripts import until
from support import START_METHODS, Child, Line, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # threads wait while we fork


@pytest.fixture
def queue(backend: str) -> Iterator[SharedQueue[Any]]:
    """One without a bound."""
    with SharedQueue[Any](backend=backend) as made:
        yield made


@pytest.fixture
def small(backend: str) -> Iterator[SharedQueue[Any]]:
    """One that takes three items."""
    with SharedQueue[Any](3, backend=backend) as made:
        yield made


def timed(call: Callable[[], object], error: type[Exception]) -> float:
    """How long a call takes that raises an error."""
    begun = time.monotonic()
    with pytest.raises(error):
        call()
    return time.monotonic() - begun


def fill(queue: SharedQueue[Any]) -> list[int]:
    """Put three items in every way that waits for nothing."""
    queue.put(1)
    queue.put(2, False)
    queue.put_nowait(3)
    assert until(lambda: not queue.empty())
    return [1, 2, 3]


def test_what_is_put_is_got_in_order(queue: SharedQueue[Any]) -> None:
    """By every way to put and to get."""
    queue.put(1)
    queue.put(2, True)
    queue.put(3, True, None)
    queue.put(4, False)
    queue.put(5, False, None)
    queue.put(6, True, 5)
    queue.put(obj=7, block=True, timeout=5)
    queue.put_nowait(8)
    assert queue.qsize() == 8
    got = [queue.get(), queue.get(True), queue.get(True, None), queue.get(timeout=5), queue.get(block=True, timeout=5)]
    assert got == [1, 2, 3, 4, 5]
    assert until(lambda: not queue.empty())
    assert queue.qsize() == 3
    assert [queue.get(timeout=5), queue.get(True, 5), queue.get(timeout=5)] == [6, 7, 8]
    assert queue.empty()


def test_an_empty_queue_says_so_in_time(queue: SharedQueue[Any]) -> None:
    """At once without blocking or with no time left, else after the time that was said; it works on."""
    assert queue.empty()
    calls: list[tuple[Callable[[], object], float]] = [
        (lambda: queue.get(False), 0),
        (lambda: queue.get(False, 5), 0),
        (lambda: queue.get(block=False, timeout=None), 0),
        (queue.get_nowait, 0),
        (lambda: queue.get(timeout=0), 0),
        (lambda: queue.get(True, -1), 0),
        (lambda: queue.get(True, 0.1), 0.1),
        (lambda: queue.get_many(timeout=0), 0),
        (lambda: queue.get_many(5, 0.1), 0.1),
    ]
    for call_, least in calls:
        assert least <= timed(call_, Empty) < least + 0.5
    queue.put("x")
    assert queue.get(timeout=5) == "x"


def test_a_full_queue_says_so_in_time(small: SharedQueue[Any]) -> None:
    """And what could not be put is not there."""
    items = fill(small)
    assert (small.full(), small.qsize(), small.maxsize) == (True, 3, 3)
    calls: list[tuple[Callable[[], object], float]] = [
        (lambda: small.put(9, False), 0),
        (lambda: small.put(9, False, 5), 0),
        (lambda: small.put_nowait(9), 0),
        (lambda: small.put(9, timeout=0), 0),
        (lambda: small.put(9, True, -1), 0),
        (lambda: small.put(9, True, 0.1), 0.1),
        (lambda: small.put_many([9, 9], timeout=0), 0),
        (lambda: small.put_many([9], timeout=0.1), 0.1),
    ]
    for call_, least in calls:
        assert least <= timed(call_, Full) < least + 0.5
    assert [small.get(timeout=5) for _ in items] == items
    assert (small.full(), small.empty(), small.qsize()) == (False, True, 0)
    fill(small)


@pytest.mark.parametrize("maxsize", [0, -1, -5])
def test_without_a_bound_it_is_never_full(backend: str, maxsize: int) -> None:
    """0 and less are none."""
    with SharedQueue[int](maxsize, backend=backend) as queue:
        queue.put_many(range(100))
        assert not queue.full()
        assert queue.qsize() == 100
        assert queue.maxsize <= 0


def test_qsize_follows(queue: SharedQueue[Any]) -> None:
    """Exactly, item by item."""
    for n in range(1, 4):
        queue.put(n)
        assert queue.qsize() == n
    for n in reversed(range(3)):
        queue.get()
        assert queue.qsize() == n


def test_many_at_once(queue: SharedQueue[Any]) -> None:
    """put_many takes any iterable, get_many what is there and never more than it may."""
    queue.put_many([])
    assert queue.empty()
    queue.put_many(range(10))
    queue.put_many(iter("ab"))
    queue.put(None)
    assert until(lambda: queue.qsize() == 13)
    got: list[Any] = []
    for most in (1, 4, 100):
        while len(got) < 13:
            some = queue.get_many(most, timeout=5)
            assert 1 <= len(some) <= most
            got += some
            if most < 100:
                break
    assert got == [*range(10), "a", "b", None]
    for wrong in (0, -1):
        with pytest.raises(ValueError):
            queue.get_many(wrong)


def test_put_many_fills_what_it_can(small: SharedQueue[Any]) -> None:
    """When time runs out, those that were put stay, in order, and the error says how many."""
    small.put("first")
    with pytest.raises(Full, match="2"):
        small.put_many(["second", "third", "fourth", "fifth"], timeout=0.05)
    assert [small.get(timeout=5) for _ in range(3)] == ["first", "second", "third"]
    assert small.qsize() == 0


def test_put_many_waits_for_room(small: SharedQueue[Any]) -> None:
    """As often as it needs to."""
    putter = Task(lambda: small.put_many(range(20), timeout=20))
    assert [small.get(timeout=10) for _ in range(20)] == list(range(20))
    putter.result()


def test_a_get_waits_for_a_put(queue: SharedQueue[Any]) -> None:
    """In another thread."""
    getter = Task(lambda: queue.get(timeout=10))
    many = Task(lambda: queue.get_many(1, timeout=10))
    queue.put(1)
    queue.put(1)
    assert [getter.result(), many.result()] == [1, [1]]


def test_a_put_waits_for_a_get(small: SharedQueue[Any]) -> None:
    """In another thread."""
    fill(small)
    putter = Task(lambda: small.put(4, timeout=10))
    putter.join(0.03)
    assert putter.is_alive()
    assert small.get(timeout=5) == 1
    putter.result()
    assert [small.get(timeout=5) for _ in range(3)] == [2, 3, 4]


def test_what_cannot_be_pickled_is_refused(small: SharedQueue[Any]) -> None:
    """By put itself, with nothing put; put_many puts none of the others either."""
    for wrong in (lambda: None, Task(int), [1, iter(lambda: None, 1)]):
        with pytest.raises(Exception, match=r"pickle|local object|lookup"):
            small.put(wrong)
        with pytest.raises(Exception, match=r"pickle|local object|lookup"):
            small.put_many([1, wrong, 2])
    assert small.qsize() == 0
    assert fill(small) == [small.get(timeout=5) for _ in range(3)]


def echo(_line: Line, questions: SharedQueue[Any], answers: SharedQueue[Any]) -> int:
    """In a child: answer until there is None."""
    count = 0
    while (item := questions.get(timeout=20)) is not None:
        answers.put((item, type(item).__name__))
        count += 1
    return count


@pytest.mark.parametrize("method", START_METHODS)
def test_items_go_to_a_child_and_back(backend: str, method: str) -> None:
    """Whatever its start method; in order, and each once."""
    items: list[Any] = [1, 2.5, "three", b"four", (5,), [6], {"seven": 8}, True, 10**30, "x" * 100_000]
    with (
        SharedQueue[Any](2, backend=backend) as questions,
        SharedQueue[Any](backend=backend) as answers,
        Child(method, echo, questions, answers) as child,
    ):
        questions.put_many([*items, None])
        assert [answers.get(timeout=20) for _ in items] == [(item, type(item).__name__) for item in items]
        assert child.result() == len(items)
        assert questions.empty()
        assert answers.empty()


def test_a_child_goes_on_where_its_parent_was(queue: SharedQueue[Any]) -> None:
    """A queue that was used before a fork."""
    queue.put_many(range(10))
    call("fork", queue.put_many, range(10, 20))
    assert [queue.get(timeout=10) for _ in range(20)] == list(range(20))
    with pytest.raises(Empty):
        queue.get_nowait()


def produce(_line: Line, queue: SharedQueue[Any], me: int, n: int) -> None:
    """In a child: put what is its own."""
    for item in range(n):
        queue.put((me, item))


def consume(_line: Line, queue: SharedQueue[Any]) -> list[tuple[int, int]]:
    """In a child: get until there is None."""
    got: list[tuple[int, int]] = []
    while (item := queue.get(timeout=20)) is not None:
        got.append(item)
    return got


@pytest.mark.parametrize("maxsize", [0, 5])
def test_everything_arrives_once_and_in_order(backend: str, maxsize: int) -> None:
    """Of three producers at two consumers, each sees what each producer put in the order in which it did."""
    with SharedQueue[Any](maxsize, backend=backend) as queue:
        consumers = [Child("fork", consume, queue) for _ in range(2)]
        producers = [Child("fork", produce, queue, me, 100) for me in range(3)]
        for child in producers:
            with child:
                child.result()
        queue.put_many([None, None])
        got: list[tuple[int, int]] = []
        for child in consumers:
            with child:
                mine = child.result()
            for me in range(3):
                order = [n for who, n in mine if who == me]
                assert order == sorted(order)
            got += mine
        assert sorted(got) == [(me, n) for me in range(3) for n in range(100)]


# ---- task_done and join ----


def test_join_waits_until_all_is_done(queue: SharedQueue[Any]) -> None:
    """Getting an item is not yet doing it."""
    queue.join()
    queue.put_many("abc")
    with pytest.raises(WaitTimeout):
        queue.join(timeout=0.05)
    joining = Task(lambda: queue.join(timeout=10))
    for _ in range(3):
        queue.get(timeout=5)
        assert joining.is_alive()
        with pytest.raises(WaitTimeout):
            queue.join(timeout=0)
        queue.task_done()
    joining.result()
    queue.join()
    queue.join(timeout=0)


def test_task_done_too_often_is_an_error(queue: SharedQueue[Any]) -> None:
    """A ValueError, and the count is as before."""
    with pytest.raises(ValueError):
        queue.task_done()
    queue.put(1)
    queue.get(timeout=5)
    queue.task_done()
    with pytest.raises(ValueError):
        queue.task_done()
    queue.join(timeout=0)
    queue.put(2)
    with pytest.raises(WaitTimeout):
        queue.join(timeout=0)


def work(_line: Line, queue: SharedQueue[Any]) -> int:
    """In a child: do what comes."""
    count = 0
    while True:
        item = queue.get(timeout=20)
        queue.task_done()
        if item is None:
            return count
        count += 1


def test_children_do_what_is_put(backend: str) -> None:
    """Of each start method; join returns when they have done it."""
    with SharedQueue[Any](backend=backend) as queue:
        children = [Child(method, work, queue) for method in START_METHODS]
        queue.put_many(range(50))
        queue.join(timeout=20)
        assert queue.empty()
        queue.put_many([None] * 3)
        done = 0
        for child in children:
            with child:
                done += child.result()
        assert done == 50
        queue.join(timeout=5)


# ---- shutdown ----

ShutDown: Any = getattr(stdlib_queue, "ShutDown", None)


def test_shut_down_is_queues_own_where_there_is_one() -> None:
    """From Python 3.13 on, and elsewhere a class of that name."""
    import procshare

    assert procshare.ShutDown.__name__ == "ShutDown"
    assert ShutDown is None or ShutDown is procshare.ShutDown


def shut() -> Any:
    """Expect ShutDown."""
    import procshare

    return pytest.raises(procshare.ShutDown)


PUTS: list[Callable[[SharedQueue[Any]], object]] = [
    lambda q: q.put(9),
    lambda q: q.put(9, False),
    lambda q: q.put_nowait(9),
    lambda q: q.put(9, timeout=0),
    lambda q: q.put_many([9]),
    lambda q: q.put_many([9], timeout=0),
]
GETS: list[Callable[[SharedQueue[Any]], object]] = [
    lambda q: q.get(),
    lambda q: q.get(False),
    lambda q: q.get_nowait(),
    lambda q: q.get(True, 1),
    lambda q: q.get_many(),
    lambda q: q.get_many(5, timeout=0),
    lambda q: q.lease(0).__enter__(),
]


@pytest.mark.parametrize("immediate", [False, True])
def test_nothing_is_put_after_shutdown(small: SharedQueue[Any], immediate: bool) -> None:
    """Whether it was full or empty."""
    fill(small)
    small.shutdown(immediate)
    for put in PUTS:
        with shut():
            put(small)
    small.shutdown(True)
    for put in PUTS:
        with shut():
            put(small)
    assert small.empty()


def test_what_is_queued_can_be_got_after_shutdown(small: SharedQueue[Any]) -> None:
    """Then every way to get says that it is over; a later shutdown changes nothing."""
    items = fill(small)
    small.shutdown()
    assert [small.get(), small.get(timeout=5)] == items[:2]
    small.shutdown()
    assert small.get_many() == items[2:]
    for get in GETS:
        with shut():
            get(small)
    small.shutdown()
    with shut():
        small.get()
    for _ in items:
        small.task_done()
    small.join()


def test_an_immediate_shutdown_drops_what_is_queued(small: SharedQueue[Any]) -> None:
    """It counts as done; what was got before is still to be done."""
    fill(small)
    assert small.get(timeout=5) == 1
    small.shutdown(immediate=True)
    assert (small.qsize(), small.empty()) == (0, True)
    for get in GETS:
        with shut():
            get(small)
    with pytest.raises(WaitTimeout):
        small.join(timeout=0)
    small.task_done()
    small.join(timeout=0)
    with pytest.raises(ValueError):
        small.task_done()


def test_shutdown_may_become_immediate(small: SharedQueue[Any]) -> None:
    """And stays so."""
    fill(small)
    small.shutdown()
    small.shutdown(immediate=True)
    small.shutdown(immediate=False)
    assert small.qsize() == 0
    with shut():
        small.get()
    small.join(timeout=0)


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_ends_waits(small: SharedQueue[Any], backend: str, immediate: bool) -> None:
    """Of those who wait for items and for room, here and in another process, and of join if nothing is left to do."""
    with (
        SharedQueue[Any](backend=backend) as empty,
        SharedEvent(backend=backend) as waiting,
        Child("fork", get_and_tell, empty, waiting) as child,
    ):
        fill(small)
        assert waiting.wait(10)
        waits = [
            Task(empty.get),
            Task(empty.get_many),
            Task(lambda: small.put(4)),
            Task(lambda: small.put_many([5, 6])),
        ]
        joining = Task(small.join)
        waits[-1].join(0.03)
        assert all(each.is_alive() for each in waits)
        empty.shutdown(immediate)
        small.shutdown(immediate)
        for each in waits:
            with shut():
                each.result()
        assert child.result() == "shut down"
        if not immediate:
            for _ in range(3):
                small.get()
                small.task_done()
        joining.result()


def get_and_tell(_line: Line, queue: SharedQueue[Any], waiting: SharedEvent) -> str:
    """In a child: get, and say how that ended."""
    import procshare

    waiting.set()
    try:
        queue.get(timeout=20)
    except procshare.ShutDown:
        return "shut down"
    return "got"


def test_iteration_ends_with_shutdown(queue: SharedQueue[Any]) -> None:
    """It takes what is queued first, and waits for more as long as there may be some."""
    taken: list[int] = []

    def take() -> None:
        for item in queue:
            taken.append(item)

    taking = Task(take)
    queue.put_many(range(5))
    assert until(lambda: len(taken) == 5)
    queue.put(5)
    assert until(lambda: len(taken) == 6)
    queue.shutdown()
    taking.result()
    assert taken == list(range(6))
    assert list(queue) == []


def iterate(_line: Line, queue: SharedQueue[Any]) -> list[Any]:
    """In a child: take all."""
    return list(queue)


def test_children_iterate_until_shutdown(backend: str) -> None:
    """Together they take each item once."""
    with SharedQueue[Any](backend=backend) as queue:
        children = [Child(method, iterate, queue) for method in START_METHODS]
        queue.put_many(range(100))
        queue.shutdown()
        got: list[int] = []
        for child in children:
            with child:
                got += child.result(20)
        assert sorted(got) == list(range(100))


# ---- leases ----


def test_a_lease_is_done_when_its_block_ends(queue: SharedQueue[Any]) -> None:
    """It yields the item, which is not in the queue meanwhile, and its end counts as task_done."""
    queue.put_many("ab")
    with queue.lease() as item:
        assert item == "a"
        assert queue.qsize() == 1
        with queue.lease(timeout=5) as other:
            assert other == "b"
            with pytest.raises(Empty), queue.lease(timeout=0):
                pytest.fail("there is none")
        with pytest.raises(WaitTimeout):
            queue.join(timeout=0)
    queue.join(timeout=0)
    assert queue.empty()


def test_a_lease_that_raises_gives_the_item_back(queue: SharedQueue[Any], can: frozenset[str]) -> None:
    """To the front where the backend can, else to the end; it is still to be done."""
    queue.put_many("abc")
    assert until(lambda: queue.qsize() == 3)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), queue.lease(5):
            raise ZeroDivisionError
        assert queue.qsize() == 3
    with pytest.raises(WaitTimeout):
        queue.join(timeout=0)
    got = [queue.get(timeout=5) for _ in range(3)]
    assert got == ["a", "b", "c"] if "front" in can else sorted(got) == ["a", "b", "c"]


def test_a_lease_waits(queue: SharedQueue[Any]) -> None:
    """For an item, as long as it may."""
    with pytest.raises(Empty), queue.lease(timeout=0.05):
        pytest.fail("there is none")

    def lease() -> Any:
        with queue.lease(timeout=10) as item:
            return item

    leasing = Task(lease)
    queue.put("x")
    assert leasing.result() == "x"
    queue.join(timeout=1)


# ---- leaving ----


def test_nothing_is_to_be_joined(queue: SharedQueue[Any]) -> None:
    """join_thread and cancel_join_thread are there for those who come from multiprocessing."""
    queue.put(1)
    queue.join_thread()
    queue.cancel_join_thread()
    assert queue.get(timeout=5) == 1
