"""gunicorn as root, whose workers become another user: `examples/privileges`."""

from __future__ import annotations

import os
import re
import signal
from http.client import HTTPConnection
from pathlib import Path

import pytest

from gunicorn_support import EXAMPLES, Gunicorn, Load
from scripts import entries, until

pytest.importorskip("gunicorn", reason="`make integration` installs it")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

WORKER = 54321  # a user and a group that nothing else has


def serve(*options: str) -> Gunicorn:
    """The example; root imports the application, for another user may not be able to read the files of this Python."""
    environ = {"WORKER": str(WORKER), "GROUP": str(WORKER)}
    return Gunicorn(EXAMPLES / "privileges", "--timeout", "4", "--preload", *options, environ=environ)


def user_of(pid: int) -> int:
    """The effective user id of a process."""
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("Uid:"))
    return int(line.split()[2])


def get(port: int, path: str) -> str:
    """What the server answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()
    finally:
        connection.close()


def test_workers_of_another_user_count_exactly_while_they_are_recycled_and_killed() -> None:
    """Each answered request has its own number; a worker's fork locks what root made; nothing is left."""
    before = entries()
    with serve("--max-requests", "25") as server:
        with Load(server.port) as load:
            load.until(60)
            assert until(lambda: {user_of(pid) for pid in server.workers()} == {WORKER}, 10)
            for _ in range(3):
                os.kill(server.workers()[0], signal.SIGKILL)
                load.until(20)
            load.until(40)
        answer = get(server.port, "/?fork")
        log = server.stop()
    numbers = load.numbers
    assert len(numbers) == len(set(numbers))
    assert answer.endswith(f"counted by user {WORKER}\n")
    last = int(re.findall(r"\d+", answer)[0])
    assert max(numbers) < last <= load.sent + 1
    assert "Traceback" not in log, log
    assert until(lambda: entries() <= before, 10), entries() - before


def test_a_killed_master_leaves_nothing() -> None:
    """Its workers may not remove root's files: the resource tracker, which is root's, does."""
    before = entries()
    with serve() as server:
        with Load(server.port) as load:
            load.until(20)
        assert entries() > before
        server.process.kill()
        server.process.wait()
        assert until(server.gone, 20), server.log()
    assert until(lambda: entries() <= before, 10), entries() - before
