"""gunicorn: `examples/gunicorn` counts every request, whatever becomes of the workers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from functools import partial
from itertools import count

import pytest

from gunicorn_support import EXAMPLES, Gunicorn, Load
from nesting import exists
from procshare import SharedCounter
from scripts import entries, until

pytest.importorskip("gunicorn", reason="`make integration` installs it")

NUMBERS = count()
WORKERS = 4
KINDS = {
    "sync": ("--worker-class", "sync"),
    "sync, preloaded": ("--worker-class", "sync", "--preload"),
    "gthread": ("--worker-class", "gthread", "--threads", "2"),
    "gthread, preloaded": ("--worker-class", "gthread", "--threads", "2", "--preload"),
}
every_kind = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS.keys())


@pytest.fixture
def name() -> str:
    """Of a counter that no other test uses."""
    return f"test-gunicorn-{os.getpid()}-{next(NUMBERS)}"


def serve(name: str, *options: str) -> Gunicorn:
    """The example, with a short timeout: it is also how often a worker looks whether its master lives."""
    return Gunicorn(EXAMPLES / "gunicorn", "--timeout", "4", *options, environ={"HITS": name})


def counted(name: str) -> int:
    """What the counter says while the server has it open."""
    with SharedCounter.attach(name) as hits:
        total: int = hits.value
    return total


def replaced(server: Gunicorn, old: list[int]) -> bool:
    """Whether all of the old workers have left, and as many others are there."""
    now = server.workers()
    return len(now) == WORKERS and not set(now) & set(old)


@every_kind
def test_each_request_is_counted_once_while_workers_are_recycled(name: str, options: tuple[str, ...]) -> None:
    """A worker leaves after 25 requests, and all are replaced at a HUP: the answers are 1, 2, 3, … without a gap."""
    with serve(name, *options, "--max-requests", "25", "--max-requests-jitter", "5") as server:
        with Load(server.port) as load:
            load.until(100)
            old = server.workers()
            server.signal(signal.SIGHUP)
            load.until(100)
            assert until(partial(replaced, server, old), 20), server.log()
            load.until(100)
        total = counted(name)
        log = server.stop()
    assert sorted(load.numbers) == list(range(1, total + 1))
    assert log.count("Booting worker") > 2 * WORKERS  # some were recycled, besides those of the HUP
    assert not exists(name)


@every_kind
def test_no_answered_request_is_lost_when_workers_are_killed(name: str, options: tuple[str, ...]) -> None:
    """SIGKILL in the middle of the load: each answer has its own number; what is counted beyond them was unanswered."""
    with serve(name, *options, "--max-requests", "40") as server:
        with Load(server.port) as load:
            for _ in range(4):
                load.until(20)
                os.kill(server.workers()[0], signal.SIGKILL)
            load.until(25)
            server.signal(signal.SIGHUP)
            load.until(25)
        total = counted(name)
        server.stop()
    assert len(load.numbers) == len(set(load.numbers))
    assert len(load.numbers) <= total <= load.sent
    assert max(load.numbers) <= total
    assert not exists(name)


def test_the_counter_outlives_all_workers_at_once(name: str) -> None:
    """The master holds it: whoever comes after a generation that was killed to the last counts on."""
    with serve(name) as server:
        with Load(server.port) as load:
            load.until(50)
        assert until(lambda: len(server.workers()) == WORKERS)
        old = server.workers()
        for worker in old:
            os.kill(worker, signal.SIGKILL)
        assert until(partial(replaced, server, old), 20), server.log()
        with Load(server.port) as more:
            more.until(50)
        total = counted(name)
        server.stop()
    assert sorted(load.numbers + more.numbers) == list(range(1, total + 1))


@pytest.mark.parametrize("options", [KINDS["sync"], KINDS["gthread, preloaded"]], ids=["sync", "gthread, preloaded"])
def test_nothing_is_left_when_the_master_is_killed(name: str, options: tuple[str, ...]) -> None:
    """Its workers notice, leave, and the last of them takes the counter along."""
    with serve(name, *options) as server:
        with Load(server.port) as load:
            load.until(20)
        assert until(lambda: len(server.workers()) == WORKERS)
        server.process.kill()
        server.process.wait()
        assert until(server.gone, 20), server.log()
        assert not exists(name)
    assert not [entry for entry in entries() if name in entry]


def test_a_server_that_was_killed_with_all_its_workers_starts_anew(name: str) -> None:
    """Nobody was there to remove the counter; the next server does, and counts from 1."""
    with serve(name) as server:
        with Load(server.port) as load:
            load.until(20)
        assert until(lambda: len(server.workers()) == WORKERS)
        server.signal(signal.SIGSTOP)  # so that it starts no others
        for worker in server.workers():
            os.kill(worker, signal.SIGKILL)
        server.process.kill()
        assert until(server.gone), server.log()
    with serve(name) as server:
        with Load(server.port) as load:
            load.until(20)
        server.stop()
    assert sorted(load.numbers) == list(range(1, len(load.numbers) + 1))
    assert not exists(name)


def answers(told: str) -> int:
    """How many answers wrk says that it got."""
    return int(re.findall(r"(\d+) requests in", told)[0])


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_wrk_is_answered_no_more_than_was_counted(name: str) -> None:
    """As many requests as the workers can take: the count is what wrk got, and what was under way when it stopped."""
    connections = 16
    command = ["wrk", "-t", "2", "-c", str(connections), "-d", "2s"]
    with serve(name, *KINDS["gthread, preloaded"], "--max-requests", "500") as server:
        with Load(server.port, 1) as load:
            load.until(1)
        before = counted(name)
        url = f"http://127.0.0.1:{server.port}/"
        told = subprocess.run([*command, url], capture_output=True, text=True, timeout=30, check=True).stdout
        assert until(lambda: counted(name) >= before + answers(told), 10)
        total = counted(name) - before
        server.stop()
    answered = answers(told)
    broken = sum(map(int, re.findall(r"(?:read|write|timeout) (\d+)", told)))
    assert answered > 500
    assert answered <= total <= answered + connections + broken, told
