"""Who holds a lock among the living: threads, not processes; and what a thread's end, a fork and a stranger do.

What a death does is in test_sync_deaths.py; what every backend does is in conformance/.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from death_support import Task, another, check, forked, in_time, patient
from procshare import (
    Closed,
    KindMismatch,
    LockTimeout,
    SharedArray,
    SharedBarrier,
    SharedBoundedSemaphore,
    SharedCondition,
    SharedEvent,
    SharedLock,
    SharedQueue,
    SharedRLock,
    SharedRWLock,
    SharedSemaphore,
    attach,
)
from procshare.backends import native_built
from support import Child, Line, call, kept

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads; we fork with threads
]

MUTEXES: dict[str, Any] = {
    "lock": SharedLock,
    "named lock": lambda: SharedLock(name="holders-lock"),
    "rlock": SharedRLock,
    "named rlock": lambda: SharedRLock(name="holders-rlock"),
    "condition": SharedCondition,
}


@pytest.fixture(params=MUTEXES)
def lock(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Something that one thread holds, of each kind in turn."""
    with kept(MUTEXES[request.param]()) as made:
        yield made


def is_free(lock: Any) -> bool:
    """Whether another thread can take it."""

    def attempt() -> bool:
        taken: bool = lock.acquire(False)
        if taken:
            lock.release()
        return taken

    free: bool = Task(attempt).result()
    return free


# ---- whose it is ----


def test_only_the_holder_releases_it(lock: Any) -> None:
    """Another thread and another process are refused, as is anyone when it is free."""
    with lock:
        with pytest.raises(RuntimeError):
            Task(lock.release).result()
        with Child("fork", release, lock) as child, pytest.raises(RuntimeError):
            child.result()
        assert not is_free(lock)
    with pytest.raises(RuntimeError):
        lock.release()
    assert is_free(lock)


def release(_line: Line, lock: Any) -> None:
    """In a child."""
    lock.release()


def test_two_handles_of_a_process_are_one_lock(lock: Any) -> None:
    """What was taken by one is released by the other."""
    twin = another(lock)
    assert lock.acquire()
    assert not is_free(twin)
    twin.release()
    assert is_free(lock)
    twin.close()


def test_a_lock_is_told_from_a_block_of_itself() -> None:
    """A blocking acquire by the holder raises at once, through another handle too; one that would not wait is False."""
    with kept(SharedLock()) as lock, kept(another(lock)) as twin, lock:
        for each in (lock, twin):
            begun = time.monotonic()
            for arguments in ({}, {"timeout": 5}, {"timeout": None}, {"block": True}):
                with pytest.raises(RuntimeError):
                    each.acquire(**arguments)
            with pytest.raises(RuntimeError), each:
                pytest.fail("it went in")
            for arguments in ({"block": False}, {"timeout": 0}, {"timeout": -1}, {"block": False, "timeout": 5}):
                assert each.acquire(**arguments) is False
            assert time.monotonic() - begun < 1
        assert not is_free(lock)


def test_an_rlock_nests_deep() -> None:
    """It is free after as many releases, and not before."""
    with kept(SharedRLock()) as lock:
        for _ in range(1000):
            assert lock.acquire(False)
        for _ in range(999):
            lock.release()
        assert not is_free(lock)
        lock.release()
        assert is_free(lock)
        with pytest.raises(RuntimeError):
            lock.release()


def test_locks_do_not_meet_in_a_slab() -> None:
    """Many at once, each of its own; what was closed is used again, and is free."""
    locks = [SharedLock() if n % 2 else SharedRLock() for n in range(200)]
    for lock in locks[::3]:
        lock.acquire()
    assert [is_free(lock) for lock in locks] == [n % 3 > 0 for n in range(200)]
    for lock in locks:
        lock.close()
    with kept(SharedLock()) as lock, kept(SharedEvent()) as event, kept(SharedSemaphore(7)) as semaphore:
        assert is_free(lock)
        assert not event.is_set()
        assert semaphore.get_value() == 7


