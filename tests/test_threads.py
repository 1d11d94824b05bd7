"""Forks, finalizers, signals, exceptions and closes in the middle of calls: `procshare.testing.threads`, shortened.

Each situation runs with some types, in turn, so that every type comes by in several of them.
"""

from __future__ import annotations

import pytest

from procshare.backends import native_built
from procshare.testing._kinds import KINDS
from procshare.testing.threads import SITUATIONS, outcome, warm

pytestmark = [
    pytest.mark.skipif(not native_built(), reason="the compiled core is not installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # it forks with threads, on purpose
]

TRIES = {"fork while 4 threads are inside each call": 12, "interpreter ends with daemon threads inside": 100}
FEW = 3


def some() -> list[tuple[str, str]]:
    """Situations with three of their types each; over all of them, every type."""
    pairs = list[tuple[str, str]]()
    for n, (name, situation) in enumerate(SITUATIONS.items()):
        types = list(situation.types)
        pairs += [(name, types[(n * FEW + i) % len(types)]) for i in range(min(FEW, len(types)))]
    return pairs


@pytest.fixture(scope="module", autouse=True)
def _warmed() -> None:
    warm()


@pytest.mark.parametrize(("name", "kind"), some())
def test_a_situation_is_survived(name: str, kind: str) -> None:
    """In a process of its own; what went wrong there is told here."""
    made, wrong = outcome(name, kind, max(int(TRIES.get(name, 8) * SITUATIONS[name].share), 1), 1, 60)
    assert not wrong, wrong
    assert made > 0


def test_every_type_is_tried() -> None:
    """The choice above leaves out none."""
    assert {kind for _, kind in some()} == set(KINDS)
