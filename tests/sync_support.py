"""Every way to wait for something: what makes it wait, what lets it go on, and what it says when time runs out.

The tests of waiting (timeouts, Ctrl-C, kills, their price) are made for all of them at once.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

from death_support import Task
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
    WaitTimeout,
)
from scripts import until
from support import kept

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from types import TracebackType


def nothing() -> None:
    """For whoever need not be told."""


@dataclass(frozen=True)
class Way:
    """A way to wait.

    Attributes:
        make: What is waited for, for the length of a block.
        busy: A block, to be entered by another thread or process than the waiter's: it must wait as long as that lasts,
            and goes on when it ends.
        wait: Says that it is ready, waits so long at most, and undoes what it got: True if it went on, False if time
            ran out.
    """

    make: Callable[[], AbstractContextManager[Any]]
    busy: Callable[[Any], AbstractContextManager[None]]
    wait: Callable[[Any, float | None, Callable[[], object]], bool]


# ---- locks ----


@contextmanager
def taken(x: Any) -> Generator[None]:
    """Somebody has it."""
    assert x.acquire(timeout=10)
    try:
        yield
    finally:
        x.release()


def acquire(x: Any, timeout: float | None, ready: Callable[[], object] = nothing) -> bool:
    """Take it, and give it back."""
    ready()
    got: bool = x.acquire(timeout=timeout)
    if got:
        x.release()
    return got


def inside(how: str) -> Callable[[Any], AbstractContextManager[None]]:
    """A block of a readers-writer lock."""

    @contextmanager
    def busy(x: Any) -> Generator[None]:
        with getattr(x, how)(timeout=10):
            yield

    return busy


def enter(how: str) -> Callable[[Any, float | None, Callable[[], object]], bool]:
    """Enter such a block, and leave it."""

    def wait(x: Any, timeout: float | None, ready: Callable[[], object] = nothing) -> bool:
        ready()
        try:
            with getattr(x, how)(timeout):
                return True
        except LockTimeout:
            return False

    return wait


# ---- signals ----


@contextmanager
def unset(x: SharedEvent) -> Generator[None]:
    """It is not set."""
    x.clear()
    try:
        yield
    finally:
        x.set()


def wait_event(x: SharedEvent, timeout: float | None, ready: Callable[[], object] = nothing) -> bool:
    """Wait for an event."""
    ready()
    return x.wait(timeout)


@contextmanager
def unnotified(x: SharedCondition) -> Generator[None]:
    """Nobody notifies."""
    try:
        yield
    finally:
        with x:
            x.notify_all()


def wait_condition(x: SharedCondition, timeout: float | None, ready: Callable[[], object] = nothing) -> bool:
    """Wait to be notified."""
    with x:
        ready()
        return x.wait(timeout)


@contextmanager
def unattended(x: SharedBarrier) -> Generator[None]:
    """A party is missing."""
    try:
        yield
    finally:
        if until(lambda: x.n_waiting > 0, timeout=0.2):
            x.wait(10)


def wait_barrier(x: SharedBarrier, timeout: float | None, ready: Callable[[], object] = nothing) -> bool:
    """Wait for the other party."""
    ready()
    try:
        x.wait(timeout)
    except threading.BrokenBarrierError:
        x.reset()
        return False
    return True


# ---- queues ----


@contextmanager
def without_items(x: SharedQueue[Any]) -> Generator[None]:
    """Nothing is queued."""
    try:
        yield
    finally:
        x.put("item")


def get_by(call: Callable[[SharedQueue[Any], float | None], object]) -> Callable[..., bool]:
    """Get an item."""

    def wait(x: SharedQueue[Any], timeout: float | None, ready: Callable[[], object] = nothing) -> bool:
        ready()
        try:
            call(x, timeout)
        except Empty:
            return False
        return True

    return wait


def lease(x: SharedQueue[Any], timeout: float | None) -> None:
    """Get an item, and be done with it."""
    with x.lease(timeout):
        pass


def full_by_items() -> SharedQueue[Any]:
    """One item is all that it takes."""
    queue = SharedQueue[Any](1)
    queue.put("first")
    return queue


def full_by_bytes() -> SharedQueue[Any]:
    """No more bytes fit."""
    queue = SharedQueue[Any](capacity=10_000)
    while True:
        try:
            queue.put(b"x" * 900, timeout=0)
        except Full:
            return queue


@contextmanager
def without_room(x: SharedQueue[Any]) -> Generator[None]:
    """It is full."""
    try:
        yield
    finally:
        x.get(timeout=10)


def put_by(call: Callable[[SharedQueue[Any], float | None], object]) -> Callable[..., bool]:
    """Put an item."""

    def wait(x: SharedQueue[Any], timeout: float | None, ready: Callable[[], object] = nothing) -> bool:
        ready()
        try:
            call(x, timeout)
        except Full:
            return False
        return True

    return wait


def with_a_task() -> SharedQueue[Any]:
    """Something is to be done."""
    queue = SharedQueue[Any]()
    queue.put("task")
    return queue


@contextmanager
def undone(x: SharedQueue[Any]) -> Generator[None]:
    """A task is not done."""
    try:
        yield
    finally:
        x.get(timeout=10)
        x.task_done()


def join(x: SharedQueue[Any], timeout: float | None, ready: Callable[[], object] = nothing) -> bool:
    """Wait until all is done."""
    ready()
    try:
        x.join(timeout)
    except WaitTimeout:
        return False
    x.put("next task")
    return True


def of(make: Callable[[], Any]) -> Callable[[], AbstractContextManager[Any]]:
    """One for the length of a block."""
    return lambda: kept(make())


@contextmanager
def condition_of_a_lock() -> Generator[SharedCondition]:
    """One that was given its lock."""
    with kept(SharedLock()) as lock, kept(SharedCondition(lock)) as x:
        yield x


WAYS: dict[str, Way] = {
    "lock": Way(of(SharedLock), taken, acquire),
    "named lock": Way(of(lambda: SharedLock(name="sync-lock")), taken, acquire),
    "rlock": Way(of(SharedRLock), taken, acquire),
    "semaphore": Way(of(SharedSemaphore), taken, acquire),
    "robust semaphore": Way(of(lambda: SharedSemaphore(robust=True)), taken, acquire),
    "bounded semaphore": Way(of(SharedBoundedSemaphore), taken, acquire),
    "condition's lock": Way(of(SharedCondition), taken, acquire),
    "reading": Way(of(SharedRWLock), inside("writing"), enter("reading")),
    "writing": Way(of(SharedRWLock), inside("reading"), enter("writing")),
    "event": Way(of(SharedEvent), unset, wait_event),
    "condition": Way(of(SharedCondition), unnotified, wait_condition),
    "condition of a lock": Way(condition_of_a_lock, unnotified, wait_condition),
    "barrier": Way(of(lambda: SharedBarrier(2)), unattended, wait_barrier),
    "get": Way(of(SharedQueue[Any]), without_items, get_by(lambda x, timeout: x.get(timeout=timeout))),
    "get_many": Way(of(SharedQueue[Any]), without_items, get_by(lambda x, timeout: x.get_many(5, timeout))),
    "lease": Way(of(SharedQueue[Any]), without_items, get_by(lease)),
    "put": Way(of(full_by_items), without_room, put_by(lambda x, timeout: x.put("item", timeout=timeout))),
    "put_many": Way(of(full_by_items), without_room, put_by(lambda x, timeout: x.put_many(["item"], timeout))),
    "put bytes": Way(of(full_by_bytes), without_room, put_by(lambda x, timeout: x.put(b"x" * 900, timeout=timeout))),
    "join": Way(of(with_a_task), undone, join),
}


class Keeper:
    """A thread that keeps a thing busy, from here until `let_go` or the end of the block."""

    def __init__(self, way: Way, x: Any) -> None:
        self._end, self._begun = threading.Event(), threading.Event()
        self._task = Task(lambda: self._keep(way, x))
        assert self._begun.wait(10)

    def _keep(self, way: Way, x: Any) -> None:
        with way.busy(x):
            self._begun.set()
            assert self._end.wait(30)

    def let_go(self) -> None:
        """Let a waiter go on."""
        self._end.set()
        self._task.result()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        if exc is None:
            self._task.result()


def can(lock: SharedRWLock, how: str) -> bool:
    """Whether another thread could read or write now."""

    def attempt() -> bool:
        try:
            with getattr(lock, how)(timeout=0):
                return True
        except LockTimeout:
            return False

    free: bool = Task(attempt).result()
    return free
