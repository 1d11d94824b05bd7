"""The command line in this process, in a pipe or on a terminal of any width; and on a real one, in its own process."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from rich.console import Console
from typer.testing import CliRunner

import procshare
from demo_support import environment
from procshare.backends import native_built
from procshare.cli import paper
from procshare.cli.app import make_app
from procshare.cli.rich_paper import RichPaper

if TYPE_CHECKING:
    from typing import Self

needs_shm = pytest.mark.skipif(not native_built(), reason="only the shm backend has segments to list")

HOLDING = """
value = SharedValue({"phase": 1}, name=sys.argv[1])
with value.locked():
    say(os.getpid())
    sys.stdin.readline()
"""
"""A program that holds a lock until it is told to go on, and removes its value."""


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one line of JSON that it printed."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The table that it printed, as a program reads it."""
        titles, *lines = [line.split() for line in self.out.splitlines()]
        return [dict(zip(titles, line, strict=True)) for line in lines]


def run(*args: str, answer: str | None = None) -> Ran:
    """Run a command in this process, its output in a pipe."""
    ran = CliRunner().invoke(
        make_app(), list(args), obj={"json": "--json" in args}, prog_name="procshare", input=answer
    )
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return Ran(ran.exit_code, ran.stdout, ran.stderr)


def seen(monkeypatch: pytest.MonkeyPatch, columns: int, *args: str) -> list[str]:
    """The lines that a terminal of so many columns shows, which must have room for them."""
    window = StringIO()
    screen = Console(file=window, width=columns, height=30, force_terminal=True, no_color=True, highlight=False)
    monkeypatch.setattr(paper, "new_paper", lambda quiet=False: paper.PlainPaper(quiet) if quiet else RichPaper(screen))
    ran = run(*args)
    assert ran.code == 0
    lines = without_escapes(window.getvalue()).splitlines()
    assert max(map(len, lines)) <= columns
    return lines


def without_escapes(text: str) -> str:
    """What is left for the eye."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


class Terminal:
    """The command on a real terminal, in a process of its own, which is killed and reaped at the end of the block.

    Args:
        args: The command's arguments.
        columns: The terminal's width.
        environ: Variables in addition to this process's.
    """

    def __init__(self, *args: str, columns: int = 80, environ: dict[str, str] | None = None) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        without = {name: value for name, value in environment().items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "procshare.cli", *args],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**without, "TERM": "xterm-256color", **(environ or {})},
            start_new_session=True,
        )
        os.close(slave)
        self._bytes = b""

    def read_until(self, part: str, timeout: float = 30) -> None:
        """Wait until the command has printed this."""
        deadline = time.monotonic() + timeout
        while part not in self.text:
            assert self._more(deadline), f"it ended, or took too long; it printed:\n{self.text}"

    def read_all(self, timeout: float = 30) -> str:
        """Wait for its end; all that it printed."""
        deadline = time.monotonic() + timeout
        while self._more(deadline):
            pass
        assert time.monotonic() < deadline
        return self.text

    def write(self, text: str) -> None:
        """Type something."""
        os.write(self._master, text.encode())

    def _more(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        try:
            data = os.read(self._master, 1 << 16) if ready else b""
        except OSError:  # all who had it open have gone
            data = b""
        self._bytes += data
        return bool(data)

    @property
    def text(self) -> str:
        """What it has printed."""
        return self._bytes.decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def spoil(name: str) -> None:
    """Damage the header of an object's segment."""
    handle = procshare.attach(name)
    path = f"/dev/shm/{handle.segment}"
    handle.close()
    with open(path, "r+b") as file:
        file.write(b"\xff" * 64)
