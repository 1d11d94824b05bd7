"""`wrap()`: live objects of multiprocessing behind procshare's interface, on the same memory and lock."""

from __future__ import annotations

import ctypes
import multiprocessing
import threading
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from procshare import (
    Closed,
    LockTimeout,
    Shared,
    SharedArray,
    SharedValue,
    UnsupportedByBackend,
    share,
    wrap,
)
from support import START_METHODS, Child, Line, call

if TYPE_CHECKING:
    from collections.abc import Iterator

adopt: Any = wrap  # its overloads know no answer for what multiprocessing types as Any
SPAWN: Any = multiprocessing.get_context("spawn")
methods = pytest.mark.parametrize("method", START_METHODS)


@pytest.fixture(scope="module")
def manager() -> Iterator[Any]:
    """A manager of the test's own."""
    with multiprocessing.Manager() as manager:
        yield manager


@pytest.fixture
def segment() -> Iterator[SharedMemory]:
    """A SharedMemory of 64 bytes."""
    segment = SharedMemory(create=True, size=64)
    yield segment
    segment.close()
    segment.unlink()


def test_a_value_is_adopted_with_its_memory() -> None:
    """Either side sees what the other writes, and procshare's side checks the range."""
    value: Any = multiprocessing.Value("i", 3)
    shared = adopt(value)

    assert issubclass(type(shared), SharedValue)
    value.value = 5
    assert shared.value == 5
    with shared.locked() as cell:
        cell.value += 1
    assert value.value == 6
    with pytest.raises(OverflowError):
        shared.set(2**31)
    assert value.value == 6


@pytest.mark.parametrize("lock", [True, multiprocessing.RLock(), multiprocessing.Lock(), threading.RLock()])
def test_a_value_is_adopted_with_its_lock(lock: Any) -> None:
    """Who holds the one waits for the other; blocks nest, whatever the lock's kind."""
    value: Any = multiprocessing.Value("q", 1, lock=lock)
    shared = adopt(value)
    outcomes: list[Any] = []

    def attempt() -> None:
        outcomes.append(value.get_lock().acquire(False))
        with pytest.raises(LockTimeout), shared.locked(timeout=0):
            pass

    with shared.locked() as cell, shared.locked():
        cell.value = 2
        other = threading.Thread(target=attempt)
        other.start()
        other.join(10)
    with value.get_lock():
        other = threading.Thread(target=attempt)
        other.start()
        other.join(10)

    assert outcomes == [False, False]
    assert value.value == 2


def test_two_handles_of_one_value_are_one() -> None:
    """Blocks of the one join blocks of the other, in the same thread."""
    value: Any = multiprocessing.Value("d", 1.0)
    one, other = adopt(value), adopt(value)
    with one.locked() as outer:
        outer.value = 2.0
        with other.locked() as inner:
            inner.value += 1
        assert (one.value, other.value) == (3.0, 3.0)
    one.close()

    assert other.value == 3.0
    with pytest.raises(Closed):
        _ = one.value


def test_two_values_may_share_a_lock() -> None:
    """A block of the one excludes the other's, but their writes stay apart."""
    lock = multiprocessing.RLock()
    one: Any = adopt(multiprocessing.Value("i", 1, lock=lock))
    two: Any = adopt(multiprocessing.Value("d", 2.0, lock=lock))
    with one.locked() as outer:
        outer.value = 10
        with pytest.raises(KeyError), two.locked() as inner:
            inner.value = 20.0
            raise KeyError
        with two.locked() as inner:
            inner.value += 1

    assert (one.value, two.value) == (10, 3.0)


@pytest.mark.parametrize(("code", "initial"), [("c", b"x"), ("B", 200), ("f", 0.5), (ctypes.c_bool, True)])
def test_values_of_every_type_code_are_adopted(code: Any, initial: Any) -> None:
    """Each reads back as the plain Python object."""
    value: Any = adopt(multiprocessing.Value(code, initial))

    assert (type(value.value), value.value) == (type(initial), initial)


def test_an_array_is_adopted_with_memory_and_lock() -> None:
    """One-dimensional, of the array's own type."""
    array: Any = multiprocessing.Array("i", [1, 2, 3])
    shared = adopt(array)

    assert issubclass(type(shared), SharedArray)
    assert shared.dtype == np.dtype("i")
    with shared.locked() as live:
        live *= 2
        outcomes: list[bool] = []
        other = threading.Thread(target=lambda: outcomes.append(array.get_lock().acquire(False)))
        other.start()
        other.join(10)
    array[0] = 50

    assert outcomes == [False]
    assert list(array) == [50, 4, 6]
    assert shared.value.tolist() == [50, 4, 6]


def test_raw_arrays_and_strings_are_adopted() -> None:
    """Without a lock one is put beside it: wrapping twice in a process gives handles that exclude each other."""
    raw: Any = multiprocessing.RawArray("d", 3)
    one: Any = adopt(raw)
    two: Any = adopt(raw)
    outcomes: list[str] = []

    def attempt() -> None:
        with pytest.raises(LockTimeout), two.locked(timeout=0):
            pass
        outcomes.append("timeout")

    with one.locked() as live:
        live[1] = 5
        other = threading.Thread(target=attempt)
        other.start()
        other.join(10)
    letters: Any = adopt(multiprocessing.Array("c", b"abc"))

    assert outcomes == ["timeout"]
    assert two.value.tolist() == [0, 5, 0]
    assert letters.value.tolist() == [b"a", b"b", b"c"]


class Pixel(ctypes.Structure):
    """A structure of two fields."""

    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


