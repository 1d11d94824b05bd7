"""`procshare bench`: what it measures is right, rows that are lost are told, and the drawing is one."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from functools import partial
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from cli_support import run, seen
from demo_support import environment
from procshare import SharedQueue
from procshare.bench import catalogue, channels, measure, plot, processes, report
from procshare.bench.machine import this_machine
from procshare.bench.measure import OURS, BenchmarkFailed, Effort, Figure, Row, Way

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST = Figure(OURS, 2e-8, 1.9e-8, 2.2e-8)
AHEAD = Figure("mp.Value", 4e-7, 3.8e-7, 4.4e-7, 20.0, 18.0, 22.0)
EVEN = Figure("mp.Pipe", 2e-8, 1e-8, 3e-8, 1.01, 0.9, 1.1)
BEHIND = Figure("SharedMemory", 1e-8, 0.9e-8, 1.1e-8, 0.5, 0.4, 0.6)
WON = Row("counter: add 1", [FIRST, AHEAD])
TIED = Row("pipe: ask | answer", [FIRST, EVEN, AHEAD])
LOST = Row("array: read <an> element", [FIRST, AHEAD, BEHIND], how="a[500]")
SVG = "{http://www.w3.org/2000/svg}"


def quick(method: str = "fork") -> Effort:
    """As little as there can be."""
    return Effort(0.02, 2, multiprocessing.get_context(method))


def bench(*args: str) -> subprocess.CompletedProcess[str]:
    """The command, in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "procshare.cli", "bench", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment())


def test_json_has_the_machine_and_each_way() -> None:
    """Medians lie between their quartiles; ratios are those of the others to ours."""
    done = bench("--json", "--quick", "--seconds", "0.05", "--only", "counter")
    data: dict[str, Any] = json.loads(done.stdout)
    (row,) = data["rows"]

    assert (done.returncode, done.stderr) == (0, "")
    assert data["ok"] is True
    assert (data["machine"]["cpus"] > 0, data["rounds"], data["seconds"]) == (True, 3, 0.05)
    assert (row["row"], row["unit"]) == ("counter", "s")
    assert [figure["way"] for figure in row["figures"]] == ["procshare", "mp.Value", "Manager"]
    assert row["figures"][0]["ratio"] == 1
    for figure in row["figures"]:
        assert 0 < figure["low"] <= figure["median"] <= figure["high"]
        assert 0 < figure["ratio_low"] <= figure["ratio"] <= figure["ratio_high"]


