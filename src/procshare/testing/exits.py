"""What is left in /dev/shm after each way in which a process can end, for each type and each sort of life.

For each way a program is started that makes two of each type in each life; one of the two is attached to by an
unrelated process. Then the program ends in that way. Asserted are:

- its exit status, and that nothing but its own traceback is on stderr if it ended in order;
- that whoever is attached can go on to read, write and lock;
- that after 3 s nothing is left of what nobody is attached to, but for what outlives its maker, and, after a violent
  end, what has no owner; nor of that after the next process has created something;
- that what is persistent and what was handed over is there, and goes when it is unlinked, and used and left.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import procshare
from procshare.backends.shm.core import native
from procshare.backends.shm.looking import look
from procshare.testing._exit_makers import GO, OVER, Object, use
from procshare.testing._exit_table import WAYS, Way
from procshare.testing._kinds import KINDS
from procshare.testing._processes import SHM, entries, until
from procshare.testing._report import Report, chosen, parser

if TYPE_CHECKING:
    import argparse

LIMIT = 60.0  # seconds for one program


@dataclass
class Outcome:
    """What became of one way to end."""

    made: int = 0
    used: int = 0
    left: int = 0
    swept: int = 0
    noise: int = 0
    problems: list[str] = field(default_factory=list[str])


class Trial:
    """One program's life and what it leaves."""

    def __init__(self, way: Way, kinds: list[str], home: Path) -> None:
        self._way, self._kinds, self._home = way, kinds, home
        self._outcome = Outcome()
        self._objects = list[Object]()
        self._first_maker = 0

    def run(self) -> Outcome:
        """All of it."""
        way = self._way
        err = (self._home / "err").open("ab")
        strict = ["-W", "error"] if way.orderly else []  # a warning that is an error ends the resource tracker, too
        command = [sys.executable, *strict, "-m", "procshare.testing._exit_ways", way.act, str(self._home)]
        command.append(",".join(self._kinds))
        null = subprocess.DEVNULL
        with err, subprocess.Popen(command, stdin=null, stderr=err, start_new_session=True) as process:
            try:
                self._live(process)
            finally:
                process.kill()
                self._kill_all(process.pid)
        self._look_at_stderr()
        return self._outcome

    def _live(self, process: subprocess.Popen[bytes]) -> None:
        way = self._way
        attached = dict[Object, Any]()
        if not way.late:
            self._hear("made", way.makers)
            attached = self._attach([each for each in self._objects if each.attached])
            if way.act.startswith("on-"):
                self._hear("attached", 1)
        if way.signal and way.group:
            os.killpg(process.pid, way.signal)
        elif way.signal:
            os.kill(self._first_maker, way.signal)
        else:
            (self._home / GO).touch()
        code = process.wait(LIMIT)
        if way.apart:
            self._problem(not until(lambda: not alive(self._first_maker), LIMIT), "it did not end")
        self._problem(code != way.code, f"its exit status is {code}, not {way.code}")
        (self._home / OVER).touch()
        if way.late:
            self._hear("made", way.makers)
        self._look_at_what_is_left(attached)

    # ---- what it said ----

    def _hear(self, what: str, how_many: int) -> list[Any]:
        pattern = f"{what}-*.json"
        if not until(lambda: len(list(self._home.glob(pattern))) >= how_many, LIMIT):
            raise TimeoutError(f"nobody said {what!r}; stderr: {(self._home / 'err').read_text()}")
        said = [json.loads(path.read_text()) for path in sorted(self._home.glob(pattern))]
        if what == "made":
            self._objects = [Object(**each) for one in said for each in one["made"]]
            self._first_maker = min(each.maker for each in self._objects)  # children come after their parents
            self._outcome.made = len(self._objects)
        return [each for one in said for each in one[what]]

    def _problem(self, is_one: bool, text: str) -> None:
        if is_one:
            self._outcome.problems.append(text)

    def _look_at_stderr(self) -> None:
        said = (self._home / "err").read_text()
        expected = re.fullmatch(self._way.says, said)
        self._outcome.noise = 0 if expected else len(said.splitlines())
        self._problem(not expected, f"on stderr: {said!r}")

    def _kill_all(self, group: int) -> None:
        assert group > 1
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return

    # ---- what is left ----

    def _attach(self, objects: list[Object]) -> dict[Object, Any]:
        found = dict[Object, Any]()
        for each in objects:
            try:
                found[each] = procshare.attach(each.name)
            except procshare.ProcshareError as error:
                self._problem(True, f"{each.kind} ({each.life}): {error}")
        return found

    def _use(self, attached: dict[Object, Any]) -> None:
        for each, handle in attached.items():
            problem = use(each.kind, handle)
            self._problem(bool(problem), f"{each.life}, by one who is attached: {problem}")
            self._outcome.used += not problem

    def _segments(self, life: str) -> set[str]:
        return {each.segment for each in self._objects if each.life == life}

    def _look_at_what_is_left(self, attached: dict[Object, Any]) -> None:
        way, outcome = self._way, self._outcome
        if way.users:
            for problem in self._hear("used", way.users):
                self._problem(True, f"by a child: {problem}")
        lasting = self._segments("persistent") | {each.segment for each in self._waiting()}
        held = {each.segment for each in attached}
        ours = set[str]() if way.orderly else self._segments("opened")
        if way.swept:
            ours |= self._all()
        left = self._left(lasting | held | ours)
        outcome.left = len(left)
        self._problem(bool(left), f"left after 3 s: {self._told(left)}")
        self._use(attached)
        for handle in attached.values():
            handle.close()
        create_elsewhere()
        left = self._left(lasting)
        outcome.swept = len(left)
        self._problem(bool(left), f"left after the next creation: {self._told(left)}")
        self._end_what_lasts()

    def _end_what_lasts(self) -> None:
        persistent = [each for each in self._objects if each.life == "persistent"]
        for handle in self._attach(persistent).values():
            handle.unlink()
            handle.close()
        given = self._attach(self._waiting()[::2])  # these go with the last one attached, the others by prune()
        self._use(given)
        for handle in given.values():
            handle.close()
        for segment in {info.segment for info in procshare.prune(dry_run=True)} & self._all():
            seen = look(segment)  # as prune() would; but that is not for what others may have left
            native.reap(segment, seen.claims, seen.in_flight)
        left = entries() & self._all()
        self._problem(bool(left), f"left after prune(): {self._told(left)}")
        for name in left:
            (SHM / name).unlink(missing_ok=True)

    def _all(self) -> set[str]:
        return {each.segment for each in self._objects}

    def _left(self, but_for: set[str]) -> set[str]:
        """What is there after 3 s; empty as soon as nothing is."""
        ours = self._all() - but_for
        until(lambda: not entries() & ours, 3)
        return entries() & ours

    def _waiting(self) -> list[Object]:
        """What was handed over and never attached by anyone."""
        given = [each for each in self._objects if each.life == "handed over"]
        alone = [each for each in given if self._way.late or not each.attached]
        return [each for each in alone if not (self._way.inherited and each.maker == self._first_maker)]

    def _told(self, segments: set[str]) -> str:
        kinds = {f"{each.kind} ({each.life})" for each in self._objects if each.segment in segments}
        return f"{len(segments)} segments of {', '.join(sorted(kinds)) or 'unknown things'}"


def alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def create_elsewhere() -> None:
    """A process that has shared nothing yet creates an object, and so clears away what the dead left."""
    if (child := os.fork()) == 0:
        try:
            procshare.SharedCounter().close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def survive(way: Way, kinds: list[str]) -> Outcome:
    """End in a way: what became of it."""
    with tempfile.TemporaryDirectory(prefix="exits") as home:
        return Trial(way, kinds, Path(home)).run()


def options() -> argparse.Namespace:
    """The command line's."""
    line = parser(__doc__)
    line.add_argument("--ways", help="only these, by their numbers in the table from 1, with commas")
    line.add_argument("--types", help="only these, with commas")
    line.add_argument("--each", action="store_true", help="a program for each type, instead of one for all of them")
    return line.parse_args()


def main() -> int:
    """Print the table."""
    given = options()
    counts = ">types", ">objects", ">used on", ">left after 3 s", ">after the next creation", ">stderr", ">failures"
    report = Report("exits", ("way to end", *counts))
    numbered = {str(number): way for number, way in enumerate(WAYS.values(), 1)}
    kinds = chosen(KINDS, given.types)
    for number in chosen(numbered, given.ways):
        way = numbered[number]
        outcomes = [survive(way, group) for group in ([[each] for each in kinds] if given.each else [kinds])]
        problems = [each for outcome in outcomes for each in outcome.problems]
        for problem in problems:
            report.fail(f"{way.title}: {problem}", f"python -m procshare.testing.exits --ways {number}")
        sums = [sum(getattr(each, what) for each in outcomes) for what in ("made", "used", "left", "swept", "noise")]
        report.row(way.title, len(kinds), *sums, len(problems))
    return report.finish(given.into)


if __name__ == "__main__":
    sys.exit(main())
