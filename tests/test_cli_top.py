"""`procshare top` and `procshare watch`: rates, what is shown of them, and how they end."""

from __future__ import annotations

import json
import os
import signal

import pytest

import procshare
from cli_support import Terminal, needs_shm, run, seen, without_escapes
from procshare import SegmentInfo, SegmentStats
from procshare.cli import board
from procshare.cli.watching import KEPT, Watcher, sparkline

pytestmark = pytest.mark.timeout(60)

JOBS = SegmentInfo("jobs", "procshare.0.jobs", "queue", 65536, 7, (7, 8), None, False, "", 0, 60.0, None)
BUSY = JOBS._replace(name="busy", segment="procshare.0.busy", kind="dict", holder=8, holder_for=0.25)
QUIET = SegmentStats("jobs", "queue", 10, 3, 0, 0, 0, False)


class World:
    """What `segments()` and `stats()` tell, and the clock that goes with it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.infos = [JOBS, BUSY]
        self.stats = {"jobs": QUIET, "busy": QUIET._replace(name="busy", kind="dict", length=None)}
        self.now = 100.0
        monkeypatch.setattr(procshare, "segments", lambda: list(self.infos))
        monkeypatch.setattr(procshare, "stats", lambda: list(self.stats.values()))

    def later(self, seconds: float, name: str, **more: int) -> None:
        """Time goes by, and counts go up."""
        self.now += seconds
        use = self.stats[name]
        self.stats[name] = use._replace(**{each: getattr(use, each) + more[each] for each in more})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Two objects that are not there, whose counts a test sets."""
    return World(monkeypatch)


def test_rates_are_counts_over_time(world: World) -> None:
    """Between one look and the next; the first has none, and the busiest comes first."""
    watcher = Watcher(clock=lambda: world.now)
    first = watcher.look()
    assert first.interval is None
    assert [each.rates["changes"] for each in first.objects] == [None, None]
    world.later(2.0, "jobs", changes=30, waits=4, timeouts=1, owner_deaths=2)
    second = watcher.look()
    assert second.interval == 2.0
    assert second.objects[0].info.name == "jobs"
    assert second.objects[0].rates == {"changes": 15.0, "waits": 2.0, "timeouts": 0.5, "owner_deaths": 1.0}
    assert second.objects[1].rates["changes"] == 0.0


def test_another_object_of_the_same_name_has_no_rate_at_first(world: World) -> None:
    """Counts that went down are not a negative rate, and counts that there are none of are no rate."""
    watcher = Watcher(clock=lambda: world.now)
    watcher.look()
    world.stats["jobs"] = QUIET._replace(changes=2)
    world.stats["busy"] = world.stats["busy"]._replace(changes=None)
    world.now += 1
    assert [each.rates["changes"] for each in watcher.look().objects] == [None, None]
    world.later(1.0, "jobs", changes=5)
    assert watcher.look().objects[0].rates["changes"] == 5.0


def test_a_trend_goes_back_only_so_far_and_ends_with_its_object(world: World) -> None:
    """Memory does not grow with time."""
    watcher = Watcher(clock=lambda: world.now)
    for _ in range(KEPT + 5):
        watcher.look()
        world.later(1.0, "jobs", changes=1)
    assert len(watcher.look().objects[0].trends["changes"]) == KEPT
    world.infos = [BUSY]
    watcher.look()
    world.infos = [JOBS, BUSY]
    world.now += 1
    assert len(watcher.look().objects[1].trends["changes"]) == 0


