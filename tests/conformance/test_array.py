"""What every backend's `SharedArray` does."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from conformance.conftest import AnyArray, same
from procshare import LockTimeout, SharedArray, WaitTimeout

NUMBERS: st.SearchStrategy[Any] = (
    nps.boolean_dtypes()
    | nps.integer_dtypes(endianness="?")
    | nps.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | nps.complex_number_dtypes(endianness="?", sizes=(64, 128))
)
RECORDS: st.SearchStrategy[Any] = nps.array_dtypes(NUMBERS, allow_subarrays=True, max_size=3)
ANY_ARRAY: st.SearchStrategy[Any] = (NUMBERS | RECORDS).flatmap(
    lambda dtype: nps.arrays(dtype, nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@settings(max_examples=80, deadline=None)
@given(data=ANY_ARRAY)
def test_arrays_of_any_dtype_and_shape_round_trip(backend: str, data: Any) -> None:
    """Shape, dtype and every byte come back, empty and 0-dimensional ones included."""
    with SharedArray(data, backend=backend) as shared:
        assert same(shared.value, data)
        assert (shared.shape, shared.dtype) == (data.shape, data.dtype)
        assert (shared.size, shared.nbytes) == (data.size, data.nbytes)
        shared.set(np.zeros_like(data))
        assert same(shared.value, np.zeros(data.shape, data.dtype))
        shared.set(data)
        assert same(shared.value, data)


@settings(max_examples=60, deadline=None)
@given(dtype=NUMBERS | RECORDS, shape=nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5))
def test_zeros_is_zeros(backend: str, dtype: Any, shape: tuple[int, ...]) -> None:
    """Of any dtype and shape."""
    with AnyArray.zeros(shape, dtype, backend=backend) as shared:
        assert same(shared.value, np.zeros(shape, dtype))


def test_zeros_takes_a_length_and_defaults_to_float(backend: str) -> None:
    """Type codes work too."""
    with AnyArray.zeros(3, backend=backend) as shared:
        assert same(shared.value, np.zeros(3))
    with AnyArray.zeros([2, 3], "c", backend=backend) as letters:
        assert same(letters.value, np.zeros((2, 3), "S1"))
    with pytest.raises((ValueError, TypeError)):
        AnyArray.zeros((2, -1), backend=backend)


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        ([1, 2], None, np.array([1, 2])),
        ([1, 2], "b", np.array([1, 2], np.int8)),
        ([], "i", np.array([], np.int32)),
        (range(3), float, np.array([0.0, 1.0, 2.0])),
        ([b"a", b"b"], "c", np.array([b"a", b"b"], "S1")),
        ([[1, 2], [3, 4]], np.uint16, np.array([[1, 2], [3, 4]], np.uint16)),
        ([2**63, 0], "Q", np.array([2**63, 0], np.uint64)),
        ([(1, 2.5)], [("a", "i1"), ("b", "f4")], np.array([(1, 2.5)], [("a", "i1"), ("b", "f4")])),
        ([0, 1], "?", np.array([False, True])),
        (5, "h", np.array(5, np.int16)),
        (np.arange(4, dtype=np.int64), "f", np.arange(4, dtype=np.float32)),
    ],
)
def test_data_is_converted_to_the_dtype(backend: str, data: Any, dtype: Any, expected: Any) -> None:
    """Any array-like of any kind that loses nothing."""
    with SharedArray[Any](data, dtype, backend=backend) as shared:
        assert same(shared.value, expected)


@pytest.mark.parametrize("code", "bBhHiIlLqQ")
def test_what_does_not_fit_is_an_overflow_everywhere(backend: str, code: str) -> None:
    """One past either limit is refused by the constructor, `set` and `modify`, and changes nothing."""
    limits = np.iinfo(code)
    low, high = int(limits.min), int(limits.max)
    with AnyArray([low, high], code, backend=backend) as shared:
        for wrong in ([low - 1, 0], [0, high + 1]):

            def replace(_now: Any, wrong: list[int] = wrong) -> list[int]:
                return wrong

            with pytest.raises(OverflowError):
                SharedArray[Any](wrong, code, backend=backend)
            with pytest.raises(OverflowError):
                shared.set(wrong)
            with pytest.raises(OverflowError):
                shared.modify(replace)
        assert same(shared.value, np.array([low, high], code))


@pytest.mark.parametrize(
    ("data", "dtype"), [([1e39], "f"), (np.array([1e39]), "f"), ([70000.0], "e"), ([10**400], "d"), ([b"ab"], "c")]
)
def test_large_floats_and_long_strings_overflow(backend: str, data: Any, dtype: str) -> None:
    """A finite number never turns into infinity, and no string is cut."""
    with pytest.raises(OverflowError):
        SharedArray[Any](data, dtype, backend=backend)


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([1.5], "i"),
        (np.array([1.0]), "q"),
        ([1j], "d"),
        ([0.5], "?"),
        (["a"], "i"),
        ([None], "d"),
        ([object()], None),
        ([1], object),
        ([(1, 2)], [("a", "O"), ("b", "i")]),
    ],
)
def test_objects_and_lossy_changes_of_kind_are_type_errors(backend: str, data: Any, dtype: Any) -> None:
    """Float to int, complex to float, and Python objects at all."""
    with pytest.raises(TypeError):
        SharedArray[Any](data, dtype, backend=backend)


def test_the_data_is_copied_in_and_values_are_copied_out(backend: str) -> None:
    """Neither the source nor a value that was read is the shared memory; Fortran order is no obstacle."""
    source = np.asfortranarray(np.arange(6).reshape(2, 3))
    with SharedArray(source, backend=backend) as shared:
        source[0, 0] = 99
        shared.value[0, 1] = 99
        assert shared.value.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert shared.array.flags.c_contiguous


def test_array_is_the_live_memory(backend: str) -> None:
    """What is written there is in every later read; indexing and np.asarray see it too."""
    with SharedArray([1, 2, 3], backend=backend) as shared:
        live = shared.array
        live[1] = 20
        assert shared.value.tolist() == [1, 20, 3]
        assert shared[1] == 20
        assert shared[1:].tolist() == [20, 3]
        assert np.shares_memory(shared.array, live)
        assert np.shares_memory(np.asarray(shared), live)


def test_it_converts_as_numpy_expects(backend: str) -> None:
    """np.array copies, a dtype converts, and NumPy functions take the handle as it is."""
    with SharedArray([1, 2, 3], "i", backend=backend) as shared:
        assert not np.shares_memory(np.array(shared), shared.array)
        assert np.asarray(shared, dtype=float).tolist() == [1.0, 2.0, 3.0]
        assert np.sum(shared) == 6
        with pytest.raises(ValueError):
            shared.__array__(np.dtype(float), copy=False)


def test_it_has_a_length_and_iterates(backend: str) -> None:
    """By the first dimension, as ndarrays do; a 0-dimensional one has neither."""
    with SharedArray([[1, 2], [3, 4]], backend=backend) as shared:
        assert len(shared) == 2
        assert [row.tolist() for row in shared] == [[1, 2], [3, 4]]
    with SharedArray(5, backend=backend) as single:
        with pytest.raises(TypeError):
            len(single)
        with pytest.raises(TypeError):
            iter(single)
        assert single[()] == 5


def test_set_broadcasts_as_assignment_does(backend: str) -> None:
    """A single number fills it; a shape that does not broadcast is a ValueError and changes nothing."""
    with SharedArray([9, 9, 9], backend=backend) as shared:
        shared.set(np.array(7))
        assert shared.value.tolist() == [7, 7, 7]
        shared.set(np.array([1, 2, 3]))
        for wrong in ([1, 2], [[1, 2, 3]]):
            with pytest.raises(ValueError):
                shared.set(np.array(wrong))
        assert shared.value.tolist() == [1, 2, 3]


def forget(_now: Any) -> None:
    """Return nothing, as one who changed it in place would."""


def test_modify_replaces_the_contents(backend: str) -> None:
    """The function gets a copy; raising, or returning what does not fit, changes nothing."""
    with SharedArray([1, 2, 3], backend=backend) as shared:
        assert shared.modify(lambda a: a * 2).tolist() == [2, 4, 6]

        def spoil(array: Any) -> Any:
            array[:] = 0
            raise KeyError

        with pytest.raises(KeyError):
            shared.modify(spoil)
        with pytest.raises(TypeError):
            shared.modify(lambda a: a + 0.5)
        with pytest.raises(ValueError):
            shared.modify(lambda a: a[:2])
        untyped: Any = shared
        with pytest.raises(TypeError):
            untyped.modify(forget)
        result = shared.modify(lambda a: a + 1)
        result[:] = 0
        assert shared.value.tolist() == [3, 5, 7]


def test_a_block_writes_at_once(backend: str) -> None:
    """It yields the live array; what it wrote stays, also if it raises. Blocks nest."""
    with SharedArray([1, 2, 3], backend=backend) as shared:
        with pytest.raises(KeyError), shared.locked() as live:
            live[0] = 10
            with shared.locked() as again:
                again[1] = 20
            assert shared.array.tolist() == [10, 20, 3]
            shared.set(np.array([5, 6, 7]))
            raise KeyError
        assert shared.value.tolist() == [5, 6, 7]


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_a_lock_held_by_another_thread_times_out(backend: str, timeout: float) -> None:
    """The body does not run, and the lock works afterwards."""
    entered: list[str] = []
    with SharedArray([1], backend=backend) as shared:

        def attempt() -> None:
            try:
                with shared.locked(timeout):
                    entered.append("in")
            except LockTimeout:
                entered.append("timeout")

        with shared.locked():
            other = threading.Thread(target=attempt)
            other.start()
            other.join(10)
        attempt()

    assert entered == ["timeout", "in"]


def test_wait_until_sees_a_thread_change_it(backend: str) -> None:
    """It returns the snapshot that made it true, or raises WaitTimeout in time."""
    with SharedArray([1, 2], backend=backend) as shared:
        with pytest.raises(WaitTimeout):
            shared.wait_until(lambda a: bool(a[0] == 5), timeout=0.02)
        waited: list[Any] = []

        def wait() -> None:
            waited.append(shared.wait_until(lambda a: bool(a[0] == 5), timeout=10))

        waiter = threading.Thread(target=wait)
        waiter.start()
        with shared.locked() as live:
            live[0] = 5
        waiter.join(10)

        assert [array.tolist() for array in waited] == [[5, 2]]


def test_threads_change_it_exactly(backend: str) -> None:
    """No addition under the lock is lost."""
    with AnyArray.zeros(10, "q", backend=backend) as shared:

        def work() -> None:
            for _ in range(20):
                with shared.locked() as live:
                    live += 1

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert shared.value.tolist() == [80] * 10


@pytest.mark.parametrize("length", [4, 100_000])
def test_views_outlive_the_handle(backend: str, length: int) -> None:
    """Closing, unlinking and collecting the handle neither fail for a live view nor invalidate it."""
    shared = SharedArray(np.arange(length), backend=backend)
    view = shared.array[1:]
    shared.close()
    shared.unlink()
    del shared
    gc.collect()
    view[0] += 1

    assert int(view.sum()) == length * (length - 1) // 2 + 1


def test_recover_on_a_good_array_does_nothing(backend: str) -> None:
    """Nobody died."""
    with SharedArray([1], backend=backend, on_owner_death="proceed") as shared:
        shared.recover()
        assert shared.value.tolist() == [1]


def test_on_owner_death_is_checked(backend: str) -> None:
    """A typo is a ValueError, for `zeros` too."""
    wrong: Any = "ignore"
    with pytest.raises(ValueError):
        SharedArray([1], backend=backend, on_owner_death=wrong)
    with pytest.raises(ValueError):
        AnyArray.zeros(1, backend=backend, on_owner_death=wrong)
