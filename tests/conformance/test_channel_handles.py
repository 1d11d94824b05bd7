"""Handles on what has no value (queues, locks, events, ...): their end, names, subclasses, and travels to children."""

from __future__ import annotations

import gc
import inspect
import weakref
from queue import Empty
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from conformance.conftest import KINDS, LOCKS, STATES, maker
from conformance.test_handle import own, refuses
from procshare import (
    AlreadyExists,
    Closed,
    KindMismatch,
    NotFound,
    SharedCondition,
    SharedCounter,
    SharedEvent,
    SharedLock,
    SharedQueue,
    SharedRLock,
    SharedSemaphore,
)
from support import START_METHODS, Child, Line, call, kept

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # threads wait while we fork

Uses = dict[str, "Callable[[Any], object]"]

TAKING: Uses = {
    "acquire": lambda x: x.acquire(),
    "acquire in vain": lambda x: x.acquire(False),
    "acquire in time": lambda x: x.acquire(timeout=5),
    "enter": lambda x: x.__enter__(),
    "release": lambda x: x.release(),
}
MUTEX: Uses = {**TAKING, "locked": lambda x: x.locked(), "owner_died": lambda x: x.owner_died}
PERMITS: Uses = {**TAKING, "locked": lambda x: x.locked(), "get_value": lambda x: x.get_value()}
USES: dict[str, Uses] = {
    "lock": MUTEX,
    "rlock": MUTEX,
    "semaphore": PERMITS,
    "bounded_semaphore": PERMITS,
    "event": {
        "is_set": lambda x: x.is_set(),
        "set": lambda x: x.set(),
        "clear": lambda x: x.clear(),
        "wait": lambda x: x.wait(),
        "wait in time": lambda x: x.wait(0),
    },
    "condition": {
        **TAKING,
        "locked": lambda x: x.locked(),
        "wait": lambda x: x.wait(),
        "wait_for": lambda x: x.wait_for(lambda: False),
        "notify": lambda x: x.notify(),
        "notify_all": lambda x: x.notify_all(),
    },
    "barrier": {
        "wait": lambda x: x.wait(),
        "wait in time": lambda x: x.wait(1),
        "reset": lambda x: x.reset(),
        "abort": lambda x: x.abort(),
        "parties": lambda x: x.parties,
        "n_waiting": lambda x: x.n_waiting,
        "broken": lambda x: x.broken,
    },
    "rwlock": {
        "reading": lambda x: x.reading().__enter__(),
        "writing": lambda x: x.writing().__enter__(),
        "reading in time": lambda x: x.reading(timeout=0).__enter__(),
    },
    "queue": {
        "put": lambda x: x.put(1),
        "put_nowait": lambda x: x.put_nowait(1),
        "put_many": lambda x: x.put_many([1]),
        "get": lambda x: x.get(),
        "get_nowait": lambda x: x.get_nowait(),
        "get_many": lambda x: x.get_many(),
        "lease": lambda x: x.lease().__enter__(),
        "iter": lambda x: next(iter(x)),
        "qsize": lambda x: x.qsize(),
        "empty": lambda x: x.empty(),
        "full": lambda x: x.full(),
        "maxsize": lambda x: x.maxsize,
        "capacity": lambda x: x.capacity,
        "task_done": lambda x: x.task_done(),
        "join": lambda x: x.join(),
        "shutdown": lambda x: x.shutdown(),
    },
}
"""What each kind can be asked beside what all handles can."""
ANYWHERE: Uses = {"hand_over": lambda x: x.hand_over(), "enter": lambda x: x.__enter__()}


@pytest.mark.parametrize(
    ("kind", "use"),
    [
        pytest.param(kind, use, id=f"{kind}-{name}")
        for kind, uses in USES.items()
        for name, use in {**uses, **ANYWHERE}.items()
    ],
)
def test_use_after_close_raises_closed(backend: str, kind: str, use: Callable[[Any], object]) -> None:
    """Every method and attribute does, at once, and Closed is a ValueError that says so."""
    handle = maker(kind, backend)()
    handle.close()

    with pytest.raises(Closed, match="is closed") as caught:
        use(handle)
    assert isinstance(caught.value, ValueError)
    assert handle.closed


def test_every_public_method_is_tried_after_close() -> None:
    """None of the interfaces' was forgotten above, but for what does nothing and what is asynchronous."""
    harmless = {"join_thread", "cancel_join_thread", "name", "segment", "closed", "close", "unlink", "attach", "open"}
    for kind in KINDS.keys() - STATES.keys():
        interface = KINDS[kind][0]
        public = {name for name in dir(interface) if not name.startswith("_") and name != "kind"}
        waiting = {name for name in public if inspect.iscoroutinefunction(getattr(interface, name))}
        tried = {name.partition(" ")[0] for name in {**USES[kind], **ANYWHERE}}
        assert public - harmless - waiting <= tried, kind


def test_a_collected_handle_is_gone(make_any: Callable[..., Any]) -> None:
    """Also one that was used, without close()."""
    handle = make_any()
    gone = weakref.ref(handle)
    del handle
    gc.collect()
    assert gone() is None


