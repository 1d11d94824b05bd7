"""64 threads in each of 4 processes; daemon threads at the end of an interpreter; interpreters that share a process."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from procshare import SharedBarrier, SharedPipe, SharedQueue
from procshare.testing._kinds import KINDS, kept
from procshare.testing._processes import PATIENCE, Child, entries, left_since
from procshare.testing._situations import Failed
from procshare.testing._tallies import Tally, tally

if TYPE_CHECKING:
    from procshare.testing._processes import Line

THREADS, PROCESSES = 64, 4


def _add(line: Line, counted: Tally, times: int) -> None:
    errors = list[BaseException]()

    def run() -> None:
        try:
            for _ in range(times):
                counted.add()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    line.say(repr(errors[0]) if errors else "")


def exact(kind: str, tries: int) -> int:
    """All of them count, and the total is exact; what a lock protects is an unprotected number."""
    times = max(tries // (THREADS * PROCESSES), 1)
    with tally(kind) as counted:
        children = [Child("fork", _add, counted, times) for _ in range(PROCESSES)]
        try:
            for child in children:
                if said := child.hear(PATIENCE * 6):
                    raise Failed(said)
                child.end()
        finally:
            for child in children:
                child.__exit__()
        wanted = times * THREADS * PROCESSES
        if counted.total() != wanted:
            raise Failed(f"{counted.total()} were counted, and not {wanted}")
    return wanted


def _put_in_order(line: Line, queue: SharedQueue[Any], me: int, times: int) -> None:
    def run(thread: int) -> None:
        for n in range(times):
            queue.put((me, thread, n))

    threads = [threading.Thread(target=run, args=(thread,), daemon=True) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    line.say("")


def in_order(_kind: str, tries: int) -> int:
    """What each of them puts comes out once, and in its order."""
    times = max(tries // (THREADS * PROCESSES), 1)
    wanted = times * THREADS * PROCESSES
    with SharedQueue[Any]() as queue:
        children = [Child("fork", _put_in_order, queue, me, times) for me in range(PROCESSES)]
        seen = dict[tuple[int, int], int]()
        try:
            for _ in range(wanted):
                me, thread, n = queue.get(timeout=PATIENCE * 3)
                if seen.get((me, thread), -1) != n - 1:
                    raise Failed(f"{n} of thread {thread} came after {seen.get((me, thread))}")
                seen[me, thread] = n
            for child in children:
                child.hear()
                child.end()
        finally:
            for child in children:
                child.__exit__()
        if not queue.empty():
            raise Failed("there are more items than were put")
    return wanted


def crossing(kind: str, tries: int) -> int:
    """64 threads meet at a barrier, wait for an event, or answer each other over a pipe."""
    rounds = max(tries // THREADS, 1)
    if kind == "SharedPipe":
        here, there = SharedPipe()
        for n in range(tries):
            here.send(n)
            if there.recv() != n:
                raise Failed("an item came out of order")
        here.close()
        there.close()
        return tries
    errors = list[BaseException]()
    with kept(SharedBarrier(THREADS) if kind == "SharedBarrier" else KINDS[kind].make()) as x:

        def run() -> None:
            try:
                for _ in range(rounds):
                    x.wait(PATIENCE)
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

        threads = [threading.Thread(target=run, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        if kind == "SharedEvent":
            x.set()
        for thread in threads:
            thread.join(PATIENCE)
        if errors or any(thread.is_alive() for thread in threads):
            raise Failed(f"not all came through: {errors[:1]}")
    return rounds * THREADS


# ---- the end of an interpreter ----

LEAVING = """
import sys, threading, time
from procshare.testing._kinds import KINDS
from procshare.testing._closing import WAITS
kind, how = sys.argv[1:]
x = KINDS[kind].make()
hold, wait = WAITS[kind]
ready = threading.Event()
def holder():
    with hold(x):
        ready.set()
        time.sleep(60)
def waiter():
    wait(x)
threading.Thread(target=holder, daemon=True).start()
ready.wait()
for _ in range(3):
    threading.Thread(target=waiter, daemon=True).start()
time.sleep(0.05)
if how == "named" and hasattr(x, "name"):
    x.name
"""


def leaving(kind: str, tries: int) -> int:
    """An interpreter ends in order while daemon threads hold the object and wait for it; nothing is said, or left."""
    before = entries()
    for n in range(tries):
        how = ("named", "unnamed")[n % 2]
        command = [sys.executable, "-W", "error", "-c", LEAVING, kind, how]
        ended = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, text=True)
        if ended.returncode != 0 or ended.stderr or ended.stdout:
            raise Failed(f"it ended with {ended.returncode}: {ended.stderr[-400:]}")
    if left := left_since(before):
        raise Failed(f"left: {left}")
    return tries


SECOND = """
import sys
import procshare
procshare.SharedCounter(1)
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
try:
    second = interpreters.create()
    error = interpreters.run_string(second, "import procshare; procshare.SharedCounter(1)")
    print(error)
except Exception as error:
    print(type(error).__name__, error)
"""


def second_interpreter(_kind: str, _tries: int) -> int:
    """A second interpreter of the same process is told that it cannot have the core."""
    ended = subprocess.run(
        [sys.executable, "-c", SECOND], capture_output=True, timeout=PATIENCE, check=False, text=True
    )
    if ended.returncode != 0 or "ImportError" not in ended.stdout + ended.stderr:
        raise Failed(f"it ended with {ended.returncode}: {ended.stdout[-300:]} {ended.stderr[-300:]}")
    return 1
