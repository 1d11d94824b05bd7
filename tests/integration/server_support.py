"""A server in a session of its own, on a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from demo_support import environment
from scripts import until

if TYPE_CHECKING:
    from typing import Self

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PATIENCE = 30.0  # seconds within which a server does what it was told


class Server:
    """A server, and all that it starts, which is killed at the end of the `with` block.

    Args:
        folder: In which it is started.
        arguments: Of Python; `{fd}` in them becomes the descriptor of a socket that already listens.
        environ: Variables in addition to this process's.
    """

    def __init__(self, folder: Path, *arguments: str, environ: dict[str, str] | None = None) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="server-")  # for what it keeps in its user's run directory
        self._log = (Path(self._home.name) / "log").open("w+")
        with socket.create_server(("127.0.0.1", 0), backlog=128) as bound:  # clients may connect before it accepts
            self.port: int = bound.getsockname()[1]
            self.process = subprocess.Popen(
                [sys.executable, *(each.replace("{fd}", str(bound.fileno())) for each in arguments)],
                cwd=folder,
                env={**environment(), "PYTHONWARNINGS": "", "XDG_RUNTIME_DIR": self._home.name, **(environ or {})},
                pass_fds=[bound.fileno()],
                stderr=self._log,
                start_new_session=True,
            )

    def workers(self) -> list[int]:
        """The process ids of its children that are no resource tracker."""
        master = self.process.pid
        mine = [pid for pid in in_session(master) if parent(pid) == master]
        return [pid for pid in mine if b"resource_tracker" not in read(pid, "cmdline")]

    def signal(self, number: int) -> None:
        """Send the master a signal."""
        self.process.send_signal(number)

    def stop(self) -> str:
        """Shut it down in order; what it logged.

        Raises:
            AssertionError: It did not end well.
        """
        self.signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        log = self.log()
        assert code in (0, -signal.SIGTERM), log  # some raise it again at their end
        assert "Traceback" not in log
        assert "resource_tracker" not in log  # which would tell of something left behind
        return log

    def gone(self) -> bool:
        """Whether no process of its is left."""
        return in_session(self.process.pid) == []

    def log(self) -> str:
        """What it logged."""
        return Path(self._log.name).read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for pid in in_session(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert until(self.gone)
        self._log.close()
        self._home.cleanup()


def in_session(leader: int) -> list[int]:
    """The processes of a session that have not ended."""
    pids = [int(pid) for pid in os.listdir("/proc") if pid.isdigit()]
    return [pid for pid in pids if stat(pid)[3] == str(leader) and stat(pid)[0] != "Z"]


def parent(pid: int) -> int:
    """The process id of a process's parent; 0: it is gone."""
    return int(stat(pid)[1])


def stat(pid: int) -> list[str]:
    """State, parent, process group and session of a process, as text."""
    return (read(pid, "stat") or b") Z 0 0 0").rpartition(b")")[2].decode().split()[:4]


def read(pid: int, file: str) -> bytes:
    """A file of /proc; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
