"""What is specific to the stdlib backend's locks: what it knows of holders, its limits, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task, forked, interrupted
from procshare import (
    LockTimeout,
    SharedBarrier,
    SharedBoundedSemaphore,
    SharedCondition,
    SharedEvent,
    SharedLock,
    SharedQueue,
    SharedRLock,
    SharedRWLock,
    SharedSemaphore,
    UnsupportedByBackend,
)
from procshare.backends.stdlib.interrupts import Undisturbed
from scripts import run, until
from support import START_METHODS, Child, Line, kept

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH: list[Any] = [SharedLock, SharedRLock]
both = pytest.mark.parametrize("kind", BOTH, ids=["lock", "rlock"])
methods = pytest.mark.parametrize("method", START_METHODS)
SCRIPT = """
set_default_backend("stdlib")

def use(lock, rlock, semaphore, bounded, event, condition, barrier, rwlock, queue):
    with lock, rlock, semaphore, bounded, condition, rwlock.writing():
        condition.notify_all()
    event.set()
    barrier.wait(10)
    queue.put("done")

if __name__ == "__main__":
    before = set(os.listdir("/dev/shm"))
    again = SharedRLock()
    handles = [SharedLock(), again, SharedSemaphore(), SharedBoundedSemaphore(), SharedEvent(), SharedCondition(again),
               SharedBarrier(2), SharedRWLock(), SharedQueue()]
    context = mp.get_context(sys.argv[1])
    child = context.Process(target=use, args=handles)
    child.start()
    assert handles[4].wait(20)
    handles[6].wait(10)
    assert handles[8].get() == "done"
    child.join()
    assert child.exitcode == 0
    cycle = [SharedLock(), SharedQueue(), SharedBarrier(3)]
    cycle.append(cycle)
    del cycle
    how = sys.argv[2]
    if how == "closed":
        for handle in handles:
            handle.close()
        del handle, again, child
        handles.clear()
        import gc
        gc.collect()
        left = {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("sem.")}
        assert not left, left
    say("end")
    if how == "raise":
        raise KeyError("on purpose")
"""


@methods
@pytest.mark.parametrize("how", ["end", "closed", "raise"])
def test_an_orderly_exit_is_silent_and_leaves_no_semaphore(method: str, how: str) -> None:
    """Parent and child print nothing on stderr, and of all the semaphores none is left."""
    before = set(os.listdir("/dev/shm"))
    code, out, err = run(SCRIPT, method, how)
    assert out == "end\n", err
    if how == "raise":
        assert err.count("Traceback") == 1
    else:
        assert (code, err) == (0, "")
    assert not {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("sem.")}


def test_a_collected_handle_gives_its_semaphores_up() -> None:
    """Also one in a cycle."""

    def semaphores() -> int:
        return len(list(Path("/dev/shm").glob("sem.mp-*")))

    gc.collect()  # what earlier tests left in cycles
    before = semaphores()
    made: list[Any] = [kind(backend="stdlib") for kind in (SharedLock, SharedEvent, SharedQueue, SharedRWLock)]
    made.append(SharedCondition(made[0], backend="stdlib"))
    made.append(made)
    assert semaphores() > before
    del made
    gc.collect()
    assert semaphores() == before


# ---- who holds ----


@both
def test_only_its_holder_releases_it(kind: Any) -> None:
    """Another thread gets a RuntimeError where the standard library's Lock lets it, and so does a forked child."""
    with kept(kind(backend="stdlib")) as lock, lock:
        with pytest.raises(RuntimeError, match="thread"):
            Task(lock.release).result()

        def child() -> None:
            with pytest.raises(RuntimeError):
                lock.release()
            assert lock.acquire(False) is False

        assert forked(child) == 0
        assert lock.locked()
    with kept(kind(backend="stdlib")) as lock, pytest.raises(RuntimeError):
        lock.release()


def test_a_lock_never_waits_for_itself() -> None:
    """A second acquire that would is a RuntimeError at once; also through a condition on the same lock."""
    with kept(SharedLock(backend="stdlib")) as lock, kept(SharedCondition(lock, backend="stdlib")) as condition:
        for first in (lock, condition):
            with first:
                for second in (lock, condition):
                    for wait in ((), (True, 5)):
                        with pytest.raises(RuntimeError, match="itself"):
                            second.acquire(*wait)
                    assert second.acquire(False) is False
                    assert second.acquire(True, 0) is False
            assert not lock.locked()


def test_a_killed_holder_keeps_its_lock() -> None:
    """The documented limit: it is never taken from it, and owner_died tells nothing."""

    def hold(line: Line, lock: Any) -> None:
        with lock:
            line.tell("held")
            line.hear(60)

    with kept(SharedLock(backend="stdlib")) as lock, Child("fork", hold, lock) as child:
        child.hear()
        child.kill()
        assert lock.acquire(timeout=0.15) is False
        assert lock.locked()
        assert lock.owner_died is False


def test_robust_semaphores_are_refused() -> None:
    """UnsupportedByBackend, as nobody sees a death here; nothing is made."""
    for kind in (SharedSemaphore, SharedBoundedSemaphore):
        with pytest.raises(UnsupportedByBackend, match="shm"):
            kind(robust=True, backend="stdlib")


def test_a_condition_takes_a_lock_of_its_own_backend() -> None:
    """TypeError for anything else."""
    wrong: Any
    for wrong in (threading.Lock(), SharedSemaphore(backend="stdlib"), 5):
        with pytest.raises(TypeError, match="same backend"):
            SharedCondition(wrong, backend="stdlib")


