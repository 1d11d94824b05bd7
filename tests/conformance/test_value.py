"""What every backend's `SharedValue` does."""

from __future__ import annotations

import ctypes
import math
import struct
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.conftest import same
from procshare import Closed, LockTimeout, SharedValue, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS: dict[str, tuple[int, int]] = {"?": (0, 1)} | {
    code: (-(2 ** (bits - 1)) * code.islower(), 2 ** (bits - code.islower()) - 1)
    for code in "bBhHiIlLqQ"
    for bits in (8 * struct.calcsize(code),)
}
LARGEST_FLOAT = (2 - 2**-23) * 2.0**127
OBJECTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


class Point:
    """An object of a class of the test's own."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    def __hash__(self) -> int:
        return hash(self.x)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("code", LIMITS)
def test_ints_fit_or_overflow_at_every_type_code(backend: str, code: str, data: st.DataObject) -> None:
    """At and around both limits: exact, or an OverflowError that changes nothing."""
    low, high = LIMITS[code]
    number = data.draw(st.integers(2 * low - 3, 2 * high + 3) | st.sampled_from([low - 1, low, high, high + 1, 2**80]))
    start: Any = low if code != "?" else False
    with SharedValue[Any](start, code, backend=backend) as value:
        if low <= number <= high:
            value.set(number)
            assert same(value.value, bool(number) if code == "?" else number)
            assert same(SharedValue[Any](number, code, backend=backend).value, value.value)
            return
        with pytest.raises(OverflowError):
            SharedValue[Any](number, code, backend=backend)
        with pytest.raises(OverflowError):
            value.set(number)
        with pytest.raises(OverflowError):
            value.modify(lambda _: number)
        with pytest.raises(OverflowError), value.locked() as cell:
            cell.value = number
        assert same(value.value, start)


@settings(max_examples=60, deadline=None)
@given(number=st.floats())
def test_floats_round_trip(backend: str, number: float) -> None:
    """A 'd' is exact to the bit, an 'f' is the nearest C float or an OverflowError; nan and inf are floats too."""
    with SharedValue(number, "d", backend=backend) as value:
        assert struct.pack("d", value.value) == struct.pack("d", number)
    try:
        nearest = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        with pytest.raises(OverflowError):
            SharedValue(number, "f", backend=backend)
    else:
        with SharedValue(number, "f", backend=backend) as value:
            assert value.value == nearest or (math.isnan(number) and math.isnan(value.value))


def test_a_float_takes_ints_and_refuses_what_is_too_large(backend: str) -> None:
    """The largest C float fits, the next power of two does not; an int beyond any float is an OverflowError."""
    with SharedValue(LARGEST_FLOAT, "f", backend=backend) as value:
        with pytest.raises(OverflowError):
            value.set(2.0**128)
        assert value.value == LARGEST_FLOAT
        value.set(3)
        assert same(value.value, 3.0)
    with SharedValue(0.0, "d", backend=backend) as value, pytest.raises(OverflowError):
        value.set(10**400)


def test_a_byte_is_one_byte(backend: str) -> None:
    """'c' holds bytes of length 1: longer is an overflow, and what is no bytes a TypeError."""
    wrong: Any
    with SharedValue[Any](b"a", "c", backend=backend) as value:
        assert same(value.value, b"a")
        value.set(b"\xff")
        with pytest.raises(OverflowError):
            value.set(b"ab")
        for wrong in (b"", "a", 97, None):
            with pytest.raises(TypeError):
                value.set(wrong)
        assert value.value == b"\xff"


@pytest.mark.parametrize(
    ("code", "wrong"),
    [("i", 1.5), ("i", "1"), ("i", None), ("?", 1.0), ("?", "x"), ("d", "1.0"), ("d", 1j), ("f", None), ("d", b"1")],
)
def test_the_wrong_type_is_a_type_error_everywhere(backend: str, code: str, wrong: Any) -> None:
    """Every way to write refuses it, and changes nothing."""
    with pytest.raises(TypeError):
        SharedValue[Any](wrong, code, backend=backend)
    with SharedValue[Any](True, code, backend=backend) as value:
        with pytest.raises(TypeError):
            value.set(wrong)
        with pytest.raises(TypeError):
            value.modify(lambda _: wrong)
        with pytest.raises(TypeError), value.locked() as cell:
            cell.value = wrong
        assert value.value == 1


@pytest.mark.parametrize(
    ("dtype", "initial", "back"),
    [
        (int, 2**40, 2**40),
        (float, 1, 1.0),
        (bool, True, True),
        (ctypes.c_int, 7, 7),
        (ctypes.c_double, 0.5, 0.5),
        (ctypes.c_char, b"x", b"x"),
        (np.int16, np.int16(5), 5),
        (np.dtype("uint8"), 255, 255),
        ("float32", np.float32(0.5), 0.5),
        ("bool", np.True_, True),
        ("S1", b"q", b"q"),
    ],
)
def test_a_dtype_can_be_given_in_any_usual_form(backend: str, dtype: Any, initial: Any, back: Any) -> None:
    """Python, ctypes and NumPy types all work, and reading gives a plain Python object."""
    with SharedValue[Any](initial, dtype, backend=backend) as value:
        assert same(value.value, back)


@pytest.mark.parametrize("dtype", ["u", "O", "nonsense", object, str, complex, ">i4", np.float16, ctypes.c_wchar, 3])
def test_what_is_no_number_type_is_a_type_error(backend: str, dtype: Any) -> None:
    """The message says what to use instead."""
    with pytest.raises(TypeError, match="type code"):
        SharedValue[Any](0, dtype, backend=backend)


@settings(max_examples=60, deadline=None)
@given(first=OBJECTS, second=OBJECTS)
def test_any_object_round_trips(backend: str, first: Any, second: Any) -> None:
    """Without a dtype a value holds whatever pickles, and another object of another type and size later."""
    with SharedValue[Any](first, backend=backend) as value:
        assert same(value.value, first)
        value.set(second)
        assert same(value.value, second)
        assert same(value.modify(lambda now: [now, first]), [second, first])
        assert same(value.value, [second, first])


def test_it_grows_and_shrinks(backend: str) -> None:
    """From a small int to a megabyte and back, time and again."""
    with SharedValue[Any](0, backend=backend) as value:
        for size in (10, 1000, 2**20, 3, 2**21, 0):
            value.set("x" * size)
            assert len(value.value) == size
        value.set(1)
        assert same(value.value, 1)


def test_reading_gives_a_fresh_object(backend: str) -> None:
    """Changing what was read changes nothing shared; objects of user classes come back whole."""
    with SharedValue[Any]([1], backend=backend) as value:
        value.value.append(2)
        assert value.value == [1]
        assert value.value is not value.value
        value.set(Point(3))
        assert value.value == Point(3)


def test_a_block_holds_objects_too(backend: str) -> None:
    """A cell's value is a fresh object as well: it is written by assignment only."""
    with SharedValue[Any]([1], backend=backend) as value:
        with value.locked() as cell:
            cell.value.append(2)
            assert cell.value == [1]
            cell.value = [*cell.value, 3]
            assert value.value == [1, 3]
        assert value.value == [1, 3]


