"""What each operation of each type costs, as one table; or some: `python benchmarks/run.py words containers`.

Each figure is measured beside the standard library's and beside its floor, in turn, in the same run. What
`procshare bench` compares, and what `against.py` compares with other libraries, is not measured again here.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import TYPE_CHECKING

from measure import be_quick
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from procshare.bench.machine import this_machine
from procshare.bench.report import amount, times

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from measure import Row

GROUPS = {
    "words": "words",
    "arrays": "arrays",
    "containers": "containers",
    "sizes": "container_sizes",
    "queues": "queues",
    "locks": "locks",
    "imports": "import_time",
}
COLUMNS = ("operation", "procshare", "stdlib", "times as fast", "floor", "times the floor")


def cells(row: Row) -> list[str]:
    """A line of the table."""
    figures = [_figure(each, row.unit) for each in (row.ours, row.stdlib, row.floor)]
    faster, slower = ("" if ratio is None else times(ratio) for ratio in (row.faster, row.over_floor))
    return [row.what, figures[0], figures[1], faster, figures[2], slower]


def _figure(figure: float | None, unit: str) -> str:
    if figure is None:
        return ""
    return f"{figure:.2f} x" if unit == "x" else amount(figure, unit)


def markdown(rows: Iterable[Row]) -> str:
    """The table, for a document; what is slower than the standard library's in bold."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"| --- |{' --: |' * 5}"]
    for row in rows:
        line = cells(row)
        if row.faster is not None and row.faster < 1:
            line[3] = f"**{line[3]}**"
        lines.append("| " + " | ".join([f"`{line[0]}`" if "`" not in line[0] else line[0], *line[1:]]) + " |")
    return "\n".join(lines) + "\n"


def measured(groups: Iterable[str]) -> Iterator[Row]:
    """Measure all rows of these groups."""
    for group in groups:
        yield from import_module(GROUPS[group]).rows()


def show(rows: Iterable[Row]) -> None:
    """Print the table."""
    table = Table(title=f"{this_machine()}; medians, loop included")
    for column in (*COLUMNS, "target"):
        table.add_column(column, justify="left" if column in ("operation", "target") else "right")
    for row in rows:
        table.add_row(*map(escape, cells(row)), row.target)
    Console().print(table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that all works")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if options.quick:
        be_quick()
    show(measured(options.groups or GROUPS))


if __name__ == "__main__":
    main()