# ---- a thread that ends, a fork ----


@patient
def test_a_thread_that_ends_lets_go(lock: Any) -> None:
    """However often it took it; who waits has it at once, and is told that its holder is gone."""
    if not isinstance(lock, SharedLock):
        Task(lambda: [lock.acquire() for _ in range(3)]).result()
    else:
        Task(lock.acquire).result()
    moment = time.monotonic()
    assert lock.acquire(timeout=10)
    in_time(time.monotonic() - moment)
    if not isinstance(lock, SharedCondition):
        assert lock.owner_died
    lock.release()
    assert is_free(lock)
    with lock:
        assert isinstance(lock, SharedCondition) or not lock.owner_died


def test_a_forked_child_does_not_hold_it(lock: Any) -> None:
    """It cannot release it nor take it, and its end changes nothing."""
    with lock:
        assert forked(lambda: child_of_a_holder(lock)) == 0
        assert not is_free(lock)
    assert is_free(lock)


def child_of_a_holder(lock: Any) -> None:
    """What a child finds that was forked inside a block."""
    with pytest.raises(RuntimeError):
        lock.release()
    assert lock.acquire(False) is False
    assert lock.acquire(timeout=0.01) is False


def test_a_forked_child_that_leaves_the_block_is_told() -> None:
    """A `with` that the child inherited half-way ends in a RuntimeError there, and well in the parent."""
    with kept(SharedLock()) as lock:
        with lock:
            assert forked(lambda: check(leaving(lock) is RuntimeError)) == 0
            assert not is_free(lock)
        assert is_free(lock)


def leaving(lock: Any) -> type[Exception] | None:
    """What the end of a block raises."""
    try:
        lock.__exit__(None, None, None)
    except RuntimeError as error:
        return type(error)
    return None


def test_a_forked_child_takes_it_for_itself(lock: Any) -> None:
    """And its parent waits for it."""
    with Child("fork", hold, lock) as child:
        assert child.hear() == "held"
        assert lock.acquire(timeout=0.02) is False
        child.tell("go")
        assert child.hear() == "left"
        assert lock.acquire(timeout=10)
        lock.release()


def hold(line: Line, lock: Any) -> None:
    """In a child: hold it until told to go on."""
    with lock:
        line.tell("held")
        line.hear()
    line.tell("left")


def test_a_stopped_holder_is_never_robbed(lock: Any) -> None:
    """SIGSTOP is no death."""
    with Child("fork", hold, lock) as holder:
        assert holder.hear() == "held"
        os.kill(holder.pid, signal.SIGSTOP)
        for _ in range(3):
            assert lock.acquire(timeout=0.07) is False
        waiter = Task(lambda: lock.acquire(timeout=10))
        os.kill(holder.pid, signal.SIGCONT)
        holder.tell("go")
        assert holder.hear() == "left"
        assert waiter.result() is True


@pytest.mark.parametrize("kind", MUTEXES)
@patient
def test_a_closed_handle_lets_go_of_what_it_holds(kind: str) -> None:
    """The process has nothing to release it by any more, so others go on at once."""
    lock = MUTEXES[kind]()
    with Child("fork", acquire_when_told, lock) as child:
        lock.acquire()
        lock.close()
        moment = time.monotonic()
        child.tell("go")
        assert child.hear() is True
        in_time(time.monotonic() - moment)
        child.tell("leave")
        child.result()
    lock.unlink()


def acquire_when_told(line: Line, lock: Any) -> None:
    """In a child: take it."""
    line.hear()
    line.tell(lock.acquire(timeout=5))
    line.hear()


def test_what_is_held_can_be_released_by_another_handle(lock: Any) -> None:
    """Closing one of two changes nothing, for the object is one."""
    twin = another(lock)
    lock.acquire()
    twin.close()
    assert not is_free(lock)
    twin = another(lock)
    twin.release()
    assert is_free(lock)
    twin.close()


