"""A real gunicorn, and clients that keep account of what it answered."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from demo_support import environment
from scripts import until

if TYPE_CHECKING:
    from typing import Self

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PATIENCE = 30.0  # seconds within which a server does what it was told


class Gunicorn:
    """A gunicorn that runs `app:app` of a folder, with the `gunicorn.conf.py` there, on a port of its own.

    All that it started is killed at the end of the `with` block.

    Args:
        folder: In which it is started.
        options: Of its command line.
        environ: Variables in addition to this process's.
    """

    def __init__(self, folder: Path, *options: str, environ: dict[str, str] | None = None) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="gunicorn-")  # for its control socket
        self._log = (Path(self._home.name) / "log").open("w+")
        with socket.create_server(("127.0.0.1", 0), backlog=128) as bound:  # clients may connect before it listens
            self.port: int = bound.getsockname()[1]
            command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{bound.fileno()}", *options, "app:app"]
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**environment(), "PYTHONWARNINGS": "", "XDG_RUNTIME_DIR": self._home.name, **(environ or {})},
                pass_fds=[bound.fileno()],
                stderr=self._log,
                start_new_session=True,
            )

    def workers(self) -> list[int]:
        """The process ids of its workers now."""
        master = self.process.pid
        command = _read(master, "cmdline")
        forked = [pid for pid in _session(master) if _read(pid, "cmdline") == command]  # the tracker has another
        return [pid for pid in forked if pid != master]

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
        assert code == 0, log
        return log

    def gone(self) -> bool:
        """Whether no process of its is left."""
        return _session(self.process.pid) == []

    def log(self) -> str:
        """What it logged."""
        return Path(self._log.name).read_text()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for pid in _session(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert until(self.gone)
        self._log.close()
        self._home.cleanup()


def _session(leader: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = list[int]()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        state, _parent, _group, session = (_read(int(pid), "stat") or b") Z 0 0 0").rpartition(b")")[2].split()[:4]
        if int(session) == leader and state != b"Z":
            found.append(int(pid))
    return found


def _read(pid: int, file: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Load:
    """Clients that ask for one page after the other, each time on a connection of its own, until the block ends.

    Attributes:
        sent: Requests that a server may have got.
        numbers: The number that each answer told.
    """

    def __init__(self, port: int, clients: int = 4) -> None:
        self.sent = 0
        self.numbers = list[int]()
        self._port = port
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def until(self, answered: int) -> None:
        """Wait for that many more answers.

        Raises:
            AssertionError: They did not come in time.
        """
        with self._changed:
            wanted = len(self.numbers) + answered
            assert self._changed.wait_for(lambda: len(self.numbers) >= wanted, PATIENCE), len(self.numbers)

    def _ask(self) -> None:
        while not self._stopped:
            with self._changed:
                self.sent += 1
            number = self._once()
            if number:
                with self._changed:
                    self.numbers.append(number)
                    self._changed.notify_all()

    def _once(self) -> int:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read().decode()
        except (HTTPException, OSError):  # its worker was killed before it answered
            return 0
        finally:
            connection.close()
        told = re.search(r"\d+", body)
        assert response.status == 200
        assert told, body
        return int(told[0])

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopped = True
        for thread in self._threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive()
