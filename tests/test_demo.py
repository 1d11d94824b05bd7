"""`procshare demo`, run as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from demo_support import DEADLINE, SMALL, command, environment, nothing_left_behind, outcome, patched_demo
from procshare.backends import native_built
from procshare.cli.demo_counting import Counting, Tally
from procshare.cli.demo_words import SAMPLE_FILES, Sample, Words
from procshare.cli.paper import PlainPaper
from procshare.cli.report import DemoPage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

START_METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture(autouse=True)
def shm_as_before() -> Iterator[None]:
    """Whatever a command does, and however it ends, it leaves nothing behind."""
    with nothing_left_behind():
        yield


@pytest.fixture
def stdlib_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands share through the standard library."""
    monkeypatch.setenv("PROCSHARE_BACKEND", "stdlib")


@pytest.mark.parametrize("start_method", START_METHODS)
def test_small_demo_is_right_under_every_start_method(start_method: str) -> None:
    """The plain global stays 0, what must be exact is, and the workers' totals and words are the sequential ones."""
    ran = command("demo", "--json", "--start-method", start_method, *SMALL)
    assert (ran.returncode, ran.stderr) == (0, "")
    demo = outcome(ran)
    assert demo["ok"] is True
    assert (demo["workers"], demo["start_method"]) == (2, start_method)
    plain, unlocked, locked, shared = demo["counting"]["runs"]
    assert plain["counted"] == 0
    assert unlocked["counted"] + unlocked["lost"] == unlocked["expected"] == 4000
    assert locked["counted"] == shared["counted"] == 4000
    assert demo["reading"]["equal"] is True
    assert demo["reading"]["shared"] == demo["reading"]["alone"]
    assert demo["reading"]["shared"]["files"] == 40
    assert len(demo["reading"]["shared"]["histogram"]) == 256
    words = demo["words"]
    assert words["equal"] is words["sample"]["equal"] is True
    assert (words["files"], words["sample"]["files"]) == (40, SAMPLE_FILES)
    assert words["total"] > words["distinct"] > 100
    assert len(words["frequent"]) == 10
    channels = demo["channels"]
    assert channels["queue"]["received"] == channels["stdlib"]["received"] == 2000
    assert channels["queue"]["exact"] is channels["stdlib"]["exact"] is True
    assert (channels["results"], channels["results_equal"]) == (40, True)
    assert channels["answered"] is True
    if native_built():
        assert channels["rescued"] is True
        assert channels["rescue_seconds"] < 5


@pytest.mark.usefixtures("stdlib_backend")
@pytest.mark.parametrize("start_method", START_METHODS[:1])
def test_small_demo_is_right_on_the_stdlib_backend(start_method: str) -> None:
    """The demo needs nothing that the stdlib backend does not have."""
    ran = command("demo", "--json", "--start-method", start_method, *SMALL)
    assert (ran.returncode, ran.stderr) == (0, "")
    demo = outcome(ran)
    assert (demo["ok"], demo["backend"], demo["counting"]["runs"][3]["counted"]) == (True, "stdlib", 4000)
    assert demo["words"]["files"] == SAMPLE_FILES  # all of them would take minutes there
    assert demo["channels"]["rescued"] is None


