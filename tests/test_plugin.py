"""The pytest plugin: it finds what a test left and whose lock is held, blames nobody else, is off until wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

import procshare
from scripts import Script

pytest_plugins = ["pytester"]

IMPORTS = """
import multiprocessing as mp, os, sys, time
import pytest
from procshare import *

from procshare.testing import _leaks

_leaks.PATIENCE = 0.2
KEPT = []
"""
LEAVING = (
    IMPORTS
    + """
def make_and(then, line):
    made = SharedDict({"n": 5})
    line.put(made.name)
    then(made)

def wait(made): time.sleep(60)
def die(made): os.kill(os.getpid(), 9)
def give_away(made): made.hand_over()
def hold(lock, line):
    lock.acquire()
    line.put("held")
    time.sleep(60)

def child(fn, *args):
    context = mp.get_context("fork")
    line = context.SimpleQueue()
    process = context.Process(target=fn, args=(*args, line), daemon=True)
    process.start()
    KEPT.append((process, line, args))
    return process, line.get()

@pytest.fixture(scope="module")
def for_all():
    with SharedCounter() as made, SharedLock(name=f"for-all-{os.getpid()}") as held:
        made.name
        yield made

def test_counter(for_all):
    KEPT.append(SharedCounter())
    KEPT[-1].name

def test_killed_child():
    child(make_and, die)[0].join()

def test_living_child():
    child(make_and, wait)

def test_given_away():
    KEPT.append(SharedDict({"n": 5}).hand_over())

def test_private_lock():
    KEPT.append(SharedLock())
    KEPT[-1].acquire()

def test_block():
    KEPT.append(SharedDict())
    KEPT.append(KEPT[-1].locked())
    KEPT[-1].__enter__()

def test_reading():
    KEPT.append(SharedRWLock())
    KEPT.append(KEPT[-1].reading())
    KEPT[-1].__enter__()

LOCK = SharedLock()

def test_child_holds():
    assert LOCK.name  # exported here, and made before
    assert child(hold, LOCK)[1] == "held"
"""
)
LEFT = {
    "test_counter": ["counter '*' is left; *(made by this process; 128 bytes of segment procshare-*)"],
    "test_killed_child": ["dict '*' is left; *(made by process *, which is gone; *)"],
    "test_living_child": ["dict '*' is left; *(made by process * (*python* *; *)"],
    "test_given_away": ["dict '*' is left; *(made by this process; *)"],
    "test_private_lock": ["lock '*' is held by this process; *"],
    "test_block": ["the lock of dict '*' is held by this process; *"],
    "test_reading": ["rwlock, for reading, '*' is held by this process; *"],
    "test_child_holds": ["lock '*' is held by process * (*python* *); *"],
}
CLEAN = (
    IMPORTS
    + """
from collections.abc import Callable
from pathlib import Path
from procshare.testing import fault_points

@pytest.fixture(scope="module")
def for_all():
    with SharedCounter() as made, SharedDict() as d:
        made.name, d.name
        yield made

@pytest.fixture
def for_one():
    with SharedCounter() as made:
        made.name
        yield made

def test_uses(for_all, for_one, procshare_segments):
    with SharedDict() as d, SharedLock() as lock:
        assert procshare_segments() == []
        d.name, lock
        with d.locked():
            assert [info.kind for info in procshare_segments()] == ["dict"]
    assert procshare_segments() == []

def test_private_objects():
    KEPT.extend([SharedCounter(), SharedArray([1, 2])])  # nobody else can know them: they end with their handles

def test_a_cycle():
    made = SharedDict()
    made.name
    cycle = [made]
    cycle.append(cycle)
    made.unlink()

def test_others_make_what_they_like():
    Path("go").touch()
    while not Path("made").exists():
        time.sleep(0.01)

@pytest.mark.procshare_leaks("off")
def test_that_may():
    KEPT.append(SharedDict())
    KEPT[-1].name

@pytest.mark.xfail(strict=True)
def test_that_fails_anyway():
    made = SharedDict()
    made.name
    assert made.value
"""
)
ASKING = """
def test_looked_after(procshare_clean):
    KEPT.append(SharedDict())
    KEPT[-1].name
"""
WORKERS = (
    IMPORTS
    + """
from procshare.testing import WorkerDied

def add(hits, n):
    return hits.increment(n)

def fail():
    raise KeyError("unheard of")

def move(stock):
    with stock.locked() as inside:
        inside["here"] -= 1
        inside["there"] += 1

def sleep():
    time.sleep(60)

def test_results(procshare_start):
    with SharedCounter() as hits:
        workers = [procshare_start(add, hits, n=5) for _ in range(2)]
        assert sorted(worker.result() for worker in workers) == [5, 10]
        assert workers[0].result() in (5, 10)

def test_an_error(procshare_start):
    with pytest.raises(KeyError, match="unheard of") as caught:
        procshare_start(fail).result()
    assert "which ran fail()" in caught.value.__notes__[0]

