"""`procshare version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procshare.cli.commands.options import Json
from procshare.cli.version import print_version

if TYPE_CHECKING:
    import typer


def version(as_json: Json = False) -> None:
    """Print the version.

    With --json those of Python and the backend as well.
    """
    print_version(as_json)


def register(app: typer.Typer) -> None:
    """Add `version`."""
    app.command()(version)
