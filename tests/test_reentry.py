"""Code that runs in the middle of a call on an object, and what it may do to that object: pickling, finalizers, forks.

Whole campaigns of it are `procshare.testing.threads`; here is, by itself, each way that was once found to do harm.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task, check, forked
from procshare import Closed, NotFound, SharedArray, SharedDict, SharedList, SharedQueue, SharedSet
from procshare.backends import native_built
from scarcity import in_16_mib, wrapper
from scripts import until

__all__ = ["wrapper"]  # the fixture

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads
]

meanwhile: Callable[[], object] = list  # what happens while a `Troubled` is unpickled


def trouble(value: object) -> object:
    """Unpickle a `Troubled`."""
    meanwhile()
    return value


class Troubled:
    """A value whose unpickling does what `meanwhile` says."""

    def __reduce__(self) -> tuple[Any, ...]:
        return trouble, (5,)


class Doing:
    """A value whose pickling does something."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __reduce__(self) -> tuple[Any, ...]:
        self.act()
        return int, ()


class Cycle:
    """Garbage that does something when it is collected."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act
        self.me = self

    def __del__(self) -> None:
        self.act()


# ---- pickling that closes the handle ----


@pytest.mark.parametrize("way", ["update", "set", "replace", "add"])
def test_pickling_that_closes_the_handle_ends_the_call(way: str) -> None:
    """The call says so; what comes after that value is not looked at in memory that is gone."""
    d, s, x = SharedDict[str, Any]({"k": 1}), SharedSet[Any](), SharedList[Any]([1])
    pairs = {"a": Doing(d.close), "b" * 40: 2, "c": 3}
    with pytest.raises(Closed):
        if way == "update":
            d.update(pairs)
        elif way == "set":
            d.set(pairs)
        elif way == "replace":
            x.set([Doing(x.close), 2])
        else:
            s.close()
            s |= {"a"}
    for each in d, s, x:
        each.close()


# ---- unpickling that ends the block it is made in ----


def raise_in_an_inner_block(x: Any) -> None:
    """Change much in a block inside the block, and undo it."""
    with suppress(ZeroDivisionError), x.locked() as inner:
        fill = [f"x{n}" for n in range(100)]
        if hasattr(inner, "update"):
            inner.update(dict.fromkeys(fill, "y" * 100))
        else:
            inner.extend(fill)
        raise ZeroDivisionError


def test_an_inner_block_undone_while_a_value_is_popped() -> None:
    """The outer block keeps what it wrote before, and loses what it popped."""
    global meanwhile
    with SharedDict[str, Any]({"k": 1}) as d, SharedList[Any]([1, 2, 3]) as x:
        for _ in range(20):
            meanwhile = list
            with d.locked() as inside, x.locked() as items:
                inside.update({"a": Troubled(), "b": [1]})
                items.extend([Troubled(), [7]])
                meanwhile = lambda: raise_in_an_inner_block(d)  # noqa: E731
                assert inside.pop("a") == 5
                meanwhile = lambda: raise_in_an_inner_block(x)  # noqa: E731
                assert items.pop(3) == 5
            meanwhile = list
            assert d.value == {"k": 1, "b": [1]}
            assert x.value == [1, 2, 3, [7]]
            x.pop()


@pytest.mark.parametrize("kind", [SharedDict, SharedList])
def test_a_block_that_ends_while_a_value_is_popped(kind: Any) -> None:
    """The pop says that the block is over, and the value stays."""
    global meanwhile
    with kind({"a": 0} if kind is SharedDict else [0]) as x:
        block = x.locked()
        inside = block.__enter__()
        inside["a" if kind is SharedDict else 0] = Troubled()
        meanwhile = lambda: block.__exit__(None, None, None)  # noqa: E731
        with pytest.raises(Closed):
            inside.pop("a" if kind is SharedDict else 0)
        meanwhile = list
        assert len(x) == 1
        with x.locked(timeout=0):
            pass


# ---- finalizers ----


def test_what_a_finalizer_writes_to_a_block_is_not_lost() -> None:
    """Also when the collection was set off by the block's own first write."""
    threshold = gc.get_threshold()
    gc.collect()
    gc.disable()
    written: list[int] = []
    with SharedDict[str, Any]() as d:
        try:
            with d.locked() as inside:
                Cycle(lambda: write(inside, written))
                spare: list[dict[str, int]] = [{} for _ in range(300)]  # so that the next dict is a new one
                gc.set_threshold(1)
                gc.enable()
                inside["a"] = 1
                gc.disable()
        finally:
            gc.set_threshold(*threshold)
            gc.enable()
        spare.clear()
        gc.collect()
        assert d["a"] == 1
        assert ("finalizer" in d) == bool(written)


