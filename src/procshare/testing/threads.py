"""Threads, forks, finalizers and signals at awkward moments, and each public type afterwards.

    python -m procshare.testing.threads [--tries N] [--only SITUATION,...] [--types TYPE,...] [--into FILE]

Each situation is tried with each type in a process of its own, so that a crash or a hang is one failure, with the
stacks of its threads on stderr. A try is one fork, one signal, one exception, one close, or one call.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare import SharedArray, SharedCounter
from procshare.testing import _closing as closing
from procshare.testing import _crowd as crowd
from procshare.testing import _forking as forking
from procshare.testing import _reentering as reentering
from procshare.testing._calls import CALLS
from procshare.testing._kinds import KINDS
from procshare.testing._processes import Child, Ended, Hung, entries, left_since
from procshare.testing._report import Report, chosen, parser
from procshare.testing._tallies import COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from procshare.testing._processes import Line

NAMED = tuple(kind for kind in KINDS if kind != "SharedPipe")


@dataclass(frozen=True)
class Situation:
    """Something that happens to an object.

    Attributes:
        run: Does it so many times with an object of a type; how often it did. Raises if anything is wrong afterwards.
        types: Those that it can happen to.
        share: Of the tries that are asked for, this part is made.
    """

    run: Callable[[str, int], int]
    types: Sequence[str]
    share: float = 1.0


SITUATIONS: dict[str, Situation] = {
    "fork while 4 threads are inside each call": Situation(forking.during_calls, tuple(KINDS)),
    "fork while 4 threads count; child counts too": Situation(forking.exact, COUNTED),
    **{
        f"fork inside {place}": Situation(partial(forking.inside, place), types, 0.1)
        for place, (_, types) in forking.PLACES.items()
    },
    "finalizers and pickling use it in its calls": Situation(reentering.collected, tuple(KINDS)),
    "signal handler uses it in its calls": Situation(reentering.handled, tuple(KINDS)),
    "KeyboardInterrupt inside each call": Situation(reentering.interrupted, tuple(KINDS)),
    "exception thrown into a waiting thread": Situation(closing.raised_in_waiters, tuple(closing.WAITS), 0.1),
    "thread ends inside a block": Situation(closing.ended_while_holding, closing.HOLDS, 0.3),
    "handle closed under its waiters": Situation(closing.closed_under_waiters, tuple(closing.WAITS), 0.1),
    "object unlinked and closed under its waiters": Situation(
        partial(closing.closed_under_waiters, unlinks=True), tuple(closing.WAITS), 0.1
    ),
    "handle closed and attached again under 4 threads": Situation(closing.closed_in_a_loop, NAMED),
    "trace function uses it in its calls": Situation(reentering.traced, tuple(KINDS), 0.1),
    "interpreter ends with daemon threads inside": Situation(crowd.leaving, tuple(closing.WAITS), 0.02),
    "second interpreter": Situation(crowd.second_interpreter, ("SharedCounter",)),
    "64 threads x 4 processes count": Situation(crowd.exact, COUNTED, 25),
    "64 threads x 4 processes put in order": Situation(crowd.in_order, ("SharedQueue",), 25),
    "64 threads meet, wait, answer": Situation(crowd.crossing, ("SharedBarrier", "SharedEvent", "SharedPipe"), 5),
}


def attempt(line: Line, name: str, kind: str, tries: int, seed: int) -> None:
    """In a process of its own: one situation with one type."""
    faulthandler.enable()
    random.seed(seed)
    try:
        made = SITUATIONS[name].run(kind, tries)
    except BaseException:  # noqa: BLE001 - told to the parent
        line.say((0, traceback.format_exc()))
    else:
        line.say((made, ""))


def outcome(name: str, kind: str, tries: int, seed: int, deadline: float) -> tuple[int, str]:
    """How many tries were made, and what went wrong; nothing, if that is empty."""
    with Child("fork", attempt, name, kind, tries, seed, daemon=False) as child:
        try:
            made, wrong = child.hear(deadline)
            if (code := child.end()) != 0:
                return made, f"it ended with {code}"
        except Ended as error:
            return 0, str(error)
        except Hung as error:
            os.kill(child.pid, signal.SIGABRT)  # faulthandler writes down where it was
            return 0, str(error)
        return made, wrong


def warm() -> None:
    """Import what is imported late, before anything is forked."""
    with SharedCounter(1) as x, SharedArray([1.0]) as y:
        _ = x.name, y.name


def campaign(names: Iterable[str], kinds: Iterable[str], tries: int, seed: int, deadline: float) -> Report:
    """All of it: a table with a line for each situation."""
    report = Report("threads", ["situation", ">types", ">calls", ">tries", ">failures"])
    warm()
    wanted = set(kinds)
    for name in names:
        situation, total, failures = SITUATIONS[name], 0, 0
        types = [kind for kind in situation.types if kind in wanted]
        for kind in types:
            before = entries()
            made, wrong = outcome(name, kind, max(int(tries * situation.share), 1), seed, deadline)
            if not wrong and (left := left_since(before)):
                wrong = f"left in /dev/shm: {sorted(left)}"
            total += made
            if wrong:
                failures += 1
                again = (
                    f"python -m procshare.testing.threads --tries {tries} --seed {seed} --types {kind} --only '{name}'"
                )
                report.fail(f"{name}: {kind}: {wrong}", again)
        if types:
            report.row(name, len(types), sum(len(CALLS[kind]) for kind in types), total, failures)
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """The program."""
    options = parser(__doc__)
    options.add_argument("--tries", type=int, default=200, help="how often each situation, with each type")
    options.add_argument("--seed", type=int, default=int(time.time()), help="of what is random")
    options.add_argument("--only", help="the situations whose names have this in them")
    options.add_argument("--types", help="these types, separated by commas")
    options.add_argument("--deadline", type=float, default=300, help="seconds after which a situation counts as hung")
    given = options.parse_args(argv)
    names = [name for name in SITUATIONS if given.only is None or given.only in name]
    kinds = chosen(KINDS, given.types)
    report: Any = campaign(names, kinds, given.tries, given.seed, given.deadline)
    into: str | None = given.into
    return int(report.finish(into))


if __name__ == "__main__":
    sys.exit(main())
