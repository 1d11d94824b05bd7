"""What the processes of `procshare.testing.strangers` do: attach, hold, lose their descriptors, come again."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import procshare
from procshare import LockTimeout, ProcshareError, SharedCounter
from procshare.testing._exit_makers import kind_of, use
from procshare.testing._kinds import KINDS
from procshare.testing._processes import PATIENCE, SHM, Line

if TYPE_CHECKING:
    from collections.abc import Generator


class Unable(Exception):
    """A case needs what this process may not do here."""


def mute_tracker() -> None:
    """Start the resource tracker without a stderr: it warns of what the killed had made, as it should."""
    from multiprocessing import resource_tracker

    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    resource_tracker.ensure_running()
    os.dup2(kept, 2)
    os.close(kept)
    os.close(null)


def attach_and(line: Line, names: list[str], how: str) -> None:
    """Attach to everything by name, use it, and end."""
    kept = [procshare.attach(name) for name in names]
    for each in kept:
        use(kind_of(each), each)
    line.say("attached")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "_exit":
        os._exit(0)
    elif how == "memory":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # its traceback
        resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))
        bytearray(1 << 34)


def open_by_hand(line: Line, segments: list[str]) -> None:
    """As a program without procshare would."""
    from multiprocessing.shared_memory import SharedMemory

    kept = [SharedMemory(name=segment) for segment in segments]
    line.say("attached")
    for each in kept:
        each.close()


def drop_privileges(line: Line, names: list[str], segments: list[str]) -> None:
    """As `nobody`: try to attach, and to remove."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    attached = removed = 0
    for name, segment in zip(names, segments, strict=True):
        for call in (lambda name=name: procshare.attach(name)), ((SHM / segment).read_bytes):
            try:
                call()
                attached += 1
            except (OSError, ProcshareError):
                continue
        try:
            (SHM / segment).unlink()
            removed += 1
        except OSError:
            continue
    procshare.prune()
    line.say((attached, removed))


def try_lock(x: Any, timeout: float) -> bool:
    """Whether the lock can be had."""
    try:
        with x.locked(timeout=timeout):
            return True
    except LockTimeout:
        return False


def hold_and_say(line: Line, x: Any) -> None:
    """Hold its lock for ever."""
    with x.locked():
        line.say(os.getpid())
        time.sleep(60)


def come_again(pid: int) -> int:
    """Start a process that has this very pid.

    Raises:
        Unable: The kernel gives no way to.
    """
    for _ in range(50):
        try:
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        except OSError as error:
            raise Unable(f"a process id cannot be chosen: {error.strerror}") from None
        if (child := os.fork()) == 0:
            time.sleep(60)
            os._exit(0)
        if child == pid:
            return child
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    raise Unable("the process id was always taken by others first")


HOLD = """
import sys, time
from procshare import SharedCounter
name = sys.argv[1]
if name.startswith("open:"):
    x = SharedCounter.open(name[5:])
else:
    x = SharedCounter.attach(name)
    block = x.locked()
    block.__enter__()
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def in_namespace(name: str, mounts: bool) -> Generator[subprocess.Popen[str]]:
    """A process in a PID namespace of its own, the first in it, that holds the object's lock.

    Raises:
        Unable: Namespaces cannot be made here.
    """
    flags = "-pfm" if mounts else "-pf"
    command = ["unshare", flags, "--kill-child", sys.executable, "-c", HOLD, name]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise Unable(f"no unshare: {error.strerror}") from None
    with process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "held\n":
                raise Unable(f"no PID namespace: {process.communicate()[1].strip()[-100:]}")
            yield process
        finally:
            process.kill()
            process.wait()


def lose_descriptors(line: Line, counter: Any, value: Any, made: list[Any], how: str) -> None:
    """Lose all descriptors but the line's in the midst of counting; then use everything, grow it, and fork."""
    fd: int = getattr(line, "_connection").fileno()
    foreign: list[tuple[int, int]] = []
    over = threading.Event()
    thread = threading.Thread(target=lambda: over.wait(PATIENCE), daemon=True)
    if how == "threads":
        thread.start()
    for step in range(200):
        if step == 100 and how:
            foreign = _lose(fd, how)
        counter.increment()
        with value.locked(timeout=PATIENCE) as cell:
            cell.value += 1
    problems = [problem for each in made if (problem := use(kind_of(each), each))]
    for each in made:
        if isinstance(each, procshare.SharedDict) and how:
            each["grown"] = "x" * 100_000
    if how:
        problems += _use_in_a_fork(made)
    over.set()
    for number, inode in foreign:
        if os.fstat(number).st_ino != inode:
            problems.append(f"descriptor {number}, a foreign file's, was closed")
    line.say(problems)


def _lose(kept: int, how: str) -> list[tuple[int, int]]:
    if how != "dup2":
        os.closerange(3, kept)
        os.closerange(max(kept + 1, 3), 1000)
        return []
    ours = list[int]()
    for entry in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{entry}").startswith("/dev/shm/procshare"):
                ours.append(int(entry))
        except OSError:
            continue
    null = os.open(os.devnull, os.O_RDWR)
    for number in ours:
        os.dup2(null, number)
    return [(number, os.fstat(null).st_ino) for number in ours]


def _use_in_a_fork(made: list[Any]) -> list[str]:
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            problems = [problem for each in made if (problem := use(kind_of(each), each))]
            os.write(writing, "\n".join(problems).encode()[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    said = b""
    while part := os.read(reading, 4096):
        said += part
    os.close(reading)
    os.waitpid(child, 0)
    return [f"after a fork: {problem}" for problem in said.decode().splitlines()]


def count_and_say(line: Line, counter: Any, n: int) -> None:
    """Count under the lock, when told."""
    line.say("attached")
    line.hear()
    for _ in range(n):
        with counter.locked(timeout=PATIENCE) as cell:
            cell.value += 1
    line.say("done")


def create_and_wait(line: Line) -> None:
    """Make one of each type, over and over."""
    said = False
    while True:
        made: list[Any] = [kind.make() for name, kind in KINDS.items() if name != "SharedPipe"]
        for each in made:
            assert each.name
        opened = SharedCounter.open(f"strangers-made-{os.getpid()}")
        if not said:
            line.say("made")
            said = True
        for each in (*made, opened):
            each.unlink()
            each.close()


def race_to_leave(line: Line, name: str, n: int) -> None:
    """Open, attach, count and leave."""
    problems = list[str]()
    for _ in range(n):
        opened = SharedCounter.open(name)
        first = opened.increment()
        again = SharedCounter.attach(name)
        opened.close()
        if again.increment() <= first:
            problems.append("an object that was open was replaced")
        again.close()
    line.say((n, problems))
