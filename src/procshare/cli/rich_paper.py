"""A terminal, in rich: colours where it has them and nobody said NO_COLOR, progress bars, what refreshes itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from procshare.cli.layout import Line, Tone

T = TypeVar("T")

STYLES: dict[Tone, str] = {
    "": "",
    "good": "green",
    "warn": "yellow",
    "bad": "bold red",
    "dim": "dim",
    "strong": "bold",
    "name": "bold cyan",
    "title": "bold",
}


class Screen(Console):
    """A console that leaves it to the command what becomes of a broken pipe."""

    def on_broken_pipe(self) -> None:
        """Called while the error is handled."""
        raise  # noqa: PLE0704


def text(line: Line) -> Text:
    """A line, in rich."""
    made = Text(no_wrap=True, overflow="ignore")
    for each in line:
        made.append(each.text, STYLES[each.tone])
    made.rstrip()
    return made


class RichPaper:
    """A terminal.

    Args:
        console: Another than that of stdout.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console: Console = console or Screen(highlight=False)

    @property
    def width(self) -> int:
        """Columns of the screen, at this moment."""
        return self.console.width

    def lines(self, lines: Iterable[Line]) -> None:
        """Print lines as they are."""
        for line in lines:
            self.console.print(text(line), soft_wrap=True)

    @contextmanager
    def progress(self, total: int, unit: str) -> Generator[Callable[[int], object]]:
        """A bar that is told how many of *total* are done."""
        small = self.width < 60
        columns = (BarColumn(10 if small else 40), MofNCompleteColumn(), TextColumn(unit))
        with Progress(*columns, *(() if small else (TimeElapsedColumn(),)), console=self.console) as bar:
            task = bar.add_task("", total=total)
            yield lambda done: bar.update(task, completed=done)

    def follow(self, samples: Iterable[T], draw: Callable[[T, int, int], list[Line]]) -> None:
        """Show one sample after the other in the whole window, and the window as it was in the end.

        Args:
            samples: As they come.
            draw: Makes lines of a sample, for so many columns and lines.
        """
        with Live(console=self.console, screen=True, auto_refresh=False) as display:
            for each in samples:
                lines = draw(each, self.console.width, self.console.height)
                display.update(Group(*map(text, lines)), refresh=True)
