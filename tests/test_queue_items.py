"""Items of every sort in a queue: they come out as they went in, or are refused, whatever room there is."""

from __future__ import annotations

import pickle
import sys
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from death_support import Task
from procshare import SharedQueue
from procshare.backends import native_built
from queue_support import Point, Refusing, Spoiled, alike, arrays, items, unpicklable
from support import START_METHODS, Child, Line

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

CAPACITIES = [1, 300, 5000, 1 << 26]


@pytest.fixture(params=CAPACITIES)
def queue(request: pytest.FixtureRequest) -> Iterator[SharedQueue[Any]]:
    """One with little room, or with much."""
    with SharedQueue[Any](capacity=request.param) as made:
        yield made


def test_every_sort_of_item_comes_back_the_same(queue: SharedQueue[Any]) -> None:
    """Alone, by each way to get, however large for the queue it is."""
    for n, item in enumerate(items()):
        queue.put(item, timeout=0)
        assert queue.qsize() == 1
        if n % 3 == 0:
            got = queue.get_nowait()
        elif n % 3 == 1:
            (got,) = queue.get_many(timeout=0)
        else:
            with queue.lease(0) as got:
                pass
            queue.put(item, timeout=0)
            assert alike(queue.get_nowait(), item)
        assert alike(got, item), item
        assert queue.empty()


def test_every_sort_of_item_comes_back_among_the_others(queue: SharedQueue[Any]) -> None:
    """One after the other while there is room, so that the ring wraps around at many places."""
    every = items()
    waiting: list[Any] = []
    for item in every * 2:
        try:
            queue.put(item, timeout=0)
        except Full:
            for each in waiting:
                assert alike(queue.get_nowait(), each), each
            waiting = []
            queue.put(item, timeout=0)
        waiting.append(item)
        if len(waiting) % 5 == 0:
            assert alike(queue.get_nowait(), waiting.pop(0))
    for each in waiting:
        assert alike(queue.get_nowait(), each), each
    with pytest.raises(Empty):
        queue.get_nowait()


def test_all_at_once(queue: SharedQueue[Any]) -> None:
    """By put_many and get_many, which wait for each other."""
    every = items()
    putter = Task(lambda: queue.put_many(every, timeout=20))
    got: list[Any] = []
    while len(got) < len(every):
        got += queue.get_many(50, timeout=10)
    putter.result()
    for one, other in zip(got, every, strict=True):
        assert alike(one, other), other


atoms = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters())  # surrogates as well
    | st.binary(max_size=300)
)
nested = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(st.characters(), max_size=3) | st.integers(), inner, max_size=4)
        | inner.map(Point)
    ),
    max_leaves=15,
)
numbers: st.SearchStrategy[Any] = (
    nps.boolean_dtypes()
    | nps.integer_dtypes(endianness="?")
    | nps.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | nps.datetime64_dtypes(endianness="=")  # NumPy's pickles of the other byte order are not what they were
)
some_arrays: st.SearchStrategy[Any] = nps.arrays(
    numbers, nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9)
)
any_item = nested | some_arrays | some_arrays.map(np.asfortranarray) | some_arrays.map(np.transpose)


@pytest.fixture(scope="module")
def kept_queue() -> Iterator[SharedQueue[Any]]:
    """One of small room, used again and again, so that its ring is at any place."""
    with SharedQueue[Any](capacity=700) as made:
        yield made


@settings(max_examples=250, deadline=None)
@given(chosen=st.lists(any_item, min_size=1, max_size=6))
def test_any_item_comes_back_the_same(kept_queue: SharedQueue[Any], chosen: list[Any]) -> None:
    """Whatever Hypothesis makes, as many at once as fit."""
    waiting: list[Any] = []
    while not kept_queue.empty():  # what an example left that failed
        kept_queue.get_many(timeout=0)
    for item in chosen:
        try:
            kept_queue.put(item, timeout=0)
        except Full:
            while waiting:
                assert alike(kept_queue.get_nowait(), waiting.pop(0))
            kept_queue.put(item, timeout=0)
        waiting.append(item)
    assert kept_queue.qsize() == len(waiting)
    while waiting:
        for got in kept_queue.get_many(timeout=0):
            assert alike(got, waiting.pop(0))
    assert kept_queue.empty()


# ---- what pickles in a way of its own ----


