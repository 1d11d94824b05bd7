"""Handles of every backend in other processes, of every start method."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from conformance.conftest import AnyArray
from conformance.test_handle import Hits, refuses
from procshare import Closed, LockTimeout, SharedArray, SharedCounter, SharedValue
from support import START_METHODS, Child, Line, Workers, call

if TYPE_CHECKING:
    from collections.abc import Iterator

methods = pytest.mark.parametrize("method", START_METHODS)


def use_all(
    hits: Hits, number: SharedValue[int], word: SharedValue[str], small: SharedArray[Any], large: SharedArray[Any]
) -> tuple[str, str, str, list[int]]:
    """Write to one object of each kind, in every way; what it was told of them."""
    hits += 1
    said = hits.hit()
    with hits.locked() as cell:
        cell.value += 10
    number.modify(lambda n: n * 2)
    with word.locked() as cell:
        cell.value += "!"
    with small.locked() as live:
        live += 1
    large.array[1, 2] = 7
    return said, type(hits).__name__, word.value, small.value.tolist()


@methods
def test_a_handle_travels_as_a_process_argument(backend: str, method: str) -> None:
    """All kinds at once, with what a subclass adds: what the child wrote is here, and nothing was destroyed."""
    with (
        Hits("home", 3, backend=backend) as hits,
        SharedValue(5, "i", backend=backend) as number,
        SharedValue("word", backend=backend) as word,
        SharedArray([1, 2], "i", backend=backend) as small,
        AnyArray.zeros((100, 100), backend=backend) as large,
    ):
        told = call(method, use_all, hits, number, word, small, large)

        assert told == ("home: 5", "Hits", "word!", [2, 3])
        assert (hits.value, number.value, word.value) == (15, 10, "word!")
        assert (small.value.tolist(), large.array[1, 2]) == ([2, 3], 7)


def doubled(now: Any) -> Any:
    """For modify()."""
    return now + now


def read_all(*handles: Any) -> list[Any]:
    """What each handle holds, after a change."""
    for handle in handles:
        handle.modify(doubled)
    return [handle.value for handle in handles]


@methods
def test_a_child_may_be_the_only_one_to_hold_it(backend: str, can: frozenset[str], method: str) -> None:
    """The parent drops its handles when the child has started; the child has them all the same."""

    def start() -> Child:
        handles: Any = (
            SharedCounter(2, backend=backend),
            SharedValue("ab", backend=backend),
            SharedArray([1, 2], backend=backend),
            AnyArray.zeros(20_000, backend=backend),
        )
        if "hand_over" in can:  # else what was pickled stays until its creator, this process, exits
            handles = tuple(handle.hand_over() for handle in handles)
        return Child(method, only_one, *handles)

    with start() as child:
        child.tell("go")
        count, word, small, total = child.result()

    assert (count, word, small, total) == (4, "abab", [2, 4], 0.0)


def only_one(line: Line, *handles: Any) -> tuple[Any, ...]:
    """Use the handles when the parent has let go of its own."""
    line.hear()
    count, word, small, large = read_all(*handles)
    return count, word, small.tolist(), float(large.sum())


def count_in_threads(hits: SharedCounter, number: SharedValue[int], array: SharedArray[Any], rounds: int) -> None:
    """Add 1 to each, `rounds` times in each of two threads."""

    def work() -> None:
        for _ in range(rounds):
            hits.increment()
            number.modify(lambda n: n + 1)
            with array.locked() as live:
                live += 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def counting(_line: Line, *args: Any) -> None:
    """`count_in_threads` in a Child."""
    count_in_threads(*args)


def test_processes_and_threads_together_lose_nothing(backend: str) -> None:
    """One process of each start method, each with two threads, and this one."""
    with (
        SharedCounter(backend=backend) as hits,
        SharedValue(0, "q", backend=backend) as number,
        AnyArray.zeros(3, "q", backend=backend) as array,
    ):
        children = [Child(method, counting, hits, number, array, 50) for method in START_METHODS]
        count_in_threads(hits, number, array, 50)
        for child in children:
            with child:
                child.result()

        assert (hits.value, number.value, array.value.tolist()) == (400, 400, [400] * 3)


def try_locks(_line: Line, *handles: Any) -> list[str]:
    """What each handle's lock answers to one try, and to a short wait."""
    answers: list[str] = []
    for handle in handles:
        for timeout in (0, 0.01):
            try:
                with handle.locked(timeout):
                    answers.append("held")
            except LockTimeout:
                answers.append("timeout")
    return answers