def test_sparkline_is_as_high_as_its_largest_value() -> None:
    """Its end is the newest; nothing but zeros is a flat line."""
    assert sparkline([0, 1, 2, 4], 10) == "▁▃▅█"
    assert sparkline([9, 0, 0], 2) == "▁▁"
    assert sparkline([], 5) == ""


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 140])
def test_the_board_fits_every_screen(world: World, columns: int) -> None:
    """No line is longer, no more of them than there is room for, and names are whole."""
    world.infos.append(JOBS._replace(name="a" * 50))
    world.stats["a" * 50] = QUIET._replace(name="a" * 50)
    watcher = Watcher(clock=lambda: world.now)
    watcher.look()
    world.later(1.0, "busy", changes=1_234_567, waits=3)
    lines = ["".join(cell.text for cell in line).rstrip() for line in board.board(watcher.look(), columns, 40)]
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    assert "1.23M" in text
    assert "8 for 250 ms" in text
    assert "3 objects" in text
    few = board.board(watcher.look(), columns, 5)
    assert len(few) == 5
    assert "… and more" in few[-1][0].text


def test_the_page_of_one_object(world: World) -> None:
    """All its counts, in all and per second, who holds it, whether somebody waits."""
    watcher = Watcher(clock=lambda: world.now)
    watcher.look()
    world.stats["busy"] = world.stats["busy"]._replace(waiting=True)
    world.later(1.0, "busy", changes=90, owner_deaths=1)
    look = watcher.look().objects[0]
    text = "\n".join("".join(cell.text for cell in line).rstrip() for line in board.page(look, 80))
    assert "locked by  8 for 250 ms" in text
    assert "waiting    somebody" in text
    assert "  changes               90     100" in text
    assert "  owner deaths           1       1" in text


@needs_shm
def test_top_in_a_pipe_is_a_table() -> None:
    """So many times as asked for, with an empty line between; each field one word."""
    name = f"test-top-{os.getpid()}"
    with procshare.SharedList([1, 2], name=name):
        [row] = [row for row in run("top", "--once", "--interval", "0.05").rows if row["NAME"] == name]
        assert (row["KIND"], row["WAITS/S"], row["HOLDER"]) == ("list", "0.0", "-")
        twice = run("top", "--count", "2", "--interval", "0.05").out
        assert twice.count("NAME") == 2
        assert "\n\nNAME" in twice


@needs_shm
def test_top_as_json_is_one_object_a_line() -> None:
    """With the numbers of `stats()`, and their rates."""
    name = f"test-top-{os.getpid()}"
    with procshare.SharedList([1, 2], name=name):
        lines = run("top", "--json", "--count", "2", "--interval", "0.05").out.splitlines()
        assert len(lines) == 2
        for line in lines:
            told = json.loads(line)
            [found] = [each for each in told["objects"] if each["name"] == name]
            assert found["per_second"].keys() == {"changes", "waits", "timeouts", "owner_deaths"}
            assert found["attached"] == [os.getpid()]
            assert told["interval"] > 0


@needs_shm
def test_watch_shows_one_and_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never was and what is gone exit with 1."""
    name = f"test-watch-{os.getpid()}"
    with procshare.SharedList([1, 2], name=name):
        lines = seen(monkeypatch, 60, "watch", name, "--once", "--interval", "0.05")
        assert lines[0].startswith(f"{name}  list")
        monkeypatch.undo()
    assert run("watch", name).code == 1
    counter = procshare.SharedCounter(name=name)
    look = Watcher.look

    def removing(watcher: Watcher) -> object:
        counter.unlink()
        return look(watcher)

    monkeypatch.setattr(Watcher, "look", removing)
    gone = run("watch", name, "--interval", "0.05")
    assert (gone.code, gone.out) == (1, "")
    assert "it is gone" in gone.err


@needs_shm
def test_top_refreshes_a_terminal_until_interrupted() -> None:
    """In a screen of its own, which is left as it was; Ctrl-C is its end, with exit code 0."""
    name = f"test-top-{os.getpid()}"
    with procshare.SharedCounter(name=name), Terminal("top", "--interval", "0.1", columns=90) as terminal:
        terminal.read_until("every")  # the second picture
        assert name in without_escapes(terminal.text)
        assert "\x1b[?1049h" in terminal.text
        os.killpg(terminal.process.pid, signal.SIGINT)
        terminal.read_all()
        assert terminal.process.wait() == 0
        assert "\x1b[?1049l" in terminal.text
        assert "Traceback" not in terminal.text