def test_items_are_copies() -> None:
    """What is changed after it was put, or after it was got, changes nothing that is queued."""
    with SharedQueue[Any]() as queue:
        numbers, array, data = [1, 2], np.arange(50_000), bytearray(b"a" * 50_000)
        for _ in range(2):
            queue.put((numbers, array, data))
        numbers.append(3)
        array[:] = -1
        data[:] = b"b" * 50_000
        first, second = queue.get(), queue.get()
        assert first[0] == [1, 2]
        assert first[1].tolist() == list(range(50_000))
        assert first[2] == b"a" * 50_000
        first[1][:] = 7
        first[2][:1] = b"c"
        assert second[1].tolist() == list(range(50_000))
        assert second[2] == b"a" * 50_000


@pytest.mark.parametrize("name", arrays())
def test_arrays_come_back_writeable_unless_they_were_not(name: str) -> None:
    """With their order kept where pickle keeps it, and no memory of the queue's in them."""
    array = arrays()[name]
    with SharedQueue[Any](capacity=10_000) as queue:
        queue.put(array)
        got = queue.get()
        queue.put(b"\xff" * 9000)
        assert alike(got, array)
        wanted = pickle.loads(pickle.dumps(array, 5))
        assert got.flags.f_contiguous == wanted.flags.f_contiguous
        assert got.flags.writeable == wanted.flags.writeable


def test_objects_that_are_one_stay_one() -> None:
    """Within an item, as pickle keeps it; what contains itself too."""
    one: list[Any] = [1]
    loop: list[Any] = []
    loop.append(loop)
    array = np.arange(5000)
    with SharedQueue[Any]() as queue:
        queue.put_many([(one, one), loop, [array, array]])
        pair, ring, twins = (queue.get() for _ in range(3))
        assert pair[0] is pair[1]
        assert ring[0] is ring
        assert twins[0] is twins[1]


class Deep(list[Any]):
    """A list of a class of the test's own."""

    __slots__ = ()


def test_subclasses_come_back_as_what_they_were() -> None:
    """Not as what they are derived from."""

    class_items: list[Any] = [Deep([1]), Deep(), np.float32(1), np.bool_(True), True, 1]
    with SharedQueue[Any]() as queue:
        queue.put_many(class_items)
        assert [(type(got), got) for got in queue.get_many()] == [(type(item), item) for item in class_items]


def test_deeply_nested_items_are_taken_or_refused() -> None:
    """Never a crash, and the queue works on."""
    kinds: list[Any] = [list, tuple]
    for kind in kinds:
        item: Any = kind()
        for _ in range(100_000):
            item = kind([item])
        with SharedQueue[Any]() as queue:
            try:
                queue.put(item)
            except (RecursionError, MemoryError):
                assert queue.empty()
            else:
                try:
                    got = queue.get()
                except (RecursionError, MemoryError):
                    got = ()
                while got:
                    (got,) = got
            queue.put("x")
            assert queue.get() == "x"
        while item:
            (item,) = item


# ---- what does not ----

REFUSALS = (TypeError, AttributeError, pickle.PicklingError, ZeroDivisionError, MemoryError, KeyboardInterrupt)


@pytest.mark.parametrize("number", range(len(unpicklable())))
def test_what_does_not_pickle_is_refused(queue: SharedQueue[Any], number: int) -> None:
    """By an error of pickle's or the item's own, and the queue is as before: no item, no task, no bytes."""
    wrong = unpicklable()[number]
    queue.put("first")
    for _ in range(30):  # what each left would add up
        with pytest.raises(REFUSALS):
            queue.put(wrong)
        with pytest.raises(REFUSALS):
            queue.put_many([1, b"x" * 100, wrong, 2])
    assert queue.qsize() == 1
    assert queue.get() == "first"
    queue.task_done()
    queue.join(timeout=0)
    with pytest.raises(Empty):
        queue.get_nowait()
    queue.put(b"x" * 100)
    assert queue.get() == b"x" * 100


def test_an_iterable_that_fails_puts_nothing() -> None:
    """put_many makes all that it is given first."""

    def some() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    not_iterable: Any = 5
    with SharedQueue[Any]() as queue:
        with pytest.raises(ZeroDivisionError):
            queue.put_many(some())
        with pytest.raises(TypeError):
            queue.put_many(not_iterable)
        assert queue.empty()
        queue.join(timeout=0)


def test_an_item_that_does_not_unpickle_is_consumed(queue: SharedQueue[Any]) -> None:
    """Its error is raised by whoever got it; the next gets the next, and it is still to be done."""
    queue.put_many([Spoiled(), "next"], timeout=0) if queue.capacity > 200 else queue.put(Spoiled())
    with pytest.raises(LookupError, match="spoiled"):
        queue.get()
    if queue.capacity > 200:
        assert queue.get() == "next"
        queue.task_done()
    assert queue.empty()
    queue.task_done()
    queue.join(timeout=0)


