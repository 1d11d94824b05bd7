"""`procshare holders`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

import procshare
from procshare.cli import listing, paper
from procshare.cli.commands.options import Json
from procshare.cli.layout import Cell, Column, visible
from procshare.cli.processes import command_line
from procshare.cli.text import NONE, duration, exact

if TYPE_CHECKING:
    from procshare import SegmentInfo


def holders(
    older_than: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.0, help="Only locks held for longer than this.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """List the objects whose lock is held: by whom, and for how long.

    For how long a SharedLock or SharedRLock is held is not known: with --older-than they are left out.
    """
    found = [info for info in procshare.segments() if info.holder is not None]
    if older_than > 0:
        found = [info for info in found if info.holder_for is not None and info.holder_for > older_than]
    found.sort(key=lambda info: -1.0 if info.holder_for is None else info.holder_for, reverse=True)
    if as_json:
        paper.print_json([as_data(info) for info in found])
        return
    page = paper.new_paper()
    if page.width is None:
        columns = [Column("NAME"), Column("KIND"), Column("HOLDER", right=True), Column("HELD", right=True)]
        rows: list[list[Cell | str]] = [
            [listing.word(info.name), info.kind, str(info.holder), exact(info.holder_for), _command(info)]
            for info in found
        ]
        paper.table(page, [*columns, Column("COMMAND")], rows)
    elif found:
        columns = [Column("name"), Column("kind", spare=1), Column("pid", right=True), Column("held for", right=True)]
        paper.table(page, [*columns, Column("command", cut=True)], [_row(info) for info in found])
    else:
        longer = f" for longer than {duration(older_than)}" if older_than else ""
        paper.say(page, f"No lock is held{longer}.")


def _row(info: SegmentInfo) -> list[Cell | str]:
    held = Cell(duration(info.holder_for), "bad" if (info.holder_for or 0) >= listing.LONG else "warn")
    return [Cell(visible(info.name), "name"), info.kind, str(info.holder), held, _command(info)]


def _command(info: SegmentInfo) -> str:
    return command_line(info.holder or 0) or NONE


def as_data(info: SegmentInfo) -> dict[str, Any]:
    """For `--json`."""
    return {
        "name": info.name,
        "kind": info.kind,
        "holder": info.holder,
        "holder_for": info.holder_for,
        "command": command_line(info.holder or 0),
    }


def register(app: typer.Typer) -> None:
    """Add `holders`."""
    app.command()(holders)
