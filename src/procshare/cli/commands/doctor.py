"""`procshare doctor`: whether all that procshare needs is there."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING

from procshare.cli import doctor as surgery
from procshare.cli import layout, paper
from procshare.cli.commands.options import Json
from procshare.cli.layout import Cell
from procshare.cli.outcome import FINE, WRONG
from procshare.cli.text import things

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

    from procshare.cli.doctor.finding import Finding, State
    from procshare.cli.layout import Line, Tone
    from procshare.cli.paper import Paper

_TONES: dict[State, Tone] = {"ok": "good", "note": "name", "warn": "warn", "fail": "bad"}
_MARKS: dict[State, str] = {"ok": "✔", "note": "·", "warn": "!", "fail": "✘"}


def doctor(as_json: Json = False) -> None:
    """Say whether all that procshare needs is there.

    And what to do about what is not. It looks at the backend and its core, /dev/shm, limits, the kernel and this
    machine, and lets two processes count together.

    Exits with 1 if something prevents procshare.
    """
    page = paper.new_paper(quiet=as_json)
    found: list[Finding] = []
    for topic, findings in groupby(surgery.look(), key=lambda each: each.topic):
        told = list(findings)
        found += told
        paper.heading(page, topic)
        page.lines(chart(page, told))
    if as_json:
        paper.print_json({"ok": not _count(found, "fail"), "findings": [each._asdict() for each in found]})
    paper.blank(page)
    paper.say(page, verdict(found))
    sys.exit(WRONG if _count(found, "fail") else FINE)


def _count(found: list[Finding], state: State) -> int:
    return sum(each.state == state for each in found)


def verdict(found: list[Finding]) -> Cell:
    """All of it in one sentence."""
    failed, warned = _count(found, "fail"), _count(found, "warn")
    better = f"{things(warned, 'thing')} could be better"
    if failed:
        told = f"{things(failed, 'thing')} {'prevents' if failed == 1 else 'prevent'} procshare"
        return Cell(f"{told}; {better}." if warned else f"{told}.", "bad")
    if warned:
        return Cell(f"procshare works; {better}.", "warn")
    return Cell("All is well.", "good")


def chart(page: Paper, found: list[Finding]) -> Iterator[Line]:
    """One topic's findings: marks on a screen, words in a pipe."""
    marks = _MARKS if page.width is not None else {state: f"{state:4}" for state in _TONES}
    longest = max(layout.width_of(each.name) for each in found)
    for each in found:
        mark = Cell(f"  {marks[each.state]} ", _TONES[each.state])
        room = None if page.width is None else page.width - layout.width_of(mark.text)
        told: Tone = "" if each.state in ("ok", "note") else _TONES[each.state]
        value = layout.facts([(each.name.ljust(longest), Cell(each.value, told))], room)
        hint = layout.facts([(" " * longest, Cell(each.hint, "dim"))], room) if each.hint else []
        for number, line in enumerate([*value, *hint]):
            yield (mark if number == 0 else Cell(" " * layout.width_of(mark.text)), *line)


def register(app: typer.Typer) -> None:
    """Add `doctor`."""
    app.command()(doctor)
