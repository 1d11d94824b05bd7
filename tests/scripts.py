"""Whole Python programs for tests: each in a process of its own, unrelated to the one that runs the tests.

A program talks to its test by lines. It is killed and reaped at the end of its `with` block, whatever became of it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import procshare
from procshare.testing._processes import SHM, entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["PREAMBLE", "SHM", "SLOWER", "Ended", "Script", "entries", "finish", "left_since", "run", "until"]

SLOWER = 20 if "PROCSHARE_SANITIZER" in os.environ else 1  # how much longer all may take under a sanitizer
PREAMBLE = """\
import os, pickle, signal, sys, time
import multiprocessing as mp
import procshare
from procshare import *

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # print() may write twice

"""


class Ended(NamedTuple):
    """How a program ended: its exit code (negative: a signal) and what it wrote that was not heard."""

    code: int
    out: str
    err: str


class Script:
    """A program that runs while the test goes on.

    Args:
        source: Its code, after the imports in `PREAMBLE`.
        args: Its `sys.argv[1:]`.
        python: The interpreter; every warning is an error there.
        environ: Variables in addition to this process's.
        wrapper: A command that runs the interpreter's.
    """

    def __init__(
        self,
        source: str,
        *args: object,
        python: str = sys.executable,
        environ: dict[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="script-")
        home = Path(self._home.name)
        (home / "procshare").symlink_to(Path(procshare.__file__).parent)  # found there by interpreters without it
        (home / "program.py").write_text(PREAMBLE + source)
        self._err = (home / "err").open("w+")
        self.process = subprocess.Popen(
            [*wrapper, python, "-W", "error", str(home / "program.py"), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._err,
            env={**os.environ, "PYTHONPATH": f"{home}:{os.environ.get('PYTHONPATH', '')}", **(environ or {})},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        self._read = b""

    def tell(self, line: str = "") -> None:
        """Give it a line."""
        os.write(self._in, line.encode() + b"\n")

    def hear(self, timeout: float = 20) -> str:
        """The next line that it printed.

        Raises:
            AssertionError: It ended, or said nothing in time; with what it wrote to stderr.
        """
        deadline = time.monotonic() + timeout * SLOWER
        while b"\n" not in self._read:
            if not self._more(deadline):
                raise AssertionError(f"no line from the program; stderr:\n{self._errors()}")
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def hang_up(self) -> None:
        """Close its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def ended(self, timeout: float = 20) -> Ended:
        """Wait for its end, and for that of all that it started and that still could write.

        Raises:
            AssertionError: That took longer than *timeout*.
        """
        timeout *= SLOWER
        deadline = time.monotonic() + timeout
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the program did not end; stderr:\n{self._errors()}") from None
        while self._more(deadline):
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"something that the program started did not end; stderr:\n{self._errors()}")
        return Ended(code, self._read.decode(), self._errors())

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._out], [], [], max(deadline - time.monotonic(), 0))
        data = os.read(self._out, 1 << 16) if ready else b""
        self._read += data
        return bool(data)

    def _errors(self) -> str:
        self._err.seek(0)
        return self._err.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout, self._err):
            if stream is not None:
                stream.close()
        self._home.cleanup()


def run(source: str, *args: object, timeout: float = 30, **options: Any) -> Ended:
    """Run a program to its end.

    Args:
        source, args, options: As for `Script`.
        timeout: Seconds that it and all that it started may take.
    """
    with Script(source, *args, **options) as script:
        return script.ended(timeout)


def until(true: Callable[[], object], timeout: float = 5) -> bool:
    """Whether *true* became true in time; asked every few milliseconds."""
    deadline = time.monotonic() + timeout * SLOWER
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def left_since(before: set[str], timeout: float = 3) -> set[str]:
    """What appeared in /dev/shm since *before*, and is still there after *timeout*; empty as soon as nothing is.

    An entry to which only processes of other process groups are attached belongs to another test run.
    """

    def left() -> set[str]:
        return {name for name in entries() - before if not _elsewhere(name)}

    return set() if until(lambda: not left(), timeout) else left()


def _elsewhere(name: str) -> bool:
    attached = {pid for info in procshare.segments() if info.segment == name for pid in info.attached}
    return bool(attached) and all(_group(pid) not in (None, os.getpgrp()) for pid in attached)


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def finish(pid: int, number: int = signal.SIGKILL) -> None:
    """End a process that this one did not start, if it is there (0: let it), and wait until it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    assert until(lambda: _dead(pid)), f"process {pid} did not end"


def _dead(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] in "ZX"  # a zombie is whoever adopted it to reap
