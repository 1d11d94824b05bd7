"""Run out of memory, files, descriptors, address space and file size, with each type and at each step.

In a mount of its own, whose /dev/shm has 4 MiB, each attempt is made with no page free, with one, with two, and so on,
until it is done: so each allocation in it fails once. The same with files, descriptors, address space and the size of a
file. What is refused must have changed nothing; what is there must be usable with nothing left; and when all is taken
out and destroyed, all that was free before must be free again. No process may end by a signal, and nothing may be
printed.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from procshare.testing._attempts_others import attempts
from procshare.testing._pressing import Press, Tally
from procshare.testing._pressing_others import FRUGAL, shared_when_short, without_shm
from procshare.testing._processes import Child, Ended, Hung
from procshare.testing._report import Report, chosen, command, parser
from procshare.testing._room import NotAllowed, private_mounts, private_shm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procshare.testing._processes import Line

OPTIONS = "size=4m,nr_inodes=200"
SHORT: dict[str, Sequence[int]] = {
    "pages": (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 1000),
    "files": (0, 1, 2, 3),
    "descriptors": (0, 1, 2, 3, 4, 5),
    "address space": (0, 4, 64, 256, 1024, 4096, 16_384, 65_536),
    "file size": (0, 4, 8, 16, 64, 256, 1024, 4096),
}
LONG: dict[str, Sequence[int]] = {
    "pages": (*range(130), *range(130, 1000, 10)),
    "files": range(70),
    "descriptors": range(70),
    "address space": (*range(0, 1024, 8), *(1024 * n for n in range(1, 40))),
    "file size": (*range(0, 256, 4), *range(256, 4097, 64)),
}
LIMITS = ("files", "descriptors", "address space", "file size")
PARTS = ("/dev/shm full", "other limits", "attach, fork, killed holder")
OVERALL = 900.0  # seconds that one type may take


def press_all(line: Line, kind: str, part: str, levels: dict[str, Sequence[int]], enough: int, output: int) -> None:
    """One process's part: run in a /dev/shm of its own, with whatever it prints in a pipe."""
    sys.stdout.flush()
    for standard in 1, 2:
        os.dup2(output, standard)
    private_shm(OPTIONS)
    tally = Tally()
    shortages = ("pages",) if part == PARTS[0] else LIMITS
    if part == PARTS[2]:
        shared_when_short(kind, tally)
    else:
        for attempt in attempts()[kind]:
            for shortage in shortages:
                Press(attempt, shortage, tally).run(levels[shortage], enough)
    sys.stdout.flush()
    line.say((dict(tally.counts), tally.failures))


def odd_place(line: Line, which: str, output: int) -> None:
    """The same where /dev/shm is none."""
    for standard in 1, 2:
        os.dup2(output, standard)
    private_shm(OPTIONS)
    without_shm(line, which)


def printed(output: int) -> str:
    """What came out of a pipe until all who could write to it had ended."""
    os.set_blocking(output, False)
    text, deadline = b"", time.monotonic() + 5
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            more = os.read(output, 65536)
            if not more:
                break
            text += more
            continue
        time.sleep(0.002)
    os.close(output)
    return text.decode(errors="replace")


def allowed(line: Line) -> None:
    """Whether this process may have mounts of its own."""
    try:
        private_mounts()
    except NotAllowed as error:
        line.say(str(error))
    else:
        line.say("")


def run_one(report: Report, what: str, target: Any, *args: Any) -> Any:
    """Run one process to its end; None, and a failure told, if that was not in order or it printed anything."""
    output, theirs = os.pipe()
    again = f"{command()} --types {what.partition(':')[0]}"
    try:
        with Child("fork", target, *args, theirs, daemon=False) as child:
            os.close(theirs)
            found = child.hear(OVERALL)
            if code := child.end():
                report.fail(f"{what}: the process ended with {code}", again)
    except (Ended, Hung) as error:
        report.fail(f"{what}: {error}; it printed: {printed(output)}", again)
        return None
    if text := printed(output):
        report.fail(f"{what}: it printed: {text}", again)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """The program; the exit status is 1 if anything failed."""
    options = parser(__doc__)
    options.add_argument("--types", metavar="NAMES", help="comma-separated types, such as SharedDict; transaction")
    options.add_argument("--short", action="store_true", help="fewer steps between nothing and enough")
    given = options.parse_args(argv)
    report = Report("pressure", ("type", "what", *(f">{each}" for each in NAMES.values())))
    with Child("fork", allowed) as child:
        if reason := child.hear():
            print(f"not run: this process may not have a /dev/shm of its own ({reason})", file=sys.stderr)
            return 0
    levels, enough = (SHORT, 1) if given.short else (LONG, 2)
    total = Counter[str]()
    kinds = chosen(attempts(), given.types)
    for kind in kinds:
        for part in PARTS:
            if part == PARTS[2] and kind not in FRUGAL:
                continue
            found = run_one(report, f"{kind}: {part}", press_all, kind, part, levels, enough)
            if found is None:
                continue
            figures, failures = found
            for attempt, shortage, level, why in failures:
                report.fail(f"{kind}: {attempt}, {shortage} left: {level}: {why}", f"{command()} --types {kind}")
            total.update(figures)
            report.row(kind, part, *(figures.get(each, 0) for each in NAMES))
    if given.types is None:
        for which in "read-only", "missing", "no tmpfs":
            counts: Counter[str] = Counter(run_one(report, f"SharedCounter: /dev/shm {which}", odd_place, which) or {})
            total.update(counts)
            report.row("all of them", f"/dev/shm {which}", *(counts[each] for each in NAMES))
        report.row("**all**", "", *(total[each] for each in NAMES))
    return report.finish(given.into)


NAMES = {
    "tried": "tried",
    "done": "done",
    "refused": "`OutOfSharedMemory`",
    "other": "other errors that say why",
    "intact": "intact after it",
    "regained": "all free again",
}

if __name__ == "__main__":
    sys.exit(main())
