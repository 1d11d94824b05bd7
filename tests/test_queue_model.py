"""Whatever is done to a queue in one process, it does as a `deque` would with a bound and a count of tasks."""

from __future__ import annotations

import random
from collections import deque
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from procshare import SharedQueue, ShutDown, WaitTimeout, attach
from procshare.backends import native_built
from queue_support import Spoiled, alike

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

SIZES = st.one_of(st.integers(0, 40), st.integers(50, 400), st.integers(3000, 9000))
items: st.SearchStrategy[Any] = st.one_of(
    st.integers(),
    st.none() | st.booleans() | st.floats(),
    SIZES.map(lambda n: b"b" * n),
    SIZES.map(lambda n: "é" * n),
    SIZES.map(lambda n: np.arange(n, dtype="u1")),
    st.lists(st.integers() | st.text(max_size=5), max_size=5),
    st.tuples(st.integers(), SIZES.map(lambda n: b"t" * n)),
)


class Queue(RuleBasedStateMachine):
    """A queue beside its model.

    Its byte bound is the one thing that the model does not know: `put` may say Full for it, but only if something is
    queued or leased.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue: Any = None
        self.model: deque[tuple[int, Any]] = deque()  # with numbers, since what comes back is where it was before
        self.leases: list[tuple[AbstractContextManager[Any], tuple[int, Any]]] = []
        self.count = 0
        self.undone, self.maxsize = 0, 0
        self.shut = False

    @initialize(maxsize=st.sampled_from([0, 0, 1, 4]), capacity=st.sampled_from([1, 100, 1000, 5000, 1 << 26]))
    def make(self, maxsize: int, capacity: int) -> None:
        self.queue, self.maxsize = SharedQueue[Any](maxsize, capacity=capacity), maxsize

    def teardown(self) -> None:
        while self.leases:
            self.leases.pop()[0].__exit__(None, None, None)
        if self.queue is not None:
            self.queue.unlink()
            self.queue.close()

    @property
    def room(self) -> int:
        """How many more items there may be."""
        return max(self.maxsize - len(self.model), 0) if self.maxsize > 0 else 1 << 30

    def added(self, chosen: list[Any]) -> None:
        self.model += enumerate(chosen, start=self.count)
        self.count += len(chosen)
        self.undone += len(chosen)

    # ---- putting ----

    @rule(item=items)
    def put(self, item: Any) -> None:
        if self.shut:
            with pytest.raises(ShutDown):
                self.queue.put(item, timeout=0)
            return
        try:
            self.queue.put(item, timeout=0)
        except Full:
            assert not self.room or self.model or self.leases
        else:
            assert self.room
            self.added([item])

    @rule(chosen=st.lists(items, max_size=8))
    def put_many(self, chosen: list[Any]) -> None:
        if self.shut:
            if chosen:
                with pytest.raises(ShutDown):
                    self.queue.put_many(chosen, timeout=0)
            return
        before = self.queue.qsize()
        message = None
        try:
            self.queue.put_many(iter(chosen), timeout=0)
        except Full as full:
            message = str(full)
        count = self.queue.qsize() - before
        assert count <= self.room
        if message is None:
            assert count == len(chosen)
        else:
            assert count < len(chosen)
            assert message.startswith(f"{count} ")
        self.added(chosen[:count])

    @rule(chosen=st.lists(items, max_size=3))
    def refuse(self, chosen: list[Any]) -> None:
        with pytest.raises((TypeError, AttributeError)):
            self.queue.put_many([*chosen, lambda: None], timeout=0)

    @precondition(lambda self: not self.shut)
    @rule()
    def spoil(self) -> None:
        try:
            self.queue.put(Spoiled(), timeout=0)
        except Full:
            return
        self.added([Spoiled])

    # ---- getting ----

    def none(self) -> Any:
        """What is raised when nothing is queued."""
        return pytest.raises(ShutDown if self.shut else Empty)

    @rule(wait=st.booleans())
    def get(self, wait: bool) -> None:
        call = (lambda: self.queue.get(timeout=0)) if wait else self.queue.get_nowait
        if not self.model:
            with self.none():
                call()
            return
        _, item = self.model.popleft()
        if item is Spoiled:
            with pytest.raises(LookupError):
                call()
        else:
            assert alike(call(), item)

    @rule(most=st.integers(1, 10))
    def get_many(self, most: int) -> None:
        if not self.model:
            with self.none():
                self.queue.get_many(most, timeout=0)
        elif any(each is Spoiled for _, each in list(self.model)[:most]):
            before = self.queue.qsize()
            try:
                got = self.queue.get_many(most, timeout=0)
            except LookupError:
                del self.model[next(n for n, (_, each) in enumerate(self.model) if each is Spoiled)]
                assert self.queue.qsize() == before - 1
            else:
                assert all(alike(each, self.model.popleft()[1]) for each in got)
        else:
            got = self.queue.get_many(most, timeout=0)
            assert 1 <= len(got) <= most
            assert all(alike(each, self.model.popleft()[1]) for each in got)

    @precondition(lambda self: not self.model or self.model[0][1] is not Spoiled)
    @rule()
    def lease(self) -> None:
        block = self.queue.lease(timeout=0)
        if not self.model:
            with self.none():
                block.__enter__()
            return
        numbered = self.model.popleft()
        assert alike(block.__enter__(), numbered[1])
        self.leases.append((block, numbered))

    @precondition(lambda self: self.leases)
    @rule(which=st.randoms(use_true_random=False), well=st.booleans())
    def end_lease(self, which: random.Random, well: bool) -> None:
        block, numbered = self.leases.pop(which.randrange(len(self.leases)))
        if well:
            block.__exit__(None, None, None)
            self.undone = max(self.undone - 1, 0)  # it may have been said to be done before
        else:
            assert not block.__exit__(KeyError, KeyError("x"), None)
            self.model = deque(sorted([*self.model, numbered], key=lambda each: each[0]))

    # ---- tasks, shutdown ----

    @rule()
    def task_done(self) -> None:
        if self.undone == 0:
            with pytest.raises(ValueError):
                self.queue.task_done()
        else:
            self.queue.task_done()
            self.undone -= 1

    @precondition(lambda self: self.undone > len(self.model) + len(self.leases))
    @rule()
    def done_as_it_should_be(self) -> None:
        self.task_done()

    @rule()
    def join(self) -> None:
        if self.undone:
            with pytest.raises(WaitTimeout):
                self.queue.join(timeout=0)
        else:
            self.queue.join(timeout=0)

    @precondition(lambda self: not self.leases and self.undone >= len(self.model))
    @rule(immediate=st.booleans())
    def shutdown(self, immediate: bool) -> None:
        self.queue.shutdown(immediate)
        self.shut = True
        if immediate:
            self.undone -= len(self.model)
            self.model.clear()

    @rule()
    def attach_anew(self) -> None:
        again: Any = attach(self.queue.name)
        assert again.qsize() == len(self.model)
        again.close()

    @invariant()
    def counts(self) -> None:
        if self.queue is None:
            return
        assert self.queue.qsize() == len(self.model)
        assert self.queue.empty() is (not self.model)
        assert self.queue.full() is (0 < self.maxsize <= len(self.model))


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("capacity", [1, 100, 3000])
def test_a_long_life_in_little_room(capacity: int) -> None:
    """Thousands of items of all sizes, so that the ring comes round hundreds of times; nothing is lost or left over."""
    chance = random.Random(capacity)
    model: deque[Any] = deque()
    with SharedQueue[Any](capacity=capacity) as queue:
        for n in range(4000):
            if chance.random() < 0.5:
                size = chance.choice([0, 8, chance.randrange(300), chance.randrange(300), 5000])
                item = (n, b"x" * size)
                try:
                    queue.put(item, timeout=0)
                except Full:
                    assert model
                else:
                    model.append(item)
            elif model:
                assert queue.get_nowait() == model.popleft()
            else:
                with pytest.raises(Empty):
                    queue.get_nowait()
        assert queue.qsize() == len(model)
        assert [queue.get_nowait() for _ in range(len(model))] == list(model)


def test_an_empty_queue_has_all_its_room() -> None:
    """However it was used before: as many items fit as at first."""

    def fill(queue: SharedQueue[Any]) -> int:
        count = 0
        while True:
            try:
                queue.put(b"x" * 50, timeout=0)
            except Full:
                return count
            count += 1

    with SharedQueue[Any](capacity=5000) as queue:
        most = fill(queue)
        assert most > 50
        for n in range(40):
            for _ in range(most):
                if n % 2:
                    queue.get_nowait()
                else:
                    with queue.lease(0):
                        pass
            queue.put(b"y" * (n * 300))
            with pytest.raises(KeyError), queue.lease(0):
                raise KeyError
            queue.get_nowait()
            assert fill(queue) == most
