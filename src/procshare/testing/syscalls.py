"""Each system call failing in turn, of operations on every type: it succeeds all the same, or raises a clear error.

A traced process does an operation, and one of the core's system calls fails in it, once or from then on, with each
error that the call may have. Then what it holds and what is shared must be what they were before or what they would
be after; it and the process that looks on use the object, keep each other out of it, and leave in order.
"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare.testing._catalogue import LIVES, OPERATIONS
from procshare.testing._denied import Denial, run, ways
from procshare.testing._doers import Doer, Told, kept_out
from procshare.testing._operations import FIRST, parts
from procshare.testing._report import Report, chosen, parser
from procshare.testing._tracer import Gone, why_not
from procshare.testing._trials import Failed, forked, left_by, prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procshare.testing._operations import Operation

NOT_HERE = 77  # exit status where nothing can be traced
TRIAL = 60.0  # seconds that one trial may take
SLAB = 1 << 16  # bytes that a slab has
NEVER_RAISE = "close", "unlink", "the creator's end", "the last one out"


@dataclass(frozen=True)
class Usual:
    """What an operation does when nothing fails: after none of its calls, one of them, and so on."""

    calls: list[str]
    seen: list[Any]
    fds: list[int]
    mapped: list[int]


def usual(operation: Operation) -> Usual:
    """Find that out."""
    found = Usual([], [], [], [])
    for steps in range(len(operation.steps) + 1):
        with operation.scene() as x, Doer(operation, steps, x) as doer:
            calls = run(doer.traced)
            doer.traced.release()
            told: Told = doer.hear()
            if told.error is not None:
                raise Failed(f"it raises {told.error}: {told.text}")
            found.seen.append(operation.seen(x))
            found.fds.append(told.fds)
            found.mapped.append(told.mapped)
            if steps == len(operation.steps):
                found.calls.extend(calls)
    return found


def trial(operation: Operation, denial: Denial, normal: Usual) -> Told:
    """Let a call fail: what the process says of it.

    Raises:
        Failed: Something is not as it should be.
    """
    with operation.scene() as x, Doer(operation, len(operation.steps), x) as doer:
        try:
            run(doer.traced, denial)
        except Gone as gone:
            raise Failed(f"the process ended with {gone.code}") from None
        doer.traced.release()
        told: Told = doer.hear()
        judge(operation, told, operation.seen(x), normal)
        operation.used(x)
        doer.say()
        said = doer.hear()
        if said == "held":
            if not all(kept_out(each) for each in parts(x)):
                raise Failed("both processes have the lock")
            doer.say()
            doer.hear()
        operation.used(x)
        pid = doer.traced.pid
    if left := left_by({pid}):
        raise Failed(f"left in /dev/shm: {', '.join(left)}")
    return told


def judge(operation: Operation, told: Told, seen: Any, normal: Usual) -> None:
    """Whether that may be.

    Raises:
        Failed: It may not.
    """
    said = "" if told.error is None else f" (it raised {told.error}: {told.text})"
    if told.error is not None and (not told.clear or operation.name in NEVER_RAISE):
        raise Failed(f"it raised {told.error}: {told.text}")
    allowed = (
        normal.seen if operation in LIVES else [normal.seen[told.done]]
    )  # what cannot be unlinked now is swept later
    if seen not in allowed:
        raise Failed(f"the state is {seen!r:.300} and not {normal.seen[told.done]!r:.300}{said}")
    slabs = int(told.error is not None and operation.name == FIRST)  # one is kept for the next object
    if told.fds > normal.fds[told.done] + slabs:
        raise Failed(f"{told.fds - normal.fds[told.done]} descriptors too many are open{said}")
    if told.mapped > normal.mapped[told.done] + slabs * SLAB:
        raise Failed(f"{told.mapped - normal.mapped[told.done]:,} bytes too many are mapped{said}")


# ---- the program ----


@dataclass
class Row:
    """The figures of one type."""

    operations: int = 0
    calls: int = 0
    denials: int = 0
    fine: int = 0
    failures: int = 0
    errors: Counter[str] = field(default_factory=Counter[str])

    def cells(self, kind: str) -> list[object]:
        """Those of its line in the table."""
        errors = ", ".join(f"{name} {n:,}" for name, n in self.errors.most_common())
        return [kind, self.operations, self.calls, self.denials, self.fine, errors, self.failures]

    def add(self, other: Row) -> None:
        """Add another's."""
        for each in ("operations", "calls", "denials", "fine", "failures"):
            setattr(self, each, getattr(self, each) + getattr(other, each))
        self.errors += other.errors


COLUMNS = "type", ">operations", ">system calls", ">failures injected", ">succeeded", "errors", ">not survived"


def examine(operation: Operation, row: Row, report: Report, share: Any, wanted: str | None, verbose: bool) -> None:
    """All the ways in which an operation's calls may fail."""
    row.operations += 1
    program = f"{sys.executable} -m procshare.testing.syscalls"
    command = f"{program} --only {operation.kind} --operation {shlex.quote(operation.name)}"
    try:
        normal: Usual = forked(partial(usual, operation), TRIAL)
    except Failed as error:
        row.failures += 1
        report.fail(f"{operation.kind}, {operation.name}: {error}", command)
        return
    row.calls += len(normal.calls)
    for denial in share(ways(normal.calls)):
        which = f"{denial.number}:{denial}"
        if wanted not in (None, which):
            continue
        row.denials += 1
        try:
            told: Told = forked(partial(trial, operation, denial, normal), TRIAL)
        except Failed as error:
            row.failures += 1
            report.fail(f"{operation.kind}, {operation.name}, {which}: {error}", f"{command} --deny {which}")
            continue
        if told.error is None:
            row.fine += 1
        else:
            row.errors[told.error] += 1
            if verbose:
                print(f"{operation.kind}, {operation.name}, {which}: {told.error}: {told.text}", file=sys.stderr)


def main(words: Sequence[str] | None = None) -> int:
    """The program: its exit status."""
    options = parser(__doc__)
    options.add_argument("--only", metavar="TYPES", help="these types, with commas between them")
    options.add_argument("--operation", metavar="NAME", help="this operation")
    options.add_argument("--deny", metavar="N:CALL:ERROR", help="this failure only")
    options.add_argument("--sample", type=int, default=1, metavar="N", help="every N-th operation only")
    options.add_argument("--every", type=int, default=1, metavar="N", help="every N-th failure only")
    options.add_argument("--verbose", action="store_true", help="show what the errors say")
    args = options.parse_args(words)
    kinds = chosen(dict.fromkeys(each.kind for each in OPERATIONS), args.only)
    if reason := why_not():
        print(reason, file=sys.stderr)
        return NOT_HERE
    prepare()
    report = Report("syscalls", COLUMNS)
    rows, total, number = {kind: Row() for kind in kinds}, Row(), 0

    def share(found: list[Denial]) -> list[Denial]:
        nonlocal number
        number += len(found)
        return [each for n, each in enumerate(found, number - len(found)) if n % args.every == 0]

    todo = [each for each in OPERATIONS if each.kind in kinds and args.operation in (None, each.name)]
    for each in todo[:: args.sample]:
        examine(each, rows[each.kind], report, share, args.deny, args.verbose)
    for kind, row in rows.items():
        if row.operations == 0:
            continue
        report.row(*row.cells(kind))
        total.add(row)
    if len(rows) > 1:
        report.row(*total.cells("all"))
    return report.finish(args.into)


if __name__ == "__main__":
    sys.exit(main())
