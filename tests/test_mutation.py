"""The tests are worth something: some mutants of the core are tried here, and all by `python tests/mutants.py`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from laboratory import COMPILER, SOURCES, Laboratory, changed
from mutants import MUTANTS
from procshare.backends import native_built

if TYPE_CHECKING:
    from laboratory import Outcome

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.skipif(not SOURCES.is_dir(), reason="the C sources are not here"),
    pytest.mark.skipif(not COMPILER or shutil.which(COMPILER[0]) is None, reason="there is no C compiler"),
]

# Of every kind some, such as are noticed fast: the whole file is to take a minute.
SOME = [
    # the order of stores
    "a counter without atomicity",
    "a record that is published before it is written",
    "a record with the version of the last one",
    "a redo that is applied from the front",
    "a list that counts an item before it is there",
    "a transaction that commits the first before the others are prepared",
    "a put that commits before its books are written",
    "a get that commits before its books are written",
    "parties that are marked before it is committed",
    "a reader that looks before it counts",
    # bounds
    "a counter that wraps",
    "a kind one beyond the last",
    "a payload one byte too long",
    "a record one byte longer than its buffer",
    "a record that is longer than what is queued",
    "a queue of one item more than its maximum",
    "a bound that is one too high",
    # locks, threads and forks
    "a lock that is taken from the living",
    "a dead holder's lock that nobody takes over",
    "a taken-over lock of which nobody is told",
    "a waiter that forgets the other waiters",
    "an ended thread's lock that is let go as if by itself",
    "a forked child with its parent's holds",
    # lives
    "one who leaves and unlinks though others are seated",
    "an attacher that does not look at the name again",
    "an attacher that was alone and stands up again",
    "an extent that is given out twice",
    # queues
    "a larger ring without the last bytes",
    "a dead holder's lease that stays with it",
    "a shutdown that does not wait for leases",
    # what waits
    "a robust count that its dead counter leaves",
    "a notification to anybody",
    "a barrier that stays in its phase",
    "a writer that clears the hint of another",
]


class Results:
    """What came of the unchanged core's tests, and of each mutant's."""

    def __init__(self, laboratory: Laboratory, names: list[str]) -> None:
        mutants = {name: MUTANTS[name] for name in names}
        self.unchanged = laboratory.unchanged(mutant.caught_by for mutant in mutants.values())
        self.mutants = laboratory.tries(mutants)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Results:
    """Of all that are asked for, side by side."""
    asked = {item.name for item in request.session.items}
    names = [name for name in SOME if f"{test_a_mutant_is_caught.__name__}[{name}]" in asked]
    with Laboratory() as laboratory:
        found = Results(laboratory, names)
    return found


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_can_be_made(name: str) -> None:
    """The passage that it replaces is there, once."""
    assert changed(MUTANTS[name])


def test_the_unchanged_core_passes(results: Results) -> None:
    """Built the same way as the mutants, and run by the same tests: it is the mistakes that make them fail."""
    for outcome in results.unchanged:
        assert outcome.status == 0, outcome.output


@pytest.mark.parametrize("name", SOME)
def test_a_mutant_is_caught(name: str, results: Results) -> None:
    """The named test fails, on an assertion or an error of its workers."""
    outcome: Outcome = results.mutants[name]
    assert outcome.failed, f"{MUTANTS[name].caught_by} did not notice {name}:\n{outcome.output}"