def test_what_does_not_pickle_is_refused_everywhere(backend: str) -> None:
    """It is a TypeError that changes nothing and keeps no lock."""
    wrong: Any
    for wrong in (lambda: None, threading.Lock()):
        with pytest.raises(TypeError):
            SharedValue[Any](wrong, backend=backend)
        with SharedValue[Any]("kept", backend=backend) as value:

            def replace(_now: Any, wrong: Any = wrong) -> Any:
                return wrong

            with pytest.raises(TypeError):
                value.set(wrong)
            with pytest.raises(TypeError):
                value.modify(replace)
            with pytest.raises(TypeError), value.locked() as cell:
                cell.value = wrong
            assert value.value == "kept"


@pytest.fixture(params=["number", "object"])
def pair(request: pytest.FixtureRequest, backend: str) -> Iterator[Any]:
    """A value with and one without a type code, both 10."""
    with SharedValue(10, "i" if request.param == "number" else None, backend=backend) as value:
        yield value


def test_the_value_of_the_handle_is_read_only(pair: Any) -> None:
    """The race cannot be written: `x.value += 1` raises."""
    with pytest.raises(AttributeError):
        pair.value += 1

    assert pair.value == 10


def test_modify_replaces_and_returns_the_new_value(pair: SharedValue[int]) -> None:
    """A function that raises changes nothing."""
    assert pair.modify(lambda n: n + 5) == 15
    with pytest.raises(ZeroDivisionError):
        pair.modify(lambda n: n // 0)

    assert pair.value == 15


def test_a_block_commits_at_its_end_or_not_at_all(pair: SharedValue[int]) -> None:
    """Others see the last commit until then; an exception drops what was written."""
    seen: list[int] = []
    with pair.locked() as cell:
        cell.value += 5
        reader = threading.Thread(target=lambda: seen.append(pair.value))
        reader.start()
        reader.join(10)
        assert pair.value == 15
    with pytest.raises(KeyError), pair.locked() as cell:
        cell.value = 99
        raise KeyError

    assert seen == [10]
    assert pair.value == 15


def test_an_inner_block_rolls_back_alone(pair: SharedValue[int]) -> None:
    """The outer block's own writes are kept, and `set` and `modify` in a block join it."""
    with pair.locked() as outer:
        outer.value = 20
        with pytest.raises(KeyError), pair.locked() as inner:
            inner.value += 1
            pair.set(30)
            raise KeyError
        assert outer.value == 20
        assert pair.modify(lambda n: n + 1) == 21

    assert pair.value == 21


def test_a_cell_is_dead_after_its_block(pair: SharedValue[int]) -> None:
    """Reading or writing it then raises Closed."""
    with pair.locked() as cell:
        pass
    with pytest.raises(Closed):
        _ = cell.value
    with pytest.raises(Closed):
        cell.value = 2

    assert pair.value == 10


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_a_lock_held_by_another_thread_times_out(pair: SharedValue[int], timeout: float) -> None:
    """The body does not run, and the lock works afterwards."""
    entered: list[str] = []

    def attempt() -> None:
        try:
            with pair.locked(timeout):
                entered.append("in")
        except LockTimeout:
            entered.append("timeout")

    with pair.locked():
        other = threading.Thread(target=attempt)
        other.start()
        other.join(10)
    attempt()

    assert entered == ["timeout", "in"]


def test_wait_until_sees_a_thread_change_it(pair: SharedValue[int]) -> None:
    """It returns the value that made it true, or raises WaitTimeout in time."""
    with pytest.raises(WaitTimeout):
        pair.wait_until(lambda n: n == 11, timeout=0.02)
    waited: list[int] = []
    waiter = threading.Thread(target=lambda: waited.append(pair.wait_until(lambda n: n > 10, timeout=10)))
    waiter.start()
    with pair.locked() as cell:
        cell.value = 12
    waiter.join(10)

    assert waited == [12]
