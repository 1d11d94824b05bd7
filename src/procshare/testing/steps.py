"""A SIGKILL after each store to shared memory, and before and after each system call, of operations on every type.

The core is the ordinary one, without fault points: a traced process is run instruction by instruction, and it is noted
where the shared bytes change. Then for each of these moments a fresh process is killed there, and another one, which
has the same object, must find the state before or the state after a call, and be able to use the object at once.
"""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare.testing._catalogue import OPERATIONS
from procshare.testing._deaths import Death, Subject, death, recorded, states
from procshare.testing._report import Report, chosen, parser
from procshare.testing._stepping import spread, thinned
from procshare.testing._tracer import why_not
from procshare.testing._trials import Failed, forked, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procshare.testing._operations import Operation
    from procshare.testing._stepping import Moment, Path

NOT_HERE = 77  # exit status where nothing can be traced
PROMPT = 0.1  # seconds within which others go on
TRIAL = 120.0  # seconds that one trial may take
PATHS = 3  # deaths per operation whose takeover is looked at


@dataclass
class Row:
    """The figures of one type."""

    operations: int = 0
    steps: int = 0
    stores: int = 0
    calls: int = 0
    deaths: int = 0
    stepped: int = 0
    failures: int = 0
    slowest: float = 0

    def cells(self, kind: str) -> list[object]:
        """Those of its line in the table."""
        slowest = f"{self.slowest * 1000:.0f} ms"
        figures: list[object] = [self.operations, self.steps, self.stores, self.calls, self.deaths, self.stepped]
        return [kind, *figures, slowest, self.failures]


COLUMNS = (
    "type",
    ">operations",
    ">instructions",
    ">stores",
    ">system calls",
    ">deaths",
    ">by steps",
    ">slowest",
    ">failures",
)


class Program:
    """All trials of a run.

    Args:
        report: Is told the failures.
        every: Kill at every so many-th moment only.
        most: How often to kill at what one instruction stores again and again.
    """

    def __init__(self, report: Report, every: int, most: int) -> None:
        self._report, self._every, self._most = report, every, most
        self._cost = 0.02  # seconds a death takes

    def operation(self, operation: Operation, row: Row, until: float | None, wanted: tuple[str, int] | None) -> None:
        """Its deaths, and those of who takes over."""
        row.operations += 1
        subject = Subject(operation)
        try:
            expected = forked(partial(states, operation), TRIAL)
            path: Path = forked(partial(recorded, subject), TRIAL)
        except Failed as error:
            self._fail(row, subject, None, error)
            return
        heirs = self._heirs(operation, path) if operation.taken_over else []
        for n, each in enumerate([subject, *heirs]):
            left = None if until is None else (until - time.monotonic()) / (len(heirs) + 1 - n)
            if wanted is None or wanted[0] == each.name:
                self._deaths(each, row, expected, path if n == 0 else None, left, wanted and wanted[1])

    def _heirs(self, operation: Operation, path: Path) -> list[Subject]:
        stores = [each for each in path.moments if each.why == "store"]
        return [Subject(operation, each, n + 1) for n, each in enumerate(spread(stores[1:-1], PATHS))]

    def _deaths(
        self,
        subject: Subject,
        row: Row,
        expected: Sequence[Any],
        path: Path | None,
        left: float | None,
        only: int | None,
    ) -> None:
        end = None if left is None else time.monotonic() + left
        try:
            whole: Path = path or forked(partial(recorded, subject), TRIAL)
        except Failed as error:
            self._fail(row, subject, None, error)
            return
        row.steps, row.stores, row.calls = row.steps + whole.steps, row.stores + whole.stores, row.calls + whole.calls
        moments = thinned(whole.moments, self._most)[:: self._every]
        if end is not None:
            moments = spread(moments, max(int((end - time.monotonic()) / self._cost), 1))
        if only is not None:
            moments = [each for each in whole.moments if each.number == only]
        for moment in moments:
            row.deaths += 1
            began = time.monotonic()
            try:
                self._one(subject, moment, expected, row)
            except Failed as error:
                self._fail(row, subject, moment, error)
            self._cost += (time.monotonic() - began - self._cost) / 20

    def _one(self, subject: Subject, moment: Moment, expected: Sequence[Any], row: Row) -> None:
        took = 0.0
        for _ in range(3):  # a busy machine may be late, but not always
            found: Death = forked(partial(death, subject, moment, expected), TRIAL)
            row.stepped += found.stepped
            took = found.took
            if took <= PROMPT:
                row.slowest = max(row.slowest, took)
                return
        raise Failed(f"others went on only after {took:.3f} s")

    def _fail(self, row: Row, subject: Subject, moment: Moment | None, error: Failed) -> None:
        row.failures += 1
        kind, name = subject.operation.kind, subject.name
        again = f"{sys.executable} -m procshare.testing.steps --only {kind} --operation {shlex.quote(name)}"
        where = ""
        if moment is not None:
            again += f" --at {moment.number}"
            where = f", at {moment.number} ({moment.why})"
        self._report.fail(f"{kind}, {name}{where}: {error}", again)


def main(words: Sequence[str] | None = None) -> int:
    """The program: its exit status."""
    options = parser(__doc__)
    options.add_argument("--only", metavar="TYPES", help="these types, with commas between them")
    options.add_argument("--operation", metavar="NAME", help="this operation")
    options.add_argument("--at", type=int, metavar="N", help="kill at this moment only")
    options.add_argument("--seconds", type=float, help="take about so long, by fewer deaths")
    options.add_argument("--sample", type=int, default=1, metavar="N", help="every N-th operation only")
    options.add_argument("--every", type=int, default=1, metavar="N", help="at every N-th moment only")
    options.add_argument(
        "--most", type=int, default=12, metavar="N", help="deaths at one instruction that stores often"
    )
    args = options.parse_args(words)
    kinds = chosen(dict.fromkeys(each.kind for each in OPERATIONS), args.only)
    if reason := why_not():
        print(reason, file=sys.stderr)
        return NOT_HERE
    prepare()
    report = Report("steps", COLUMNS)
    program = Program(report, args.every, args.most)
    base, _, _ = (args.operation or "").partition(", takeover ")
    todo = [each for each in OPERATIONS if each.kind in kinds and base in ("", each.name)][:: args.sample]
    began, rows = time.monotonic(), {kind: Row() for kind in kinds}
    for n, each in enumerate(todo):
        left = None if args.seconds is None else began + args.seconds * (n + 1) / len(todo)
        wanted = None if args.operation is None else (args.operation, args.at)
        program.operation(each, rows[each.kind], left, wanted)
    total = Row()
    for kind, row in rows.items():
        if row.operations == 0:
            continue
        report.row(*row.cells(kind))
        total = Row(*(getattr(total, each) + getattr(row, each) for each in Row.__dataclass_fields__))
    total = replace(total, slowest=max(row.slowest for row in rows.values()))
    if len(rows) > 1:
        report.row(*total.cells("all"))
    return report.finish(args.into)


if __name__ == "__main__":
    sys.exit(main())
