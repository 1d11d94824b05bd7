"""Celery: prefork processes of `examples/celery` count together, also when one of them is killed in a task."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from example_support import run, shown
from procshare import NotFound, SharedCounter
from scripts import entries, until
from server_support import EXAMPLES, PATIENCE, Server

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("celery", reason="`make integration` installs it")

OPTIONS = ("--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "INFO")


def is_open(name: str) -> bool:
    """Whether the worker has opened its counter."""
    try:
        SharedCounter.attach(f"{name}-done").close()
    except NotFound:
        return False
    return True


def test_tasks_are_counted_once_and_the_killed_one_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty tasks, and one that kills its process: another process does that one, and the counter is exact."""
    name = f"test-celery-{os.getpid()}"
    monkeypatch.setenv("TASKS", name)
    monkeypatch.setenv("QUEUE", str(tmp_path / "queue"))
    folder = EXAMPLES / "celery"
    with Server(folder, "-m", "celery", "-A", "tasks", "worker", *OPTIONS) as server:
        assert until(lambda: is_open(name), PATIENCE), server.log()
        printed, _ = run(folder, "send.py", warnings="")
        log = server.log()
        server.signal(15)
        assert server.process.wait(PATIENCE) == 0
    assert printed == shown("celery")["send.py"]
    assert "signal 9 (SIGKILL)" in log
    assert not [entry for entry in entries() if name in entry]
