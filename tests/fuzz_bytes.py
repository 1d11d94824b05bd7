"""Damage segments of every kind at random, as long as you like: `python tests/fuzz_bytes.py --seconds 60 --seed 1`.

It does what the tests of bad bytes do (test_bad_bytes.py, test_container_bytes.py, test_channel_bytes.py), with damage
from the same strategies. Queues and locks are also damaged while they are used, by a process that does the damage and
takes it back as fast as it can. It prints a table in Markdown and, on stderr, cases that went wrong, each as `--replay`
takes it to do it again. The exit status is 1 if there was any.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import test_bad_bytes as states
import test_channel_bytes as channels
import test_container_bytes as containers
from victims import Verdict, Victims

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

PROGRAMS = {"state": states.VICTIM, "container": containers.VICTIM, "channel": channels.VICTIM}
BATCH = 200  # cases from one seed
SOME = 5  # that went wrong and are printed, of each kind

Case = tuple[str, list[Any]]  # which program, and what its judge() takes


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Damage to something of any kind."""
    program = draw(st.sampled_from(["state", "container", "channel", "channel"]))
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

    def show(self, out: TextIO) -> None:
        """Print the table, in Markdown."""
        print("| kind | damaged | answers | errors | crashes | hangs | other errors |", file=out)
        print("|---|--:|--:|---|--:|--:|--:|", file=out)
        total: Counter[str] = Counter()
        for kind, calls in [*sorted(self.calls.items()), ("all", total)]:
            if calls is not total:
                total.update(calls)
            errors = ", ".join(f"{name} {n}" for name, n in calls.most_common() if name != "answer")
            row = [self._sum(each, kind) for each in (self.damaged, self.crashes, self.hangs, self.wrong)]
            print(f"| {kind} | {row[0]} | {calls['answer']} | {errors} | {row[1]} | {row[2]} | {row[3]} |", file=out)

    @staticmethod
    def _sum(counts: Counter[str], kind: str) -> int:
        return counts.total() if kind == "all" else counts[kind]


class Fuzzer:
    """The three programs, and what they said."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._victims = {name: Victims(program) for name, program in PROGRAMS.items()}

    def try_one(self, program: str, damage: list[Any]) -> None:
        """Show one of them some damage."""
        kind = f"{damage[0]} ({'in a slab' if damage[1] is False else program})" if program == "state" else damage[0]
        try:
            verdict = self._victims[program].verdict(*damage)
        except AssertionError as error:  # not even its parent answered
            verdict = Verdict([str(error)], {}, -signal.SIGALRM)
        if not self.tally.add(kind, verdict):
            again = json.dumps([program, damage])
            print(f"{kind}: {verdict.tells[0]}\n  --replay '{again}'", file=sys.stderr, flush=True)

    def close(self) -> None:
        """End them."""
        for victims in self._victims.values():
            victims.close()


def main() -> int:
    """Parse the command line and do as it says."""
    parser = argparse.ArgumentParser(description="Damage segments at random, and see what comes of it.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="the same cases for the same seed")
    parser.add_argument("--replay", help="a case that was printed, as JSON; tried once")
    options = parser.parse_args()
    fuzzer = Fuzzer()
    end = time.monotonic() + options.seconds
    try:
        for program, damage in [json.loads(options.replay)] if options.replay else at_random(options.seed):
            fuzzer.try_one(program, damage)
            if time.monotonic() > end:
                break
    except KeyboardInterrupt:
        pass
    finally:
        fuzzer.close()
    fuzzer.tally.show(sys.stdout)
    return int(fuzzer.tally.bad > 0)


if __name__ == "__main__":
    sys.exit(main())
