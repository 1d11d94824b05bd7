"""Every benchmark, as one table: `make bench`, or some: `python benchmarks/run.py words containers`.

Each figure is measured beside the standard library's and beside its floor, in turn, in the same run; containers and
queues also beside other libraries, where they are installed.
"""

from __future__ import annotations

import platform
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from measure import Row

GROUPS = {
    "words": "words",
    "contention": "contention",
    "arrays": "arrays",
    "containers": "containers",
    "sizes": "container_sizes",
    "queues": "queues",
    "locks": "locks",
    "imports": "import_time",
}


def show(rows: list[Row]) -> None:
    """Print the table, with a column for each library that some row has."""
    table = Table(title=f"Python {platform.python_version()}, {platform.machine()}; medians, loop included")
    peers = list(dict.fromkeys(peer for row in rows for peer in row.peers))
    others = (f"{peer}\n(times as fast)" for peer in peers)
    for column in (
        "operation",
        "procshare",
        "stdlib",
        "times\nas fast",
        "floor",
        "times\nthe floor",
        *others,
        "target",
    ):
        table.add_column(column, justify="left" if column in ("operation", "target") else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            escape(row.what),
            _figure(row.ours, row.unit),
            _figure(row.stdlib, row.unit),
            _ratio(row.faster),
            _figure(row.floor, row.unit),
            _ratio(row.over_floor),
            *(_peer(row, peer) for peer in peers),
            row.target,
        )
    Console(width=150 + 18 * len(peers)).print(table)


def _peer(row: Row, peer: str) -> str:
    if peer not in row.peers:
        return ""
    figure, faster = row.peers[peer]
    return _figure(figure, row.unit) if faster is None else f"{_figure(figure, row.unit)} ({_ratio(faster)})"


def _figure(figure: float | None, unit: str) -> str:
    if figure is None:
        return ""
    if unit == "s":
        return _seconds(figure)
    if unit == "%":
        return f"{figure:.3f} %"
    return f"{figure:,.0f} B" if unit == "B" else f"{figure:.2f} x"


def _seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(GROUPS)
    show([row for group in chosen for row in import_module(GROUPS[group]).rows()])
