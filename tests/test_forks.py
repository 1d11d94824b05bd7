"""A forked child: what it inherits, what it does not, and that its life and its parent's are two.

A parent that is to be killed is a program of its own (`Script`), so that nobody else keeps its seats.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from death_support import PROMPT, another, check, forked, in_time, patient
from procshare import (
    LockTimeout,
    NotFound,
    OwnerDied,
    SharedArray,
    SharedCounter,
    SharedDict,
    SharedList,
    SharedValue,
    attach,
    prune,
    segments,
)
from procshare.backends import native_built
from scripts import Script, entries, left_since, until
from support import Line, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads
]

MAKERS = {
    "slab counter": "SharedCounter(5)",
    "named counter": "SharedCounter(5, name='forks-counter')",
    "slab value": "SharedValue(5, 'q')",
    "slab object": "SharedValue('five')",
    "named value": "SharedValue('five', name='forks-value')",
    "array": "SharedArray([5, 5])",
    "opened counter": "SharedCounter.open('forks-opened', 5)",
    "dict": "SharedDict({5: 'five'})",
    "named list": "SharedList([5, 'five'], name='forks-list')",
}
KINDS: dict[str, Callable[[], Any]] = {
    "counter": lambda: SharedCounter(5),
    "named": lambda: SharedCounter(5, name="forks-here"),
    "object": lambda: SharedValue(["five"]),
    "array": lambda: SharedArray([5, 5]),
    "dict": lambda: SharedDict({5: "five"}),
    "list": lambda: SharedList([5, "five"]),
}


@pytest.fixture(params=sorted(KINDS))
def x(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One object, of each kind in turn."""
    with KINDS[request.param]() as made:
        yield made


def is_free(x: Any, timeout: float = 0) -> bool:
    """Whether the lock can be had."""
    try:
        with x.locked(timeout=timeout):
            return True
    except LockTimeout:
        return False


# ---- a child whose parent dies ----

PARENT = """
x = eval(sys.argv[1])
say(x.name)
if "before" in sys.argv:
    block = x.locked()
    guard = block.__enter__()
child = os.fork()
if child == 0:
    say("child", os.getpid())
    for line in sys.stdin:
        verb = line.strip()
        if verb == "value":
            say("value", x.value if not isinstance(x, SharedArray) else x.array.tolist())
        elif verb == "lock":
            begun = time.monotonic()
            try:
                with x.locked(timeout=5):
                    pass
            except OwnerDied:
                x.recover()
            say("locked", time.monotonic() - begun)
        elif verb == "leave":
            sys.exit()
    os._exit(1)
say("parent", os.getpid())
time.sleep(60)
"""


def ended(pid: int) -> bool:
    """Whether a process of no known parent is gone, or only waits to be reaped by whoever adopted it.

    While it has another thread, such as a sanitizer's, that one may still hold its files.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except OSError:
        return True


def end(pid: int) -> None:
    """Kill a process of no known parent."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: ended(pid))


def prune_opened(maker: str) -> None:
    """An object of everyone's is registered with no tracker; when all were killed, `prune()` removes it."""
    if ".open(" in MAKERS[maker]:
        assert len(prune()) == 1


@pytest.mark.parametrize("maker", sorted(MAKERS))
@patient
def test_a_child_neither_holds_nor_keeps_what_its_dead_parent_held(maker: str) -> None:
    """A fork inside a block, then SIGKILL: the lock is free within 100 ms, for a stranger and for the child."""
    before = entries()
    with Script(PARENT, MAKERS[maker], "before") as script:
        name = script.hear()
        child = int(sorted([script.hear(), script.hear()])[0].split()[1])
        try:
            stranger: Any = attach(name)
            with stranger:
                assert not is_free(stranger)
                script.kill()
                moment = time.monotonic()
                try:
                    assert is_free(stranger, timeout=5)
                except OwnerDied:
                    assert maker == "array"
                    stranger.recover()
                in_time(time.monotonic() - moment)
                assert is_free(stranger)
                script.tell("lock")
                verb, waited = script.hear().split()
                assert verb == "locked"
                in_time(float(waited))
        finally:
            end(child)
    prune_opened(maker)
    assert not left_since(before, timeout=3)


@pytest.mark.parametrize("maker", sorted(MAKERS))
@patient
def test_a_child_waits_while_its_parent_holds(maker: str) -> None:
    """The parent's hold is the parent's; killed, it passes to the child that waits, within 100 ms."""
    before = entries()
    with Script(PARENT, MAKERS[maker], "before") as script:
        script.hear()
        child = int(sorted([script.hear(), script.hear()])[0].split()[1])
        try:
            script.tell("lock")
            with pytest.raises(AssertionError, match="no line"):
                script.hear(timeout=0.1)
            moment = time.monotonic()
            script.process.kill()
            assert script.hear().startswith("locked")
            in_time(time.monotonic() - moment, PROMPT + 0.05)  # the parent's exit takes some of it
        finally:
            end(child)
    prune_opened(maker)
    assert not left_since(before, timeout=3)


