"""What a handle of every kind and backend does: lifetime, names, copies, pickles, subclasses."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from conformance.conftest import KINDS, AnyArray, alike, same
from procshare import (
    AlreadyExists,
    Cell,
    Closed,
    KindMismatch,
    NotFound,
    Shared,
    SharedArray,
    SharedCounter,
    SharedValue,
    UnsupportedByBackend,
)
from support import kept

if TYPE_CHECKING:
    from collections.abc import Callable


def own(name: str) -> str:
    """*name*, made this process's own, so that parallel runs do not meet."""
    return f"conformance-{os.getpid()}-{name}"


def refuses() -> Any:
    """Expect UnsupportedByBackend, whose message names the backend that can."""
    return pytest.raises(UnsupportedByBackend, match="shm")


def test_leaving_the_block_closes(make_owned: Callable[..., Any]) -> None:
    """An exception in the block goes on."""
    with pytest.raises(KeyError), make_owned() as handle:
        assert not handle.closed
        raise KeyError
    assert handle.closed


def test_close_and_unlink_are_idempotent(make_any: Callable[..., Any]) -> None:
    """In any order, any number of times."""
    handle = make_any()
    handle.unlink()
    handle.unlink()
    handle.close()
    handle.close()
    handle.unlink()

    assert handle.closed


def test_an_unlinked_object_works_on(make: Callable[..., Any]) -> None:
    """Those who have it keep it."""
    with make() as handle:
        before = handle.value
        handle.unlink()
        assert same(handle.value, before)


def unchanged(now: Any) -> Any:
    """For modify()."""
    return now


def always(_now: Any) -> bool:
    """For wait_until()."""
    return True


EMPTY: dict[str, Any] = {"dict": {}, "list": [], "set": set[Any](), "namespace": {}}