class Jobs(SharedQueue[Any]):
    """A queue with a constructor, an attribute and a method of its own."""

    def __init__(self, owner: str, **options: Any) -> None:
        super().__init__(5, **options)
        self.owner = owner

    def put_job(self, what: str) -> None:
        """Put with a mark."""
        self.put((self.owner, what))


class Gate(SharedSemaphore):
    """A semaphore that overrides a method."""

    __slots__ = ()

    def get_value(self) -> int:
        return super().get_value() * 10


class Flag(SharedEvent):
    """An event with a method."""

    __slots__ = ()

    def flip(self) -> bool:
        """Set what is not set."""
        (self.clear if self.is_set() else self.set)()
        return self.is_set()


class Careful(SharedLock):
    """A lock with a method."""

    __slots__ = ()

    def run(self, call: Callable[[], Any]) -> Any:
        """Call with the lock taken."""
        with self:
            return call()


def test_a_subclass_keeps_what_it_defines(backend: str) -> None:
    """Methods, overrides, attributes and constructors work, and it is what it says it is."""
    with Jobs("me", backend=backend) as jobs:
        jobs.put_job("work")
        assert jobs.get(timeout=5) == ("me", "work")
        assert jobs.maxsize == 5
        assert type(jobs).__name__ == "Jobs"
        assert repr(jobs).startswith("<Jobs ")
        assert isinstance(jobs, Jobs)
    with kept(Gate(2, backend=backend)) as gate, gate:
        assert gate.get_value() == 10
    with Flag(backend=backend) as flag:
        assert [flag.flip(), flag.flip()] == [True, False]
    with kept(Careful(backend=backend)) as lock:
        assert lock.run(lock.locked) is True
        assert not lock.locked()


def use_all(_line: Line, backend: str, *handles: Any) -> list[Any]:
    """In a child: use one object of each kind, in some way that its parent can see."""
    lock, rlock, semaphore, bounded, condition, jobs, event, barrier, rwlock = handles
    with lock, rlock, rlock, semaphore, bounded, condition, rwlock.writing():
        told = [lock.locked(), rlock.locked(), semaphore.get_value(), bounded.get_value()]
    jobs.put_job(backend)
    event.set()
    with condition:
        condition.notify_all()
    return [*told, barrier.parties, jobs.owner]


@pytest.mark.parametrize("method", START_METHODS)
def test_all_kinds_travel_as_process_arguments(backend: str, method: str) -> None:
    """With what a subclass adds; what the child did is seen here, and nothing was destroyed by its end."""
    handles = [maker(kind, backend)() for kind in (*LOCKS, "event", "barrier", "rwlock")]
    jobs = Jobs("parent", backend=backend)
    handles.insert(5, jobs)

    with Child(method, use_all, backend, *handles) as child:
        assert child.result(20) == [True, True, 1, 1, 2, "parent"]

    lock, rlock, semaphore, bounded, condition, _, event, _, rwlock = handles
    assert jobs.get(timeout=10) == ("parent", backend)
    with pytest.raises(Empty):
        jobs.get_nowait()
    assert event.is_set()
    assert (semaphore.get_value(), bounded.get_value()) == (2, 2)
    with lock, rlock, condition, rwlock.writing():
        pass
    for handle in handles:
        handle.close()
        handle.unlink()


def close_all(_line: Line, *handles: Any) -> list[bool]:
    """In a child: let go."""
    for handle in handles:
        handle.close()
    return [handle.closed for handle in handles]


def test_a_child_never_destroys_what_its_parent_made(backend: str) -> None:
    """It closes for itself, whether it was forked or attached."""
    with SharedQueue[int](backend=backend) as queue, kept(SharedLock(backend=backend)) as lock:
        for method in ("fork", "forkserver"):
            with Child(method, close_all, queue, lock) as child:
                assert child.result(20) == [True, True]
        queue.put(1)
        assert call("fork", queue.get) == 1
        assert lock.acquire(timeout=5)
        lock.release()


def test_a_name_is_of_one_kind(can: frozenset[str]) -> None:
    """NotFound for what does not exist, KindMismatch for another kind, also among locks; a name is taken once."""
    if "names" not in can:
        pytest.skip("its objects have no names")
    with kept(SharedLock(name=own("a lock"))) as lock:
        for other in (SharedRLock, SharedSemaphore, SharedCondition, SharedQueue, SharedCounter):
            with pytest.raises(KindMismatch):
                other.attach(lock.name)
        with pytest.raises(AlreadyExists):
            SharedLock(name=lock.name)
        with pytest.raises(AlreadyExists):
            SharedQueue[int](name=lock.name)
    with pytest.raises(NotFound):
        SharedLock.attach(own("a lock"))


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - STATES.keys()))
def test_open_creates_or_attaches(backend: str, kind: str, can: frozenset[str]) -> None:
    """The second opener gets the first one's object, and the last one out removes it."""
    interface, args = KINDS[kind]
    if "names" not in can:
        with refuses():
            interface.open(own("opened"), *args, backend=backend)
        return
    first = interface.open(own("opened"), *args, backend=backend)
    second = procshare.attach(own("opened"))
    third = interface.open(own("opened"), *args, backend=backend)
    assert type(first) is type(second) is type(third)
    for each in (first, second):
        each.close()
    assert not third.closed
    third.close()
    with pytest.raises(NotFound):
        interface.attach(own("opened"))
