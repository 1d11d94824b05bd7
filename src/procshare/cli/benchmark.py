"""What `procshare bench` does: measure, print each row when it is done, draw."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from procshare.bench import catalogue, plot, report
from procshare.bench.machine import this_machine
from procshare.bench.measure import BenchmarkFailed
from procshare.cli import paper
from procshare.cli.layout import Cell, Column
from procshare.cli.outcome import USAGE, Failed, told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from procshare.bench.catalogue import Results
    from procshare.bench.measure import Effort, Figure, Row
    from procshare.cli.layout import Tone
    from procshare.cli.paper import Paper


_TONES: dict[str, Tone] = {"ahead": "good", "even": "", "behind": "bad"}
_WAY, _FIGURE = 14, 8  # how wide these columns are in each table, so that all are below each other


class Request(NamedTuple):
    """What the command line asks for."""

    only: Sequence[str] = ()
    quick: bool = False
    seconds: float | None = None
    start_method: str | None = None
    plot: Path | None = None


def run(request: Request, as_json: bool) -> None:
    """Measure, and print what came of it.

    Raises:
        Failed: There is no such row, the drawing cannot be written, or a worker died.
    """
    with told(as_json):
        keys = _chosen(request.only)
        _check(request.plot)
        page = paper.new_paper(quiet=as_json)
        try:
            results = _measured(page, keys, _effort(request))
        except BenchmarkFailed as error:
            raise Failed(f"the benchmark failed: {error}") from error
        _sum_up(page, results)
        if request.plot is not None:
            request.plot.write_text(plot.drawing(results, catalogue.TITLE))
            paper.say(page, f"Drawn: {request.plot}")
        if as_json:
            paper.print_json(report.as_data(results))


def _chosen(only: Sequence[str]) -> list[str]:
    wanted = [each.strip() for group in only for each in group.split(",") if each.strip()]
    if unknown := [each for each in wanted if each not in catalogue.ROWS]:
        raise Failed(f"unknown: {', '.join(unknown)}; there are {', '.join(catalogue.ROWS)}", USAGE)
    return wanted or list(catalogue.ROWS)


def _check(drawn: Path | None) -> None:
    """Before minutes are spent on what cannot be written."""
    if drawn is not None and drawn.is_dir():
        raise Failed(f"{drawn} cannot be written: it is a directory", USAGE)
    if drawn is not None and not drawn.parent.is_dir():
        raise Failed(f"{drawn} cannot be written: there is no directory {drawn.parent}", USAGE)


def _effort(request: Request) -> Effort:
    effort = catalogue.effort(request.quick, multiprocessing.get_context(request.start_method))
    return effort if request.seconds is None else replace(effort, seconds=request.seconds)


def _measured(page: Paper, keys: Sequence[str], effort: Effort) -> Results:
    machine = this_machine()
    rows: list[Row] = []
    method = effort.context.get_start_method()
    how = f"{effort.rounds} rounds in turn, medians; processes by {method}"
    paper.say(page, f"{machine}; {how}.")
    with page.progress(len(keys), "rows") as done:
        for row in catalogue.run(keys, effort, catalogue.ROWS):
            rows.append(row)
            _show(page, row)
            done(len(rows))
    return catalogue.results(effort, rows, machine)


def _show(page: Paper, row: Row) -> None:
    heading = [Cell(row.what, "strong")]
    if row.how and (page.width is None or len(row.what) + 2 + len(row.how) <= page.width):
        heading.append(Cell(f"  {row.how}", "dim"))
    paper.blank(page)
    page.lines([tuple(heading)])
    columns = [Column(""), Column("median", right=True), Column("±", right=True, spare=1), Column("procshare is")]
    lines = [_line(row, figure) for figure in [row.ours, *row.others]]
    paper.table(page, columns, lines)


def _line(row: Row, figure: Figure) -> list[Cell | str]:
    first = figure is row.ours
    verdict = "" if first else report.compared(figure, row.unit)
    return [
        Cell(f"  {figure.way}".ljust(_WAY + 2), "name" if first else ""),
        report.amount(figure.median, row.unit).rjust(_FIGURE),
        Cell(report.spread(figure).rjust(5), "dim"),
        Cell(verdict, "" if first else _TONES[figure.verdict]),
    ]


def _sum_up(page: Paper, results: Results) -> None:
    first, *behind = report.summary(results.rows)
    paper.blank(page)
    paper.say(page, Cell(first, "strong"), *(Cell(line, "bad") for line in behind))