def write(inside: Any, written: list[int]) -> None:
    """For a finalizer: what it can, if the block goes on."""
    with suppress(Closed):
        inside["finalizer"] = 1
        written.append(1)


FULL = """
from procshare import _errors
one, other = SharedValue("x"), SharedValue("y")  # in one slab, with one heap
with open("/dev/shm/fill", "wb", buffering=0) as fill:
    try:
        while True:
            fill.write(bytes(4096))
    except OSError:
        pass
made = _errors.OutOfSharedMemory.__init__

def finalizer(self, *args):
    _errors.OutOfSharedMemory.__init__ = made
    try:
        other.set("w" * 20000)
    except MemoryError:
        say("refused too")
    made(self, *args)

_errors.OutOfSharedMemory.__init__ = finalizer
signal.alarm(10)
try:
    one.set("z" * 20000)
except MemoryError:
    say("refused")
"""


def test_an_error_about_memory_is_made_without_the_heap_lock(wrapper: tuple[str, ...]) -> None:
    """What runs while it is made may need that lock itself."""
    assert in_16_mib(FULL, wrapper).out == "refused too\nrefused\n"


# ---- forks ----


def test_a_child_forked_while_a_segment_was_made_attaches_to_it() -> None:
    """It has no mapping of its own to find it by: it maps the file as any other process."""
    name, over = f"reentry-{os.getpid()}", threading.Event()

    def make() -> None:
        while not over.is_set():
            SharedArray.zeros(1 << 19, name=name).unlink()

    def attach_often() -> None:
        for _ in range(40):
            with suppress(NotFound):
                SharedArray.attach(name).close()

    SharedArray([1]).close()  # a child that is forked while a thread imports NumPy waits for ever, for CPython
    task = Task(make)
    try:
        assert [forked(attach_often) for _ in range(30)] == [0] * 30
    finally:
        over.set()
        task.result()


def test_a_child_forked_in_a_put_does_not_put() -> None:
    """A signal handler forks while put() waits for space: the item, and the extent it has, are the parent's."""
    children: list[int] = []

    def fork(*_: object) -> None:
        children.append(os.fork())

    with SharedQueue[Any](1, capacity=1 << 16) as queue:
        queue.put("first")
        before = signal.signal(signal.SIGALRM, fork)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        drain = Task(lambda: until(lambda: children) and queue.get())
        code = 0
        try:
            queue.put(b"p" * (1 << 20))
            if children == [0]:
                os._exit(1)
        except RuntimeError:
            code = 0 if children == [0] else 1
        finally:
            if children == [0]:
                os._exit(code)
            signal.signal(signal.SIGALRM, before)
        drain.result()
        assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
        assert queue.get(timeout=5) == b"p" * (1 << 20)
        assert queue.empty()


def test_a_child_forked_while_another_thread_talks_to_the_tracker_makes_objects() -> None:
    """The tracker's lock is not left taken in it."""
    over = threading.Event()

    def make() -> None:
        while not over.is_set():
            with SharedDict[str, int](name=f"reentry-{os.getpid()}-{threading.get_ident()}"):
                pass

    def make_one() -> None:
        over.set()
        signal.alarm(10)
        with SharedDict[str, int]() as x:
            check(x.name != "")

    tasks = [Task(make) for _ in range(3)]
    try:
        assert [forked(make_one) for _ in range(60)] == [0] * 60
    finally:
        over.set()
        for task in tasks:
            task.result()