@pytest.mark.parametrize("maker", sorted(MAKERS))
def test_a_child_goes_on_with_what_its_dead_parent_made(maker: str) -> None:
    """Its mapping and its seat are its own."""
    before = entries()
    with Script(PARENT, MAKERS[maker]) as script:
        name = script.hear()
        child = int(sorted([script.hear(), script.hear()])[0].split()[1])
        try:
            assert child in {pid for info in segments() if info.name == name for pid in info.attached}
            script.kill()
            script.tell("lock")
            assert script.hear().startswith("locked")
            script.tell("value")
            assert "5" in (said := script.hear()) or "five" in said
        finally:
            script.tell("leave")
            assert until(lambda: ended(child))
    assert not left_since(before, timeout=3)


# ---- a child that ends ----


def test_leaving_an_inherited_with_block_removes_nothing(x: Any) -> None:
    """A child that leaves the block in which its parent made it only closes its own handle."""
    name = x.name
    assert forked(lambda: x.__exit__(None, None, None)) == 0
    with attach(name) as found:
        assert not found.closed


def test_a_child_that_unlinks_means_it(x: Any) -> None:
    """`unlink()` is for whoever calls it."""
    name = x.name
    assert forked(x.unlink) == 0
    with pytest.raises(NotFound):
        attach(name)
    assert is_free(x)


def test_what_a_child_made_goes_with_the_child() -> None:
    """It owns it, and not its parent."""
    before = entries()
    with SharedCounter() as mine:
        assert mine.name
        assert forked(lambda: made_names(mine)) == 0
        assert not left_since(before | entries(), timeout=0)
        name = call("fork", make_and_leave)
        with pytest.raises(NotFound):
            attach(name)


def made_names(mine: SharedCounter) -> None:
    """In a child: new objects are in slabs of its own."""
    made = [SharedCounter() for _ in range(3)]
    places = {each.name.partition("#")[0] for each in made}
    assert mine.name.partition("#")[0] not in places
    assert len(places) == 1
    for each in made:
        each.unlink()


def make_and_leave() -> str:
    """In a child: an object with a random name."""
    global kept
    kept = SharedCounter()
    return kept.name


kept: SharedCounter | None = None

# ---- seats, and whose lock it is ----


def seats(x: Any) -> set[int]:
    """The processes seated in an object's segment."""
    name = x.name  # only what is exported is listed
    return {pid for info in segments() if info.name == name for pid in info.attached}


def test_a_child_has_a_seat_of_its_own(x: Any) -> None:
    """While it lives, and no longer."""
    assert seats(x) == {os.getpid()}
    assert forked(lambda: check({os.getpid(), os.getppid()} == seats(x))) == 0
    assert seats(x) == {os.getpid()}


def test_parent_and_child_exclude_each_other(x: Any) -> None:
    """In both directions."""
    with multiprocessing_child(lock_when_told, x) as (line, pid):
        assert line.hear() == "held"
        with pytest.raises(LockTimeout) as caught, x.locked(timeout=0.02):
            pass
        assert caught.value.holder == pid
        line.tell("go")
        assert line.hear() == "left"
        with x.locked():
            line.tell("try")
            assert line.hear() == (False, os.getpid())


class multiprocessing_child:  # noqa: N801 - used as a function
    """A raw fork that talks by a pipe; gives the line to it and its pid."""

    def __init__(self, work: Callable[..., object], *args: object) -> None:
        ends: Any = multiprocessing.Pipe()
        ours, theirs = ends
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                ours.close()
                work(Line(theirs), *args)
                code = 0
            finally:
                os._exit(code)
        theirs.close()
        self._connection = ours

    def __enter__(self) -> tuple[Line, int]:
        return Line(self._connection), self.pid

    def __exit__(self, *exc: object) -> None:
        self._connection.close()
        if exc[0] is not None:
            os.kill(self.pid, 9)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        assert exc[0] is not None or code == 0


def lock_when_told(line: Line, x: Any) -> None:
    """In a child: hold the lock once, try it once."""
    with x.locked():
        line.tell("held")
        line.hear()
    line.tell("left")
    line.hear()
    try:
        with x.locked(timeout=0):
            line.tell((True, None))
    except LockTimeout as error:
        line.tell((False, error.holder))


def test_a_grandchild_is_as_good_as_a_child(x: Any) -> None:
    """It has a seat, waits for its forebears, and unlinks nothing of theirs."""

    def child() -> None:
        assert forked(grandchild) == 0
        assert not is_free(x)

    def grandchild() -> None:
        assert seats(x) == {os.getpid(), os.getppid(), parent}
        assert not is_free(x, timeout=0.02)
        x.__exit__(None, None, None)

    parent = os.getpid()
    with x.locked():
        assert forked(child) == 0
    assert is_free(x)
    assert attach(x.name).closed is False


