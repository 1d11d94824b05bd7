"""`procshare demo`."""

from __future__ import annotations

import multiprocessing
from typing import Annotated

import typer

from procshare.cli import demo as demonstration
from procshare.cli.commands.options import Json

_METHODS = multiprocessing.get_all_start_methods()


def _start_method(given: str | None) -> str | None:
    if given is not None and given not in _METHODS:
        raise typer.BadParameter(f"{given!r} is none of {', '.join(_METHODS)}")
    return given


def _completed(incomplete: str) -> list[str]:
    return [method for method in _METHODS if method.startswith(incomplete)]


def demo(
    workers: Annotated[int, typer.Option(min=1, max=demonstration.MOST_WORKERS, help="How many processes.")] = 4,
    start_method: Annotated[
        str | None,
        typer.Option(
            callback=_start_method,
            autocompletion=_completed,
            metavar="|".join(_METHODS),
            help="How multiprocessing starts them. Default: Python's own choice.",
        ),
    ] = None,
    as_json: Json = False,
    increments: Annotated[int, typer.Option(min=1, hidden=True, help="By each process.")] = 50_000,
    files: Annotated[int | None, typer.Option(min=1, hidden=True, help="Read only so many.")] = None,
) -> None:
    """Run the demo; the text of its help is shared with the command that has no typer."""
    demonstration.run(demonstration.Request(workers, start_method, increments, files), as_json)


def register(app: typer.Typer) -> None:
    """Add `demo`."""
    app.command(help=demonstration.HELP)(demo)
