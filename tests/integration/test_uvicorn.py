"""uvicorn: the spawned workers of `examples/uvicorn` share a cache, and compute each answer once."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import NamedTuple

import pytest

from procshare import SharedCounter, SharedDict, segments
from scripts import entries, until
from server_support import EXAMPLES, PATIENCE, Server

pytest.importorskip("uvicorn", reason="`make integration` installs it")

NUMBERS = count()
WORKERS = 2


class Answer(NamedTuple):
    """What a worker answered; by no worker, if it was killed meanwhile."""

    body: str
    worker: int


@pytest.fixture
def name() -> str:
    """Of a cache that no other test uses."""
    return f"test-uvicorn-{os.getpid()}-{next(NUMBERS)}"


def serve(name: str, slow: float = 0.05) -> Server:
    """The example, in which an answer takes *slow* seconds."""
    options = "-m", "uvicorn", "--workers", str(WORKERS), "--fd", "{fd}", "app:app"
    return Server(EXAMPLES / "uvicorn", *options, environ={"CACHE": name, "SLOW": str(slow)})


def ask(server: Server, path: str) -> Answer:
    """Ask on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(response.read().decode(), int(response.headers["worker"]))
    except (HTTPException, OSError):
        return Answer("", 0)
    finally:
        connection.close()


def computed(name: str) -> int:
    """How many answers were computed."""
    with SharedCounter.attach(f"{name}-computed") as counter:
        n: int = counter.value
    return n


def holder(name: str) -> int:
    """The worker that computes; 0: none does."""
    found = [info.holder for info in segments() if info.name == f"{name}-computing"]
    return found[0] or 0 if found else 0


def all_serve(server: Server) -> bool:
    """Whether each of its workers has answered, in the last of some requests."""
    return len({ask(server, "/ready").worker for _ in range(20)} - {0}) == WORKERS


def test_each_answer_is_computed_once_for_all_workers(name: str) -> None:
    """Sixty requests for five things, at the same time, to two workers."""
    paths = [f"/{fruit}" for fruit in ("apple", "pear", "plum", "fig", "quince")]
    with serve(name) as server, ThreadPoolExecutor(12) as clients:
        assert until(lambda: all_serve(server), PATIENCE), server.log()
        before = computed(name)
        answers = list(clients.map(partial(ask, server), paths * 12))
        after = computed(name)
        cache: SharedDict[str, object] = SharedDict.attach(name)  # pyright: ignore[reportUnknownVariableType]
        known = set(cache)
        cache.close()
        server.stop()
    assert [answer.body for answer in answers] == [path.upper() for path in paths * 12]
    assert after - before == len(paths)
    assert known == {*paths, "/ready"}
    assert not [entry for entry in entries() if name in entry]


def test_another_worker_computes_what_a_killed_one_had_begun(name: str) -> None:
    """It is killed while it holds the lock: its own client gets nothing, the other worker's gets the answer."""
    with serve(name, slow=3) as server, ThreadPoolExecutor(8) as clients:
        assert until(lambda: all_serve(server), PATIENCE), server.log()
        asked = [clients.submit(ask, server, "/tea") for _ in range(8)]
        assert until(lambda: holder(name) in server.workers(), 10), server.log()
        victim = holder(name)
        os.kill(victim, signal.SIGKILL)
        answers = [future.result() for future in asked]
        assert {answer.body for answer in answers} <= {"/TEA", ""}
        assert victim not in {answer.worker for answer in answers}
        assert ask(server, "/tea").body == "/TEA"
        assert computed(name) == 2  # with /ready
        assert until(lambda: all_serve(server), PATIENCE), server.log()  # another one was started, and knows it all
        assert computed(name) == 2
        server.stop()


def test_a_coroutine_waits_for_what_another_worker_does(name: str) -> None:
    """Eight long polls sleep in both workers, which answer others meanwhile; one increment wakes all of them."""
    with serve(name) as server, ThreadPoolExecutor(8) as clients:
        assert until(lambda: all_serve(server), PATIENCE), server.log()
        polls = [clients.submit(ask, server, "/news?1") for _ in range(8)]
        assert {ask(server, "/ready").body for _ in range(20)} == {"/READY"}
        assert not any(poll.done() for poll in polls)
        assert ask(server, "/tea").body == "/TEA"
        assert {poll.result().body for poll in polls} == {"2"}
        server.stop()
