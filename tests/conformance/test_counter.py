"""What every backend's `SharedCounter` does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procshare import Closed, LockTimeout, SharedCounter, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

LOWEST, HIGHEST = -(2**63) + 1, 2**63 - 1
COUNTS = st.integers(LOWEST, HIGHEST) | st.sampled_from([LOWEST, LOWEST + 1, -1, 0, 1, HIGHEST - 1, HIGHEST])


@pytest.fixture
def hits(backend: str) -> Iterator[Any]:
    """A counter at 10."""
    with SharedCounter(10, backend=backend) as counter:
        yield counter


def test_it_starts_where_it_is_told_and_else_at_zero(backend: str) -> None:
    """The initial value is the value; it defaults to 0."""
    assert SharedCounter(backend=backend).value == 0
    assert SharedCounter(-7, backend=backend).value == -7


def test_increment_and_decrement_return_the_new_value(hits: SharedCounter) -> None:
    """Steps may be left out, larger than one, or negative."""
    assert [hits.increment(), hits.increment(5), hits.increment(-1)] == [11, 16, 15]
    assert [hits.decrement(), hits.decrement(5), hits.decrement(-1)] == [14, 9, 10]
    assert hits.value == 10


def test_exchange_returns_the_old_value(hits: SharedCounter) -> None:
    """The new value takes its place."""
    assert hits.exchange(3) == 10
    assert hits.value == 3


def test_compare_exchange_changes_only_what_was_expected(hits: SharedCounter) -> None:
    """It returns whether it did."""
    assert hits.compare_exchange(11, 1) is False
    assert hits.value == 10
    assert hits.compare_exchange(10, 1) is True
    assert hits.value == 1


def test_augmented_assignment_counts_on_the_handle_itself(hits: SharedCounter) -> None:
    """`+=` and `-=` keep the handle and change what it counts."""
    same = hits
    hits += 5
    hits -= 2

    assert hits is same
    assert hits.value == 13


def test_it_converts_to_int(hits: SharedCounter) -> None:
    """int() reads it, and what it reads is a plain int."""
    assert int(hits) == 10
    assert type(hits.value) is int


def test_set_replaces_the_value(hits: SharedCounter) -> None:
    """Whatever it was."""
    hits.set(-3)

    assert hits.value == -3


def test_the_value_of_the_handle_is_read_only(hits: SharedCounter) -> None:
    """The race cannot be written: `hits.value += 1` raises."""
    handle: Any = hits
    with pytest.raises(AttributeError):
        handle.value = 1
    with pytest.raises(AttributeError):
        handle.value += 1

    assert hits.value == 10


@settings(max_examples=60, deadline=None)
@given(start=COUNTS, step=COUNTS)
def test_a_step_is_exact_or_an_overflow_that_changes_nothing(backend: str, start: int, step: int) -> None:
    """No counter ever wraps."""
    with SharedCounter(start, backend=backend) as hits:
        for method, end in ((hits.increment, start + step), (hits.decrement, start - step)):
            if LOWEST <= end <= HIGHEST:
                assert method(step) == end
            else:
                with pytest.raises(OverflowError):
                    method(step)
                assert hits.value == start
            hits.set(start)


@pytest.mark.parametrize("wrong", [LOWEST - 1, HIGHEST + 1, 2**64, -(2**64), 10**30])
def test_out_of_range_is_an_overflow_everywhere(backend: str, hits: SharedCounter, wrong: int) -> None:
    """Every way to write refuses what does not fit, and changes nothing."""
    with pytest.raises(OverflowError):
        SharedCounter(wrong, backend=backend)
    with pytest.raises(OverflowError):
        hits.set(wrong)
    with pytest.raises(OverflowError):
        hits.exchange(wrong)
    with pytest.raises(OverflowError):
        hits.compare_exchange(10, wrong)
    with pytest.raises(OverflowError):
        hits.modify(lambda _: wrong)
    with pytest.raises(OverflowError), hits.locked() as cell:
        cell.value = wrong

    assert hits.value == 10


@pytest.mark.parametrize("wrong", ["1", 1.5, None, b"1"])
def test_what_is_no_int_is_a_type_error_everywhere(backend: str, hits: SharedCounter, wrong: Any) -> None:
    """Every way to write refuses it, and changes nothing."""
    with pytest.raises(TypeError):
        SharedCounter(wrong, backend=backend)
    for method in (hits.increment, hits.decrement, hits.set, hits.exchange):
        with pytest.raises(TypeError):
            method(wrong)
    with pytest.raises(TypeError):
        hits.modify(lambda _: wrong)
    with pytest.raises(TypeError), hits.locked() as cell:
        cell.value = wrong

    assert hits.value == 10


def test_modify_replaces_and_returns_the_new_value(hits: SharedCounter) -> None:
    """The function sees the current value."""
    assert hits.modify(lambda n: n * 3) == 30
    assert hits.value == 30


def test_a_raising_modify_changes_nothing(hits: SharedCounter) -> None:
    """Nor does it keep the lock."""
    with pytest.raises(ZeroDivisionError):
        hits.modify(lambda n: n // 0)

    assert hits.value == 10
    assert hits.increment() == 11


def test_a_block_commits_at_its_end(hits: SharedCounter) -> None:
    """Another thread sees the last commit until then; the holder sees what it wrote."""
    seen: list[int] = []
    with hits.locked() as cell:
        cell.value += 5
        reader = threading.Thread(target=lambda: seen.append(hits.value))
        reader.start()
        reader.join(10)
        assert (cell.value, hits.value) == (15, 15)

    assert seen == [10]
    assert hits.value == 15


def test_a_raising_block_writes_nothing(hits: SharedCounter) -> None:
    """The exception goes on to the caller."""
    with pytest.raises(KeyError), hits.locked() as cell:
        cell.value = 99
        raise KeyError

    assert hits.value == 10
    assert hits.increment() == 11


def test_the_holders_own_calls_join_its_block(hits: SharedCounter) -> None:
    """Increments in the block take effect with it, or not at all."""
    with hits.locked() as cell:
        cell.value = 20
        assert hits.increment() == 21
        assert hits.modify(lambda n: n * 2) == 42
        assert hits.exchange(50) == 42
        hits.set(60)
        assert cell.value == 60
    assert hits.value == 60
    with pytest.raises(KeyError), hits.locked():
        hits.increment()
        raise KeyError

    assert hits.value == 60


def test_an_inner_block_rolls_back_alone(hits: SharedCounter) -> None:
    """What an inner block wrote is dropped if it raises; the outer block's own writes are kept."""
    with hits.locked() as outer:
        outer.value = 20
        with pytest.raises(KeyError), hits.locked() as inner:
            assert inner.value == 20
            inner.value = 30
            raise KeyError
        assert outer.value == 20
        with hits.locked() as inner:
            inner.value += 1
        assert outer.value == 21

    assert hits.value == 21