def test_arrays_of_structures_and_of_arrays_are_adopted() -> None:
    """As structured dtypes, and with one more dimension."""
    pixels: Any = adopt(multiprocessing.Array(Pixel, [(1, 2.5), (3, 4.5)]))
    grid: Any = adopt(multiprocessing.RawArray(ctypes.c_short * 3, 2))

    assert pixels.value.tolist() == [(1, 2.5), (3, 4.5)]
    assert pixels.dtype.names == ("x", "y")
    assert (grid.shape, grid.dtype) == ((2, 3), np.dtype("h"))


def listed(now: object) -> list[object]:
    """For modify()."""
    return [now]


def test_a_managed_value_is_adopted(manager: Any) -> None:
    """It keeps any object that pickles, and the original sees each commit."""
    proxy = manager.Value("i", 7)
    shared: Any = adopt(proxy)
    with shared.locked() as cell:
        cell.value += 1
        assert proxy.get() == 7
    shared.modify(listed)

    assert proxy.get() == [8]
    proxy.set("other")
    assert shared.value == "other"


def test_a_shared_memory_is_adopted(segment: SharedMemory) -> None:
    """With dtype and shape; its owner keeps it, and may close it while views live."""
    original: Any = segment
    with adopt(segment, dtype="i", shape=(2, 3)) as shared:
        with shared.locked() as live:
            live[:] = 5
        view = shared.array
        assert bytes(original.buf[:28]) == np.array([5] * 6 + [0], "i").tobytes()
        assert shared.segment == segment.name
    other: Any = SharedMemory(segment.name)
    assert other.buf[0] == 5
    other.close()
    assert view.sum() == 30
    adopt(segment, dtype=float, shape=8).close()


def test_a_shared_memory_must_be_described_and_large_enough(segment: SharedMemory) -> None:
    """Missing dtype or shape is a TypeError, too much of either a ValueError."""
    with pytest.raises(TypeError, match="dtype"):
        adopt(segment)
    with pytest.raises(TypeError, match="shape"):
        adopt(segment, dtype="i")
    with pytest.raises(ValueError, match="fit"):
        adopt(segment, dtype="d", shape=10_000)
    with pytest.raises(TypeError):
        adopt(segment, dtype=object, shape=1)
    with pytest.raises(TypeError, match="its own"):
        adopt(multiprocessing.Value("i", 0), dtype="i", shape=1)


@pytest.mark.parametrize(
    "obj", [5, "x", [1], np.zeros(3), (ctypes.c_int * 3)(), ctypes.c_int(3)], ids=lambda obj: type(obj).__name__
)
def test_what_is_not_shared_cannot_be_wrapped(obj: Any) -> None:
    """A private ctypes array is not shared either: TypeError, not a handle that shares nothing."""
    with pytest.raises(TypeError):
        adopt(obj)


def test_values_that_are_no_numbers_cannot_be_wrapped() -> None:
    """Structures and wide characters, though multiprocessing has them."""
    for value in (multiprocessing.Value(Pixel, 1, 2.0), multiprocessing.Value("u", "x")):
        with pytest.raises(TypeError):
            adopt(value)


def test_a_wrapped_object_is_a_handle_like_any_other() -> None:
    """share() returns it, and leaving its block leaves the original alone."""
    value: Any = multiprocessing.Value("i", 3)
    with adopt(value) as shared:
        assert issubclass(type(shared), Shared)
        same: object = share(shared)
        assert same is shared
    value.value += 1

    assert value.value == 4


def doubled(now: Any) -> Any:
    """For modify()."""
    return now + now


def change(*handles: Any) -> list[Any]:
    """Add each to itself; what they held before."""
    before = [np.asarray(handle.value).tolist() for handle in handles]
    for handle in handles:
        handle.modify(doubled)
    return before


@methods
def test_wrapped_objects_travel_as_process_arguments(method: str, manager: Any, segment: SharedMemory) -> None:
    """As the originals do, to every start method if their context is spawn."""
    handles: list[Any] = [
        adopt(SPAWN.Value("i", 3)),
        adopt(SPAWN.Array("i", [1, 2])),
        adopt(SPAWN.RawArray("d", [0.5])),
        adopt(manager.Value("i", "ab")),
        adopt(segment, dtype="B", shape=64),
    ]
    handles[4].array[:] = 9

    assert call(method, change, *handles) == [3, [1, 2], [0.5], "ab", [9] * 64]
    assert [np.asarray(handle.value).tolist() for handle in handles] == [6, [2, 4], [1.0], "abab", [18] * 64]


def both(line: Line, value: Any, shared: Any) -> tuple[int, int]:
    """Use the original and the handle that were passed together."""
    with shared.locked() as cell:
        cell.value += 1
        other: list[bool] = []
        thread = threading.Thread(target=lambda: other.append(value.get_lock().acquire(False)))
        thread.start()
        thread.join()
    line.tell(other)
    return value.value, shared.value


@methods
def test_original_and_handle_stay_one_in_a_child(method: str) -> None:
    """Passed side by side they still exclude each other."""
    value: Any = SPAWN.Value("i", 3)
    with Child(method, both, value, adopt(value)) as child:
        assert child.hear() == [False]
        assert child.result() == (4, 4)

    assert value.value == 4


def test_a_lock_of_the_fork_context_is_refused_elsewhere() -> None:
    """UnsupportedByBackend before the child starts, where the stdlib would raise a RuntimeError."""
    context: Any = multiprocessing.get_context("fork")
    for original in (context.Value("i", 3), context.Array("i", 2)):
        with pytest.raises(UnsupportedByBackend, match="fork"):
            call("spawn", change, adopt(original))
        assert call("fork", change, adopt(original))
