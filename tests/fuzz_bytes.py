"""Damage segments of every kind at random, as long as you like: `python tests/fuzz_bytes.py --seconds 60 --seed 1`.

It does what the tests of bad bytes do (test_bad_bytes.py, test_container_bytes.py, test_channel_bytes.py), with damage
from the same strategies. Queues and locks are also damaged while they are used, by a process that does the damage and
takes it back as fast as it can. And segments of every kind are used by processes with threads, while another process
damages them, and makes the file shorter and longer (fuzz/company.py). It prints a table in Markdown and, on stderr,
cases that went wrong, each as `--replay` takes it to do it again. The exit status is 1 if there was any.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import test_bad_bytes as states
import test_channel_bytes as channels
import test_container_bytes as containers
from procshare.testing._report import Report, parser
from victims import Asked, Verdict, Victims

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = {"state": states.VICTIM, "container": containers.VICTIM, "channel": channels.VICTIM}
BATCH = 200  # cases from one seed
SOME = 5  # that went wrong and are printed, of each kind

KINDS_TOGETHER = 38  # of fuzz/segment_inputs.py
FOLDERS = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parent / "fuzz")))

Case = tuple[str, list[Any]]  # which program, and what its judge() takes


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Damage to something of any kind."""
    program = draw(st.sampled_from(["state", "container", "channel", "channel", "together"]))
    if program == "together":
        kinds, seeds = st.integers(0, KINDS_TOGETHER - 1), st.integers(0, 1 << 30)
        return program, [draw(kinds), draw(seeds), draw(st.booleans())]
    if program == "state":
        kind = draw(st.sampled_from(states.KINDS))
        return program, [kind, draw(st.booleans()), draw(st.booleans()), draw(states.HURTS)]
    if program == "container":
        return program, [draw(st.sampled_from(containers.KINDS)), draw(st.booleans()), draw(containers.HURTS)]
    kind, turn, hurts = draw(channels.cases())
    return program, [kind, draw(st.sampled_from(["before", "attached", "meanwhile"])), turn, hurts]


def batch(number: int) -> list[Case]:
    """The cases of one seed."""
    made: list[Case] = []

    @seed(number)
    @settings(
        max_examples=BATCH,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(cases())
    def collect(case: Case) -> None:
        made.append(case)

    collect()
    return made


def at_random(first: int) -> Iterator[Case]:
    """Cases without end, the same ones for the same seed."""
    while True:
        yield from batch(first)
        first += 1


class Tally:
    """What came of the cases, by kind."""

    def __init__(self) -> None:
        self.damaged: Counter[str] = Counter()
        self.calls: dict[str, Counter[str]] = {}
        self.crashes: Counter[str] = Counter()
        self.hangs: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()

    def add(self, kind: str, verdict: Verdict) -> bool:
        """Count one: whether nothing went wrong, or so much did that this need not be shown."""
        self.damaged[kind] += 1
        self.calls.setdefault(kind, Counter()).update(verdict.counts)
        if verdict.ended == -signal.SIGALRM:
            self.hangs[kind] += 1
        elif verdict.ended != 0:
            self.crashes[kind] += 1
        elif verdict.tells:
            self.wrong[kind] += 1
        else:
            return True
        return self.crashes[kind] + self.hangs[kind] + self.wrong[kind] > SOME

    @property
    def bad(self) -> int:
        """How many went wrong."""
        return sum((self.crashes + self.hangs + self.wrong).values())

    def show(self, report: Report) -> None:
        """Fill the table."""
        total: Counter[str] = Counter()
        for kind, calls in [*sorted(self.calls.items()), ("all", total)]:
            if calls is not total:
                total.update(calls)
            errors = ", ".join(f"{name} {n:,}" for name, n in calls.most_common() if name != "answer")
            row = [self._sum(each, kind) for each in (self.damaged, self.crashes, self.hangs, self.wrong)]
            report.row(kind, row[0], calls["answer"], errors, *row[1:])

    @staticmethod
    def _sum(counts: Counter[str], kind: str) -> int:
        return counts.total() if kind == "all" else counts[kind]


def together() -> Asked:
    """The program of fuzz/company.py."""
    path = os.pathsep.join((FOLDERS, os.environ.get("PYTHONPATH", "")))
    return Asked("import company\ncompany.main()", {"PYTHONPATH": path}, patience=60)


class Fuzzer:
    """The programs, and what they said."""

    def __init__(self, report: Report) -> None:
        self.tally = Tally()
        self._report = report
        self._victims: dict[str, Asked] = {name: Victims(program) for name, program in PROGRAMS.items()}
        self._victims["together"] = together()

    def try_one(self, program: str, damage: list[Any]) -> None:
        """Show one of them some damage."""
        kind = f"{damage[0]} ({'in a slab' if damage[1] is False else program})" if program == "state" else damage[0]
        if program == "together":
            kind = f"in use{', and cut' if damage[2] else ''}"
        try:
            verdict = self._victims[program].verdict(*damage)
        except AssertionError as error:  # not even its parent answered
            verdict = Verdict([str(error)], {}, -signal.SIGALRM)
        if not self.tally.add(kind, verdict):
            again = json.dumps([program, damage])
            told = verdict.tells[0] if verdict.tells else f"it ended with {verdict.ended}"
            self._report.fail(f"{kind}: {told}", f"python tests/fuzz_bytes.py --replay '{again}'")

    def close(self) -> None:
        """End them."""
        for victims in self._victims.values():
            victims.close()


def main() -> int:
    """Parse the command line and do as it says."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=0, help="the same cases for the same seed")
    options.add_argument("--replay", help="a case that was printed, as JSON; tried once")
    chosen = options.parse_args()
    report = Report("bytes", ["kind", ">damaged", ">answers", "errors", ">crashes", ">hangs", ">other errors"])
    fuzzer = Fuzzer(report)
    end = time.monotonic() + chosen.seconds
    try:
        for program, damage in [json.loads(chosen.replay)] if chosen.replay else at_random(chosen.seed):
            fuzzer.try_one(program, damage)
            if time.monotonic() > end:
                break
    except KeyboardInterrupt:
        pass
    finally:
        fuzzer.close()
    fuzzer.tally.show(report)
    report.finish(chosen.into)
    return int(fuzzer.tally.bad > 0)


if __name__ == "__main__":
    sys.exit(main())