@patient
def test_a_grandchild_outlives_both() -> None:
    """The parent holding, the child holding nothing, both dead: the grandchild goes on."""
    source = """
x = SharedCounter(5)
block = x.locked()
guard = block.__enter__()
if os.fork() == 0:
    if os.fork() == 0:
        sys.stdin.readline()
        with x.locked(timeout=5):
            say("free", x.value)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
say("ready")
os.kill(os.getpid(), signal.SIGKILL)
"""
    before = entries()
    with Script(source) as script:
        assert script.hear() == "ready"
        script.process.wait(5)
        moment = time.monotonic()
        script.tell()
        assert script.hear() == "free 5"
        in_time(time.monotonic() - moment)
    assert not left_since(before)


# ---- threads ----


def test_forks_while_other_threads_are_inside_calls(x: Any) -> None:
    """Children use it at once, whatever the parent's threads were doing at that instant."""
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            with x.locked():
                pass
            x.set(x.modify(unchanged))
            another(x).close()

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert forked(lambda: use(x)) == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert is_free(x)


def unchanged(value: Any) -> Any:
    """For modify()."""
    return value


def use(x: Any) -> None:
    """Everything that takes a lock or makes something."""
    for _ in range(5):
        with x.locked(timeout=5):
            pass
        x.set(x.value)
    with SharedCounter(1) as made:
        assert made.increment() == 2


def test_a_thread_that_waits_at_a_fork_waits_on_in_the_parent_alone() -> None:
    """The child has no such thread, and its parent's thread gets the lock."""
    with SharedCounter() as x:
        got = threading.Event()

        def take() -> None:
            with x.locked():
                got.set()

        with x.locked():
            thread = threading.Thread(target=take)
            thread.start()
            assert forked(lambda: check(threading.active_count() == 1)) == 0
            assert not got.is_set()
        assert got.wait(PROMPT)
        thread.join()


# ---- slots ----


def test_slots_that_lived_through_a_fork_are_not_used_again() -> None:
    """What the child still knows is never another object."""
    old = [SharedCounter(n) for n in range(20)]
    with multiprocessing_child(add_when_told, old) as (line, _pid):
        del old
        new = [SharedCounter(-100) for _ in range(40)]
        line.tell("go")
        assert line.hear() == [n + 1 for n in range(20)]
        assert {each.value for each in new} == {-100}


def add_when_told(line: Line, counters: list[SharedCounter]) -> None:
    """In a child: count on what it inherited."""
    line.hear()
    line.tell([each.increment() for each in counters])


def test_slots_without_a_fork_are_used_again() -> None:
    """Objects that come and go take no more memory, and no more descriptors, than one."""
    with SharedCounter() as one:
        assert one.name
        before = entries(), sorted(os.listdir("/proc/self/fd"))
        for _ in range(5000):
            SharedCounter().close()
        assert (entries(), sorted(os.listdir("/proc/self/fd"))) == before


def test_a_child_does_not_allocate_from_its_parents_slabs() -> None:
    """Parent and child may make objects at the same time."""
    with SharedCounter(1) as first:
        with multiprocessing_child(make_many) as (line, _pid):
            mine = [SharedCounter(10) for _ in range(200)]
            assert line.hear() == [20] * 200
            assert [each.value for each in mine] == [10] * 200
        assert first.value == 1


def make_many(line: Line) -> None:
    """In a child: objects of its own."""
    made = [SharedCounter(20) for _ in range(200)]
    line.tell([each.value for each in made])


# ---- other ways to fork ----


def test_subprocess_with_preexec_fn(x: Any) -> None:
    """The fork before the exec harms nothing, and the program that is run keeps no seat."""
    with x.locked():
        process = subprocess.Popen(
            [sys.executable, "-c", "input()"],
            stdin=subprocess.PIPE,
            preexec_fn=os.setsid,  # noqa: PLW1509 - on purpose
        )
        assert not_seated(process.pid, x)
        process.communicate(b"\n", timeout=10)
        assert process.returncode == 0
        assert seats(x) == {os.getpid()}
    assert is_free(x)


def not_seated(pid: int, x: Any) -> bool:
    """Whether a process gives up its seat, as it does at exec."""
    return until(lambda: pid not in seats(x))


def test_a_child_of_multiprocessing_inherits_as_a_raw_fork_does(x: Any) -> None:
    """Without pickling: the handle that it closes over."""
    context = multiprocessing.get_context("fork")
    with x.locked():
        child = context.Process(target=lambda: check(is_free(x, timeout=0.02) is False))
        child.start()
        child.join(10)
    assert child.exitcode == 0
    child.close()


def test_forks_leak_no_descriptor(x: Any) -> None:
    """Each child closes what it inherited; the parent opens nothing."""
    assert x.name
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(20):
        # One more is the child's own in reserve, where its parent had lost its.
        assert forked(lambda: check(len(os.listdir("/proc/self/fd")) <= len(before) + 1)) == 0
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_child_whose_parent_closed_its_descriptors_goes_on(x: Any) -> None:
    """As daemons do: every descriptor closed, then a fork."""

    def daemon() -> None:
        os.closerange(3, 256)
        assert forked(lambda: use_again(x)) == 0

    assert x.name
    assert forked(daemon) == 0


def use_again(x: Any) -> None:
    """Take the lock as a process of its own."""
    assert is_free(x, timeout=1)
    assert os.getpid() in seats(x)
