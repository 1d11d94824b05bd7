"""`procshare rm` and `procshare prune`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

import procshare
from procshare.cli import listing, paper
from procshare.cli.commands.options import Json, Names
from procshare.cli.layout import Cell, visible
from procshare.cli.outcome import USAGE, WRONG, Failed, complain
from procshare.cli.processes import file_of, mapping, told
from procshare.cli.text import size, things

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procshare import SegmentInfo


def rm(
    names: Names,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Without asking, also while processes are attached.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove shared objects by name; damaged ones too.

    Processes that are attached go on with what they have, but nobody finds it any more. So that is asked, and where
    nobody can be asked it is refused without --force.

    Exits with 1 if a name was not found or not removed.
    """
    done = [_remove(name, force, as_json) for name in names]
    if as_json:
        paper.print_json(done)
    if not all(each["removed"] for each in done):
        sys.exit(WRONG)


def _remove(name: str, force: bool, as_json: bool) -> dict[str, Any]:
    using = _users(name)
    error: str | None = None
    if using and not force and not _may(name, using, as_json):
        error = f"{visible(name)!r} is in use by {_several(using)}; --force removes it all the same"
    else:
        try:
            procshare.unlink(name)
        except procshare.ProcshareError as problem:
            error = str(problem)
        except ValueError as problem:  # it cannot be a name
            raise Failed(str(problem), USAGE) from None
    if error is not None:
        complain(error)
    elif not as_json:
        paper.say(paper.new_paper(), f"removed {visible(name)}")
    return {"name": name, "removed": error is None, "attached": list(using), "error": error}


def _users(name: str) -> tuple[int, ...]:
    """The living processes that have it open, beside this one."""
    for info in procshare.segments():
        if name in (info.name, info.segment):
            return info.attached
    return tuple(pid for pid in mapping(file_of(name)) if pid != os.getpid())


def _several(pids: Sequence[int]) -> str:
    shown = ", ".join(told(pid) for pid in pids[:3])
    return f"{shown} and {things(len(pids) - 3, 'other')}" if len(pids) > 3 else shown


def _may(name: str, using: Sequence[int], as_json: bool) -> bool:
    if as_json or not (sys.stdin.isatty() and paper.on_terminal()):
        return False
    return typer.confirm(f"{visible(name)} is in use by {_several(using)}. Remove it all the same?")


def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only list what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove segments that nobody uses.

    Those to which no living process is attached, persistent ones excepted.
    """
    gone = procshare.prune(dry_run)
    if as_json:
        paper.print_json(listing.as_data(gone))
        return
    page = paper.new_paper()
    if gone or page.width is None:
        listing.table(page, gone)
    if page.width is not None:
        paper.say(page, _summary(gone, dry_run))


def _summary(gone: Sequence[SegmentInfo], dry_run: bool) -> Cell:
    if not gone:
        return Cell("There is nothing to remove.")
    what = f"{things(len(gone), 'segment')}, {size(sum(info.size for info in gone))}"
    return Cell(f"{what}, would be removed." if dry_run else f"Removed {what}.", "good")


def register(app: typer.Typer) -> None:
    """Add `rm` and `prune`."""
    app.command()(rm)
    app.command()(prune)
