"""The situations that `procshare.testing.stdlib` measures.

Each function runs in a process of its own and says what it saw.

A function gets the standard library's or procshare's objects, so that both do the very same.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from queue import Empty
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

import procshare
from procshare.testing._processes import SHM, until

if TYPE_CHECKING:
    from collections.abc import Callable

GIVE_UP = 2.0  # seconds
FORK: Any = multiprocessing.get_context("fork")


def killed(act: Callable[..., object], *args: Any, after: Callable[[], object] | None = None) -> None:
    """Run this in a process, and kill it: when it says that it has done it, or else when *after* is true."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_run, args=(act, args, theirs), daemon=True)
    process.start()
    if after is None:
        ours.recv()
    else:
        until(after, 10)
    process.kill()
    process.join()


def _run(act: Callable[..., object], args: tuple[Any, ...], said: Any) -> None:
    act(*args)
    said.send("done")
    time.sleep(60)


def waiting() -> Callable[[], bool]:
    """After a while in which a process that was just started has begun to wait."""
    moment = time.monotonic() + 0.2
    return lambda: time.monotonic() > moment


def seconds_until(acquire: Callable[..., Any]) -> str:
    """How long an acquire with a timeout took."""
    began = time.monotonic()
    if not acquire(timeout=GIVE_UP):
        return f"never (gave up after {GIVE_UP:g} s)"
    return "within 0.1 s" if time.monotonic() - began < 0.1 else f"within {GIVE_UP:g} s"


# ---- locks ----


def holder(lock: Any) -> str:
    """Its holder is killed."""
    killed(lock.acquire)
    return seconds_until(lock.acquire)


def holder_of_value(value: Any) -> str:
    """The holder of a value's own lock is killed."""
    if isinstance(value, procshare.SharedValue):

        def hold() -> None:
            value.locked().__enter__()

        killed(hold)

        def acquire(timeout: float) -> bool:
            with value.locked(timeout=timeout):
                return True

        return seconds_until(acquire)
    return holder(value.get_lock())


def notify_after_waiter(condition: Any) -> str:
    """One who waits is killed; another notifies."""

    def wait() -> None:
        with condition:
            condition.wait()

    killed(wait, after=waiting())
    with condition:
        condition.notify_all()
    return "the notifier goes on"


def set_after_waiter(event: Any) -> str:
    """One who waits is killed; another sets the event."""
    killed(event.wait, after=waiting())
    event.set()
    return "the setter goes on"


def barrier_after_waiter(barrier: Any) -> str:
    """One of two parties is killed while it waits; the other comes."""
    killed(barrier.wait, after=waiting())
    try:
        barrier.wait(GIVE_UP)
    except BrokenBarrierError:
        return "the other one gets BrokenBarrierError"
    return "the other one passes, alone"


# ---- queues ----


def consumer(queue: Any) -> str:
    """A process is killed while it waits for an item; another takes the next one."""
    killed(queue.get, after=waiting())
    queue.put("item")
    try:
        queue.get(timeout=GIVE_UP)
    except Empty:
        return f"nobody gets an item (gave up after {GIVE_UP:g} s)"
    return "the next one gets the item"


def producer(queue: Any) -> str:
    """A process is killed while it puts something long; another puts, a third takes."""
    reader = getattr(queue, "_reader", None)  # of multiprocessing's: has the first half come?
    begun = waiting() if reader is None else reader.poll
    killed(lambda: [queue.put(b"x" * 50_000_000) for _ in range(100)], after=begun)
    queue.put("item")
    while queue.get(timeout=GIVE_UP) != "item":
        pass
    return "the next item arrives"


# ---- memory ----