def test_a_block_excludes_other_processes(backend: str) -> None:
    """A child cannot enter while the parent is inside, and can afterwards."""
    handles: list[Any] = [
        SharedCounter(1, backend=backend),
        SharedValue("x", backend=backend),
        SharedArray([1], backend=backend),
    ]
    with handles[0].locked() as cell, handles[1].locked(), handles[2].locked():
        cell.value = 9
        with Child("fork", try_locks, *handles) as inside:
            assert inside.result() == ["timeout"] * 6
    with Child("fork", try_locks, *handles) as outside:
        assert outside.result() == ["held"] * 6

    assert handles[0].value == 9
    for handle in handles:
        handle.close()


def leave_block(line: Line, cell: Any, handle: Any) -> tuple[str, int]:
    """In a process forked inside a block: use the guard, and what others see."""
    try:
        _ = cell.value
    except Closed:
        line.tell("closed")
    else:
        line.tell("alive")
    return "seen", handle.value


@pytest.mark.parametrize("kind", ["counter", "number", "object"])
def test_a_guard_is_dead_in_a_forked_child(backend: str, kind: str) -> None:
    """The child neither holds the lock nor sees or publishes what its parent has not committed."""
    makers: dict[str, Any] = {
        "counter": lambda: SharedCounter(1, backend=backend),
        "number": lambda: SharedValue(1, "i", backend=backend),
        "object": lambda: SharedValue(1, backend=backend),
    }
    with makers[kind]() as handle:
        with handle.locked() as cell:
            cell.value = 2
            with Child("fork", leave_block, cell, handle) as child:
                assert child.hear() == "closed"
                assert child.result() == ("seen", 1)
            assert handle.value == 2
        assert handle.value == 2


def wait_for(
    line: Line, hits: SharedCounter, word: SharedValue[str], array: SharedArray[Any]
) -> tuple[int, str, list[int]]:
    """Wait for one change after the other."""
    line.tell("waiting")
    count = hits.wait_until(lambda n: n > 5, timeout=10)
    text = word.wait_until(lambda s: s == "go", timeout=10)
    numbers: list[int] = array.wait_until(lambda a: bool(a[1] == 3), timeout=10).tolist()
    return count, text, numbers


def test_wait_until_sees_another_process_change_it(backend: str) -> None:
    """A child waits for its parent's changes, of each kind."""
    with (
        SharedCounter(5, backend=backend) as hits,
        SharedValue("", backend=backend) as word,
        SharedArray([1, 2], backend=backend) as array,
        Child("fork", wait_for, hits, word, array) as child,
    ):
        assert child.hear() == "waiting"
        hits.increment()
        word.set("go")
        with array.locked() as live:
            live[:] = 3

        assert child.result() == (6, "go", [3, 3])


def in_block(line: Line, *handles: Any) -> list[Any]:
    """Leave a `with` block of each inherited handle."""
    for handle in handles:
        with handle:
            pass
    return [handle.closed for handle in handles]


def test_a_child_never_destroys_what_its_parent_made(backend: str) -> None:
    """Leaving the handle's block in a child closes it there alone."""
    handles: list[Any] = [
        SharedCounter(1, backend=backend),
        SharedValue("x", backend=backend),
        AnyArray.zeros(20_000, backend=backend),
    ]
    for method in ("fork", "forkserver"):
        with Child(method, in_block, *handles) as child:
            assert child.result() == [True] * 3
        assert call(method, read_all, handles[0]) == [handles[0].value]
    assert handles[0].value == 4
    assert handles[1].value == "x"
    assert os.path.exists(f"/dev/shm/{handles[2].segment}")
    for handle in handles:
        with handle:
            pass


def make_and_return(backend: str) -> list[Any]:
    """Make and use objects of the child's own."""
    with (
        SharedCounter(1, backend=backend) as hits,
        SharedValue([1], backend=backend) as items,
        AnyArray.zeros(20_000, backend=backend) as array,
    ):
        return [hits.increment(), items.value, int(array.size)]


def make_own(_line: Line, backend: str) -> list[Any]:
    """`make_and_return` in a Child."""
    return make_and_return(backend)


def test_a_child_makes_objects_of_its_own(backend: str) -> None:
    """Under every start method, in a process that may have children."""
    for method in START_METHODS:
        with Child(method, make_own, backend, daemon=False) as child:
            assert child.result() == [2, [1], 20_000]


@pytest.fixture(scope="module")
def spawned() -> Iterator[Workers]:
    """Workers that are kept for this module."""
    with Workers("spawn") as workers:
        yield workers


def bump(hits: SharedCounter, times: int) -> int:
    """Count a few times."""
    return [hits.increment() for _ in range(times)][-1]


def test_a_handle_goes_to_a_running_worker_or_is_refused(backend: str, can: frozenset[str], spawned: Workers) -> None:
    """Through a pipe, as a pool does it."""
    with SharedCounter(backend=backend) as hits:
        if "pickle" not in can:
            with refuses():
                spawned.run(bump, [(hits, 3)])
            return
        results = spawned.run(bump, [(hits, 3), (hits, 4)])

        assert max(results) == hits.value == 7