def test_default_demo_shows_the_loss_and_reads_the_whole_library() -> None:
    """At its real size the demo loses increments without a lock, and reads every file."""
    ran = command("demo", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    demo = outcome(ran)
    _plain, unlocked, _locked, shared = demo["counting"]["runs"]
    assert shared["counted"] == 200_000
    if len(os.sched_getaffinity(0)) > 1:  # on one CPU, four processes hardly ever meet between read and write
        assert unlocked["lost"] > 0
    assert demo["words"]["files"] == demo["reading"]["shared"]["files"] > 500


def test_page_for_people_has_all_parts() -> None:
    """Without --json the demo explains each part, and says that totals and words agree."""
    ran = command("demo", *SMALL)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "1. The problem" in ran.stdout
    assert "SharedCounter: exact" in ran.stdout
    assert "2. Real data" in ran.stdout
    assert "Both agree" in ran.stdout
    assert "3. Any data" in ran.stdout
    assert "agree on each of the" in ran.stdout
    assert "4. Channels" in ran.stdout
    assert "each once, and each is right" in ran.stdout


def test_page_is_honest_when_nothing_was_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """A race that happened to lose nothing is reported as luck, not as a loss."""
    lucky = Tally("mp.Value, no lock", 100, 100, 0.1)
    DemoPage(PlainPaper()).counting(Counting(25, Tally("a plain global", 100, 0, 0.1), lucky, lucky, lucky))
    assert "none lost this time" in capsys.readouterr().out


def test_page_is_honest_when_the_counter_is_slower(capsys: pytest.CaptureFixture[str]) -> None:
    """Where `mp.Value` is faster, as on the stdlib backend, the page says so."""
    locked, shared = Tally("mp.Value, get_lock()", 100, 100, 0.1), Tally("SharedCounter", 100, 100, 0.5)
    DemoPage(PlainPaper()).counting(Counting(25, Tally("a plain global", 100, 0, 0.1), locked, locked, shared))
    assert "5.0 times as slow" in capsys.readouterr().out


@pytest.mark.parametrize(("manager", "said"), [(2.0, "20.0 times as fast"), (0.05, "2.0 times as slow")])
def test_page_is_honest_about_the_manager(manager: float, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a manager's dict is faster, the page says so; where it is not, by how much."""
    DemoPage(PlainPaper()).words(Words(1, 3, 2, (("a", 2), ("b", 1)), 0.1, 0.1, True, Sample(1, 0.1, manager, True)), 4)
    shown = capsys.readouterr().out
    assert said in shown
    assert "a 2, b 1" in shown


def test_page_shows_how_many_were_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """A race that lost increments is reported with their number and share."""
    exact = Tally("SharedCounter", 100, 100, 0.1)
    DemoPage(PlainPaper()).counting(
        Counting(25, Tally("a plain global", 100, 0, 0.1), Tally("no lock", 100, 58, 0.1), exact, exact)
    )
    assert "42 (42%)" in capsys.readouterr().out


def test_differing_totals_exit_with_1() -> None:
    """A sequential count that is one line off is noticed, said, and reported by the exit code."""
    patch = """
from dataclasses import replace
right = demo_files.count_alone
demo_files.count_alone = lambda paths: replace(right(paths), lines=right(paths).lines + 1)
"""
    ran = patched_demo(patch, "--json")
    assert ran.returncode == 1
    assert "differ from the sequential run's" in ran.stderr
    assert outcome(ran)["ok"] is False


def test_one_lost_increment_exits_with_1() -> None:
    """A `SharedCounter` that missed one increment of each worker would be reported as a failure."""
    patch = """
def lose_one(counter, times):
    for _ in range(times - 1):
        counter.increment()
demo_counting._count_shared = lose_one
"""
    ran = patched_demo(patch)
    assert ran.returncode == 1
    assert "a count that must be exact is not" in ran.stderr


def test_words_counted_short_exit_with_1() -> None:
    """Workers that add one too few are noticed beside `collections.Counter`, which is said and is the exit code."""
    patch = """
def lose_one(watch, files, counts):
    with watch.timed():
        files.count(lambda word, times: counts.increment(word, times - 1))
demo_words._count_shared = lose_one
"""
    ran = patched_demo(patch, "--json")
    assert ran.returncode == 1
    assert "differ from collections.Counter's" in ran.stderr
    demo = outcome(ran)
    assert demo["ok"] is demo["words"]["equal"] is demo["words"]["sample"]["equal"] is False


def test_killed_worker_fails_the_demo() -> None:
    """A worker that is killed while reading ends the demo with its name and signal, not with a hang."""
    patch = """
def die(path):
    os.kill(os.getpid(), signal.SIGKILL)
demo_files.count_file = die
"""
    ran = patched_demo(patch, "--json")
    assert ran.returncode == 1
    assert "was killed by SIGKILL" in ran.stderr
    assert "was killed by SIGKILL" in outcome(ran)["error"]


def test_raising_worker_fails_the_demo() -> None:
    """A worker that raises ends the demo with its traceback and a plain sentence."""
    patch = """
def fail(path):
    raise ValueError("no such luck")
demo_files.count_file = fail
"""
    ran = patched_demo(patch)
    assert ran.returncode == 1
    assert "no such luck" in ran.stderr
    assert "ended with exit code 1" in ran.stderr


def test_worker_that_stops_early_fails_the_demo() -> None:
    """Workers that all end well, but before every file is read, do not leave the demo waiting."""
    patch = """
def idle(watch, tree, paths):
    with watch.timed():
        pass
demo_files._count_shared = idle
"""
    ran = patched_demo(patch)
    assert ran.returncode == 1
    assert "all workers ended before their work was done" in ran.stderr


@pytest.mark.parametrize(
    "endless",
    [
        "demo_counting._count_global",
        "demo_files.count_file",
        "demo_words.count_words",
        "demo_words._count_managed",
        "demo_channels.count_file",
    ],
)
@pytest.mark.parametrize("start_method", START_METHODS)
def test_interrupt_stops_every_worker(start_method: str, endless: str, tmp_path: Path) -> None:
    """Ctrl-C, which reaches all processes of a terminal, ends any part with one line and leaves no worker."""
    script = tmp_path / "endless_demo.py"
    script.write_text(f"""
import os, signal
from procshare.cli import demo_channels, demo_counting, demo_files, demo_words, main

def work_for_ever(*args):
    os.write(1, b"%d\\n" % os.getpid())
    while True:
        signal.pause()

{endless} = work_for_ever
demo_channels.COLLECTORS = 2

if __name__ == "__main__":
    main()
""")
    line = [sys.executable, str(script), "demo", "--json", "--start-method", start_method, *SMALL]
    with subprocess.Popen(
        line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        try:
            assert demo.stdout is not None
            workers = [int(demo.stdout.readline()) for _ in range(2)]
            os.killpg(demo.pid, signal.SIGINT)
            stdout, stderr = demo.communicate(timeout=DEADLINE)
        finally:
            demo.kill()
    assert (demo.returncode, stdout) == (130, "")
    assert stderr == "procshare: interrupted; the workers were stopped\n"
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
