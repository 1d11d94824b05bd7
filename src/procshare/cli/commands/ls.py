"""`procshare ls`."""

from __future__ import annotations

from typing import Annotated

import typer

import procshare
from procshare.cli import listing, paper
from procshare.cli.commands.options import Json


def ls(
    all_users: Annotated[
        bool, typer.Option("--all-users", "-a", help="Those of other users too, as far as they can be read.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the shared objects that have a name.

    On a terminal: who made each, who is attached, how old it is, who holds its lock and for how long. In a pipe: all
    columns, sizes in bytes and times in seconds, blanks in names as \\x20.
    """
    found = procshare.segments(all_users)
    if as_json:
        paper.print_json(listing.as_data(found))
        return
    page = paper.new_paper()
    if found or page.width is None:
        listing.table(page, found, users=all_users)
    else:
        paper.say(page, "There are no shared objects.")


def register(app: typer.Typer) -> None:
    """Add `ls`."""
    app.command()(ls)
