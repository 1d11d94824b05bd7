"""Every example that needs no other package: as a script, and by what its `main()` returns."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import procshare
from procshare.backends import default_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[[str], Any]

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(default_backend() == "stdlib", reason="the stdlib's objects survive no kill and have no names"),
]

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = [*sorted(path.stem for path in EXAMPLES.glob("*.py")), "gunicorn/unrelated"]
DEADLINE = 50


@pytest.fixture(autouse=True)
def shm_as_before() -> Iterator[None]:
    """An example cleans up after itself, a killed worker's included."""
    before = set(os.listdir("/dev/shm"))
    yield
    deadline = time.monotonic() + 3  # not at once: other programs of this machine come and go in there as well
    while left := set(os.listdir("/dev/shm")) - before:
        assert time.monotonic() < deadline, left


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls an example's `main()` in this process, and returns its result."""
    source = str(Path(procshare.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])))

    def call(name: str) -> Any:
        path = EXAMPLES / name
        monkeypatch.syspath_prepend(str(path.parent))  # pyright: ignore[reportUnknownMemberType]
        return importlib.import_module(path.name).main()

    return call


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_runs_and_is_quiet(name: str) -> None:
    """Run by hand, an example prints its result, nothing on stderr, and exits 0."""
    source = str(Path(procshare.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


def test_memory_isolation(run: Run) -> None:
    """A child's changes to a global and a list stay with the child; its counter's do not."""
    assert run("memory_isolation") == (0, [], 1)


def test_value_lock(run: Run) -> None:
    """With a lock both are exact; without one `mp.Value` may lose, and `SharedValue` refuses."""
    sums = run("value_lock")
    assert sums.locked == sums.shared == 100_000
    assert sums.unlocked <= 100_000
    assert sums.refused


def test_array_init(run: Run) -> None:
    """By size an array holds zeros, by values those values, and a child fills it for its parent."""
    contents = run("array_init")
    assert contents.stdlib_by_size == [0] * 5
    assert contents.stdlib_by_values == [1, 2, 3]
    assert contents.by_size == [0, 1, 4, 9, 16]
    assert contents.by_values == [1.5, 2.5, 3.5]
    assert contents.table == [[0, 0, 0], [0, 0, 0]]


def test_array_lock(run: Run) -> None:
    """Ten processes that each add 1 to each element bring each to 10."""
    assert run("array_lock") == [10] * 8


def test_double_in_child(run: Run) -> None:
    """The parent sees its array doubled, by hand and by `SharedArray`."""
    assert run("double_in_child") == ([2, 4, 6, 8, 10], [2, 4, 6, 8, 10])


def test_square_slices(run: Run) -> None:
    """Each of the 1,000,000 elements is squared, once."""
    squares = run("square_slices")
    assert squares.first == [0, 1, 4, 9, 16]
    assert squares.last == 999_999**2
    assert squares.wrong == 0


def test_increments(run: Run) -> None:
    """The `SharedCounter` comes to 200,000; the unlocked `mp.Value` to less, where processes really meet."""
    counts = run("increments")
    assert counts.shared == 200_000
    if len(os.sched_getaffinity(0)) > 1:
        assert counts.unlocked < 200_000


def test_unrelated(run: Run) -> None:
    """Processes that know only a name count together, and the last one out removes the counter."""
    assert run("gunicorn/unrelated") == (4_000, True)


def test_survive_kill(run: Run) -> None:
    """After a SIGKILL inside the lock a value keeps its commit, an array can be repaired, and `mp.Value` is lost."""
    survived = run("survive_kill")
    assert not survived.stdlib_acquired
    assert survived.balance == 102
    assert survived.seconds < 2
    assert survived.array_refused
    assert survived.array == [1, 1, 1, 1]


def test_manager_dict(run: Run) -> None:
    """Five processes that each write ten keys make exactly fifty entries, and count to exactly fifty."""
    assert run("manager_dict") == (50, 50, True, 50)


def test_nested(run: Run) -> None:
    """What five processes append to a list inside a namespace is all there; the manager's plain list stays empty."""
    assert run("nested") == (0, 100, [20] * 5, ["read", "write"])


def test_transfer(run: Run) -> None:
    """Killed clerks leave the sum as it was, and each acknowledged transfer in the books."""
    books = run("transfer")
    assert books.total == books.after == 2_000
    assert books.acknowledged >= 1_500
    assert 0 <= books.transfers - books.acknowledged <= 5


def test_producer_consumer(run: Run) -> None:
    """Both ways deliver each of the 10,000 items once; one of them needs no sentinel."""
    right = (10_000, 2 * sum(range(5_000)))
    assert run("producer_consumer") == (right, right)


def test_collect_results(run: Run) -> None:
    """The results of five workers that have ended are all there, in the order in which each sent them."""
    assert run("collect_results") == (10_000, [2_000] * 5, True, True)


def test_ping_pong(run: Run) -> None:
    """Every ball comes back, and the other player ends when the pipe is closed."""
    assert run("ping_pong") == (1_000, 0)


def test_square_server(run: Run) -> None:
    """Each question gets its own answer, whichever server gives it."""
    assert run("square_server") == [9, 1, 16, 1, 25, 81, 4, 36]


def test_lease_work(run: Run) -> None:
    """The item of the killed worker is done by the next one, before the items behind it."""
    assert run("lease_work") == (["one", "two", "three", "four"], 0)


def test_rw_lock(run: Run) -> None:
    """Readers never see half a change, and two of them are inside at once."""
    assert run("rw_lock") == (1_000, 0, 500, True)


def test_barrier_phases(run: Run) -> None:
    """Four workers compute what one does; when one dies at the barrier, the other three are told."""
    phases = run("barrier_phases")
    assert phases.equal
    assert phases.broken == 3
