"""Thousands of objects, containers and processes, millions of keys, gigabytes: that it works, and what it costs.

The whole of it takes 5 GiB of memory at a time, and is one step after the other, each in a process of its own.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procshare import (
    SharedArray,
    SharedBarrier,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedList,
    SharedLock,
    SharedQueue,
    SharedRWLock,
    SharedSemaphore,
    SharedSet,
    SharedValue,
)
from procshare.testing._pressing import check
from procshare.testing._processes import Child, Ended, Hung
from procshare.testing._report import Report, command, parser
from procshare.testing._room import free_bytes
from procshare.testing._scale_large import Cost, items, keys, large_array, large_value, nested, queued

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procshare.testing._processes import Line

DESCRIPTORS = 1024
SEATS = 768
AT_MOST = 3600.0


# ---- the steps: each says its cells ----


def small_objects(line: Line, count: int) -> None:
    """Counters, values, locks, events and semaphores."""
    makers: tuple[Callable[[], Any], ...] = (
        SharedCounter,
        lambda: SharedValue(1),
        SharedLock,
        SharedEvent,
        SharedSemaphore,
    )
    cost = Cost(count)
    made: list[Any] = [makers[n % len(makers)]() for n in range(count)]
    cells = cost.cells()
    check(all(each.increment() == 1 for each in made[::5]), "a counter does not count")
    for lock in made[2::5]:
        check(lock.acquire(timeout=0), "a lock is taken")
    here = time.monotonic()
    del made
    line.say([*cells[:-1], f"let go in {time.monotonic() - here:.1f} s"])


def of_each(line: Line, makers: Sequence[Callable[[], Any]], count: int) -> None:
    """So many with a segment each."""
    cost = Cost(count)
    made: list[Any] = [makers[n % len(makers)]() for n in range(count)]
    for each in made:
        _ = each.name
    line.say(cost.cells())


def containers(line: Line, count: int) -> None:
    """Dicts, lists, sets and queues, each with something in it."""
    cost = Cost(count)
    makers: tuple[Callable[[], Any], ...] = (SharedDict, SharedList, SharedSet, SharedQueue)
    made: list[Any] = [makers[n % 4]() for n in range(count)]
    fills = ("update", ({"a": 1},)), ("append", (1,)), ("add", (1,)), ("put", (1,))
    for n, each in enumerate(made):
        name, args = fills[n % 4]
        getattr(each, name)(*args)
        _ = each.name
    line.say(cost.cells())


def processes(line: Line, count: int) -> None:
    """Each attaches a dict, a counter and a queue, writes to all three, and stays until it is told to go."""
    shared = SharedDict[int, int](), SharedCounter(), SharedQueue[int](), SharedEvent()
    cost = Cost(count)
    pids = [fork(shared, n) for n in range(count)]
    numbers, counter, queue, over = shared
    done = counter.wait_until(lambda now: now == count, timeout=AT_MOST)
    cells = cost.cells()
    note = "half of them killed in the end"
    if count >= 500:
        pids += [fork(shared, n, quiet=True) for n in range(count, SEATS - 1)]
        note = f"{note}; with {SEATS} attached one more is told so"
        check(one_too_many(numbers, pids), "one more process than there are seats was not refused")
    check(sorted(queue.get_many(count)) == list(range(count))[:done], "items are lost")
    check(len(numbers.value) >= count, "keys are lost")
    for pid in pids[::2]:
        os.kill(pid, 9)
    over.set()
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    check(all(code in (0, -9) for code in codes), f"processes ended with {set(codes)}")
    with numbers.locked(timeout=20):
        pass
    line.say([*cells[:-1], note])


def fork(shared: tuple[Any, ...], number: int, quiet: bool = False) -> int:
    """A child, as light as one can be."""
    pid = os.fork()
    if pid != 0:
        return pid
    code = 1
    try:
        numbers, counter, queue, over = shared
        if not quiet:
            numbers[number] = number
            queue.put(number)
            counter.increment()
        over.wait(AT_MOST)
        code = 0
    finally:
        os._exit(code)


def one_too_many(numbers: SharedDict[int, int], pids: list[int]) -> bool:
    """Whether a process that finds no seat any more is told so. It is one of *pids* then."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            numbers[-1] = 1
        except OSError as error:
            os.write(theirs, str(error).encode())
        finally:
            os._exit(0)
    pids.append(pid)
    os.close(theirs)
    told = os.read(ours, 4096)
    os.close(ours)
    return str(SEATS).encode() in told


def kind_of_each(line: Line, count: int) -> None:
    """Arrays, conditions, barriers and read-write locks."""
    of_each(line, (lambda: SharedArray([1]), SharedCondition, lambda: SharedBarrier(2), SharedRWLock), count)


GB = 1 << 30
STEPS: dict[str, tuple[Callable[..., None], int, int, int]] = {
    # what: (target, how many, in the short form, bytes that must be free for the long one)
    "small objects": (small_objects, 100_000, 20_000, 0),
    "dicts, lists, sets and queues": (containers, 400, 400, 0),
    "arrays, conditions, barriers and read-write locks": (kind_of_each, 400, 400, 0),
    "processes attached to a dict, a counter and a queue": (processes, 500, 100, 0),
    "levels of nested lists": (nested, 200, 50, 0),
    "bytes of one array": (large_array, 4 * GB, GB // 16, 14 * GB),
    "bytes of one value": (large_value, GB, GB // 64, 8 * GB),
    "keys of a dict": (keys, 10_000_000, 100_000, 6 * GB),
    "items of a list": (items, 10_000_000, 100_000, 4 * GB),
    "items queued at once": (queued, 1_000_000, 100_000, 0),
}


def room_for(needed: int) -> bool:
    """Whether there are so many bytes of memory, and two fifths of that in /dev/shm."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:") and int(line.split()[1]) * 1024 < needed:
            return False
    return free_bytes() >= needed * 2 // 5


def limited(line: Line, target: Callable[..., None], count: int) -> None:
    """A step, within the descriptors that a process has by default."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    target(line, count)


def main(argv: Sequence[str] | None = None) -> int:
    """The program; the exit status is 1 if anything failed."""
    options = parser(__doc__)
    options.add_argument("--short", action="store_true", help="fewer of everything")
    given = options.parse_args(argv)
    columns = ("what", ">how many", ">took", ">/dev/shm", ">descriptors", ">own memory", ">for each", "then")
    report = Report("scale", columns)
    for what, (target, many, few, needed) in STEPS.items():
        count = few if given.short else many
        if not given.short and not room_for(needed):
            report.row(what, f"{many:,}", "not run", "", "", "", "", f"needs {needed >> 30} GiB available")
            continue
        try:
            with Child("fork", limited, target, count, daemon=False) as child:
                report.row(what, *child.hear(AT_MOST))
                child.end(120)
        except (Ended, Hung) as error:
            report.fail(f"{what}: {error}", command())
    return report.finish(given.into)


if __name__ == "__main__":
    sys.exit(main())
