"""State machines that drive each container and the built-in type beside it, in one process and in several in turn."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from container_moves import (
    DICT_BULK,
    DICT_MOVES,
    LIST_BULK,
    LIST_MOVES,
    SET_BULK,
    SET_MOVES,
    Move,
    contents,
    hold,
    let_go,
    make,
    make_in_block,
    with_held,
)
from container_support import same
from procshare import Shared, SharedDict, SharedList, SharedSet, SharedValue
from procshare.backends import native_built
from support import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needs_core = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


class Machine(RuleBasedStateMachine):
    """Makes moves on a shared container and on its model, and compares.

    Attributes:
        interface: The class of the container.
        builtin: The class of the model.
        moves, bulk: The moves on it, and those that make it grow and shrink.
        backend: The backend of the container.
        workers: Processes that make the moves in turn; without any this process makes them.
    """

    interface: ClassVar[Any]
    builtin: ClassVar[Any]
    moves: ClassVar[st.SearchStrategy[Move]]
    bulk: ClassVar[st.SearchStrategy[Move]]
    backend: ClassVar[str] = "shm"
    workers: ClassVar[list[Workers]] = []

    def __init__(self) -> None:
        super().__init__()
        self.shared: Shared[Any] = self.interface(backend=self.backend)
        self.model: Any = self.builtin()
        self.turn = 0
        for worker in self.workers:
            worker.run(hold, [(self.shared,)])

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call a function with the container, in the process whose turn it is."""
        if not self.workers:
            return fn(self.shared, *args)
        self.turn += 1
        (told,) = self.workers[self.turn % len(self.workers)].run(with_held, [(fn, *args)])
        return told

    def both(self, moves: list[Move]) -> None:
        """Make the same moves on both."""
        told = self.call(make, moves)
        wanted = make(self.model, moves)
        assert same(told, wanted), f"{moves} came to {told}, and not {wanted}"

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        """A few moves, each a commit of its own."""
        self.both(data.draw(st.lists(self.moves, min_size=1, max_size=5)))

    @rule(data=st.data())
    def move_many(self, data: st.DataObject) -> None:
        """A move of many commits."""
        self.both([data.draw(self.bulk)])

    @rule(data=st.data(), keep=st.booleans())
    def block(self, data: st.DataObject, keep: bool) -> None:
        """Moves in a block, with an inner one that is undone; the whole is kept or undone."""
        some = st.lists(self.moves, max_size=4)
        moves, inner = data.draw(some), data.draw(some)
        if data.draw(st.integers(0, 3)) == 0:
            moves.append(data.draw(self.bulk))
        told = self.call(make_in_block, moves, inner, keep)
        after = copy.copy(self.model)
        wanted = make(after, moves)
        wanted += make(copy.copy(after), inner)
        assert same(told, [*wanted, after]), f"{moves} and {inner} came to {told}, and not {wanted} and {after}"
        if keep:
            self.model = after

    @invariant()
    def agrees(self) -> None:
        """A reader, and each that only ever reads, sees what the model holds."""
        for value, length, items in [contents(self.shared), *([self.call(contents)] if self.workers else [])]:
            assert same(value, self.model)
            assert length == len(self.model)
            assert same(items, list(self.model)) or (self.builtin is set and len(items) == length)

    def teardown(self) -> None:
        """Close it everywhere."""
        for worker in self.workers:
            worker.run(let_go, [()])
        self.shared.unlink()
        self.shared.close()


class DictMachine(Machine):
    """A dict."""

    interface, builtin, moves, bulk = SharedDict, dict, DICT_MOVES, DICT_BULK


class ListMachine(Machine):
    """A list."""

    interface, builtin, moves, bulk = SharedList, list, LIST_MOVES, LIST_BULK


class SetMachine(Machine):
    """A set."""

    interface, builtin, moves, bulk = SharedSet, set, SET_MOVES, SET_BULK


MACHINES = {"dict": DictMachine, "list": ListMachine, "set": SetMachine}


@needs_core
@pytest.mark.parametrize("kind", MACHINES)
def test_it_behaves_as_its_model(kind: str) -> None:
    """Whatever is done to it, in one process."""
    run_state_machine_as_test(MACHINES[kind], settings=settings(calm, max_examples=40, stateful_step_count=25))


@pytest.mark.parametrize("kind", MACHINES)
def test_the_other_backend_behaves_as_the_model_too(kind: str) -> None:
    """With fewer examples, since each move is a message to the manager."""
    with SharedValue(None, backend="stdlib"):  # keeps the manager
        machine: Any = type(f"Managed{kind}", (MACHINES[kind],), {"backend": "stdlib"})
        run_state_machine_as_test(machine, settings=settings(calm, max_examples=10, stateful_step_count=15))


@pytest.fixture(scope="module")
def three() -> Iterator[list[Workers]]:
    """Three processes, of which each can be called alone."""
    workers = [Workers(method) for method in ("fork", "spawn", "fork")]
    yield workers
    for each in workers:
        each.close()


@needs_core
@pytest.mark.parametrize("kind", MACHINES)
def test_it_behaves_as_its_model_in_several_processes(kind: str, three: list[Workers]) -> None:
    """Each has it open all the time and makes every third move, and this one only reads."""
    machine: Any = type(f"Turns{kind}", (MACHINES[kind],), {"workers": three})
    run_state_machine_as_test(machine, settings=settings(calm, max_examples=15, stateful_step_count=20))
