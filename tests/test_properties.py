"""Properties under concurrency: exact totals, whole reads, nothing changed by what does not fit, exact round trips.

The processes are kept and reused; each mixes its work with that of threads. test_mutation.py runs these tests against
cores with one mistake each, to see that they fail.
"""

from __future__ import annotations

import math
import os
import struct
import threading
import time
from functools import partial
from operator import le
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from procshare import SharedArray, SharedCounter, SharedValue
from procshare.backends import native_built
from support import START_METHODS, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

TOP = 2**63 - 1  # of a counter; its lowest is -TOP

calm = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
busy = settings(calm, max_examples=25)  # each example keeps several processes busy


@pytest.fixture(scope="module", params=START_METHODS)
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    """Processes of each start method in turn."""
    with Workers(request.param) as kept:
        yield kept


@pytest.fixture(scope="module")
def forked() -> Iterator[Workers]:
    """Processes of one start method, for what does not depend on it."""
    with Workers("fork") as kept:
        yield kept


def together(workers: Workers, jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call functions with arguments, each in a process of its own, from one moment on; the results in order."""
    with SharedArray.zeros(len(jobs), "B") as here:
        return workers.run(start, [(here, me, *job) for me, job in enumerate(jobs)])


def start(here: SharedArray[Any], me: int, fn: Callable[..., Any], *args: Any) -> Any:
    """Wait until all others are at this point too."""
    here.array[me] = 1
    deadline = time.monotonic() + 20
    while not here.array.all() and time.monotonic() < deadline:
        os.sched_yield()
    return fn(*args)


# ---- totals ----

Step = tuple[str, int, int]  # a way to change it, by how much, how often


def by_increment(hits: SharedCounter, n: int) -> int:
    """One atomic addition."""
    return hits.increment(n)


def by_decrement(hits: SharedCounter, n: int) -> int:
    """One atomic subtraction."""
    return hits.decrement(-n)


def by_compare_exchange(hits: SharedCounter, n: int) -> int:
    """Try until nobody came in between."""
    while not hits.compare_exchange(now := hits.value, now + n):
        pass
    return now + n


def by_modify(hits: SharedCounter, n: int) -> int:
    """A function of the value, under the lock."""
    return hits.modify(lambda now: now + n)


def by_block(hits: SharedCounter, n: int) -> int:
    """A block that holds the lock."""
    with hits.locked() as cell:
        cell.value += n
        return cell.value


def by_joined_block(hits: SharedCounter, n: int) -> int:
    """The holder's own increment joins its block."""
    with hits.locked(), hits.locked():
        return hits.increment(n)


def by_failed_block(hits: SharedCounter, n: int) -> int:
    """A block that raises changes nothing; then the increment does."""
    try:
        with hits.locked() as cell:
            cell.value += 1_000_000
            raise LookupError
    except LookupError:
        return hits.increment(n)


EXACT: dict[str, Callable[[SharedCounter, int], int]] = {
    "increment": by_increment,
    "decrement": by_decrement,
    "compare_exchange": by_compare_exchange,
    "modify": by_modify,
    "block": by_block,
    "joined block": by_joined_block,
    "failed block": by_failed_block,
}
"""Ways to add to a counter that return its new value."""


def by_operator(hits: SharedCounter, n: int) -> None:
    """`+=` or `-=` on the handle."""
    if n > 0:
        hits += n
    else:
        hits -= -n


def by_exchange(hits: SharedCounter, n: int) -> None:
    """Take all there is, and give it back with more."""
    hits.increment(hits.exchange(0) + n)


WAYS: dict[str, Callable[[SharedCounter, int], object]] = {**EXACT, "operator": by_operator, "exchange": by_exchange}


def in_threads(target: Callable[[Any], None], shares: Sequence[Any]) -> None:
    """Call *target* with each share at the same time; raise what one of them raised."""
    failures: list[BaseException] = []

    def run(share: Any) -> None:
        try:
            target(share)
        except BaseException as error:  # noqa: BLE001 - handed on below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def count(hits: SharedCounter, shares: list[list[Step]]) -> None:
    """One worker's work, a thread for each share."""

    def work(steps: list[Step]) -> None:
        for way, n, times in steps:
            change = WAYS[way]
            for _ in range(times):
                change(hits, n)

    in_threads(work, shares)


steps = st.tuples(st.sampled_from(sorted(WAYS)), st.integers(-9, 9), st.integers(1, 40))
shares = st.lists(st.lists(steps, min_size=1, max_size=4), min_size=1, max_size=3)


@busy
@example(plan=[[[("increment", 1, 3000)]], [[("decrement", -1, 1000), ("operator", 1, 2000)]]])
@example(plan=[[[("exchange", 1, 1000)]], [[("block", 1, 20_000)]]])
@example(plan=[[[(way, 1, 100)] for way in sorted(WAYS)], [[(way, -2, 100)] for way in sorted(WAYS)]])
@given(plan=st.lists(shares, min_size=2, max_size=4))
def test_concurrent_changes_total_exactly(plan: list[list[list[Step]]], workers: Workers) -> None:
    """However the work is split over processes and threads, and however it is done, nothing is lost."""
    with SharedCounter(5) as hits:
        together(workers, [(count, hits, shares) for shares in plan])

        assert hits.value == 5 + sum(n * times for shares in plan for steps in shares for _, n, times in steps)


def record(hits: SharedCounter, shares: list[list[Step]]) -> list[list[tuple[int, int]]]:
    """As `count`, and returns for each thread what it added and what it was told then."""
    histories: list[list[tuple[int, int]]] = []

    def work(steps: list[Step]) -> None:
        told: list[tuple[int, int]] = []
        histories.append(told)
        for way, n, times in steps:
            told += [(n, EXACT[way](hits, n)) for _ in range(times)]

    in_threads(work, shares)
    return histories


def watch(hits: SharedCounter, total: int) -> bool:
    """Whether the counter only ever grew, until it reached the total."""
    seen = [hits.value]
    while seen[-1] < total:
        seen.append(hits.value)
    return seen == sorted(seen)


up = st.tuples(st.sampled_from(sorted(EXACT)), st.integers(1, 9), st.integers(1, 40))
ups = st.lists(st.lists(up, min_size=1, max_size=4), min_size=1, max_size=3)


@busy
@example(plan=[[[("increment", 1, 2000)]], [[("increment", 3, 2000)]]])
@given(plan=st.lists(ups, min_size=2, max_size=3))
def test_a_counters_history_is_linearizable(plan: list[list[list[Step]]], workers: Workers) -> None:
    """Results are unique and cover the range without a gap, grow in each thread, and readers see them grow."""
    total = sum(n * times for shares in plan for steps in shares for _, n, times in steps)
    with SharedCounter() as hits:
        calls: list[tuple[Any, ...]] = [(record, hits, shares) for shares in plan]
        *recorded, grew = together(workers, [*calls, (watch, hits, total)])
        histories: list[list[tuple[int, int]]] = [told for histories in recorded for told in histories]
        every = sorted((new, n) for told in histories for n, new in told)

        assert grew
        assert hits.value == total
        assert all(told == sorted(told, key=lambda each: each[1]) for told in histories)
        assert [new - n for new, n in every] == [0, *(new for new, _ in every[:-1])]


def add_to_all(number: SharedValue[int], things: SharedValue[list[int]], cells: SharedArray[Any], times: int) -> None:
    """Read-modify-write of each kind, in two threads."""

    def work(amount: int) -> None:
        for _ in range(times):
            number.modify(lambda n: n + amount)
            with number.locked() as cell:
                cell.value += amount
            things.modify(lambda all_: [all_[0] + amount, *all_[1:]])
            with cells.locked() as live:
                live += amount

    in_threads(work, [1, 2])


@settings(busy, max_examples=10)
@given(plan=st.lists(st.integers(20, 150), min_size=2, max_size=4), code=st.sampled_from(["i", "q", "d", None]))
def test_concurrent_modifications_total_exactly(plan: list[int], code: str | None, workers: Workers) -> None:
    """A lock excludes: no read-modify-write of a value or an array is lost."""
    with SharedValue(0, code) as number, SharedValue([0, 7]) as things, SharedArray([0] * 50, "q") as cells:
        together(workers, [(add_to_all, number, things, cells, times) for times in plan])

        assert number.value == 6 * sum(plan)
        assert things.value == [3 * sum(plan), 7]
        assert cells.value.tolist() == [3 * sum(plan)] * 50


# ---- what does not fit ----

INTEGERS = {code: np.iinfo(code) for code in "bBhHiIlLqQ"}


def refused(change: Callable[[], object], read: Callable[[], Any]) -> bool:
    """Whether *change* raises OverflowError and *read* gives the same after it as before."""
    before = read()
    with pytest.raises(OverflowError):
        change()
    return same(read(), before)


def write_in_block(value: Any, new: Any) -> None:
    """Assign inside `locked()`."""
    with value.locked() as cell:
        cell.value = new


def beyond(low: int, high: int) -> st.SearchStrategy[int]:
    """Integers just outside of a range, or far."""
    near = st.sampled_from([low - 1, high + 1, low - 2, high + 2])
    return near | st.integers(max_value=low - 1) | st.integers(min_value=high + 1)


@st.composite
def misfits(draw: st.DrawFn) -> tuple[str, Any, Any]:
    """A type code, what fits it, and what does not."""
    code = draw(st.sampled_from("?bBhHiIlLqQfdc"))
    if code == "?":
        return code, draw(st.booleans()), draw(beyond(0, 1))
    if code == "c":
        return code, draw(st.binary(min_size=1, max_size=1)), draw(st.binary(min_size=2, max_size=9))
    if code in "fd":
        misfit: st.SearchStrategy[Any] = st.integers(min_value=2**1024) | st.integers(max_value=-(2**1024))
        if code == "f":
            misfit |= st.floats(3.402823669209385e38, 1e300) | st.floats(-1e300, -3.402823669209385e38)
        return code, draw(st.floats(width=32 if code == "f" else 64)), draw(misfit)
    low, high = int(INTEGERS[code].min), int(INTEGERS[code].max)
    return code, draw(st.sampled_from([low, high]) | st.integers(low, high)), draw(beyond(low, high))


@settings(calm, max_examples=300)
@given(misfits())
def test_what_does_not_fit_a_type_code_changes_nothing(case: tuple[str, Any, Any]) -> None:
    """Each way of writing raises OverflowError and leaves the value as it was."""
    code, fits, misfit = case
    value: SharedValue[Any]
    with SharedValue(fits, code) as value:
        assert same(value.value, fits)
        assert refused(lambda: value.set(misfit), lambda: value.value)
        assert refused(lambda: value.modify(lambda _: misfit), lambda: value.value)
        assert refused(lambda: write_in_block(value, misfit), lambda: value.value)
        with pytest.raises(OverflowError):
            SharedValue(misfit, code)


@settings(calm, max_examples=300)
@given(
    start=st.sampled_from([TOP, -TOP, TOP - 1, 1 - TOP, 0]) | st.integers(-TOP, TOP),
    n=st.sampled_from([1, -1, 2, -2, TOP, -TOP]) | st.integers(-(2**65), 2**65),
)
def test_a_counter_ends_where_it_should_or_stays(start: int, n: int) -> None:
    """Where the result or the argument is out of range, OverflowError and no change; else the exact result."""
    for way, change in WAYS.items():
        with SharedCounter(start) as hits:
            if way == "failed block" and start > TOP - 1_000_000:
                continue
            fits = abs(start + n) <= TOP
            by_argument = way in ("increment", "decrement", "operator", "joined block", "failed block")
            if fits and (abs(n) <= TOP or not by_argument):
                told = change(hits, n)
                assert told in (None, start + n)
                assert hits.value == start + n
            elif way != "exchange":  # which is two steps, of which the first succeeds
                assert refused(lambda: change(hits, n), lambda: hits.value)  # noqa: B023 - called at once


@calm
@given(n=beyond(-TOP, TOP))
def test_a_counter_holds_nothing_beyond_its_range(n: int) -> None:
    """By no method, and not from the start."""
    with SharedCounter(5) as hits:
        for change in (hits.set, hits.exchange, hits.increment, hits.decrement):
            assert refused(lambda: change(n), lambda: hits.value)  # noqa: B023 - called at once
        assert refused(lambda: hits.compare_exchange(5, n), lambda: hits.value)
        assert refused(lambda: hits.compare_exchange(n, 5), lambda: hits.value)
        with pytest.raises(OverflowError):
            SharedCounter(n)


def overrun(hits: SharedCounter, tries: int) -> int:
    """How many of so many increments found room."""
    done = 0
    for _ in range(tries):
        try:
            hits.increment()
            done += 1
        except OverflowError:
            pass
    return done


@busy
@given(room=st.integers(0, 300))
def test_a_full_counter_overflows_in_every_process(room: int, workers: Workers) -> None:
    """Of many increments together exactly as many succeed as fit."""
    with SharedCounter(TOP - room) as hits:
        done = together(workers, [(overrun, hits, 150)] * 3)

        assert sum(done) == min(room, 450)
        assert hits.value == TOP - room + sum(done)


# ---- round trips ----


def same(one: Any, other: Any) -> bool:
    """Whether two objects are equal in type, in structure and in every bit of every float."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", other)
    if isinstance(one, list | tuple | dict):
        inner, outer = parts(one), parts(other)
        return len(inner) == len(outer) and all(same(*pair) for pair in zip(inner, outer, strict=True))
    return bool(one == other)


def parts(container: Any) -> list[Any]:
    """What a list, tuple or dict holds, in order."""
    return list(container.items() if hasattr(container, "items") else container)


NANS = [struct.unpack("d", struct.pack("Q", bits))[0] for bits in (0x7FF8 << 48 | 5, 0xFFF8 << 48, 2**64 - 1)]
EDGES = [edge + d for edge in (-(2**47), 2**47, -(2**63), 2**63) for d in (-1, 0, 1)]  # of how ints are stored
wide = st.integers() | st.integers(-(2**200), 2**200) | st.sampled_from(EDGES)
texts = st.text(st.characters())  # surrogates as well
reals = st.floats() | st.sampled_from(NANS) | st.complex_numbers(allow_nan=False)
atoms = st.none() | st.booleans() | wide | reals | texts | st.binary()
keys = st.none() | st.booleans() | wide | texts | st.binary()
objects = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=4)
        | st.sets(keys, max_size=4)
        | st.frozensets(wide, max_size=4)
    ),
    max_leaves=12,
)


def echo(value: SharedValue[Any], other: SharedValue[Any]) -> Any:
    """Read one value and write what was read to another."""
    found = value.value
    other.set(found)
    return found


@settings(calm, max_examples=200)
@given(initial=objects, then=st.lists(objects | st.binary(min_size=5000, max_size=20000), max_size=4))
def test_any_object_comes_back_the_same(initial: Any, then: list[Any]) -> None:
    """Each of a series of objects of any size, by every way of writing, and what was read is a copy."""
    with SharedValue(initial) as value:
        assert same(value.value, initial)
        for number, each in enumerate(then):
            if number % 3 == 0:
                value.set(each)
            elif number % 3 == 1:
                assert same(value.modify(lambda _: each), each)  # noqa: B023 - called at once
            else:
                write_in_block(value, each)
            assert same(value.value, each)


@settings(calm, max_examples=25)
@given(each=objects)
def test_any_object_comes_back_the_same_through_a_process(each: Any, workers: Workers) -> None:
    """What another process read, and what it wrote."""
    with SharedValue(each) as value, SharedValue[Any](None) as other:
        (found,) = workers.run(echo, [(value, other)])

        assert same(found, each)
        assert same(other.value, each)


# ---- arrays ----

plain_dtypes = (
    hnp.scalar_dtypes()  # of both byte orders
    | hnp.byte_string_dtypes()
    | hnp.unicode_string_dtypes()
    | hnp.datetime64_dtypes()
    | hnp.timedelta64_dtypes()
    | st.sampled_from([np.dtype("g"), np.dtype("G"), np.dtype("V5"), np.dtype(">M8[ns]")])
)


def record_dtype(names: list[str], formats: list[Any], align: bool) -> np.dtype[Any]:
    """As many fields as there are names."""
    return np.dtype(list(zip(names, formats, strict=False)), align=align)


def fielded(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Structured dtypes, packed and aligned, of fields with and without a shape of their own."""
    names = st.lists(st.text("abcdé ", min_size=1, max_size=4), min_size=1, max_size=3, unique=True)
    shaped = inner | st.tuples(inner, st.tuples(st.integers(1, 3), st.integers(1, 2)))
    return st.builds(
        record_dtype,
        names,
        st.lists(shaped, min_size=3, max_size=3),
        st.booleans(),
    )


dtypes = st.recursive(plain_dtypes, fielded, max_leaves=3)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@st.composite
def arrays(draw: st.DrawFn) -> npt.NDArray[Any]:
    """Arrays of any dtype and shape, filled with any bytes that the dtype allows."""
    dtype, shape = draw(dtypes), draw(shapes)
    size = math.prod(shape) * dtype.itemsize
    pattern = draw(st.binary(min_size=1, max_size=64))
    filled = (pattern * (size // len(pattern) + 1))[:size]
    if holds_text(dtype):  # not all bytes are characters
        filled = bytes(size)
    return np.ndarray(shape, dtype, buffer=bytearray(filled or b"\0"))


def holds_text(dtype: np.dtype[Any]) -> bool:
    """Whether it or a field of it is of characters of four bytes."""
    fields: Any = dtype.fields or {}
    return dtype.base.kind == "U" or any(holds_text(field[0].base) for field in fields.values())


def alike(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Whether dtype, shape and every element agree to the bit, padding excepted."""
    if one.dtype != other.dtype or one.shape != other.shape or one.dtype.isalignedstruct != other.dtype.isalignedstruct:
        return False
    if one.dtype.names:
        return all(alike(one[name], other[name]) for name in one.dtype.names)
    if one.dtype.char in "gG":  # ten bytes of sixteen mean something
        return bool(((one == other) | ((one != one) & (other != other))).all())
    return one.tobytes() == other.tobytes()


def copy_array(array: SharedArray[Any], other: SharedArray[Any]) -> str:
    """Write what this process reads in one array to the other; says what it is, for NumPy's pickles may lose that."""
    found = array.value
    other.set(found)
    return f"{found.shape} {found.dtype!r}"


@settings(calm, max_examples=300)
@given(data=arrays())
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_any_array_comes_back_the_same(data: npt.NDArray[Any]) -> None:
    """Of any dtype and shape; also through `set`, in a second handle by name, and as zeros."""
    with SharedArray(data) as array, SharedArray.zeros(data.shape, data.dtype) as zeros:
        assert alike(array.value, data)
        assert alike(array.array, data)
        assert alike(SharedArray[Any].attach(array.name).value, data)
        assert alike(zeros.value, np.zeros(data.shape, data.dtype))
        zeros.set(data)
        assert alike(zeros.value, data)
        assert (array.size, array.nbytes) == (data.size, data.nbytes)


@settings(calm, max_examples=25)
@given(data=arrays())
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_any_array_comes_back_the_same_through_a_process(data: npt.NDArray[Any], workers: Workers) -> None:
    """What another process read, it also wrote."""
    with SharedArray(data) as array, SharedArray.zeros(data.shape, data.dtype) as other:
        assert workers.run(copy_array, [(array, other)]) == [f"{data.shape} {data.dtype!r}"]
        assert alike(other.value, data)


# ---- whole reads ----

Trio = tuple[SharedValue[tuple[int, int]], SharedValue[str], SharedArray[Any]]


def write_pairs(trio: Trio, lengths: list[int], times: int) -> None:
    """Write what is only right as a whole, by each way of writing."""
    pair, text, cells = trio
    for number in range(times):
        length = lengths[number % len(lengths)]
        pair.set((number, number))
        text.set(chr(97 + number % 26) * length)
        cells.set(number)
        pair.modify(lambda now: (now[0] + 1, now[1] + 1))
        with text.locked() as cell:
            cell.value = cell.value[:1] * (length // 2)
        with cells.locked() as live:
            live += 1


def read_pairs(trio: Trio, lengths: list[int], times: int) -> list[object]:
    """What was read that is only part of something."""
    pair, text, cells = trio
    allowed = {n for length in lengths for n in (length, length // 2)}
    wrong: list[object] = []
    for _ in range(times):
        one, other = pair.value
        word, array = text.value, cells.value
        if one != other:
            wrong.append((one, other))
        if len(set(word)) > 1 or len(word) not in allowed:
            wrong.append(f"{len(word)} characters of {sorted(set(word))}")
        if array.min() != array.max():
            wrong.append((array.min(), array.max()))
    return wrong


@settings(busy, max_examples=10)
@example(lengths=[3000, 20, 0, 3001])
@given(lengths=st.lists(st.integers(0, 30_000), min_size=1, max_size=5))
def test_no_reader_sees_half_of_a_value(lengths: list[int], forked: Workers) -> None:
    """Whatever the writers are at, and however large it is, a read gives one value that was written."""
    with SharedValue((0, 0)) as pair, SharedValue("") as text, SharedArray.zeros(2000, int) as cells:
        trio, lengths = (pair, text, cells), [*lengths, 0]
        jobs = [(write_pairs, trio, lengths, 300)] * 2 + [(read_pairs, trio, lengths, 900)] * 2
        wrong = together(forked, jobs)

        assert wrong[2:] == [[], []]


# ---- waiting ----


def take_turns(turn: SharedCounter, me: int, players: int, rounds: int) -> None:
    """Wait for each of my turns, and pass on to the next."""
    for number in range(me, players * rounds, players):
        turn.wait_until(partial(le, number), timeout=30)
        turn.increment()


def test_a_change_wakes_who_waits_for_it(forked: Workers) -> None:
    """At once: a turn goes round many processes in less time than their naps between looks would take."""
    players, rounds = 4, 20
    hops: list[float] = []
    while len(hops) < 3 and not (hops and hops[-1] < 0.010):  # on a busy machine, once more
        with SharedCounter() as turn:
            began = time.monotonic()
            together(forked, [(take_turns, turn, me, players, rounds) for me in range(players)])
            hops.append((time.monotonic() - began) / (players * rounds))

    assert hops[-1] < 0.010