HOLD_MEMORY = """
import sys, time
from multiprocessing.shared_memory import SharedMemory
x = SharedMemory(create=True, size=10000)
print(x.name, flush=True)
time.sleep(60)
"""
HOLD_SHARED = """
import sys, time
from procshare import SharedArray
x = SharedArray.zeros(10000)
print(x.segment, flush=True)
time.sleep(60)
"""
LOOK = """
import sys
from multiprocessing.shared_memory import SharedMemory
x = SharedMemory(name=sys.argv[1])
x.close()
"""
LOOK_SHARED = "import sys, procshare; procshare.attach(sys.argv[1]).close()"


def creator(source: str, group: bool) -> str:
    """The creator is killed, alone or with its resource tracker."""
    name, process = started(source)
    if group:
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    if until(lambda: not (SHM / name).exists(), 3):
        return "gone within 3 s"
    create = LOOK_CREATE if source == HOLD_MEMORY else "from procshare import *; SharedCounter()"
    subprocess.run([sys.executable, "-c", create], check=True, timeout=20)
    if not (SHM / name).exists():
        return "gone at the next creation"
    (SHM / name).unlink()
    return "left for ever"


LOOK_CREATE = """
from multiprocessing.shared_memory import SharedMemory
x = SharedMemory(create=True, size=10)
x.close()
x.unlink()
"""


def stranger(source: str, look: str) -> str:
    """An unrelated process attaches and ends; another one comes later."""
    name, process = started(source)
    try:
        for _ in range(2):
            done = subprocess.run([sys.executable, "-c", look, name], capture_output=True, check=False, timeout=20)
            if done.returncode:
                return "destroys it: the next one finds nothing"
            until(lambda: not (SHM / name).exists(), 0.5)
        return "destroys nothing"
    finally:
        process.kill()
        process.wait()
        (SHM / name).unlink(missing_ok=True)


def started(source: str) -> tuple[str, subprocess.Popen[str]]:
    """A program that is unrelated to this one, and the name that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        return process.stdout.readline().strip(), process


FILL_MEMORY = """
from multiprocessing.shared_memory import SharedMemory
x = SharedMemory(create=True, size=16 << 20)
x.buf[:] = bytes(16 << 20)
"""
FILL_SHARED = """
import procshare
try:
    procshare.SharedArray(bytearray(16 << 20), "B")
except procshare.OutOfSharedMemory:
    raise SystemExit(9)
"""


def small(source: str) -> str:
    """16 MiB in a /dev/shm of 4 MiB, in a mount namespace of its own."""
    mount = 'mount --make-rprivate / && mount -t tmpfs -o size=4M tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-c", source]
    if os.geteuid() != 0:
        return "not tried: it takes root"
    done = subprocess.run(command, capture_output=True, check=False, timeout=20)
    return ended(done.returncode)


TRUNCATED_MEMORY = """
import os
from multiprocessing.shared_memory import SharedMemory
x = SharedMemory(create=True, size=100000)
os.truncate("/dev/shm/" + x.name, 0)
bytes(x.buf)
"""
TRUNCATED_SHARED = """
import os, procshare
x = procshare.SharedArray.zeros(100000)
os.truncate("/dev/shm/" + x.segment, 0)
try:
    x.value
except procshare.CorruptSegment:
    os._exit(10)
"""


def truncated(source: str) -> str:
    """The file is cut to nothing behind a process that has mapped it."""
    before = set(os.listdir(SHM))
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False, timeout=20)
    for name in set(os.listdir(SHM)) - before:
        if name.startswith("psm_"):
            (SHM / name).unlink(missing_ok=True)
    return ended(done.returncode)


def ended(code: int) -> str:
    """In words."""
    if code < 0:
        return f"dies of {signal.Signals(-code).name}"
    return {9: "OutOfSharedMemory", 10: "CorruptSegment", 0: "nothing happens"}.get(code, f"ends with {code}")


def unlinked(memory: Any, name: str, again: Callable[[], Any]) -> str:
    """Its name is removed while it is mapped, and given to another."""
    memory.unlink()
    with_name = again()
    with_name.unlink()
    with_name.close()
    return f"{name} can be used on, its name again"