def test_a_cell_is_dead_after_its_block(hits: SharedCounter) -> None:
    """Reading or writing it then raises Closed; an inner cell dies with the inner block."""
    with hits.locked() as outer:
        with hits.locked() as inner:
            pass
        with pytest.raises(Closed):
            _ = inner.value
        outer.value = 1
    with pytest.raises(Closed):
        _ = outer.value
    with pytest.raises(Closed):
        outer.value = 2

    assert hits.value == 1


def test_others_wait_while_a_block_holds(hits: SharedCounter) -> None:
    """Another thread's increment takes effect after the block, not in it."""
    about_to = threading.Event()
    done = threading.Event()

    def add() -> None:
        about_to.set()
        hits.increment()
        done.set()

    adder = threading.Thread(target=add)
    with hits.locked() as cell:
        adder.start()
        assert about_to.wait(10)
        cell.value = 100
        assert not done.wait(0.02)
    adder.join(10)

    assert hits.value == 101


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_a_lock_held_by_another_thread_times_out(hits: SharedCounter, timeout: float) -> None:
    """LockTimeout is a TimeoutError, the body does not run, and the lock works afterwards."""
    outcomes: list[BaseException] = []

    def attempt() -> None:
        try:
            with hits.locked(timeout) as cell:
                cell.value = -1
        except LockTimeout as error:
            outcomes.append(error)

    with hits.locked():
        other = threading.Thread(target=attempt)
        other.start()
        other.join(10)

    assert [type(error) for error in outcomes] == [LockTimeout]
    assert isinstance(outcomes[0], TimeoutError)
    assert str(outcomes[0])
    assert hits.value == 10
    with hits.locked(timeout=0) as cell:
        cell.value = 1
    assert hits.value == 1


def test_wait_until_returns_the_value_that_a_thread_made_true(hits: SharedCounter) -> None:
    """A change by another thread ends the wait."""
    waited: list[int] = []
    waiter = threading.Thread(target=lambda: waited.append(hits.wait_until(lambda n: n >= 12, timeout=10)))
    waiter.start()
    hits.increment()
    hits.increment()
    waiter.join(10)

    assert waited == [12]


def test_wait_until_gives_up_in_time(hits: SharedCounter) -> None:
    """What is true already needs no wait; what stays false is a WaitTimeout."""
    assert hits.wait_until(lambda n: n == 10, timeout=0) == 10
    for timeout in (0, 0.02):
        with pytest.raises(WaitTimeout):
            hits.wait_until(lambda n: n == 11, timeout=timeout)


def test_threads_count_exactly(hits: SharedCounter) -> None:
    """No increment, modify or block of any thread is lost."""

    def work() -> None:
        for _ in range(50):
            hits.increment()
            hits.modify(lambda n: n + 1)
            with hits.locked() as cell:
                cell.value += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert hits.value == 10 + 4 * 50 * 3
