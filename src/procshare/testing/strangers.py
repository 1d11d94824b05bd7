"""What strangers, lost descriptors and other namespaces can do to shared objects: nothing that costs one, or exclusion.

Each row is something done to processes that count under a lock. Its columns say how often it was tried; how often
two were inside a block at once, or an acknowledged increment was lost; and how many objects went that should have
stayed, or stayed that should have gone. What needs a privilege that this process has not is left out, and named.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import procshare
from procshare import NotFound, SharedCounter, SharedValue
from procshare.testing._processes import SHM, Child, Hung, entries, until
from procshare.testing._report import Report, chosen, parser
from procshare.testing._stranger_acts import (
    Unable,
    attach_and,
    come_again,
    count_and_say,
    create_and_wait,
    drop_privileges,
    hold_and_say,
    in_namespace,
    lose_descriptors,
    mute_tracker,
    open_by_hand,
    race_to_leave,
    try_lock,
)
from procshare.testing._stranger_cases import Case, check_all, destroy, everything

if TYPE_CHECKING:
    from collections.abc import Callable


# ---- strangers ----


def stranger_ends(case: Case, rounds: int) -> None:
    """Processes that are attached end in several ways."""
    made = everything()
    names = [each.name for each in made]
    for _ in range(rounds):
        for how in "end", "kill", "memory", "_exit":
            with Child("spawn", attach_and, names, how) as child:
                child.hear()
                child.end()
            case.tries += len(made)
            check_all(case, made)
    destroy(made)


def opened_by_hand(case: Case, rounds: int) -> None:
    """The standard library's SharedMemory on it: what its exit unlinks is gone for new ones, and for nobody else."""
    for _ in range(rounds):
        made = everything()
        with Child("spawn", open_by_hand, [each.segment for each in made]) as child:
            child.hear()
            child.end()
        case.tries += len(made)
        check_all(case, made, found=False)
        destroy(made)


def other_user(case: Case, rounds: int) -> None:
    """A process of another user can neither attach nor remove."""
    if os.geteuid() != 0:
        raise Unable("only root can become another user")
    made = everything()
    for _ in range(rounds):
        with Child("fork", drop_privileges, [each.name for each in made], [each.segment for each in made]) as child:
            attached, removed = child.hear()
            child.end()
        case.tries += len(made)
        case.exclude(attached == 0, f"another user attached to {attached}")
        case.keep(removed == 0, f"another user removed {removed}")
    check_all(case, made)
    destroy(made)


# ---- process ids and namespaces ----


def pid_comes_again(case: Case, rounds: int) -> None:
    """The holder is dead, and another process has its pid: the lock is taken over all the same."""
    for _ in range(rounds):
        with SharedCounter() as counter:
            with Child("fork", hold_and_say, counter) as holder:
                pid = holder.hear()
                holder.kill()
            stranger = come_again(pid)
            try:
                case.tries += 1
                case.exclude(try_lock(counter, 2), "a lock was not taken over: its dead holder's pid is in use")
            finally:
                os.kill(stranger, signal.SIGKILL)
                os.waitpid(stranger, 0)


def other_namespace(case: Case, rounds: int, mounts: bool = False) -> None:
    """The holder lives in another PID namespace: while it lives it has the lock, and when it is dead it has not."""
    for _ in range(rounds):
        name = f"strangers-{os.getpid()}"
        with SharedCounter(name=name) as counter, in_namespace(name, mounts) as holder:
            case.tries += 1
            case.exclude(not try_lock(counter, 0.3), "a lock was taken from a living process of another namespace")
            holder.kill()
            holder.wait()
            case.exclude(try_lock(counter, 2), "a lock was not taken over from a dead process of another namespace")


def owner_elsewhere(case: Case, rounds: int) -> None:
    """What a living process of another PID namespace is attached to is never taken for garbage."""
    for number in range(rounds):
        name = f"strangers-{os.getpid()}-{number}"
        with in_namespace(f"open:{name}", False) as holder:
            case.tries += 1
            segment = f"procshare.{os.geteuid()}.{name}"
            case.keep(not garbage(segment) and (SHM / segment).exists(), "prune() would take a living one's")
            holder.kill()
            holder.wait()
            case.tidy(until(partial(garbage, segment)), "what a dead process of another namespace left is not garbage")
            (SHM / segment).unlink(missing_ok=True)


def garbage(segment: str) -> bool:
    """Whether prune() would take it."""
    return segment in {info.segment for info in procshare.prune(dry_run=True)}


# ---- descriptors and names ----


def lost_descriptors(case: Case, rounds: int, how: str) -> None:
    """A process closes all its descriptors, or has other files at their numbers, and goes on; so do others."""
    for _ in range(rounds):
        made = everything()
        with SharedCounter() as counter, SharedValue(0) as value:
            # One of three uses all the rest: a barrier that is reset while another uses it is broken for that one.
            first = Child("fork", lose_descriptors, counter, value, made, how)
            children = [first, *(Child("fork", lose_descriptors, counter, value, [], "") for _ in range(2))]
            for child in children:
                with child:
                    problems = child.hear(60)
                    child.end()
                    for problem in problems:
                        case.keep(False, problem)
            case.tries += len(made)
            case.exclude((counter.value, value.value) == (600, 600), f"counted {counter.value}, {value.value}, not 600")
            check_all(case, made)
        destroy(made)


