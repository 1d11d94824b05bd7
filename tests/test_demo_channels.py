"""The fourth part of `procshare demo`: what it says of queues and pipes, and what becomes of it when workers die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from demo_support import nothing_left_behind, outcome, patched_demo
from procshare.cli.demo_channels import Channels, Stream
from procshare.cli.paper import PlainPaper
from procshare.cli.report import DemoPage

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def shm_as_before() -> Iterator[None]:
    """However the demo ends, it leaves nothing behind."""
    with nothing_left_behind():
        yield


def channels(**changes: Any) -> Channels:
    """A good outcome of the fourth part, but for these changes."""
    stream = Stream("a queue", 100, 100, True, 0.1)
    good: dict[str, Any] = {"queue": stream, "stdlib": stream, "results": 5, "results_equal": True, "rescued": True}
    good |= {"rescue_seconds": 0.01, "round_trips": 10, "answered": True, "round_trip_seconds": 1e-5}
    return Channels(**{**good, **changes})


@pytest.mark.parametrize(
    ("changes", "ok", "said"),
    [
        ({}, True, "another one had it 10.0 ms later"),
        ({"stdlib": Stream("mp.Queue", 100, 100, True, 0.2)}, True, "2.0 times as fast as mp.Queue"),
        ({"stdlib": Stream("mp.Queue", 100, 100, True, 0.05)}, True, "2.0 times as slow as mp.Queue"),
        ({"queue": Stream("SharedQueue", 100, 99, False, 0.1)}, False, "99"),
        ({"results_equal": False}, False, "are not those of one process alone"),
        ({"rescued": None}, True, "not tried"),
        ({"rescued": False}, False, "did not come back"),
        ({"answered": False}, False, "with wrong answers"),
    ],
)
def test_page_is_honest_about_channels(
    changes: dict[str, Any], ok: bool, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was lost, did not come back or came back wrong is said, and is not ok."""
    outcome = channels(**changes)
    DemoPage(PlainPaper()).channels(outcome)
    assert outcome.ok is ok
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("worker", ["_produce", "_work_off", "_answer"])
def test_worker_of_the_channels_that_dies_fails_the_demo(worker: str) -> None:
    """A producer, a sender of results or an answerer that is killed leaves nobody waiting."""
    ran = patched_demo(f"demo_channels.{worker} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)", "--json")
    assert ran.returncode == 1
    assert "was killed by SIGKILL" in ran.stderr


@pytest.mark.parametrize("worker", ["_work_off", "_answer"])
def test_worker_of_the_channels_that_stops_early_fails_the_demo(worker: str) -> None:
    """Nor does one that ends well, but before its work was done."""
    ran = patched_demo(f"demo_channels.{worker} = lambda *args: None", "--json")
    assert ran.returncode == 1
    assert "work was done" in ran.stderr


def test_an_item_too_few_exits_with_1() -> None:
    """A consumer that counts one item too few is noticed, said, and reported by the exit code."""
    patch = """
right = demo_channels._consume
def lose_one(watch, queue, received, total):
    right(watch, queue, received, total)
    received.decrement()
demo_channels._consume = lose_one
"""
    ran = patched_demo(patch, "--json")
    assert ran.returncode == 1
    assert "is not what was sent" in ran.stderr
    assert outcome(ran)["channels"]["queue"]["received"] == 1999