# ---- in a crowd ----

CROWD = 64


@pytest.mark.parametrize("kind", MUTEXES)
def test_sixty_four_threads_take_turns(kind: str) -> None:
    """The total is exact, and nobody is left behind."""
    numbers = [0, 0]

    def work(lock: Any) -> None:
        for _ in range(25):
            with lock:
                numbers[0] = numbers[1]
                numbers[1] = numbers[0] + 1

    with kept(MUTEXES[kind]()) as made:
        for task in [Task(partial(work, made)) for _ in range(CROWD)]:
            task.result()
        assert numbers == [25 * CROWD - 1, 25 * CROWD]


def test_sixty_four_threads_and_every_signal() -> None:
    """They wait for an event, a condition, a barrier and a semaphore, all at once, and all go on."""
    with (
        SharedEvent() as event,
        kept(SharedCondition()) as condition,
        SharedBarrier(CROWD) as barrier,
        kept(SharedSemaphore(0)) as semaphore,
    ):
        asleep = [0]

        def work() -> int:
            assert event.wait(20)
            number = barrier.wait(20)
            with condition:
                asleep[0] += 1
                assert condition.wait(20)
            assert semaphore.acquire(timeout=20)
            return number

        tasks = [Task(work) for _ in range(CROWD)]
        event.set()
        deadline = time.monotonic() + 20
        while asleep[0] < CROWD:
            assert time.monotonic() < deadline
            with condition:
                pass
        with condition:
            condition.notify(CROWD // 2)
            condition.notify_all()
        semaphore.release(CROWD)
        assert sorted(task.result() for task in tasks) == list(range(CROWD))
        assert semaphore.get_value() == 0


def add(_line: Line, locks: list[Any], numbers: SharedArray[Any], times: int) -> None:
    """In a child: `add_in_threads`."""
    add_in_threads(locks, numbers, times)


def add_in_threads(locks: list[Any], numbers: SharedArray[Any], times: int) -> None:
    """Three threads that count on with each lock, reading and writing what only it protects."""

    def work() -> None:
        live = numbers.array
        for _ in range(times):
            for n, lock in enumerate(locks):
                with lock:
                    live[n, 0] = live[n, 1]
                    live[n, 1] = live[n, 0] + 1

    for task in [Task(work) for _ in range(3)]:
        task.result()


def test_totals_are_exact_over_processes_and_threads() -> None:
    """Two forked, one spawned and this one, three threads each, all kinds in turn."""
    locks: list[Any] = [SharedLock(), SharedRLock(), SharedSemaphore(robust=True), SharedSemaphore(), SharedCondition()]
    with SharedArray(np.zeros((len(locks), 2), "q")) as numbers:
        children = [Child(method, add, locks, numbers, 100) for method in ("fork", "fork", "spawn")]
        add_in_threads(locks, numbers, 100)
        for child in children:
            with child:
                child.result(30)
        assert numbers.array[:, 1].tolist() == [1200] * len(locks)
    for lock in locks:
        lock.close()
        lock.unlink()


def test_an_event_that_is_set_and_cleared_at_once_wakes_all_who_waited() -> None:
    """They are told True, though it is not set any more."""
    with SharedEvent() as event:
        for _ in range(20):
            tasks = [Task(lambda: event.wait(10)) for _ in range(4)]
            for task in tasks:
                task.join(0.004)
            assert all(task.is_alive() for task in tasks)
            event.set()
            event.clear()
            assert [task.result() for task in tasks] == [True] * 4
            assert not event.is_set()


def test_a_notification_goes_to_who_waited_longest() -> None:
    """First come, first served, one by one."""
    order: list[int] = []

    def work(n: int) -> None:
        with condition:
            begun.release()
            assert condition.wait(20)
            order.append(n)

    with kept(SharedCondition()) as condition:
        begun = threading.Semaphore(0)
        tasks: list[Task] = []
        for n in range(6):
            tasks.append(Task(partial(work, n)))
            assert begun.acquire(timeout=10)
            with condition:
                pass  # it is in its wait now, since it let go of the lock
        for n in range(6):
            with condition:
                condition.notify()
            tasks[n].result()
            assert order == list(range(n + 1))


def test_a_notification_of_who_left_goes_to_another() -> None:
    """The one it was for was woken, and found its handle closed."""
    with kept(SharedCondition()) as condition:
        twin = another(condition)
        begun = threading.Semaphore(0)

        def work(x: SharedCondition) -> bool:
            with x:
                begun.release()
                return x.wait(20)

        leaving = Task(partial(work, twin))
        assert begun.acquire(timeout=10)
        staying = Task(partial(work, condition))
        assert begun.acquire(timeout=10)
        with condition:
            condition.notify()
            twin.close()
        assert staying.result() is True
        with pytest.raises(Closed):
            leaving.result()


def test_a_bound_is_kept_by_all_processes() -> None:
    """A bounded semaphore is full for everyone."""
    with kept(SharedBoundedSemaphore(1)) as semaphore, Child("fork", release_twice, semaphore) as child:
        semaphore.acquire()
        child.tell("go")
        assert child.result() == ["released", "full"]
        with pytest.raises(ValueError):
            semaphore.release()


def release_twice(line: Line, semaphore: Any) -> list[str]:
    """In a child: release once, and once too often."""
    line.hear()
    semaphore.release()
    try:
        semaphore.release()
    except ValueError:
        return ["released", "full"]
    return ["released", "released"]


def test_a_semaphore_has_a_limit() -> None:
    """More than 2**31 - 1 permits are a ValueError, at once and by release; nothing changes."""
    top = 2**31 - 1
    for wrong in (-1, top + 1, 2**70):
        with pytest.raises((ValueError, OverflowError)):
            SharedSemaphore(wrong)
    with kept(SharedSemaphore(top - 1)) as semaphore:
        for wrong in (2, top, 2**31, 2**40, 2**70):
            with pytest.raises((ValueError, OverflowError)):
                semaphore.release(wrong)
        assert semaphore.get_value() == top - 1
        semaphore.release()
        with pytest.raises(ValueError):
            semaphore.release()
        assert semaphore.get_value() == top


# ---- robust semaphores among the living ----


def test_robust_permits_belong_to_the_process() -> None:
    """Any of its threads may release them; another process that has none may not."""
    with kept(SharedSemaphore(3, robust=True)) as semaphore:
        semaphore.acquire()
        semaphore.acquire()
        Task(semaphore.release).result()
        with Child("fork", release, semaphore) as child, pytest.raises(RuntimeError):
            child.result()
        with pytest.raises(RuntimeError):
            semaphore.release(2)
        assert semaphore.get_value() == 2
        semaphore.release()
        with pytest.raises(RuntimeError):
            semaphore.release()
        assert semaphore.get_value() == 3


def test_a_forked_child_owes_no_permits() -> None:
    """They are its parent's; its end gives none back."""
    with kept(SharedSemaphore(2, robust=True)) as semaphore:
        semaphore.acquire()
        assert forked(semaphore.release) == 1
        assert semaphore.get_value() == 1
        assert semaphore.acquire(False)
        assert semaphore.acquire(timeout=0.15) is False


def test_a_process_that_ends_well_gives_permits_back_too() -> None:
    """Whoever leaves holds nothing."""
    with kept(SharedSemaphore(2, robust=True)) as semaphore:
        for _ in range(3):
            assert call("fork", take_both, semaphore) == [True, True]
            assert semaphore.acquire(timeout=5)
            assert semaphore.acquire(timeout=5)
            semaphore.release(2)


def take_both(semaphore: Any) -> list[bool]:
    """In a child: take what there is, and leave."""
    return [semaphore.acquire(), semaphore.acquire()]


# ---- names ----


def test_a_conditions_lock_is_found_by_name() -> None:
    """Who attaches to a condition has the lock that it was given."""
    with (
        kept(SharedRLock(name="holders-of-condition")) as lock,
        kept(SharedCondition(lock)) as condition,
        kept(attach(condition.name)) as twin,
        kept(attach(lock.name)) as other,
    ):
        with other:
            assert not is_free(twin)
            assert not is_free(condition)
            twin.notify_all()
        assert is_free(twin)


def test_a_condition_takes_locks_alone() -> None:
    """Anything else is a TypeError, and nothing is made."""
    others: list[Any] = [threading.Lock(), 5, "lock", SharedSemaphore(), SharedEvent(), object]
    for other in others:
        with pytest.raises(TypeError):
            SharedCondition(other)
        if hasattr(other, "unlink"):
            other.close()


def test_kinds_are_told_apart_by_name() -> None:
    """A bounded semaphore is no plain one, an rlock no lock."""
    with kept(SharedBoundedSemaphore(name="holders-bounded")), kept(SharedRLock(name="holders-r")):
        with pytest.raises(KindMismatch):
            SharedLock.attach("holders-r")
        with pytest.raises(KindMismatch):
            SharedQueue[Any].attach("holders-bounded")


# ---- readers and writers ----


def test_a_block_of_a_readers_writer_lock_is_left_by_who_entered_it() -> None:
    """Leaving it twice, or before entering, is an error, and changes nothing for others."""
    with SharedRWLock() as lock:
        block = lock.writing()
        with pytest.raises(RuntimeError):
            block.__exit__(None, None, None)
        with block, pytest.raises(LockTimeout):
            Task(lambda: lock.reading(0).__enter__()).result()
        with pytest.raises(RuntimeError):
            block.__exit__(None, None, None)
        with lock.reading(0):
            pass


def test_a_thread_that_ends_in_a_block_of_a_readers_writer_lock_lets_go() -> None:
    """A reader and a writer."""
    with SharedRWLock() as lock:
        for how in ("writing", "reading"):
            blocks: list[Any] = []

            def leave_open(how: str = how, blocks: list[Any] = blocks) -> None:
                blocks.append(getattr(lock, how)())
                blocks[0].__enter__()

            Task(leave_open).result()
            with lock.writing(timeout=5):
                pass


def test_a_forked_child_is_in_no_block_of_a_readers_writer_lock() -> None:
    """Neither its parent's readers nor its writer are the child's."""
    with SharedRWLock() as lock:
        with lock.reading():
            assert forked(lambda: check(not can_write(lock))) == 0
        with lock.writing():
            assert forked(lambda: check(not can_write(lock))) == 0
        assert forked(lambda: check(can_write(lock))) == 0


def can_write(lock: SharedRWLock) -> bool:
    """Whether it can be had."""
    try:
        with lock.writing(0.01):
            return True
    except LockTimeout:
        return False


def test_readers_cannot_keep_a_writer_out() -> None:
    """However many processes read all the time, one after another and overlapping."""
    with SharedRWLock() as lock, SharedEvent() as over:
        children = [Child("fork", read_until, lock, over) for _ in range(2)]
        for child in children:
            assert child.hear() == "reading"
        for _ in range(20):
            with lock.writing(timeout=5):
                pass
        over.set()
        for child in children:
            with child:
                assert child.result() > 0


def read_until(line: Line, lock: SharedRWLock, over: SharedEvent) -> int:
    """In a child: two threads that read in turns that overlap."""
    counts = [0, 0]

    def work(n: int) -> None:
        while not over.is_set():
            with lock.reading(timeout=10):
                counts[n] += 1
                over.wait(0.001)

    tasks = [Task(partial(work, n)) for n in range(2)]
    line.tell("reading")
    for task in tasks:
        task.after(0)
    return min(counts)
