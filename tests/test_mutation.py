"""The tests are worth something: some mutants of the core are tried here, and all by `python tests/mutants.py`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from laboratory import COMPILER, SOURCES, Laboratory, changed
from mutants import MUTANTS
from mutants_containers import CONTAINERS
from mutants_locks import LOCKS
from mutants_queues import QUEUES
from mutants_segments import SEGMENTS
from mutants_states import STATES
from procshare.backends import native_built

if TYPE_CHECKING:
    from laboratory import Outcome

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.skipif(not SOURCES.is_dir(), reason="the C sources are not here"),
    pytest.mark.skipif(not COMPILER or shutil.which(COMPILER[0]) is None, reason="there is no C compiler"),
]

RACES = [name for name in MUTANTS if name in STATES or name in CONTAINERS]
OTHERS = [name for name in [*LOCKS, *SEGMENTS, *QUEUES] if not MUTANTS[name].races]
SOME = [*RACES, *OTHERS[::3]]


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
