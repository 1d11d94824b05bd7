"""What every backend's `SharedRWLock` does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from death_support import Task
from procshare import LockTimeout, SharedArray, SharedRWLock
from support import START_METHODS, Child, Line
from sync_support import can

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # threads wait while we fork


@pytest.fixture
def lock(backend: str) -> Iterator[SharedRWLock]:
    """One that is free."""
    with SharedRWLock(backend=backend) as made:
        yield made


def state(lock: SharedRWLock) -> str:
    """What it is: "free", "read", or "written"."""
    return {(True, True): "free", (True, False): "read", (False, False): "written"}[
        can(lock, "reading"), can(lock, "writing")
    ]


def test_many_read_or_one_writes(lock: SharedRWLock) -> None:
    """Readers let readers in; a writer lets nobody in."""
    assert state(lock) == "free"
    with lock.reading() as nothing:
        assert nothing is None
        assert state(lock) == "read"
    assert state(lock) == "free"
    with lock.writing() as nothing:
        assert nothing is None
        assert state(lock) == "written"
    assert state(lock) == "free"


@pytest.mark.parametrize("how", ["reading", "writing"])
def test_a_block_that_raises_lets_go(lock: SharedRWLock, how: str) -> None:
    """The error passes through."""
    with pytest.raises(ZeroDivisionError), getattr(lock, how)():
        raise ZeroDivisionError
    assert state(lock) == "free"


def test_who_comes_in_vain_is_told_in_time(lock: SharedRWLock) -> None:
    """By a LockTimeout; the body does not run."""
    for holds, wants in (("writing", "reading"), ("writing", "writing"), ("reading", "writing")):
        with getattr(lock, holds)():
            for timeout in (0, -1, 0.1):

                def attempt(wants: str = wants, timeout: float = timeout) -> None:
                    with getattr(lock, wants)(timeout=timeout):
                        pytest.fail("it went in")

                begun = time.monotonic()
                with pytest.raises(LockTimeout):
                    Task(attempt).result()
                assert max(timeout, 0) <= time.monotonic() - begun < max(timeout, 0) + 0.5
        assert state(lock) == "free"


def test_one_thread_nests(lock: SharedRWLock) -> None:
    """A read in a read, a read in a write and a write in a write; free only after the outermost."""
    with lock.reading():
        with lock.reading(), lock.reading(timeout=0):
            assert state(lock) == "read"
        assert state(lock) == "read"
    with lock.writing():
        with lock.writing(timeout=0), lock.reading(timeout=0), lock.reading():
            assert state(lock) == "written"
        assert state(lock) == "written"
        with lock.reading(), lock.writing(timeout=0):
            assert state(lock) == "written"
        assert state(lock) == "written"
    assert state(lock) == "free"


@pytest.mark.parametrize("timeout", [None, 0, 5])
def test_a_reader_cannot_become_a_writer(lock: SharedRWLock, timeout: float | None) -> None:
    """It would wait for itself, so it is a RuntimeError at once, and it still reads."""
    with lock.reading():
        begun = time.monotonic()
        with pytest.raises(RuntimeError), lock.writing(timeout):
            pytest.fail("it went in")
        assert time.monotonic() - begun < 1
        assert state(lock) == "read"
    assert state(lock) == "free"


def wait_in(lock: SharedRWLock, how: str, order: list[str]) -> Task:
    """A thread that wants it, and notes when it has it."""

    def run() -> None:
        with getattr(lock, how)(timeout=10):
            order.append(how)

    return Task(run)


def test_a_writer_that_waits_goes_first(lock: SharedRWLock) -> None:
    """New readers wait for it, so that readers alone cannot keep it out for ever."""
    order: list[str] = []
    with lock.reading():
        writer = wait_in(lock, "writing", order)
        while can(lock, "reading"):  # until it is known to wait
            assert writer.is_alive()
        reader = wait_in(lock, "reading", order)
        with lock.reading(timeout=0):
            pass  # who reads already is not a new one
        reader.join(0.05)
        assert order == []
    writer.result()
    reader.result()
    assert order == ["writing", "reading"]


def test_a_writer_that_gave_up_lets_readers_in(lock: SharedRWLock) -> None:
    """Its timeout does not leave the door shut."""
    with lock.reading():

        def give_up() -> None:
            with pytest.raises(LockTimeout), lock.writing(timeout=0.05):
                pass

        writer = Task(give_up)
        readers = [wait_in(lock, "reading", []) for _ in range(3)]
        writer.result()
        for reader in readers:
            reader.result()
    assert state(lock) == "free"


def test_all_who_wait_to_read_go_in_together(lock: SharedRWLock) -> None:
    """After the writer, and at the same time."""
    inside: list[str] = []
    with lock.writing():
        readers = [Task(lambda: meet(lock, inside)) for _ in range(3)]
        assert inside == []
    for reader in readers:
        reader.result()


def meet(lock: SharedRWLock, inside: list[str]) -> None:
    """Read, until three are inside."""
    with lock.reading(timeout=10):
        inside.append("one")
        deadline = time.monotonic() + 10
        while len(inside) < 3:
            assert time.monotonic() < deadline


def visit(line: Line, lock: SharedRWLock) -> None:
    """In a child: go in as told, say whether that went well, and leave when told."""
    while how := line.hear():
        try:
            with getattr(lock, how)(timeout=0.05):
                line.tell(True)
                line.hear()
        except LockTimeout:
            line.tell(False)
            line.hear()
        line.tell("left")


@pytest.mark.parametrize("method", START_METHODS)
def test_processes_read_together_and_write_alone(lock: SharedRWLock, method: str) -> None:
    """A child of any start method."""
    with Child(method, visit, lock) as child:
        for mine, theirs, together in (
            ("reading", "reading", True),
            ("reading", "writing", False),
            ("writing", "reading", False),
            ("writing", "writing", False),
        ):
            with getattr(lock, mine)():
                child.tell(theirs)
                assert child.hear(20) is together
                child.tell("leave")
                assert child.hear() == "left"
            child.tell(theirs)
            assert child.hear() is True
            assert state(lock) == ("read" if theirs == "reading" else "written")
            child.tell("leave")
            assert child.hear() == "left"
        child.tell("")


def mix(_line: Line, *args: Any) -> None:
    """In a child: `mix_in_threads`."""
    mix_in_threads(*args)


def mix_in_threads(lock: SharedRWLock, live: SharedArray[Any], times: int) -> None:
    """Two threads that write both numbers alike, and find them alike when they read."""

    def work() -> None:
        one = live.array
        for n in range(times):
            if n % 3:
                with lock.reading():
                    assert one[0] == one[1]
            else:
                with lock.writing():
                    before = int(one[0])
                    one[0] = -1
                    one[1] = one[0] = before + 1

    for task in [Task(work) for _ in range(2)]:
        task.result()


def test_nothing_is_torn_and_nothing_lost(lock: SharedRWLock, backend: str) -> None:
    """Two processes of two threads each and this one."""
    with SharedArray(np.zeros(2, "q"), backend=backend) as live:
        children = [Child("fork", mix, lock, live, 120) for _ in range(2)]
        mix_in_threads(lock, live, 120)
        for child in children:
            with child:
                child.result(20)
        assert live.array.tolist() == [240, 240]
    assert state(lock) == "free"
