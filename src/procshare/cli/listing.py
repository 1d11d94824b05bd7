"""Shared objects as rows of a table: for people on a screen, for programs in a pipe."""

from __future__ import annotations

import pwd
from typing import TYPE_CHECKING, Any

from procshare.cli import layout, paper
from procshare.cli.layout import Cell, Column, visible
from procshare.cli.text import NONE, duration, exact, size, things

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procshare import SegmentInfo
    from procshare.cli.layout import Line
    from procshare.cli.paper import Paper

_SHOWN = 4  # process ids that a cell of a table has room for
LONG = 5.0  # seconds; who holds a lock for longer than this deserves attention


def table(page: Paper, infos: Sequence[SegmentInfo], users: bool = False) -> None:
    """Print shared objects."""
    if page.width is None:
        _for_programs(page, infos)
    else:
        _for_people(page, infos, users)


def _for_people(page: Paper, infos: Sequence[SegmentInfo], users: bool) -> None:
    width = page.width or 0
    columns = [
        Column("name"),
        Column("kind"),
        Column("type", spare=3),
        Column("size", right=True),
        Column("user" if users else "owner", right=not users, spare=2),
        Column("attached", spare=1),
        Column("age", right=True, spare=4),
        Column("locked by"),
    ]
    rows = [_row(info, users, attached(info)) for info in infos]
    if layout.needs(columns, rows) > width:  # how many of them there are has to do
        rows = [_row(info, users, attached(info, few=0)) for info in infos]
    essential = [columns[0], columns[1], columns[3], columns[7]]
    if layout.needs(essential, [[row[0], row[1], row[3], row[7]] for row in rows]) > width:
        page.lines(line for info in infos for line in _block(info, width, users))
    else:
        paper.table(page, columns, rows)


def _row(info: SegmentInfo, users: bool, who: Cell) -> list[Cell | str]:
    return [
        Cell(visible(info.name), "name"),
        info.kind,
        visible(info.type) or Cell(NONE, "dim"),
        size(info.size),
        user_name(info.user) if users else _pid(info.owner),
        who,
        Cell(duration(info.age), "dim"),
        holder(info),
    ]


def _block(info: SegmentInfo, width: int, users: bool) -> list[Line]:
    """An object in a few short lines."""
    facts = [
        f"{info.kind} of {visible(info.type)}" if info.type else info.kind,
        size(info.size),
        *([f"of {user_name(info.user)}"] if users else []),
        f"{len(info.attached)} attached" if info.attached else attached(info).text,
        *([duration(info.age)] if info.age is not None else []),
    ]
    lines: list[Line] = layout.facts([("", Cell(visible(info.name), "name"))], width, indent=-layout.GAP)
    lines += layout.facts([("", " · ".join(facts))], width)
    if info.holder is not None:
        held = holder(info)
        lines += layout.facts([("", Cell(f"locked by {held.text}", held.tone))], width)
    return lines


def _pid(pid: int | None) -> str:
    return NONE if pid is None else str(pid)


def attached(info: SegmentInfo, few: int = _SHOWN) -> Cell:
    """The processes that are attached, if they are few; else how many there are."""
    if not info.attached:
        return Cell("nobody", "dim" if info.persist else "warn")
    if len(info.attached) > few:
        return Cell(str(len(info.attached)) if few == 0 else things(len(info.attached), "process", "processes"))
    return Cell(" ".join(map(str, info.attached)))


def holder(info: SegmentInfo) -> Cell:
    """Who holds the lock, and for how long."""
    if info.holder is None:
        return Cell(NONE, "dim")
    if info.holder_for is None:
        return Cell(f"{info.holder}", "warn")
    return Cell(f"{info.holder} for {duration(info.holder_for)}", "bad" if info.holder_for >= LONG else "warn")


def _for_programs(page: Paper, infos: Sequence[SegmentInfo]) -> None:
    columns = [
        Column("NAME"),
        Column("KIND"),
        Column("TYPE"),
        Column("BYTES", right=True),
        Column("USER", right=True),
        Column("OWNER", right=True),
        Column("ATTACHED"),
        Column("AGE", right=True),
        Column("HOLDER", right=True),
        Column("HELD", right=True),
        Column("PERSIST"),
    ]
    rows = [
        [
            word(info.name),
            info.kind,
            word(info.type),
            str(info.size),
            str(info.user),
            _pid(info.owner),
            ",".join(map(str, info.attached)) or NONE,
            exact(info.age),
            _pid(info.holder),
            exact(info.holder_for),
            "yes" if info.persist else "no",
        ]
        for info in infos
    ]
    paper.table(page, columns, rows)


def word(text: str) -> str:
    """A field of a line that programs split at blanks."""
    return visible(text, blanks=False) or NONE


def user_name(user: int) -> str:
    """A user's name, or the id of one who has none here."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def as_data(infos: Sequence[SegmentInfo]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [info._asdict() for info in infos]