USES: dict[str, Callable[[Any], Any]] = {
    "value": lambda h: h.value,
    "set": lambda h: h.set(EMPTY.get(h.kind, 5)),
    "modify": lambda h: h.modify(unchanged),
    "locked": lambda h: h.locked().__enter__(),
    "wait_until": lambda h: h.wait_until(always, timeout=0),
    "hand_over": lambda h: h.hand_over(),
    "enter": lambda h: h.__enter__(),
    "pickle": lambda h: pickle.dumps(h),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_use_after_close_raises_closed(make: Callable[..., Any], use: Callable[[Any], Any]) -> None:
    """Closed is a ValueError."""
    handle = make()
    handle.close()

    with pytest.raises(Closed) as caught:
        use(handle)
    assert isinstance(caught.value, ValueError)


COUNTER_USES: dict[str, Callable[[Any], Any]] = {
    "increment": lambda h: h.increment(),
    "decrement": lambda h: h.decrement(),
    "exchange": lambda h: h.exchange(1),
    "compare_exchange": lambda h: h.compare_exchange(1, 2),
    "int": lambda h: int(h),
    "iadd": lambda h: h.__iadd__(1),
    "isub": lambda h: h.__isub__(1),
}


@pytest.mark.parametrize("use", COUNTER_USES.values(), ids=COUNTER_USES)
def test_a_closed_counter_does_not_count(backend: str, use: Callable[[Any], Any]) -> None:
    """Each of its own methods raises Closed."""
    handle = SharedCounter(backend=backend)
    handle.close()

    with pytest.raises(Closed):
        use(handle)


ARRAY_USES: dict[str, Callable[[Any], Any]] = {
    "array": lambda h: h.array,
    "shape": lambda h: h.shape,
    "dtype": lambda h: h.dtype,
    "size": lambda h: h.size,
    "nbytes": lambda h: h.nbytes,
    "item": lambda h: h[0],
    "len": lambda h: len(h),
    "iter": lambda h: iter(h),
    "asarray": lambda h: h.__array__(),
    "recover": lambda h: h.recover(),
}


@pytest.mark.parametrize("use", ARRAY_USES.values(), ids=ARRAY_USES)
def test_a_closed_array_shows_nothing(backend: str, use: Callable[[Any], Any]) -> None:
    """Each of its own attributes raises Closed."""
    handle = SharedArray([1, 2], backend=backend)
    handle.close()

    with pytest.raises(Closed):
        use(handle)


def test_copies_are_the_same_shared_object(make_any: Callable[..., Any]) -> None:
    """copy and deepcopy of a handle, also inside a container, give what it shares."""
    with kept(make_any()) as handle:
        assert copy.copy(handle) is handle
        assert copy.deepcopy(handle) is handle
        assert copy.deepcopy([handle])[0] is handle


def test_repr_shows_what_it_is(make_any: Callable[..., Any]) -> None:
    """And does not raise when closed."""
    handle = make_any()
    open_text = repr(handle)
    handle.close()

    interfaces: set[type] = {getattr(made, "__self__", made) for made, _ in KINDS.values()}
    public = next(each for each in type(handle).__mro__ if each in interfaces)
    assert open_text.startswith(f"<{public.__name__} ")
    assert "closed" not in open_text
    assert "closed" in repr(handle)


def test_the_value_cannot_be_assigned(make: Callable[..., Any]) -> None:
    """Nor may it be deleted."""
    with make() as handle:
        with pytest.raises(AttributeError):
            handle.value = 1
        with pytest.raises(AttributeError):
            del handle.value


def test_modify_set_and_wait_until_agree(make: Callable[..., Any]) -> None:
    """What one writes the other reads."""
    with make() as handle:
        before = handle.value
        assert same(handle.modify(unchanged), before)
        handle.set(before)
        assert same(handle.wait_until(always), before)


def test_a_thread_that_ends_in_a_block_is_no_holder(make: Callable[..., Any]) -> None:
    """An exception that ends a thread releases the lock."""
    with make() as handle:

        def fail() -> None:
            with pytest.raises(KeyError), handle.locked():
                raise KeyError

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join(10)
        with handle.locked(timeout=0):
            pass


# ---- what a backend may decline ----


def test_a_name_attaches(make_any: Callable[..., Any], can: frozenset[str]) -> None:
    """Where objects have names: by the class, and by procshare.attach(); a name is taken once."""
    if "names" not in can:
        with refuses():
            make_any(name=own("taken"))
        with kept(make_any()) as handle, refuses():
            _ = handle.name
        return
    with kept(make_any(name=own("taken"))) as handle:
        assert handle.name == own("taken")
        for attach in (handle.__class__.attach, procshare.attach):
            attached: Any = attach(handle.name)
            assert alike(attached, handle)
            attached.close()
        with pytest.raises(AlreadyExists):
            make_any(name=own("taken"))
        assert not handle.closed


def test_attach_finds_no_stranger(backend: str, can: frozenset[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """NotFound for what does not exist, KindMismatch for what is something else."""
    monkeypatch.setattr("procshare.backends._chosen", None)
    monkeypatch.setenv("PROCSHARE_BACKEND", backend)
    if "names" not in can:
        for attach in (SharedCounter.attach, SharedValue.attach, SharedArray.attach, procshare.attach):
            with refuses():
                attach(own("nobody"))
        return
    for attach in (SharedCounter.attach, procshare.attach):
        with pytest.raises(NotFound):
            attach(own("nobody"))
    with SharedCounter(name=own("a counter")) as counter, pytest.raises(KindMismatch):
        SharedArray.attach(counter.name)


def test_open_creates_or_attaches(backend: str, can: frozenset[str]) -> None:
    """The second opener gets the first one's object, whatever its arguments."""
    if "names" not in can:
        with refuses():
            SharedCounter.open(own("opened"), 3, backend=backend)
        return
    with SharedCounter.open(own("opened"), 3, backend=backend) as first:
        first.increment()
        with SharedCounter.open(own("opened"), 100, backend=backend) as second:
            assert second.value == 4
    with pytest.raises(NotFound):
        SharedCounter.attach(own("opened"))


def test_hand_over_returns_the_handle(make_any: Callable[..., Any], can: frozenset[str]) -> None:
    """Where an object can outlive its creator."""
    handle = make_any()
    if "hand_over" in can:
        assert handle.hand_over() is handle
        handle.unlink()
    else:
        with refuses():
            handle.hand_over()
    handle.close()


def test_a_segment_can_be_opened_by_hand(make_any: Callable[..., Any], can: frozenset[str]) -> None:
    """`segment` is a name that SharedMemory takes, gone after the handle's block."""
    with kept(make_any()) as handle:
        if "segment" not in can and getattr(handle, "nbytes", 0) < 1 << 16:
            with refuses():
                _ = handle.segment
            return
        name = handle.segment
        assert os.path.exists(f"/dev/shm/{name}")
    if isinstance(handle, SharedArray):
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)


def test_a_handle_pickles_where_the_backend_says_so(make_any: Callable[..., Any], can: frozenset[str]) -> None:
    """Elsewhere UnsupportedByBackend, never the stdlib's RuntimeError, and the handle is as before."""
    with kept(make_any()) as handle:
        if "pickle" in can:
            again = pickle.loads(pickle.dumps(handle))
            assert alike(again, handle)
            again.close()
        else:
            with refuses():
                pickle.dumps(handle)
        assert not handle.closed
        if isinstance(handle, Shared):
            with handle.locked(timeout=0):
                pass


# ---- what a user derives ----


class Hits(SharedCounter):
    """A counter with a method, an attribute and a constructor of its own."""

    def __init__(self, page: str, initial: int = 0, **options: Any) -> None:
        super().__init__(initial, **options)
        self.page = page

    def hit(self) -> str:
        """Count, and say so."""
        return f"{self.page}: {self.increment()}"


class Even(SharedCounter):
    """A counter that overrides what the backend supplies."""

    __slots__ = ()

    def increment(self, n: int = 1) -> int:
        return super().increment(2 * n)


class Settings(SharedValue[dict[str, int]]):
    """A value with a method."""

    __slots__ = ()

    def bump(self, key: str) -> int:
        """Add one to a key."""
        return self.modify(lambda now: {**now, key: now.get(key, 0) + 1})[key]


class Image(SharedArray[Any]):
    """An array with a property."""

    @property
    def width(self) -> int:
        """The length of the last dimension."""
        return self.shape[-1]


def test_a_subclass_keeps_what_it_defines(backend: str) -> None:
    """Its methods, overrides, attributes and constructor work on every backend, and it is what it says it is."""
    with Hits("home", 3, backend=backend) as hits:
        assert hits.hit() == "home: 4"
        assert (hits.page, hits.value) == ("home", 4)
        assert isinstance(hits, Hits)
        assert type(hits).__name__ == "Hits"
        assert repr(hits) == "<Hits value=4>"
    with Even(backend=backend) as even:
        assert even.increment() == 2
        even += 1
        assert even.value in (3, 4)  # whether `+=` goes through increment() is the backend's business
    with Settings({}, backend=backend) as settings:
        assert [settings.bump("a"), settings.bump("a")] == [1, 2]
    image_class: Any = Image  # `zeros` is annotated to give a SharedArray, and gives an Image
    with image_class([[1, 2, 3]], backend=backend) as image:
        assert image.width == 3
    with image_class.zeros((2, 5), backend=backend) as image:
        assert image.width == 5
        assert isinstance(image, Image)


def test_a_cell_is_all_that_the_protocol_says(backend: str) -> None:
    """A function that takes a Cell works for counters and values of any backend."""

    def double(cell: Cell[int]) -> None:
        cell.value *= 2

    with SharedCounter(4, backend=backend) as counter, SharedValue(4, backend=backend) as value:
        with counter.locked() as cell:
            double(cell)
        with value.locked() as other:
            double(other)
        assert (counter.value, value.value) == (8, 8)


def test_a_collected_handle_leaves_nothing(backend: str) -> None:
    """Without close(): memory and names go with the last handle."""
    import weakref

    handle = AnyArray.zeros((100, 1000), backend=backend)
    gone = weakref.ref(handle)
    del handle
    gc.collect()

    assert gone() is None
