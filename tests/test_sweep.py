"""The sweep over all fault points, in short: each point of each type once, in forked processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from procshare import testing
from procshare.backends import native_built
from procshare.testing._report import Report
from procshare.testing._sweep_plan import Plan, Row
from procshare.testing._sweeper import Death, Outcome, Sweeper
from procshare.testing.sweep import COLUMNS, Sweep

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")


def test_a_death_at_each_fault_point_is_survived() -> None:
    """Others go on in 100 ms, whole states are seen, nothing is left; and each fault point is met by some act."""
    command = [sys.executable, "-m", "procshare.testing.sweep", "--short"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "all survived" in done.stdout


def test_the_sweep_tells_what_was_not_survived(capsys: pytest.CaptureFixture[str]) -> None:
    """A state that may not be seen is a failure, with how to see it again."""

    class Forgetful(Sweeper):
        """For whom nothing was ever committed."""

        def die(self, death: Death) -> Outcome:
            outcome = super().die(death)
            outcome.done = 0
            return outcome

    report = Report("sweep", COLUMNS)
    with Forgetful() as sweeper:
        row = Sweep(sweeper, Plan(("fork",), points=("counter.added:4",)), report).kind("SharedCounter", ["writer"])
    assert isinstance(row, Row)
    assert row.failures > 0
    told = capsys.readouterr().err
    assert "SharedCounter, writer, fork: death at counter.added:4: after 0 steps" in told
    assert "--only SharedCounter --roles 'writer' --methods fork --points counter.added:4" in told


def test_a_process_counts_its_visits_of_fault_points() -> None:
    """From one `arm()` to the next; and a point with "!" stops it there, so that others can see to its death."""
    program = (
        "from procshare import SharedCounter, testing\n"
        "x = SharedCounter()\n"
        "testing.arm('-')\n"
        "x.increment(); x.increment()\n"
        "print(testing.visits()['counter.added'])\n"
        "testing.arm('counter.added:2!')\n"
        "print(testing.visits(), flush=True)\n"
        "x.increment(); x.increment()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PROCSHARE_FAULT": "-"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
    finally:
        process.kill()
        out, _ = process.communicate(timeout=10)
    assert out.split() == ["2", "{}"]
    assert "counter.added" in testing.fault_points()