def test_many_items_of_which_one_does_not_unpickle() -> None:
    """Its error is raised once, and nothing is lost beside it; the others stay in order."""
    with SharedQueue[Any]() as queue:
        queue.put_many([1, 2, Spoiled(), 3, Spoiled(), 4])
        got: list[Any] = []
        while not queue.empty():
            try:
                got += queue.get_many(timeout=0)
            except LookupError:
                got.append("spoiled")
        assert got.count("spoiled") == 2
        assert [item for item in got if item != "spoiled"] == [1, 2, 3, 4]


def test_a_lease_of_an_item_that_does_not_unpickle() -> None:
    """It is given back or consumed, and in either case somebody can get rid of it."""
    with SharedQueue[Any]() as queue:
        queue.put_many([Spoiled(), "next"])
        with pytest.raises(LookupError), queue.lease():
            pytest.fail("it went in")
        got: list[Any] = []
        while not queue.empty():
            try:
                got.append(queue.get_nowait())
            except LookupError:
                got.append("spoiled")
        assert got[-1] == "next"
        assert got[:-1] in ([], ["spoiled"])


def test_unpickling_may_use_the_queue() -> None:
    """No lock is held while a user's code runs, at either end."""
    with SharedQueue[Any](name="items-of-users") as queue:
        queue.put(Busy("put"))
        assert queue.qsize() == 2
        assert queue.get() == "put while pickling"
        assert queue.get() == "got"
        assert queue.get() == "put while unpickling"
        assert queue.empty()


class Busy:
    """Uses the queue while it is pickled and unpickled."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __reduce__(self) -> tuple[Any, ...]:
        with SharedQueue[Any].attach("items-of-users") as queue:
            queue.put("put while pickling")
        return unpickle_busy, (self.word,)


def unpickle_busy(_word: str) -> str:
    """Use it again."""
    with SharedQueue[Any].attach("items-of-users") as queue:
        queue.put("put while unpickling")
    return "got"


# ---- across processes ----


def echo(_line: Line, questions: SharedQueue[Any], answers: SharedQueue[Any]) -> None:
    """In a child: answer until shutdown."""
    for item in questions:
        answers.put(item)


@pytest.mark.parametrize("method", START_METHODS)
def test_every_sort_of_item_goes_to_a_process_and_back(method: str) -> None:
    """Through small rooms, in order."""
    every = items()
    with (
        SharedQueue[Any](capacity=5000) as questions,
        SharedQueue[Any](capacity=50_000) as answers,
        Child(method, echo, questions, answers) as child,
    ):
        putter = Task(lambda: questions.put_many(every, timeout=30))
        for item in every:
            assert alike(answers.get(timeout=20), item), item
        putter.result()
        questions.shutdown()
        child.result()


def put_main(_line: Line, queue: SharedQueue[Any]) -> None:
    """In a child: put what only it has."""
    module: Any = type(sys)("of_a_child")
    sys.modules["of_a_child"] = module
    module.Own = type("Own", (), {"__module__": "of_a_child"})
    queue.put_many([module.Own(), "after"])


def test_what_only_the_producer_knows_is_an_error_for_the_consumer() -> None:
    """A class that cannot be imported there; the next item is as it was."""
    with SharedQueue[Any]() as queue, Child("fork", put_main, queue) as child:
        child.result()
        with pytest.raises(ModuleNotFoundError):
            queue.get()
        assert queue.get() == "after"


def test_an_item_of_a_hundred_megabytes(queue: SharedQueue[Any]) -> None:
    """Whatever the capacity, alone, as bytes and as an array, and its memory is given back."""
    import os

    big = np.arange(13_000_000, dtype="u8")
    for item in (big, big.tobytes()):
        queue.put(item, timeout=0)
        assert alike(queue.get(), item)
    assert os.stat(f"/dev/shm/{queue.segment}").st_blocks * 512 < 130 << 20


def test_refusing_is_refused_with_its_own_error() -> None:
    """KeyboardInterrupt too, which leaves nothing locked."""
    with SharedQueue[Any](1) as queue:
        for error in (ZeroDivisionError, KeyboardInterrupt, SystemExit, MemoryError):
            with pytest.raises(error):
                queue.put(Refusing(error))
        queue.put(1)
        assert Task(queue.get).result() == 1
