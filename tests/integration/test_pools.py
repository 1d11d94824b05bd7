"""joblib, ProcessPoolExecutor and Pool, multiprocess: the examples print what their READMEs show, and nothing else."""

from __future__ import annotations

import pytest

from example_support import run, shown
from procshare.testing._processes import START_METHODS
from scripts import entries, until
from server_support import EXAMPLES

pytest.importorskip("joblib", reason="`make integration` installs it")
pytest.importorskip("multiprocess", reason="`make integration` installs it")

CASES = [
    *(("pools", "histogram.py", (method,)) for method in START_METHODS),
    ("joblib", "closures.py", ()),
    *(("multiprocess", "lambdas.py", (method,)) for method in START_METHODS),
]


@pytest.mark.parametrize(("example", "script", "arguments"), CASES)
def test_a_pool_prints_what_its_readme_shows(example: str, script: str, arguments: tuple[str, ...]) -> None:
    """Handles go in by initargs, arguments, closures and classes of `__main__`, and come back by `hand_over()`."""
    before = entries()
    printed, errors = run(EXAMPLES / example, script, *arguments)

    assert printed == shown(example)[script]
    assert errors == ""
    assert until(lambda: entries() <= before)


KILLED = """
import os, signal
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from procshare import SharedCounter, SharedDict

def die(stock):
    with stock.locked() as inside:
        inside["n"] = -1
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    with SharedDict({"n": 0}) as stock:
        try:
            Parallel(n_jobs=2)(delayed(die)(stock) for _ in range(2))
        except TerminatedWorkerError:
            Parallel(n_jobs=2)(delayed(stock.increment)("n") for _ in range(10))
        print(stock.value)
"""


def test_a_killed_loky_worker_stops_nobody() -> None:
    """It held the lock in the middle of a change: that change is undone, and the next workers go on."""
    before = entries()
    printed, _ = run(EXAMPLES, "-c", KILLED, warnings="")

    assert printed == "{'n': 10}\n"
    assert until(lambda: entries() <= before)
