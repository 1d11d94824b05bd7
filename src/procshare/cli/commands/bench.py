"""`procshare bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from procshare.bench.catalogue import ROWS, SECONDS
from procshare.cli import benchmark
from procshare.cli.commands.options import Json, StartMethod


def _completed(incomplete: str) -> list[str]:
    return [key for key in ROWS if key.startswith(incomplete)]


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            autocompletion=_completed,
            metavar="ROW,...",
            help=f"These rows alone. There are {', '.join(ROWS)}.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few rounds, short ones: to see how it looks.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.01, help=f"How long each row takes. Default: {SECONDS:g}."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.svg", help="Draw it: how many times procshare's figure the others take."),
    ] = None,
    start_method: StartMethod = None,
    as_json: Json = False,
) -> None:
    """Time the standard library's ways of sharing beside procshare's.

    Each row is the same work done in several ways, in turn, in the same run: mp.Value, Array, Queue, SimpleQueue, Pipe,
    Lock, RLock, Manager, SharedMemory, ShareableList. Medians, with half of what lies between the quartiles. "As fast"
    and "as slow" hold in three rounds of four at least; else it is "even". Rows in which procshare is behind are named
    again at the end. Takes some two minutes.
    """
    benchmark.run(benchmark.Request(only or (), quick, seconds, start_method, plot), as_json)


def register(app: typer.Typer) -> None:
    """Add `bench`."""
    app.command()(bench)