def test_a_row_is_printed_and_drawn(tmp_path: Path) -> None:
    """With what each way took; and the drawing is SVG that names them."""
    drawn = tmp_path / "out.svg"
    ran = run("bench", "--quick", "--seconds", "0.05", "--only", "rlock", "--plot", str(drawn))
    texts = {element.text for element in ET.fromstring(drawn.read_text()).iter(f"{SVG}text")}

    assert ran.code == 0
    assert "rlock: an empty block" in ran.out
    assert "mp.RLock" in ran.out
    assert f"Drawn: {drawn}" in ran.out.replace("\n", " ")
    assert {"rlock: an empty block", "mp.RLock", "Manager"} <= texts


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--only", "counter,nonsense"), "unknown: nonsense; there are counter, "),
        (("--plot", "/nowhere/out.svg"), "/nowhere/out.svg cannot be written"),
        (("--start-method", "magic"), "magic"),
        (("--seconds", "0"), "--seconds"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(args: tuple[str, ...], told: str) -> None:
    """Said before anything is measured."""
    ran = run("bench", *args)

    assert ran.code == 2
    assert told in ran.err
    assert ran.out == ""


def test_a_failed_benchmark_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so, in JSON as well."""

    def fail(_effort: Effort) -> Row:
        raise BenchmarkFailed("lost 1 of 2")

    monkeypatch.setitem(catalogue.ROWS, "counter", fail)
    ran = run("bench", "--json", "--only", "counter")

    assert ran.code == 1
    assert ran.data == {"ok": False, "error": "the benchmark failed: lost 1 of 2"}


def test_rows_that_are_lost_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they stand, and once more at the end; also on a narrow screen."""
    rows: dict[str, Callable[[Any], Row]] = {"won": lambda _: WON, "tied": lambda _: TIED, "lost": lambda _: LOST}
    monkeypatch.setattr(catalogue, "ROWS", rows)
    lines = seen(monkeypatch, 40, "bench")
    text = " ".join(" ".join(lines).split())

    assert "20 times as fast" in text
    assert "even (1.01)" in text
    assert "in 1 of 3 rows, even in 1, behind in 1." in text
    assert "Behind: array: read <an> element: 2 times as slow as SharedMemory." in text


def test_tables_for_documents() -> None:
    """What is behind is bold, what others call a column's edge is escaped, and places are counted."""
    whole, short = report.markdown([WON, LOST]), report.short_markdown([WON, TIED, LOST], places=True)

    assert "| SharedMemory | 10 ns | 10% | **2 times as slow** |" in whole
    assert "| **array: read <an> element**: a[500] | | | |" in whole
    assert r"pipe: ask \| answer" in short
    assert [line.rsplit("|", 2)[1].strip() for line in short.splitlines()[2:]] == [
        "1",
        "1, with mp.Pipe",
        "**2**, after SharedMemory",
    ]


def test_the_drawing_shows_losses() -> None:
    """A band behind each row that is lost; each dot says what it is; the machine is named."""
    results = catalogue.Results(this_machine(), "fork", 1.0, 3, [WON, LOST])
    root = ET.fromstring(plot.drawing(results, "A & B"))
    bands = [rect for rect in root.iter(f"{SVG}rect") if rect.get("fill") == "#fff1e5"]
    titles = [title.text for title in root.iter(f"{SVG}title")]

    assert titles[0] == "A & B"
    assert "SharedMemory: 10 ns; procshare is 2 times as slow" in titles
    assert len(bands) == 1
    assert any("CPU" in (text.text or "") for text in root.iter(f"{SVG}text"))


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers_are_started_in_every_way(method: str) -> None:
    """What they add up is what was put, however they were started."""
    context = multiprocessing.get_context(method)
    with SharedQueue[Any]() as queue:
        put, get = partial(channels.put_tuples, queue), partial(channels.get_firsts, queue)
        with processes.Crew(context, put, get) as crew:
            assert [crew.run(count).results for count in (0, 10, 4)] == [[None, 0], [None, 45], [None, 6]]


def _raise(_times: int) -> None:
    raise SystemExit(3)


def _wait_for_ever(queue: SharedQueue[int], _times: int) -> None:
    queue.get(timeout=60)


def test_a_worker_that_dies_ends_the_benchmark() -> None:
    """At once, though another one still waits; and none is left behind."""
    before = multiprocessing.active_children()
    with SharedQueue[int]() as queue:
        crew = processes.Crew(multiprocessing.get_context("fork"), partial(_wait_for_ever, queue), _raise)
        with crew, pytest.raises(BenchmarkFailed, match="a worker died"):
            crew.run(1)

    assert multiprocessing.active_children() == before


def test_a_wrong_sum_is_told_with_its_way() -> None:
    """Speed without exactness is no figure."""

    def run_wrong(_turns: int) -> float:
        processes.must_be("the sum", 1, 2)
        return 1.0

    with pytest.raises(BenchmarkFailed, match="theirs: the sum: 1 instead of 2"):
        quick().compare("sum", "", {OURS: Way(lambda _: 1e-3), "theirs": Way(run_wrong)})


def test_rounds_begin_with_another_way_each_time() -> None:
    """So that none always comes first; figures stay in the order of the ways."""
    order: list[str] = []

    def note(name: str) -> float:
        order.append(name)
        return 2.0 if name == "b" else 1.0

    found = measure.in_turn({name: partial(note, name) for name in "abc"}, 3)

    assert order == list("abcbcacab")
    assert [figure.way for figure in measure.figures(found)] == list("abc")
    assert [figure.ratio for figure in measure.figures(found)] == [1.0, 2.0, 1.0]


def test_what_starting_costs_is_not_taken_for_the_work() -> None:
    """A way that takes 10 ms to start and 1 µs a turn gets thousands of turns, not one."""
    slow_start = Way(lambda turns: 0.01 + turns * 1e-6)

    assert measure.turns_for(slow_start, 0.04) > 4_000


def test_statements_have_their_names_as_locals() -> None:
    """And what comes first is run once a round."""
    seen_items: list[int] = []
    way = measure.after("s.clear()", "s.append(v)", s=seen_items, v=7)
    way.run(3)
    seconds = way.run(2)

    assert seen_items == [7, 7]
    assert seconds > 0
    assert measure.for_each("d[k] = 1", ["a", "b"], d={}).per == 2


@pytest.mark.parametrize("key", ["array-item", "list-append", "dict-update", "waiting"])
def test_rows_come_to_figures(key: str) -> None:
    """Of different kinds, each with ours first and at least one other."""
    (row,) = catalogue.run([key], quick(), catalogue.ROWS)

    assert row.key == key
    assert row.ours.way == OURS
    assert all(figure.median > 0 for figure in row.figures)
    assert len(row.figures) > 1


ORPHAN = """
import multiprocessing, os, sys
from procshare.bench import catalogue
from procshare.bench.measure import Effort

def tell(_done):
    print(*[process.pid for process in multiprocessing.active_children()], flush=True)
    sys.stdin.readline()

if __name__ == "__main__":
    list(catalogue.run(["round-trip"], Effort(0.02, 2, multiprocessing.get_context("fork"), tell), catalogue.ROWS))
"""


def test_workers_and_managers_end_with_a_benchmark_that_is_killed() -> None:
    """None is left behind, whatever it was doing."""
    command = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as doomed:
        assert doomed.stdout is not None
        left = [os.pidfd_open(int(pid)) for pid in doomed.stdout.readline().split()]
        doomed.kill()
    alive = [process for process in left if not wait([process], 20)]
    for process in alive:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    for process in left:
        os.close(process)

    assert len(left) >= 10
    assert alive == []
