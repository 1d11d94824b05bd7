"""`procshare demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from procshare.cli import demo as demonstration
from procshare.cli.commands.options import Json, StartMethod


def demo(
    workers: Annotated[int, typer.Option(min=1, max=demonstration.MOST_WORKERS, help="How many processes.")] = 4,
    start_method: StartMethod = None,
    as_json: Json = False,
    increments: Annotated[int, typer.Option(min=1, hidden=True, help="By each process.")] = 50_000,
    files: Annotated[int | None, typer.Option(min=1, hidden=True, help="Read only so many.")] = None,
) -> None:
    """Run the demo; the text of its help is shared with the command that has no typer."""
    demonstration.run(demonstration.Request(workers, start_method, increments, files), as_json)


def register(app: typer.Typer) -> None:
    """Add `demo`."""
    app.command(help=demonstration.HELP)(demo)
