"""A SIGKILL at each fault point of each type: `python -m procshare.testing.sweep`.

For each type and role an act is done once, to learn which fault points it visits, and how often. Then it is done
again and again, and its doer killed: between its steps, and at each point, at its first, second and last visit. What
a survivor sees after a death between steps is what may be seen after a death in one of the two steps beside it, and
nothing else. Whoever comes first after a death is killed as well, at each point that only the recovery leads to.

By default all that is done with forked processes, and each act and each point once with the other start methods.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare.testing._acts_lives import LIVES
from procshare.testing._doomed import acts
from procshare.testing._processes import START_METHODS, Hung
from procshare.testing._report import Report, chosen, parser
from procshare.testing._sweep_plan import Plan, Row
from procshare.testing._sweeper import Death, Late, Outcome, Sweeper, Wrong, once_more
from procshare.testing.faults import fault_points

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

COLUMNS = [
    "type",
    "acts",
    ">fault points",
    ">deaths: fork",
    ">spawn",
    ">forkserver",
    ">in recovery",
    ">slowest, ms",
    ">late once",
    ">failures",
]


class Sweep:
    """Does what a plan says."""

    def __init__(self, sweeper: Sweeper, plan: Plan, report: Report) -> None:
        self._sweeper, self._plan, self._report = sweeper, plan, report
        self._row = Row()
        self._died: set[tuple[str, str]] = set()  # start method, point

    def kind(self, kind: str, roles: Iterable[str]) -> Row:
        """All about a type."""
        self._row = Row()
        recovered: set[str] = set()
        if self._plan.short:
            self._died.clear()
        for role in roles:
            self._row.acts += 1
            known = self._states(kind, role)
            if known is None:
                continue
            own = f"{role}: " if self._plan.full or acts()[kind][role].apart else ""
            for method in self._plan.methods:
                for point, count in self._chosen(kind, role, method, own):
                    if self._deaths(Death(kind, role, method), point, count, known):
                        self._died.add((method, own + point))
                    if method == "fork" and own + point not in recovered and self._recovers(point):
                        recovered.add(own + point)
                        self._recoveries(Death(kind, role, method, f"{point}:1"), known)
        return self._row

    def _chosen(self, kind: str, role: str, method: str, own: str) -> list[tuple[str, int]]:
        """The points at which to die, and how often they are visited."""
        visits = [*self._visits(kind, role, method).items()]
        if not self._plan.sparing(method):
            return visits
        new = [each for each in visits if (method, own + each[0]) not in self._died]
        return new or ([] if self._plan.short else visits[len(visits) // 2 :][:1])

    def _recovers(self, point: str) -> bool:
        return not self._plan.short or point.endswith(SHORT_RECOVERIES)

    def _states(self, kind: str, role: str) -> list[Any] | None:
        """What is seen after a death before the first step, and after each step."""
        found = list[Any]()
        for n in range(len(acts()[kind][role].steps) + 1):
            outcome = self._try(Death(kind, role, stop=n))
            if outcome is None:
                return None
            self._row.deaths["fork"] += outcome.died
            found.append(outcome.seen)
        return found

    def _visits(self, kind: str, role: str, method: str) -> dict[str, int]:
        outcome = self._try(Death(kind, role, method))
        return outcome.visits if outcome is not None else {}

    def _deaths(self, death: Death, point: str, count: int, known: list[Any]) -> int:
        """How many died as they were to; what an act visits may depend on what else goes on."""
        died = 0
        for visit in self._plan.visits(death.method, point, count):
            outcome = self._try(replace(death, point=visit), known)
            if outcome is not None and outcome.died:
                died += 1
                self._row.deaths[death.method] += 1
                self._row.points.add(point)
        return died

    def _recoveries(self, death: Death, known: list[Any]) -> None:
        """Whoever comes first after a death dies at each point that it would not come to otherwise."""
        outcome = self._try(replace(death, then="-"), known)
        usual = self._sweeper.touched(death)
        visits = outcome.visits if outcome is not None else {}
        points = [point for point, count in visits.items() if self._plan.full or count != usual.get(point, 0)]
        for point in points if self._plan.then is None else [self._plan.then]:
            outcome = self._try(replace(death, then=point), known)
            if outcome is not None and outcome.died == 2:
                self._row.recoveries += 1
                self._row.points.add(point.partition(":")[0])

    def _try(self, death: Death, known: list[Any] | None = None) -> Outcome | None:
        """One death; None if it was not survived, which is told."""
        try:
            outcome, again = once_more(partial(self._once, death, known))
        except (Late, Wrong, Hung) as error:
            why = str(error)
        except Exception:  # noqa: BLE001 - of a survivor, who should have had none
            why = traceback.format_exc()
        else:
            self._row.late += again
            self._row.slowest = max(self._row.slowest, outcome.slowest)
            return outcome
        self._row.failures += 1
        self._report.fail(f"{death}: {why}", how(death))
        return None

    def _once(self, death: Death, known: list[Any] | None) -> Outcome:
        outcome = self._sweeper.die(death)
        if known is not None and outcome.died:
            allowed = [*known[outcome.done : outcome.done + 2], *acts()[death.kind][death.role].also]
            if outcome.seen not in allowed:
                raise Wrong(
                    f"after {outcome.done} steps: {shown(outcome.seen)} instead of {' or '.join(map(shown, allowed))}"
                )
        return outcome


LIKE_OTHERS = (
    "SharedSet",
    "SharedNamespace",
    "SharedLock",
    "SharedRLock",
    "SharedSemaphore",
    "SharedBoundedSemaphore",
    "SharedEvent",
    "SharedCondition",
    "SharedRWLock",
)  # made, attached to and removed as others are
SHORT_RECOVERIES = ("acquired", "committed", "pending", "prepared", "taken", "marked", "switched", "linked", "ending")


def shown(value: object) -> str:
    """A value, for a message."""
    text = repr(value)
    return text if len(text) < 300 else f"{text[:200]} ... {text[-80:]} (hash {hash(text):x})"


def how(death: Death) -> str:
    """How to see a death again."""
    words = [
        "python -m procshare.testing.sweep --only",
        death.kind,
        "--roles",
        repr(death.role),
        "--methods",
        death.method,
    ]
    if death.point != "-":
        words += ["--points", death.point]
    if death.then not in ("", "-"):
        words += ["--then", death.then]
    return " ".join(words)


def sweep(report: Report, plan: Plan, kinds: Iterable[str], roles: Iterable[str] | None = None) -> Row:
    """Sweep over types and roles, and fill in the report; its last row. Over all of them each point must be met."""
    total = Row()
    kinds = list(kinds)
    missing: tuple[str, ...] = ()
    everything = kinds == list(acts()) and roles is None and plan.points is None
    with Sweeper() as sweeper:
        swept = Sweep(sweeper, plan, report)
        for kind in kinds:
            skipped = LIVES if plan.short and kind in LIKE_OTHERS else ()
            wanted = [role for role in acts()[kind] if (roles is None or role in roles) and role not in skipped]
            row = swept.kind(kind, wanted)
            report.row(kind, *row.cells())
            print(f"{kind}: {sum(row.deaths.values()) + row.recoveries} deaths", file=sys.stderr, flush=True)
            total.add(row)
        for _ in range(3):  # where a waiter comes to depends on the others, too
            missing = tuple(point for point in fault_points() if point not in total.points)
            if not missing or not everything:
                break
            again = Sweep(sweeper, Plan(("fork",), points=missing), report)
            for kind in acts():
                row = again.kind(kind, [role for role, act in acts()[kind].items() if act.meanwhile is not None])
                row.acts = 0
                total.add(row)
    report.row("all", *total.cells())
    if everything:
        for point in missing:
            report.fail(f"no act comes to {point}")
    return total


def arguments() -> argparse.Namespace:
    """The command line's."""
    made = parser(__doc__)
    made.add_argument("--only", metavar="TYPE,...", help="these types")
    made.add_argument("--roles", metavar="ROLE,...", help="these roles")
    made.add_argument("--methods", metavar="METHOD,...", help="these start methods")
    made.add_argument("--points", metavar="POINT[:N],...", help="these fault points, at all visits or at one")
    made.add_argument("--then", metavar="POINT", help="and whoever comes next at this one")
    made.add_argument("--full", action="store_true", help="all points with all start methods, and all recoveries")
    made.add_argument("--every-visit", action="store_true", help="at each visit of a point")
    made.add_argument("--short", action="store_true", help="each point of each type once, forked")
    return made.parse_args()


def main() -> int:
    """Run it from the command line."""
    options = arguments()
    methods = tuple(chosen(START_METHODS, options.methods or ("fork" if options.short else None)))
    points = None if options.points is None else tuple(options.points.split(","))
    plan = Plan(methods, options.full, options.every_visit, options.short, points, options.then)
    kinds = chosen(acts(), options.only)
    roles = None if options.roles is None else options.roles.split(",")
    report = Report("sweep", COLUMNS)
    sweep(report, plan, kinds, roles)
    return report.finish(options.into)


if __name__ == "__main__":
    sys.exit(main())
