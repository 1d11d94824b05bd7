"""What becomes of the standard library's shared objects, and of procshare's, when a process dies or memory runs out.

Each cell is measured: the situation is made as often as `--tries` says, each time by a process of its own that is
killed afterwards, and the outcomes are counted.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import Counter
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

import procshare
from procshare.testing import _stdlib_cases as cases
from procshare.testing._processes import Child, Ended, Hung, Line
from procshare.testing._report import Report, chosen, parser

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 5.0  # seconds after which a case that said nothing hangs; longer than any timeout in it
FORK: Any = multiprocessing.get_context("fork")


def managed(what: str) -> Any:
    """An object of a manager; the manager lives as long as the process."""
    KEPT.append(manager := FORK.Manager())
    return getattr(manager, what)()


KEPT: list[Any] = []


def memory_unlinked() -> str:
    """Of the standard library."""
    one = SharedMemory(create=True, size=1000)
    return cases.unlinked(one, "it", lambda: SharedMemory(one.name, create=True, size=1000))


def array_unlinked() -> str:
    """Of procshare."""
    name = f"stdlib-{os.getpid()}"
    one = procshare.SharedArray[Any]([1], name=name)
    return cases.unlinked(one, "it", lambda: procshare.SharedArray[Any]([1], name=name))


CASES: dict[str, tuple[Callable[[], str], Callable[[], str]]] = {
    "holder of a lock killed: the next one gets it": (
        lambda: cases.holder(FORK.Lock()),
        lambda: cases.holder(procshare.SharedLock()),
    ),
    "… of a re-entrant lock": (lambda: cases.holder(FORK.RLock()), lambda: cases.holder(procshare.SharedRLock())),
    "… of a value's lock": (
        lambda: cases.holder_of_value(FORK.Value("i", 0)),
        lambda: cases.holder_of_value(procshare.SharedValue(0)),
    ),
    "… of a condition": (lambda: cases.holder(FORK.Condition()), lambda: cases.holder(procshare.SharedCondition())),
    "… of a `Manager().Lock()`": (
        lambda: cases.holder(managed("Lock")),
        lambda: cases.holder(procshare.SharedLock()),
    ),
    "waiter of a condition killed": (
        lambda: cases.notify_after_waiter(FORK.Condition()),
        lambda: cases.notify_after_waiter(procshare.SharedCondition()),
    ),
    "waiter of an event killed": (
        lambda: cases.set_after_waiter(FORK.Event()),
        lambda: cases.set_after_waiter(procshare.SharedEvent()),
    ),
    "one of two at a barrier killed": (
        lambda: cases.barrier_after_waiter(FORK.Barrier(2)),
        lambda: cases.barrier_after_waiter(procshare.SharedBarrier(2)),
    ),
    "consumer of a queue killed": (
        lambda: cases.consumer(FORK.Queue()),
        lambda: cases.consumer(procshare.SharedQueue[Any]()),
    ),
    "… of a `Manager().Queue()`": (
        lambda: cases.consumer(managed("Queue")),
        lambda: cases.consumer(procshare.SharedQueue[Any]()),
    ),
    "producer of a queue killed": (
        lambda: cases.producer(FORK.Queue()),
        lambda: cases.producer(procshare.SharedQueue[Any]()),
    ),
    "creator of memory killed": (
        lambda: cases.creator(cases.HOLD_MEMORY, group=False),
        lambda: cases.creator(cases.HOLD_SHARED, group=False),
    ),
    "… with its resource tracker": (
        lambda: cases.creator(cases.HOLD_MEMORY, group=True),
        lambda: cases.creator(cases.HOLD_SHARED, group=True),
    ),
    "a stranger attaches and exits": (
        lambda: cases.stranger(cases.HOLD_MEMORY, cases.LOOK),
        lambda: cases.stranger(cases.HOLD_SHARED, cases.LOOK_SHARED),
    ),
    "unlinked while attached": (memory_unlinked, array_unlinked),
    "larger than /dev/shm": (lambda: cases.small(cases.FILL_MEMORY), lambda: cases.small(cases.FILL_SHARED)),
    "file truncated behind the attached": (
        lambda: cases.truncated(cases.TRUNCATED_MEMORY),
        lambda: cases.truncated(cases.TRUNCATED_SHARED),
    ),
}
PROGRAMS = "creator", "… with its", "a stranger", "larger", "file"  # what starts interpreters takes its time
GOOD = (  # what procshare may say
    "within",
    "the notifier goes on",
    "the setter goes on",
    "the other one gets BrokenBarrierError",
    "the next",
    "gone",
    "destroys nothing",
    "it can be used on",
    "OutOfSharedMemory",
    "CorruptSegment",
    "not tried",
)


def _case(line: Line, name: str, which: int) -> None:
    os.setpgid(0, 0)  # so that all that it starts can be ended with it
    line.say("begun")
    try:
        line.say(CASES[name][which]())
    except Exception as error:  # noqa: BLE001 - an outcome like any other
        line.say(f"{type(error).__name__}")


def outcome(name: str, which: int) -> str:
    """Make a situation once: what became of it, 0 for the standard library, 1 for procshare."""
    patience = PATIENCE if which == 0 and not name.startswith(PROGRAMS) else 6 * PATIENCE
    with Child("fork", _case, name, which, daemon=False) as child:
        child.hear()
        try:
            said: str = child.hear(patience)
        except Hung:
            said = f"hangs (gave up after {patience:g} s)"
        except Ended as error:
            said = cases.ended(error.code or 0)
        finally:
            assert child.pid > 1
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    return said


def measured(name: str, which: int, tries: int) -> Counter[str]:
    """The outcomes of several."""
    return Counter(outcome(name, which) for _ in range(tries))


def in_words(seen: Counter[str]) -> str:
    """A cell of the table."""
    if len(seen) == 1:
        return next(iter(seen))
    return "; ".join(f"{text}: {n}" for text, n in seen.most_common())


def main() -> int:
    """Print the table."""
    line = parser(__doc__)
    line.add_argument("--tries", type=int, default=20, help="of each cell (default: 20)")
    line.add_argument("--cases", help="only these, by their numbers in the table from 1, with commas")
    given = line.parse_args()
    report = Report("stdlib", ("situation", ">tries", "standard library", "procshare"))
    numbered = {str(number): name for number, name in enumerate(CASES, 1)}
    for number in chosen(numbered, given.cases):
        name = numbered[number]
        theirs, ours = (measured(name, which, given.tries) for which in (0, 1))
        report.row(name, given.tries, in_words(theirs), in_words(ours))
        for text in ours:
            if not text.startswith(GOOD):
                report.fail(f"{name}: {text}", f"python -m procshare.testing.stdlib --cases {number}")
    return report.finish(given.into)


if __name__ == "__main__":
    sys.exit(main())
