"""What a mutant is: the C core with one mistake in it, and the test that must notice."""

from __future__ import annotations

from typing import NamedTuple


class Change(NamedTuple):
    """One passage of a file of `_native`, which stands there once, and what stands in its place."""

    source: str
    passage: str
    replacement: str


class Mutant(NamedTuple):
    """A mistake.

    Attributes:
        changes: What makes it; more than one where the first would not compile alone, or where something else would
            hide it, which a comment says.
        caught_by: The test that fails on it, as "test_file.py::test_name[parameters]".
        dies: The test kills processes at fault points, so the core's test build is made as well.
        races: It needs two processes that meet. So it is tried more than once, and nothing else runs meanwhile.
    """

    changes: tuple[Change, ...]
    caught_by: str
    dies: bool = False
    races: bool = False


def mutant(source: str, passage: str, replacement: str, caught_by: str, *, dies: bool = False) -> Mutant:
    """A mistake in one place that its test notices every time."""
    return Mutant((Change(source, passage, replacement),), caught_by, dies)


def race(caught_by: str, *changes: Change) -> Mutant:
    """A mistake that shows when another process comes at the wrong moment."""
    return Mutant(changes, caught_by, races=True)
