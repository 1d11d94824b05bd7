"""The pictures of the command line in docs/drawings: `python docs/pictures.py`, or `make pictures`.

It starts a few processes that share things, and photographs what `procshare ls`, `top` and `doctor` show of them.
"""

from __future__ import annotations

import io
import multiprocessing
import re
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.terminal_theme import TerminalTheme

import procshare
from procshare import (
    LockTimeout,
    SharedArray,
    SharedBarrier,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedQueue,
    SharedValue,
)
from procshare.cli import board, paper
from procshare.cli.app import make_app
from procshare.cli.rich_paper import RichPaper
from procshare.cli.watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

DRAWINGS = Path(__file__).parent / "drawings"
WIDTH = 104
LOOKS, PAUSE = 22, 0.25  # how often top looks before its picture is taken, and the seconds between
THEME = TerminalTheme(
    (24, 27, 33),
    (214, 219, 228),
    [
        *((60, 66, 77), (235, 111, 111), (126, 200, 132), (229, 192, 98)),
        *((108, 168, 240), (198, 140, 230), (98, 196, 206), (214, 219, 228)),
    ],
)


def serve(number: int, visitors: SharedCounter, sessions: SharedDict[str, int], jobs: SharedQueue[int]) -> None:
    """A web worker: counts visitors, remembers sessions, makes jobs; busier and less busy by turns."""
    for request in range(1 << 40):
        visitors.increment()
        sessions.increment(f"session {request * 7 % 40}")
        if request % 20 == number:
            jobs.put(request)
        time.sleep(0.0004 if time.time() % 2 < 1.2 else 0.002)


def work(jobs: SharedQueue[int], weights: SharedArray[np.float64]) -> None:
    """A worker: takes jobs, and changes an array."""
    for job in jobs:
        with weights.locked() as live:
            live[job % len(live)] += 1


def train(state: SharedValue[dict[str, str]], ready: SharedEvent) -> None:
    """Holds a lock for longer than is good."""
    with state.locked():
        ready.set()
        time.sleep(3600)


def evaluate(state: SharedValue[dict[str, str]]) -> None:
    """Wants that lock, and gives up again and again."""
    while True:
        with suppress(LockTimeout), state.locked(timeout=0.2):
            pass


@contextmanager
def company() -> Generator[None]:
    """Processes that share a counter, a dict, a queue, an array, a value and a barrier."""
    with (
        SharedCounter(name="visitors") as visitors,
        SharedDict[str, int](name="sessions") as sessions,
        SharedQueue[int](maxsize=1000, name="jobs") as jobs,
        SharedArray(np.zeros((64, 16)), name="weights") as weights,
        SharedValue({"phase": "warm-up"}, name="training") as training,
        SharedBarrier(3, name="epoch"),
        SharedEvent() as ready,
    ):
        workers = [multiprocessing.Process(target=serve, args=(n, visitors, sessions, jobs)) for n in range(2)]
        workers += [multiprocessing.Process(target=work, args=(jobs, weights))]
        workers += [multiprocessing.Process(target=train, args=(training, ready))]
        workers += [multiprocessing.Process(target=evaluate, args=(training,))]
        for each in workers:
            each.start()
        try:
            ready.wait()
            yield
        finally:
            for each in workers:
                each.kill()
                each.join()


def photograph(name: str, title: str, show: Callable[[RichPaper], None]) -> None:
    """What is shown on a recording screen, as an SVG that needs nothing from elsewhere."""
    screen = Console(file=io.StringIO(), width=WIDTH, height=40, force_terminal=True, record=True, highlight=False)
    show(RichPaper(screen))
    picture = screen.export_svg(title=title, theme=THEME, unique_id=name)
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = picture.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")
    (DRAWINGS / f"{name}.svg").write_text("\n".join(line.rstrip() for line in picture.splitlines()) + "\n")


def command(*args: str) -> Callable[[RichPaper], None]:
    """What a command shows."""

    def show(page: RichPaper) -> None:
        paper.new_paper = lambda quiet=False: page
        with suppress(SystemExit):
            make_app()(args=list(args), standalone_mode=False)

    return show


def busiest(page: RichPaper) -> None:
    """What `top` shows when it has looked for a while."""
    watcher = Watcher()
    for _ in range(LOOKS):
        sample = watcher.look()
        time.sleep(PAUSE)
    page.lines(board.board(sample, WIDTH, None))


def main() -> None:
    """All pictures."""
    with company():
        photograph("cli-top", "procshare top", busiest)
        photograph("cli-ls", "procshare ls", command("ls"))
    procshare.__file__ = "/srv/app/.venv/lib/python3/site-packages/procshare/__init__.py"  # not of this machine
    photograph("cli-doctor", "procshare doctor", command("doctor"))


if __name__ == "__main__":
    main()
