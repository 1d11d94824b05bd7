"""Every benchmark, as one table: `make bench`, or `python benchmarks/run.py [words] [contention] [arrays] [imports]`.

Each figure is measured beside the standard library's and beside its floor, in turn, in the same run.
"""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from measure import Row

GROUPS = {"words": "words", "contention": "contention", "arrays": "arrays", "imports": "import_time"}


def show(rows: list[Row]) -> None:
    """Print the table."""
    table = Table(title=f"Python {platform.python_version()}, {platform.machine()}; medians, loop included")
    for column in ("operation", "procshare", "stdlib", "times as fast", "floor", "times the floor", "target"):
        table.add_column(column, justify="left" if column in ("operation", "target") else "right")
    for row in rows:
        table.add_row(
            row.what,
            _seconds(row.ours),
            _seconds(row.stdlib),
            _ratio(row.faster),
            _seconds(row.floor),
            _ratio(row.over_floor),
            row.target,
        )
    Console(width=140).print(table)


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(GROUPS)
    show([row for group in chosen for row in import_module(GROUPS[group]).rows()])
