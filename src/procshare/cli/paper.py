"""What commands print on: plain text in a pipe or where rich is missing, and `rich_paper` on a terminal."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from procshare.cli import layout
from procshare.cli.entry import is_there

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from contextlib import AbstractContextManager

    from procshare.cli.layout import Cell, Column, Line


class Paper(Protocol):
    """What a command prints on."""

    @property
    def width(self) -> int | None:
        """Columns of the screen; None: a pipe or a file, where a line may be of any length."""
        ...

    def lines(self, lines: Iterable[Line]) -> None:
        """Print lines as they are."""
        ...

    def progress(self, total: int, unit: str) -> AbstractContextManager[Callable[[int], object]]:
        """A bar that is told how many of *total* are done; none in a pipe."""
        ...


def heading(paper: Paper, text: str) -> None:
    """Print the title of what follows."""
    paper.lines([(), (layout.Cell(text, "title"),)])


def say(paper: Paper, *paragraphs: Cell | str) -> None:
    """Print paragraphs, which are broken where the screen ends."""
    for each in paragraphs:
        text, tone = layout.cell(each)
        paper.lines(
            tuple(layout.Cell(part.text, tone) for part in line) for line in layout.paragraph(text, paper.width)
        )


def blank(paper: Paper) -> None:
    """Print an empty line."""
    paper.lines([()])


def table(paper: Paper, columns: Sequence[Column], rows: Iterable[Sequence[Cell | str]]) -> None:
    """Print a table that fits the screen."""
    paper.lines(layout.table(columns, rows, paper.width))


def facts(paper: Paper, pairs: Iterable[tuple[str, Cell | str]]) -> None:
    """Print names and what they are."""
    paper.lines(layout.facts(pairs, paper.width))


class PlainPaper:
    """Text and nothing else.

    Args:
        quiet: Print nothing.
        width: Of the screen, where it is one.
    """

    def __init__(self, quiet: bool = False, width: int | None = None) -> None:
        self._quiet = quiet
        self.width = width

    def lines(self, lines: Iterable[Line]) -> None:
        """Print lines as they are."""
        if not self._quiet:
            text = "".join("".join(cell.text for cell in line).rstrip() + "\n" for line in lines)
            sys.stdout.write(text)
            sys.stdout.flush()

    @contextmanager
    def progress(self, total: int, unit: str) -> Generator[Callable[[int], object]]:
        """Shows nothing."""
        del total, unit
        yield lambda _done: None


def on_terminal() -> bool:
    """Whether somebody looks at the output now."""
    return sys.stdout.isatty()


def new_paper(quiet: bool = False) -> Paper:
    """What suits where the output goes."""
    if quiet or not on_terminal():
        return PlainPaper(quiet)
    if is_there("rich"):
        from procshare.cli.rich_paper import RichPaper

        return RichPaper()
    return PlainPaper(width=_columns())


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def print_json(data: Any) -> None:
    """One line of JSON, for programs."""
    print(json.dumps(data), flush=True)


def to_nowhere() -> None:
    """Whoever read the output has left: what is still to be printed goes nowhere, the interpreter's last flush too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
