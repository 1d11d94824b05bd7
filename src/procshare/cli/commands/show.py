"""`procshare show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import procshare
from procshare.cli import contents, listing, paper
from procshare.cli.commands.options import Json, Name
from procshare.cli.layout import Cell, visible
from procshare.cli.processes import command_line, told
from procshare.cli.text import NONE, count, duration, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

    from procshare import SegmentInfo, SegmentStats
    from procshare.cli.layout import Tone
    from procshare.cli.paper import Paper

_UNUSED = "not shown: nobody is attached, and the last one to look and leave would remove it"


def show(name: Name, as_json: Json = False) -> None:
    """Show one shared object: who uses it, and what is in it.

    Also how much it was waited for. Nothing is changed, taken out or locked, and values are unpickled only as far as
    they are shown.

    Exits with 1 if there is no such object.
    """
    info = find(name)
    use = _stats(info)
    inside, problem = _contents(info)
    if as_json:
        paper.print_json(_data(info, use, inside, problem))
        return
    page = paper.new_paper()
    paper.say(page, Cell(f"{visible(info.name)}: {_what(info)}", "title"))
    paper.facts(page, [(f"  {each}", value) for each, value in _header(info)])
    _section(page, "contents", inside or [("", problem)], "warn" if problem else "")
    if use is not None:
        _section(page, "use since it was made", _usage(use))


def _section(page: Paper, title: str, pairs: list[tuple[str, str]], tone: Tone = "") -> None:
    paper.heading(page, title)
    paper.facts(page, [(f"  {each}" if each else " ", Cell(value, tone)) for each, value in pairs])


def find(name: str) -> SegmentInfo:
    """The object of this name.

    Raises:
        NotFound: There is none that can be read.
        CorruptSegment, VersionMismatch: It cannot be read.
    """
    found = next((info for info in procshare.segments() if info.name == name), None)
    if found is None:
        found = next((info for info in procshare.segments() if info.segment == name), None)
    if found is None:
        procshare.attach(name).close()  # it says why: not found, damaged, of another version
        raise procshare.NotFound(name)
    return found


def _what(info: SegmentInfo) -> str:
    return f"{info.kind} of {visible(info.type)}" if info.type else info.kind


def _header(info: SegmentInfo) -> Iterator[tuple[str, Cell | str]]:
    yield "segment", f"{visible(info.segment)}, {size(info.size)}"
    yield "user", listing.user_name(info.user)
    yield "owner", "whoever has it open" if info.owner is None else told(info.owner)
    yield "age", duration(info.age)
    yield "persists", "yes" if info.persist else "no"
    yield "attached", "\n".join(told(pid) for pid in info.attached) or "nobody"
    yield "lock", _lock(info)


def _lock(info: SegmentInfo) -> Cell:
    if info.holder is None:
        return Cell("free" if info.kind != "rwlock" else NONE)
    held = f"held by {told(info.holder)}"
    if info.holder_for is None:
        return Cell(held, "warn")
    return Cell(f"{held} for {duration(info.holder_for)}", "bad" if info.holder_for >= listing.LONG else "warn")


def _stats(info: SegmentInfo) -> SegmentStats | None:
    try:
        return procshare.stats(info.name)
    except (procshare.ProcshareError, OSError):
        return None


def _usage(use: SegmentStats) -> list[tuple[str, str]]:
    return [
        ("changes", NONE if use.changes is None else count(use.changes)),
        ("waits", count(use.waits)),
        ("timeouts", count(use.timeouts)),
        ("owner deaths", count(use.owner_deaths)),
        ("waiting now", "somebody" if use.waiting else "nobody"),
    ]


def _contents(info: SegmentInfo) -> tuple[list[tuple[str, str]], str]:
    """What is in it; or why that cannot be shown."""
    if info.kind == "slab":
        return [], "none of the small objects in it has a name"
    if not (info.attached or info.persist):
        return [], _UNUSED
    try:
        handle = procshare.attach(info.name)
        try:
            return list(contents.describe(handle)), ""
        finally:
            handle.close()
    except (procshare.ProcshareError, OSError) as error:
        return [], f"cannot be shown: {error}"


def _data(info: SegmentInfo, use: SegmentStats | None, inside: list[tuple[str, str]], problem: str) -> dict[str, Any]:
    pids = {*info.attached, *(each for each in (info.owner, info.holder) if each is not None)}
    return {
        **info._asdict(),
        "stats": None if use is None else use._asdict(),
        "contents": dict(inside) if inside else None,
        "contents_error": problem or None,
        "commands": {str(pid): command_line(pid) for pid in sorted(pids)},
    }


def register(app: typer.Typer) -> None:
    """Add `show`."""
    app.command()(show)
