"""What one row of `procshare.testing.strangers` counts, and the objects that are in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import procshare
from procshare import NotFound
from procshare.testing._exit_makers import kind_of, use
from procshare.testing._kinds import KINDS
from procshare.testing._processes import left_since


@dataclass
class Case:
    """What was found in one row."""

    tries: int = 0
    broken: int = 0
    lost: int = 0
    left: int = 0
    notes: list[str] = field(default_factory=list[str])

    def exclude(self, true: bool, what: str) -> None:
        """Mutual exclusion, or a value, must have been kept."""
        self.broken += not true
        self._note(true, what)

    def keep(self, true: bool, what: str) -> None:
        """An object must be as it was."""
        self.lost += not true
        self._note(true, what)

    def tidy(self, true: bool, what: str) -> None:
        """Nothing may stay that is nobody's."""
        self.left += not true
        self._note(true, what)

    def clean(self, before: set[str], within: float = 3) -> None:
        """Nothing may have been left."""
        left = left_since(before, within)
        self.left += len(left)
        self._note(not left, f"left: {sorted(left)}")

    def _note(self, true: bool, what: str) -> None:
        if not true:
            self.notes.append(what)


def everything() -> list[Any]:
    """One of each type that has a name."""
    return [kind.make() for name, kind in KINDS.items() if name != "SharedPipe"]


def destroy(made: list[Any]) -> None:
    """The end of all of them."""
    for each in made:
        each.unlink()
        each.close()


def check_all(case: Case, made: list[Any], found: bool = True) -> None:
    """Each one works, and is found by its name."""
    for each in made:
        problem = use(kind_of(each), each)
        case.keep(not problem, problem)
        if found:
            try:
                procshare.attach(each.name).close()
            except NotFound:
                case.keep(False, f"{kind_of(each)}: its name is gone")