def test_a_death(procshare_start):
    with SharedDict({"here": 1, "there": 0}) as stock:
        with pytest.raises(WorkerDied) as died:
            procshare_start.dying_at("redo.written", move, stock).result()
        assert died.value.code == -9
        assert stock == {"here": 1, "there": 0}
        procshare_start(move, stock).result()
        assert stock == {"here": 0, "there": 1}
    assert "PROCSHARE_FAULT" not in os.environ

def test_one_that_goes_on(procshare_start):
    worker = procshare_start(sleep)
    with pytest.raises(TimeoutError, match=f"process {worker.pid} has not ended"):
        worker.result(timeout=0.1)
    KEPT.append(worker.pid)

def test_is_ended():
    with pytest.raises(ProcessLookupError):
        os.kill(KEPT[-1], 0)
"""
)


@pytest.fixture(autouse=True)
def inside(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in a folder of their own find the procshare that this one uses, as if it had been installed."""
    monkeypatch.setenv("PYTHONPATH", str(Path(procshare.__file__).parent.parent))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    """Run pytest with the plugin in a process of its own, which reaps all that its tests leave."""
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess(
        "-p", "procshare.testing.plugin", "-p", "no:cacheprovider", *options, timeout=60
    )


def told(result: pytest.RunResult) -> list[str]:
    """What was said of tests, in their order."""
    return [line for line in result.outlines if line.startswith("procshare: ")]


def test_what_is_left_fails_the_test_that_left_it(pytester: pytest.Pytester) -> None:
    """Objects and locks, of this process and its children, each named with its kind and who made or holds it."""
    result = run(pytester, LEAVING, "-o", "procshare_leaks=error")

    result.assert_outcomes(passed=len(LEFT), errors=len(LEFT))
    for test, lines in LEFT.items():
        result.stdout.fnmatch_lines([f"*ERROR at teardown of {test} *", *(f"procshare: {line}" for line in lines)])
    assert len(told(result)) == sum(map(len, LEFT.values()))


def test_it_can_only_warn(pytester: pytest.Pytester) -> None:
    """The setting says which; a test's marker says it for that test."""
    two = LEAVING + '\npytestmark = pytest.mark.filterwarnings("default")\n'
    result = run(pytester, two, "-o", "procshare_leaks=warn", "-k", "test_counter or private_lock")

    result.assert_outcomes(passed=2, warnings=2)
    result.stdout.fnmatch_lines(["*LeakWarning: *::test_counter", "*procshare: counter '*' is left; *"])


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_what_is_not_a_leak(pytester: pytest.Pytester, on: bool) -> None:
    """Fixtures of a wider scope, objects without a name, others' segments, failures; off, what a test does not ask for.

    Processes that a test runs give results and errors, die at a named step, and do not outlive it.
    """
    others = """
    while not os.path.exists("go"):
        time.sleep(0.01)
    made = SharedDict(name=f"others-{os.getpid()}"), SharedCounter(), SharedLock()
    made[1].name
    made[2].acquire()
    open("made", "w").close()
    sys.stdin.read()
    """.replace("\n    ", "\n")
    source = CLEAN + (WORKERS if on else LEAVING).removeprefix(IMPORTS)
    with Script(others) as program:
        result = run(pytester, source if on else source + ASKING, *(["-o", "procshare_leaks=error"] if on else []))
        program.hang_up()
        assert program.ended().code == 0

    if on:
        result.assert_outcomes(passed=5 + 5, xfailed=1)
    else:
        result.assert_outcomes(passed=5 + len(LEFT) + 1, xfailed=1, errors=1)
        result.stdout.fnmatch_lines(["*ERROR at teardown of test_looked_after *", "procshare: dict '*' is left; *"])


def test_it_costs_nothing_until_it_is_used(pytester: pytest.Pytester) -> None:
    """Where tests share nothing, no core, NumPy or multiprocessing is imported, also if all are looked after."""
    source = """
    import sys

    def test_nothing_loaded(procshare_segments):
        assert not {"numpy", "procshare._native", "multiprocessing"} & sys.modules.keys()
    """
    run(pytester, source, "-o", "procshare_leaks=error").assert_outcomes(passed=1)


def test_a_setting_that_is_none(pytester: pytest.Pytester) -> None:
    """It is told at once."""
    pytester.makepyfile("")
    result = pytester.runpytest_inprocess("-p", "procshare.testing.plugin", "-o", "procshare_leaks=yes")

    result.stderr.fnmatch_lines(["*procshare_leaks is one of off, warn, error, not 'yes'*"])


def test_the_plugin_is_announced() -> None:
    """Whoever installs procshare has it: the entry point is in `pyproject.toml`."""
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

    assert project["entry-points"]["pytest11"] == {"procshare.testing.plugin": "procshare.testing.plugin"}
