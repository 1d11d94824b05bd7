"""What commands have in common: options, and the names that a shell completes."""

from __future__ import annotations

import multiprocessing
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

_METHODS = multiprocessing.get_all_start_methods()


def _start_method(given: str | None) -> str | None:
    if given is not None and given not in _METHODS:
        raise typer.BadParameter(f"{given!r} is none of {', '.join(_METHODS)}")
    return given


def _methods(incomplete: str) -> list[str]:
    return [method for method in _METHODS if method.startswith(incomplete)]


StartMethod: TypeAlias = Annotated[
    str | None,
    typer.Option(
        callback=_start_method,
        autocompletion=_methods,
        metavar="|".join(_METHODS),
        help="How multiprocessing starts them. Default: Python's own choice.",
    ),
]