def names_removed(case: Case, rounds: int) -> None:
    """`rm -rf /dev/shm/*`: those who are attached exclude each other on; the name is free; the new one is another."""
    for number in range(rounds):
        name = f"strangers-{os.getpid()}-{number}"
        old = SharedCounter(name=name)
        with Child("spawn", count_and_say, old, 500) as one, Child("spawn", count_and_say, old, 500) as two:
            for each in one, two:
                each.hear()
            made = everything()
            for each in (old, *made):
                (SHM / each.segment).unlink(missing_ok=True)
            for each in one, two:
                each.say()
            try:
                SharedCounter.attach(name)
                case.keep(False, "a removed name was attached to")
            except NotFound:
                case.tries += 1
            with SharedCounter(7, name=name) as new:
                for each in one, two:
                    each.hear()
                    each.end()
                case.exclude(old.value == 1000, f"1000 increments gave {old.value}")
                old.unlink()
                old.close()
                again = SharedCounter.attach(name)
                case.keep(again.value == new.value == 7, "the new one is not found after the old one's end")
                again.close()
            check_all(case, made, found=False)
            destroy(made)


# ---- coming and going ----


def killed_makers(case: Case, rounds: int) -> None:
    """Processes that make things of all types are killed at random moments; /dev/shm is as before."""
    before = entries()
    chance = random.Random(5)
    for _ in range(rounds):
        with Child("fork", create_and_wait) as child:
            child.hear()
            time.sleep(chance.random() * 0.02)
            child.kill()
        case.tries += 1
    with Child("fork", create_and_wait) as child:  # the next creation
        child.hear()
    SharedCounter().close()
    procshare.prune()
    case.clean(before)


def last_one_out(case: Case, rounds: int) -> None:
    """Processes open, attach, count and leave, each perhaps as the last one: whoever opens has an object that lives."""
    before = entries()
    children = [Child("fork", race_to_leave, f"strangers-{os.getpid()}", rounds * 20) for _ in range(4)]
    for child in children:
        with child:
            tries, problems = child.hear(120)
            child.end()
            case.tries += tries
            for problem in problems:
                case.keep(False, problem)
    case.clean(before)


CASES: dict[str, tuple[Callable[..., None], int, dict[str, Any]]] = {
    "strangers attach and end: exit, SIGKILL, no memory, `os._exit`": (stranger_ends, 1, {}),
    "a stranger opens the segments by `SharedMemory`, and ends": (opened_by_hand, 1, {}),
    "a process of another user": (other_user, 1, {}),
    "the dead holder's process id is in use again": (pid_comes_again, 2, {}),
    "holder in another PID namespace, alive and killed": (other_namespace, 1, {}),
    "holder in other PID and mount namespaces": (other_namespace, 1, {"mounts": True}),
    "the only one attached lives in another PID namespace": (owner_elsewhere, 1, {}),
    "`os.closerange(3, 1000)`": (lost_descriptors, 1, {"how": "close"}),
    "the same with threads": (lost_descriptors, 1, {"how": "threads"}),
    "other files at the numbers of our descriptors": (lost_descriptors, 1, {"how": "dup2"}),
    "`rm -rf /dev/shm/*`": (names_removed, 1, {}),
    "creators of all types, SIGKILL": (killed_makers, 200, {}),
    "opened, attached and left by four at once": (last_one_out, 10, {}),
}


def survive(name: str, rounds: int = 1) -> Case:
    """Try one case."""
    act, factor, options = CASES[name]
    case = Case()
    try:
        act(case, rounds * factor, **options)
    except Hung as error:
        case.exclude(False, f"it hung: {error}")
    return case


def main() -> int:
    """Print the table."""
    line = parser(__doc__)
    line.add_argument("--rounds", type=int, default=5, help="how often (default: 5)")
    line.add_argument("--cases", help="only these, by their numbers in the table from 1, with commas")
    given = line.parse_args()
    mute_tracker()
    report = Report("strangers", ("what was done", ">tries", ">exclusion broken", ">objects lost", ">left over"))
    numbered = {str(number): name for number, name in enumerate(CASES, 1)}
    for number in chosen(numbered, given.cases):
        try:
            case = survive(numbered[number], 1 if number == "12" else given.rounds)
        except Unable as error:
            report.row(numbered[number], f"not tried: {error}", "", "", "")
            continue
        for note in case.notes:
            report.fail(f"{numbered[number]}: {note}", f"python -m procshare.testing.strangers --cases {number}")
        report.row(numbered[number], case.tries, case.broken, case.lost, case.left)
    return report.finish(given.into)


if __name__ == "__main__":
    sys.exit(main())
