"""Tables, facts and paragraphs as lines of text, laid out for a width; what prints them is in `paper`.

A line is a tuple of cells, each a piece of text with a tone. Where a table is wider than the screen, its least
important columns go first, and then it becomes one block of facts for each row. In a pipe all of it is there.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Tone: TypeAlias = Literal["", "good", "warn", "bad", "dim", "strong", "name", "title"]

GAP = 2  # blanks between two columns
GLANCE = 16  # columns below which the beginning of a text tells nothing
PROSE = 80  # the width of paragraphs where no screen says otherwise


class Cell(NamedTuple):
    """A piece of text, and what it means to whoever looks at it."""

    text: str
    tone: Tone = ""


Line: TypeAlias = "tuple[Cell, ...]"


class Column(NamedTuple):
    """A column of a table."""

    title: str
    right: bool = False
    """Whether it holds figures, which stand at the right."""
    spare: int = 0
    """How readily it is left out on a narrow screen: the highest goes first, 0 stays."""
    cut: bool = False
    """Whether its text may be cut short on a screen: it is the last column, and worth a glance at its beginning."""


def cell(what: Cell | str) -> Cell:
    """Text without a tone becomes a cell."""
    return what if isinstance(what, Cell) else Cell(what)


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes: two for East Asian characters, none for combining ones."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)


_UNPRINTABLE = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, blanks: bool = True) -> str:
    r"""What somebody else wrote as it can safely be printed: control characters as escapes.

    Args:
        text: A name, a value, a command line.
        blanks: False: blanks and backslashes become escapes as well, so that a field of a line is one word.
    """
    shown = text if blanks else text.replace("\\", r"\\").replace(" ", r"\x20")
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), shown)


def paragraph(text: str, width: int | None) -> list[Line]:
    """One paragraph, broken into lines."""
    return [(Cell(each),) for each in textwrap.wrap(text, width or PROSE, break_on_hyphens=False)] or [()]


def facts(pairs: Iterable[tuple[str, Cell | str]], width: int | None, indent: int = 0) -> list[Line]:
    """Names and what they are, one below the other; long text goes on in the next line, below its beginning."""
    rows = [(name, cell(what)) for name, what in pairs]
    edge = indent + max((width_of(name) for name, _ in rows), default=0) + GAP
    lines: list[Line] = []
    for name, (text, tone) in rows:
        room = None if width is None else max(width - edge, 12)
        parts = text.split("\n") if room is None else _broken(text, room)
        for number, part in enumerate(parts):
            margin = " " * indent + name if number == 0 else ""
            lines.append((Cell(margin + " " * (edge - width_of(margin)), "dim"), Cell(part, tone)))
    return lines


def _broken(text: str, room: int) -> list[str]:
    """Lines of at most so many columns."""
    lines: list[str] = []
    for given in text.split("\n"):
        lines.append("")
        for word in re.findall(r"\S+\s*|\s+", given):
            for part in _pieces(word, room):
                if lines[-1] and width_of(lines[-1] + part.rstrip()) > room:
                    lines.append("")
                lines[-1] += part
    return [line.rstrip() for line in lines]


def _pieces(word: str, room: int) -> list[str]:
    if width_of(word.rstrip()) <= room:
        return [word]
    pieces = [""]
    for each in word:
        if width_of(pieces[-1] + each.strip()) > room:
            pieces.append("")
        pieces[-1] += each
    return pieces


def needs(columns: Sequence[Column], rows: Iterable[Sequence[Cell | str]]) -> int:
    """How many columns of a screen a table takes with nothing left out."""
    cells = [[cell(each) for each in row] for row in rows]
    return _total(_widths(columns, cells, list(range(len(columns)))))


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell | str]], width: int | None) -> list[Line]:
    """A table with a line of titles, as wide as it needs to be; or, where that is too wide, one block for each row.

    Args:
        columns: The first one is what names a row.
        rows: A cell for each column.
        width: Of the screen; None: of a pipe, where every column is shown.
    """
    cells = [[cell(each) for each in row] for row in rows]
    if width is not None and columns[-1].cut:
        _cut(columns, cells, width)
    kept = list(range(len(columns)))
    while width is not None and _total(_widths(columns, cells, kept)) > width:
        spare = max(kept, key=lambda index: (columns[index].spare, index))
        if columns[spare].spare == 0:
            return _blocks(columns, cells, width)
        kept.remove(spare)
    widths = _widths(columns, cells, kept)
    titles = [Cell(column.title, "title") for column in columns]
    return [_row(columns, row, kept, widths) for row in [titles, *cells]]


def _cut(columns: Sequence[Column], cells: list[list[Cell]], width: int) -> None:
    """Make the last cells fit beside the others, if that leaves enough of them."""
    room = width - _total(_widths(columns, cells, list(range(len(columns) - 1)))) - GAP
    for row in cells if room >= GLANCE else ():
        text, tone = row[-1]
        if width_of(text) > room:
            row[-1] = Cell(_pieces(text, room - 1)[0] + "…", tone)


def _widths(columns: Sequence[Column], cells: list[list[Cell]], kept: list[int]) -> list[int]:
    return [max([width_of(columns[i].title), *(width_of(row[i].text) for row in cells)]) for i in kept]


def _total(widths: list[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _row(columns: Sequence[Column], row: Sequence[Cell], kept: list[int], widths: list[int]) -> Line:
    line: list[Cell] = []
    for number, (index, width) in enumerate(zip(kept, widths, strict=True)):
        text, tone = row[index]
        blanks = " " * (width - width_of(text))
        last = number == len(kept) - 1
        padded = blanks + text if columns[index].right else text if last else text + blanks
        line.append(Cell(padded if last else padded + " " * GAP, tone))
    return tuple(line)


def _blocks(columns: Sequence[Column], cells: list[list[Cell]], width: int) -> list[Line]:
    lines: list[Line] = []
    for row in cells:
        if lines:
            lines.append(())
        head = row[0].text or columns[0].title
        lines += [(Cell(part, row[0].tone or "strong"),) for part in _broken(head, width)]
        told = [(column.title, each) for column, each in zip(columns[1:], row[1:], strict=True) if each.text not in "-"]
        lines += facts(told, width, indent=GAP)
    return lines
