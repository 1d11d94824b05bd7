"""What commands have in common: options, and the names that a shell completes."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

import procshare

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def completed(incomplete: str) -> list[tuple[str, str]]:
    """The names of the shared objects that begin so, with their kinds; none where they cannot be listed."""
    try:
        found = procshare.segments()
    except (ImportError, OSError):
        return []
    return [(info.name, info.kind) for info in found if info.name.startswith(incomplete)]


Name: TypeAlias = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=completed, help="An object's name, as `ls` shows it.")
]
Names: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="NAME...", autocompletion=completed, help="Names of objects, as `ls` shows them.")
]
