"""`procshare top` and `procshare watch`."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

import procshare
from procshare.cli import board, paper
from procshare.cli.commands.options import Json, Name
from procshare.cli.commands.show import find
from procshare.cli.outcome import FINE
from procshare.cli.watching import Watcher, as_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procshare.cli.layout import Line
    from procshare.cli.paper import Paper
    from procshare.cli.watching import Sample

Interval: TypeAlias = Annotated[
    float,
    typer.Option("--interval", "-i", metavar="SECONDS", min=0.05, help="How long each count takes."),
]
Count: TypeAlias = Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many times.")]
Once: TypeAlias = Annotated[bool, typer.Option("--once", help="Count for one interval, show it, end.")]


def top(interval: Interval = 1.0, times: Count = None, once: Once = False, as_json: Json = False) -> None:
    """Show all shared objects at work, the busiest first.

    Changes, waits, time-outs and deaths of lock owners are per second. Ctrl-C ends it, with exit code 0. In a pipe
    there is one table for each interval; with --json one object on each line.
    """
    _run(Watcher(), interval, 1 if once else times, as_json)


def watch(name: Name, interval: Interval = 1.0, times: Count = None, once: Once = False, as_json: Json = False) -> None:
    """Show one shared object at work.

    Changes, waits, time-outs and deaths of lock owners are per second. Ctrl-C ends it, with exit code 0; if the object
    goes, the exit code is 1.
    """
    info = find(name)
    _run(Watcher(frozenset([info.name])), interval, 1 if once else times, as_json, only=info.name)


def _run(watcher: Watcher, interval: float, times: int | None, as_json: bool, only: str | None = None) -> None:
    """Show samples until enough were shown, or Ctrl-C."""
    page = paper.new_paper()
    try:
        first = watcher.look()
        samples = _samples(watcher, interval, times, only)
        if times is None and not as_json and _refreshes():
            from procshare.cli.rich_paper import RichPaper

            RichPaper().follow(chain([first], samples), partial(_lines, only))
        else:
            for number, sample in enumerate(samples):
                _print(page, sample, as_json, only, apart=number > 0)
    except KeyboardInterrupt:
        sys.exit(FINE)


def _refreshes() -> bool:
    return paper.on_terminal() and os.environ.get("TERM") not in (None, "dumb", "unknown")


def _samples(watcher: Watcher, interval: float, times: int | None, only: str | None) -> Iterator[Sample]:
    due = time.monotonic()
    shown = 0
    while times is None or shown < times:
        due = max(due + interval, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0.0))
        sample = watcher.look()
        if only is not None and not sample.objects:
            raise procshare.NotFound(only, "it is gone")
        yield sample
        shown += 1


def _lines(only: str | None, sample: Sample, width: int, height: int | None) -> list[Line]:
    if only is None:
        return board.board(sample, width, height)
    return [line for each in sample.objects for line in board.page(each, width)]


def _print(page: Paper, sample: Sample, as_json: bool, only: str | None, apart: bool) -> None:
    if as_json:
        paper.print_json(as_data(sample))
        return
    if apart:
        paper.blank(page)
    if page.width is None:
        page.lines(board.plain(sample.objects))
    else:
        page.lines(_lines(only, sample, page.width, None))


def register(app: typer.Typer) -> None:
    """Add `top` and `watch`."""
    app.command()(top)
    app.command()(watch)