@both
def test_a_task_holds_apart_from_its_thread(kind: Any) -> None:
    """multiprocessing's RLock would let all tasks of a thread in at once; who would wait for its own thread is told."""

    async def main(lock: Any) -> None:
        async with lock:
            assert lock.acquire(False) is (kind is SharedRLock)
            if kind is SharedRLock:
                lock.release()
            other = asyncio.create_task(lock.acquire_async(timeout=0.05))
            assert await other is False

            async def from_another_task() -> None:
                with pytest.raises(RuntimeError):
                    lock.acquire()
                with pytest.raises(RuntimeError):
                    lock.release()

            await asyncio.create_task(from_another_task())
            assert await asyncio.to_thread(lock.acquire, False) is False
        assert not lock.locked()
        assert await asyncio.create_task(lock.acquire_async()) is True  # and its task is gone
        assert await asyncio.create_task(lock.acquire_async(0)) is False

    with kept(kind(backend="stdlib")) as lock:
        asyncio.run(main(lock))
        with pytest.raises(RuntimeError, match="task"):
            asyncio.run(release_in_a_new_task(lock))


async def release_in_a_new_task(lock: Any) -> None:
    """What the task before this one holds."""
    lock.release()


# ---- read-write lock ----


def test_a_killed_writer_that_waited_keeps_nobody_out() -> None:
    """It only asked; readers go on a tenth of a second later."""

    def write(line: Line, lock: SharedRWLock) -> None:
        line.tell("asks")
        with lock.writing():
            pass

    with SharedRWLock(backend="stdlib") as lock, lock.reading(), Child("fork", write, lock) as child:
        child.hear()

        def refused() -> bool:
            try:
                with lock.reading(timeout=0):
                    return False
            except LockTimeout:
                return True

        assert until(lambda: Task(refused).result())
        child.kill()
        assert until(lambda: not Task(refused).result(), timeout=1)


def test_a_child_forked_in_a_block_holds_nothing() -> None:
    """Leaving the block in the child changes nothing for its parent."""
    with SharedRWLock(backend="stdlib") as lock:
        child = 0
        try:
            with lock.writing():
                child = os.fork()
                if child == 0:
                    with pytest.raises(LockTimeout), lock.reading(timeout=0):
                        pass
                    raise ZeroDivisionError
                os.waitpid(child, 0)
                with pytest.raises(LockTimeout):
                    Task(lambda: lock.reading(timeout=0).__enter__()).result()
        finally:
            if child == 0:
                os._exit(0)
        with lock.writing(timeout=0):
            pass


# ---- Ctrl-C ----


def held(lock: Any) -> Callable[[], object]:
    """A call that waits for what another thread holds."""
    released = threading.Event()
    taken = threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            released.wait(20)

    holder = Task(hold)
    assert taken.wait(10)

    def wait() -> None:
        try:
            lock.acquire()
        finally:
            released.set()
            holder.result()

    return wait


@pytest.mark.parametrize("kind", [*BOTH, SharedSemaphore, SharedBoundedSemaphore, SharedCondition])
def test_ctrl_c_interrupts_a_wait_for_a_lock(kind: Any) -> None:
    """And it is free when its holder lets go."""
    with kept(kind(backend="stdlib")) as lock:
        assert interrupted(held(lock)) < 1
        assert Task(lambda: lock.acquire(timeout=5)).result() is True


def test_ctrl_c_interrupts_the_other_waits() -> None:
    """What they wait for works on, and a condition's lock is free after its block."""
    with SharedEvent(backend="stdlib") as event, SharedBarrier(2, backend="stdlib") as barrier:
        assert interrupted(event.wait) < 1
        event.set()
        assert event.wait(0) is True
        assert interrupted(barrier.wait) < 1
        assert barrier.n_waiting == 0
    with kept(SharedCondition(backend="stdlib")) as condition:

        def wait() -> None:
            with condition:
                condition.wait()

        assert interrupted(wait) < 1
        with condition:
            condition.notify_all()
    with SharedRWLock(backend="stdlib") as lock:
        begun, over = threading.Event(), threading.Event()

        def read() -> None:
            with lock.reading():
                begun.set()
                over.wait(20)

        reader = Task(read)
        assert begun.wait(10)
        assert interrupted(lock.writing().__enter__) < 1
        with lock.reading(timeout=0):
            over.set()
            reader.result()
        with lock.writing(timeout=0):
            pass


def test_a_block_is_undisturbed_until_its_end() -> None:
    """Ctrl-C comes then; a second one comes at once."""
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt), Undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        steps.append("went on")
    assert steps == ["went on"]
    with pytest.raises(KeyboardInterrupt), Undisturbed(), Undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("nested")
    assert steps == ["went on", "nested"]
    with pytest.raises(KeyboardInterrupt), Undisturbed():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
        steps.append("never")
    assert steps == ["went on", "nested"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_are_undisturbed_anyway() -> None:
    """Python runs no handler there, and lets none be set."""

    def block() -> str:
        with Undisturbed():
            return "done"

    assert Task(block).result() == "done"


def test_asyncio_is_not_imported_by_what_does_not_need_it() -> None:
    """Nor NumPy: locks, semaphores and queues are light."""
    code, out, err = run(
        """
set_default_backend("stdlib")
with SharedQueue() as queue, SharedRWLock() as lock, lock.reading(), SharedEvent() as event:
    with SharedLock(), SharedRLock(), SharedSemaphore(), SharedCondition():
        queue.put(1)
        queue.get()
        event.set()
say(*({"asyncio", "numpy"} & set(sys.modules)), "end")
"""
    )
    assert (code, out, err) == (0, "end\n", ""), sys.version
