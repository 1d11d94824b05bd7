"""`locked()`, `wait_until` and what else waits: who is kept out, who goes on, and who is told.

What a death does is in test_deaths.py; that every backend excludes at all is in conformance/.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from death_support import (
    PROMPT,
    Task,
    Waiter,
    another,
    check,
    forked,
    in_time,
    interrupted,
    never,
    patient,
    same,
    used,
)
from procshare import (
    Closed,
    LockTimeout,
    NotFound,
    OwnerDied,
    SharedArray,
    SharedCounter,
    SharedValue,
    WaitTimeout,
    attach,
)
from procshare.backends import native_built
from scripts import Script
from support import Child, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # NumPy has threads; we fork with threads
]

KINDS: dict[str, Callable[[], Any]] = {
    "counter": lambda: SharedCounter(5),
    "named": lambda: SharedCounter(5, name="locks-counter"),
    "number": lambda: SharedValue(5, "q"),
    "object": lambda: SharedValue([5] * 100),
    "array": lambda: SharedArray([5, 5, 5]),
}
CELLS = [kind for kind in KINDS if kind != "array"]


@pytest.fixture(params=sorted(KINDS))
def x(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One object, of each kind in turn."""
    with KINDS[request.param]() as made:
        yield made


@pytest.fixture(params=sorted(CELLS))
def cellar(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One object whose guard is a cell, of each kind in turn."""
    with KINDS[request.param]() as made:
        yield made


def other(x: Any) -> Any:
    """A value of the same kind, unlike the one it has."""
    return x.value + x.value


def hold(line: Line, x: Any) -> None:
    """In a child: hold the lock from "held" until told to go on."""
    with x.locked():
        line.tell("held")
        line.hear()
    line.tell("left")


class Holder(Child):
    """A process that holds an object's lock until it is told to go on, or killed."""

    def __init__(self, x: Any, method: str = "fork") -> None:
        super().__init__(method, hold, x)
        assert self.hear() == "held"


def in_thread(call: Callable[[], Any]) -> Any:
    """The outcome of a call in another thread."""
    return Task(call).result()


def is_free(x: Any) -> bool:
    """Whether nobody has the lock, as another thread sees it."""

    def attempt() -> bool:
        try:
            with x.locked(timeout=0):
                return True
        except LockTimeout:
            return False

    return bool(in_thread(attempt))


# ---- who holds it, and for how long ----


def test_the_lock_is_free_before_and_after_a_block_and_not_inside(x: Any) -> None:
    """Another thread of the same process is excluded as another process is."""
    assert is_free(x)
    with x.locked():
        assert not is_free(x)
    assert is_free(x)


def test_a_block_that_raises_lets_go(x: Any) -> None:
    """The exception passes, the lock is free."""
    with pytest.raises(ZeroDivisionError), x.locked():
        raise ZeroDivisionError
    assert is_free(x)


def test_a_thread_that_holds_it_takes_it_again(x: Any) -> None:
    """It is free for others only after the outermost block."""
    with x.locked():
        with x.locked(timeout=0), x.locked(timeout=0.1):
            assert not is_free(x)
        assert not is_free(x)
    assert is_free(x)


def test_two_handles_of_a_process_are_one_lock(x: Any) -> None:
    """A thread re-enters through another handle on the same object."""
    with another(x) as twin:
        with x.locked(), twin.locked(timeout=0):
            assert not is_free(x)
            assert not is_free(twin)
        assert is_free(twin)


@patient
def test_lock_timeout_names_the_holder(x: Any) -> None:
    """Its process id, how long it has held it, how long we waited; and it is a TimeoutError."""
    with Holder(x) as holder:
        begun = time.monotonic()
        with pytest.raises(LockTimeout) as caught, x.locked(timeout=0.15):
            pytest.fail("it ran the block without the lock")
        waited = time.monotonic() - begun

        error = caught.value
        assert isinstance(error, TimeoutError)
        assert error.holder == holder.pid
        assert error.held is not None
        assert 0.13 < error.held < waited + 5
        assert 0.15 <= error.waited <= waited
        in_time(waited, 0.15 + PROMPT)
        assert str(holder.pid) in str(error)
        assert error.name in x.name


@patient
def test_a_timeout_of_zero_tries_once(x: Any) -> None:
    """It neither waits nor fails when the lock is free."""
    with x.locked(timeout=0):
        pass
    with x.locked(timeout=-1):
        pass
    with Holder(x):
        begun = time.monotonic()
        with pytest.raises(LockTimeout), x.locked(timeout=0):
            pass
        in_time(time.monotonic() - begun, 0.02)


@pytest.mark.parametrize("timeout", ["1", float("nan"), b"", 1j])
def test_a_timeout_that_is_no_number_is_refused(x: Any, timeout: Any) -> None:
    """With the lock free as before."""
    with pytest.raises((TypeError, ValueError)), x.locked(timeout=timeout):
        pass
    assert is_free(x)


@patient
def test_a_waiter_goes_on_when_the_block_ends(x: Any) -> None:
    """At once, in a thread and in a process."""
    with Holder(x) as holder:
        waiter = Task(lambda: is_free_after(x))
        with pytest.raises(LockTimeout), x.locked(timeout=0.05):
            pass
        moment = time.monotonic()
        holder.tell("go")
        assert waiter.result()
        in_time(waiter.ended - moment)
        assert holder.hear() == "left"


def test_no_more_than_one_is_inside(x: Any) -> None:
    """Threads and processes that keep taking it never meet."""
    inside = 0
    most = 0

    def visit() -> None:
        nonlocal inside, most
        for _ in range(300):
            with x.locked():
                inside += 1
                most = max(most, inside)
                inside -= 1

    tasks = [Task(visit) for _ in range(4)]
    for task in tasks:
        task.result()
    assert most == 1


# ---- a thread that ends, an interrupt, a fork ----


def leave_open(x: Any) -> Any:
    """Enter a block and never leave it."""
    manager = x.locked()
    manager.__enter__()
    return manager


@patient
def test_a_thread_that_ends_inside_its_block_lets_go(cellar: Any) -> None:
    """As if it had died: what it staged is gone, and the last commit stands."""
    before = cellar.value

    def abandon() -> Any:
        manager = cellar.locked()
        manager.__enter__().value = other(cellar)
        return manager

    guard = in_thread(abandon)
    moment = time.monotonic()
    with cellar.locked(timeout=10) as cell:
        in_time(time.monotonic() - moment)
        assert same(cell.value, before)
        with pytest.raises(Closed):
            guard.value = other(cellar)  # the dead block's guard is not this block's
        with suppress(Closed):
            guard.__exit__(None, None, None)
        assert not is_free(cellar)
    assert same(cellar.value, before)


def test_a_thread_that_ends_inside_its_block_leaves_an_array_in_doubt() -> None:
    """It may be half written, whoever failed to finish it."""
    with SharedArray([5, 5, 5]) as x:
        in_thread(lambda: leave_open(x))
        with pytest.raises(OwnerDied), x.locked(timeout=10):
            pass
        x.recover()
        assert is_free(x)


def test_a_thread_that_ends_lets_go_of_all_it_holds() -> None:
    """Nested blocks of several objects at once."""
    with SharedCounter() as one, SharedValue(2) as two, SharedCounter(3, name="locks-three") as three:
        in_thread(lambda: [leave_open(x) for x in (one, two, one, three, two)])
        for x in (one, two, three):
            assert is_free_after(x)  # join() returns when the thread has left Python, a moment before it has ended


@patient
def test_ctrl_c_ends_a_wait_for_the_lock(x: Any) -> None:
    """Within 100 ms, and the lock is not taken."""
    with Holder(x):
        in_time(interrupted(lambda: x.locked().__enter__()))
        in_time(interrupted(lambda: x.set(other(x))))
        assert not is_free(x)
    with suppress(OwnerDied):
        assert is_free(x)


@patient
def test_ctrl_c_ends_wait_until(x: Any) -> None:
    """Within 100 ms."""
    in_time(interrupted(lambda: x.wait_until(never)))


PESTERED = """
import random, threading

x = attach(sys.argv[1])
signal.signal(signal.SIGALRM, signal.default_int_handler)

def free():
    try:
        with x.locked(timeout=0):
            return True
    except LockTimeout:
        return False

seen = []
while len(seen) < 1500:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-4))
        while True:
            with x.locked():
                pass
    except KeyboardInterrupt:
        asking = threading.Thread(target=lambda: seen.append(free()))
        asking.start()
        asking.join()
say(len(seen), seen.count(False))
"""


def test_ctrl_c_at_any_moment_leaves_no_lock_behind(x: Any) -> None:
    """A block that was interrupted while it began or ended has let go, however often that happens."""
    with Script(PESTERED, x.name) as script:
        assert script.hear() == "1500 0"


def test_a_guard_is_dead_after_its_block(cellar: Any) -> None:
    """Reading and writing it raise, and so does entering or leaving its block again."""
    with cellar.locked() as cell:
        pass
    with pytest.raises(Closed):
        _ = cell.value
    with pytest.raises(Closed):
        cell.value = other(cellar)
    with pytest.raises(Closed):
        cell.__enter__()
    with pytest.raises(Closed):
        cell.__exit__(None, None, None)
    with cellar.locked(), pytest.raises(Closed):
        cell.value = other(cellar)
    assert is_free(cellar)


def test_a_guard_is_dead_in_a_forked_child(cellar: Any) -> None:
    """The child has no hold: it cannot write, its leaving of the block does nothing, and it has to wait as anyone."""
    before = cellar.value
    with cellar.locked() as cell:
        cell.value = other(cellar)
        status = forked(lambda: child_of_a_holder(cellar, cell))
        assert status == 0
        assert not is_free(cellar)
    assert same(cellar.value, before + before)


def child_of_a_holder(x: Any, cell: Any) -> None:
    """What a child sees that was forked inside a block."""
    with pytest.raises(Closed):
        _ = cell.value
    with pytest.raises(Closed):
        cell.value = x.value
    cell.__exit__(None, None, None)
    with pytest.raises(LockTimeout) as caught, x.locked(timeout=0.01):
        pass
    assert caught.value.holder == os.getppid()


# ---- what a block keeps out, and what it shows ----


def test_increments_wait_while_a_block_holds_a_counter() -> None:
    """In a thread and in a process; none is lost and none takes effect early."""
    with SharedCounter(5) as hits, Child("fork", increment_and_tell, hits) as child:
        with hits.locked() as cell:
            child.tell("go")
            task = Task(hits.increment)
            with pytest.raises(TimeoutError):
                child.hear(timeout=0.1)
            assert task.is_alive()
            cell.value = 100
            assert in_thread(lambda: hits.value) == 5
        assert {child.hear(), task.result()} == {101, 102}
        assert hits.value == 102


def increment_and_tell(line: Line, hits: SharedCounter) -> int:
    """In a child: increment when told to."""
    line.hear()
    return hits.increment()


def doubled(value: Any) -> Any:
    """For modify()."""
    return value + value


def changes(x: Any) -> list[Callable[[], object]]:
    """Every way to write without a block."""
    ways: list[Callable[[], object]] = [lambda: x.set(other(x)), lambda: x.modify(doubled)]
    if isinstance(x, SharedCounter):
        ways += [x.increment, x.decrement, lambda: x.exchange(9), lambda: x.compare_exchange(5, 6)]
    return ways


def test_no_write_takes_effect_while_a_block_holds_it(x: Any) -> None:
    """All of them wait, and all of them happen after."""
    before = x.value
    with x.locked():
        tasks = [Task(change) for change in changes(x)]
        for task in tasks:
            task.join(0.02)
            assert task.is_alive()
        assert same(x.value, before)
    for task in tasks:
        task.result()


def test_readers_see_the_last_commit_while_a_block_writes(cellar: Any) -> None:
    """Without waiting for it, in threads and in processes."""
    before = cellar.value
    with cellar.locked() as cell:
        cell.value = other(cellar)
        assert same(in_thread(lambda: cellar.value), before)
        assert forked(lambda: check(same(cellar.value, before))) == 0
        assert same(cellar.value, before + before)
    assert same(in_thread(lambda: cellar.value), before + before)


def test_a_whole_read_of_an_array_waits_for_the_block() -> None:
    """`.array` and an element do not."""
    with SharedArray([5, 5, 5]) as x:
        with x.locked() as live:
            live[0] = 6
            reading = Task(lambda: x.value)
            assert in_thread(lambda: (x.array[0], x[0])) == (6, 6)
            reading.join(0.05)
            assert reading.is_alive()
            live[1:] = 6
        assert reading.result().tolist() == [6, 6, 6]


def test_the_holders_own_calls_join_its_block() -> None:
    """They see and change what the block staged, and are undone with it."""
    with SharedCounter(5) as hits, SharedValue[Any](5) as number:
        with hits.locked() as cell:
            assert [hits.increment(), hits.decrement(2), hits.exchange(20)] == [6, 4, 4]
            assert not hits.compare_exchange(5, 6)
            assert hits.compare_exchange(20, 21)
            hits.set(30)
            assert (cell.value, hits.value, int(hits)) == (30, 30, 30)
            assert hits.modify(lambda n: n + 1) == cell.value == 31
            assert in_thread(lambda: hits.value) == 5
        assert hits.value == 31
        with number.locked() as cell:
            number.set("text")
            assert cell.value == "text"
            assert number.modify(lambda text: text * 100) == number.value == "text" * 100
            assert in_thread(lambda: number.value) == 5
            number.set(6)
            assert number.value == cell.value == 6
        assert number.value == 6
        with pytest.raises(ZeroDivisionError), hits.locked(), number.locked():
            hits.increment()
            number.set([1])
            raise ZeroDivisionError
        assert (hits.value, number.value) == (31, 6)


def test_the_holders_own_calls_join_an_arrays_block() -> None:
    """`set`, `modify` and `value` inside it do not wait for it."""
    with SharedArray([5, 5, 5]) as x, x.locked() as live:
        x.set([1, 2, 3])
        assert x.modify(lambda array: array * 2).tolist() == live.tolist() == [2, 4, 6]
        assert x.value.tolist() == [2, 4, 6]
        assert x.wait_until(lambda array: array[0] == 2, timeout=0).tolist() == [2, 4, 6]
        assert not is_free(x)


def test_an_inner_block_that_raises_is_undone_alone(cellar: Any) -> None:
    """What the outer one wrote before and after it stays."""
    first = other(cellar)
    with cellar.locked() as outer:
        outer.value = first
        with suppress(ZeroDivisionError), cellar.locked() as inner:
            assert same(inner.value, first)
            inner.value = first + first
            with cellar.locked() as innermost:
                innermost.value = first + first + first
            assert same(inner.value, first + first + first)
            raise ZeroDivisionError
        assert same(outer.value, first)
        with pytest.raises(Closed):
            inner.value = first
        with cellar.locked() as inner:
            inner.value = first + first
        assert same(outer.value, first + first)
    assert same(cellar.value, first + first)


def failing(_value: object) -> object:
    """For modify()."""
    raise ZeroDivisionError


def test_a_modify_that_raises_changes_nothing(x: Any) -> None:
    """And lets go of the lock."""
    before = x.value
    with pytest.raises(ZeroDivisionError):
        x.modify(failing)
    assert same(x.value, before)
    assert is_free(x)


def test_a_value_that_does_not_fit_leaves_the_block_as_it_was() -> None:
    """The error is raised by the write, and the block goes on."""
    with SharedValue(5, "b") as small, SharedCounter(5) as hits:
        with small.locked() as cell, hits.locked() as count:
            cell.value = 6
            count.value = 6
            with pytest.raises(OverflowError):
                cell.value = 128
            with pytest.raises(OverflowError):
                count.value = 2**63
            with pytest.raises(OverflowError):
                hits.increment(2**63 - 1)
        assert (small.value, hits.value) == (6, 6)


# ---- close() and unlink() inside a block ----


@pytest.mark.parametrize("kind", sorted(KINDS))
@patient
def test_close_inside_a_block_lets_go_when_it_ends(kind: str) -> None:
    """Whoever is attached elsewhere goes on at once, and the block's end is silent."""
    x = KINDS[kind]()
    name = x.name
    with Child("forkserver", lock_and_tell, x) as child:
        assert child.hear() == "attached"
        with x.locked():
            x.close()
        moment = time.monotonic()
        child.tell("go")
        assert child.hear() == "free"
        in_time(time.monotonic() - moment)
    remove(name)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_close_inside_a_block_lets_go_although_another_handle_is_open(kind: str) -> None:
    """The lock belongs to the object; its other handle in this process is as usable as before."""
    x = KINDS[kind]()
    with another(x) as twin:
        with x.locked(), x.locked():
            x.close()
        assert is_free(twin)
        twin.set(other(twin))
        twin.unlink()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_close_by_another_thread_while_it_waits(kind: str) -> None:
    """The waiter either gets the lock and gives it back, or is told that the handle is closed."""
    x = KINDS[kind]()
    with another(x) as twin:
        with twin.locked():
            setter = Task(lambda: x.set(other(twin)))
            visitor = Task(lambda: is_free_after(x))
            setter.join(0.02)
            visitor.join(0.02)
            x.close()
        for task in setter, visitor:
            with suppress(Closed):
                task.result()
        assert is_free(twin)
        twin.unlink()


def remove(name: str) -> None:
    """Destroy an object whose handle is closed."""
    with suppress(NotFound), attach(name) as x:
        x.unlink()


def lock_and_tell(line: Line, x: Any) -> str:
    """In a child: what it finds when it takes the lock."""
    line.tell("attached")
    line.hear()
    try:
        with x.locked(timeout=5):
            return "free"
    except OwnerDied:
        return "free"


def test_unlink_inside_a_block_changes_nothing_about_it(x: Any) -> None:
    """The object is nameless, not gone."""
    with x.locked():
        x.unlink()
        assert not is_free(x)
    assert is_free(x)


# ---- the price of waiting ----


@pytest.fixture
def all_kinds() -> Iterator[list[Any]]:
    """One object of each kind."""
    with ExitStack() as stack:
        yield [stack.enter_context(KINDS[kind]()) for kind in KINDS]


def test_who_waits_for_a_lock_sleeps(all_kinds: list[Any]) -> None:
    """Less than a hundredth of a core each, for a second."""

    def wait(x: Any) -> None:
        with pytest.raises(LockTimeout), x.locked(timeout=1):
            pass

    with ExitStack() as holders:
        for x in all_kinds:
            holders.enter_context(Holder(x))
        before = used()
        for task in [Task(partial(wait, x)) for x in all_kinds]:
            task.result()
        assert used() - before < 0.01 * len(all_kinds)


def test_who_waits_for_a_change_sleeps(all_kinds: list[Any]) -> None:
    """Less than a hundredth of a core each, for a second."""

    def wait(x: Any) -> None:
        with pytest.raises(WaitTimeout):
            x.wait_until(never, timeout=1)

    before = used()
    for task in [Task(partial(wait, x)) for x in all_kinds]:
        task.result()
    assert used() - before < 0.01 * len(all_kinds)


def test_a_stopped_holder_is_never_robbed(x: Any) -> None:
    """SIGSTOP is no death: LockTimeout as long as it lasts; after SIGCONT everything goes on."""
    with Holder(x) as holder:
        os.kill(holder.pid, signal.SIGSTOP)
        for _ in range(5):
            with pytest.raises(LockTimeout) as caught, x.locked(timeout=0.07):
                pass
            assert caught.value.holder == holder.pid
        waiter = Task(lambda: is_free_after(x))
        os.kill(holder.pid, signal.SIGCONT)
        holder.tell("go")
        assert holder.hear() == "left"
        assert waiter.result()


def is_free_after(x: Any) -> bool:
    """Wait for the lock, and leave it."""
    with x.locked(timeout=10):
        return True


# ---- wait_until ----


@patient
def test_wait_until_returns_the_value_that_was_true(x: Any) -> None:
    """At once if it is true already, else as soon as another process made it so."""
    wanted = other(x)
    assert same(x.wait_until(partial(same, x.value), timeout=0), x.value)
    with Child("fork", set_when_told, x, wanted) as child:
        waiter = Waiter(x, wanted)
        moment = time.monotonic()
        child.tell("go")
        assert same(waiter.result(), wanted)
        in_time(waiter.ended - moment)


def set_when_told(line: Line, x: Any, value: Any) -> None:
    """In a child: one write."""
    line.hear()
    x.set(value)


@patient
def test_wait_until_ends_in_time(x: Any) -> None:
    """With a TimeoutError that says how long it waited."""
    for timeout in 0, 0.12:
        begun = time.monotonic()
        with pytest.raises(WaitTimeout) as caught:
            x.wait_until(never, timeout=timeout)
        waited = time.monotonic() - begun
        assert timeout <= caught.value.waited <= waited
        in_time(waited, timeout + PROMPT)
        assert isinstance(caught.value, TimeoutError)


def test_what_a_predicate_raises_comes_out_of_wait_until(x: Any) -> None:
    """And it may use the object itself: it is called outside any lock."""

    def predicate(_value: object) -> bool:
        assert is_free(x)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        x.wait_until(predicate)


@patient
def test_many_waiters_wake_for_one_change(x: Any) -> None:
    """All of them, in threads and in processes."""
    wanted = other(x)
    children = [Child("fork", await_value, x, wanted) for _ in range(3)]
    tasks = [Waiter(x, wanted) for _ in range(3)]
    try:
        for child in children:
            assert child.hear() == "waiting"
        x.set(wanted)
        moment = time.monotonic()
        for child in children:
            child.hear()
        for task in tasks:
            task.result()
        in_time(time.monotonic() - moment)
    finally:
        for child in children:
            child.__exit__()


def await_value(line: Line, x: Any, wanted: Any) -> None:
    """In a child: say so, and wait."""
    told = False

    def is_wanted(value: object) -> bool:
        nonlocal told
        if not told:
            line.tell("waiting")
            told = True
        return same(value, wanted)

    x.wait_until(is_wanted, timeout=10)


@patient
def test_a_killed_waiter_disturbs_nobody(x: Any) -> None:
    """Those who wait for the same thing wake as before, and so do later ones."""
    wanted = other(x)
    with Child("fork", await_value, x, wanted) as one, Child("fork", await_value, x, wanted) as two:
        assert one.hear() == two.hear() == "waiting"
        one.kill()
        moment = time.monotonic()
        x.set(wanted)
        two.hear()
        in_time(time.monotonic() - moment)
        assert same(Waiter(x, wanted).result(), wanted)


@patient
def test_a_killed_holder_commits_nothing_and_its_waiters_go_on(cellar: Any) -> None:
    """Its staged write is gone; a thread that waited for the lock has it within 100 ms of the death."""
    before = cellar.value
    with Child("fork", stage_and_hold, cellar) as holder:
        assert holder.hear() == "held"
        waiter = Task(lambda: is_free_after(cellar))
        assert same(cellar.value, before)
        moment = time.monotonic()
        holder.kill()
        assert waiter.result()
        in_time(waiter.ended - moment)
        assert same(cellar.value, before)


def stage_and_hold(line: Line, x: Any) -> None:
    """In a child: write in a block that does not end."""
    with x.locked() as cell:
        cell.value = other(x)
        line.tell("held")
        line.hear(60)


def test_blocks_that_change_nothing_wake_nobody_for_good(cellar: Any) -> None:
    """A waiter's predicate is not called again and again while nothing happens."""
    calls = 0

    def count(_value: object) -> bool:
        nonlocal calls
        calls += 1
        return False

    with pytest.raises(WaitTimeout):
        cellar.wait_until(count, timeout=0.5)
    assert calls <= 13  # a slice is 50 ms
