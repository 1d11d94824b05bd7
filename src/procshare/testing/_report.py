"""Tables of what was survived, in Markdown: printed, and put in the place that a document keeps for them."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Report:
    """A table with a line above it that tells how it came to be.

    Args:
        name: The program's, such as "sweep". Its place in a document is between `<!-- sweep -->` and `<!-- /sweep -->`.
        columns: The headings; those that begin with ">" hold numbers.
        good: What is said above the table if there were no failures.
        bad: What there were, if there were.
    """

    def __init__(
        self, name: str, columns: Sequence[str], good: str = "all survived", bad: str = "not survived"
    ) -> None:
        self.name = name
        self.failures: list[str] = []
        self._columns = columns
        self._good, self._bad = good, bad
        self._rows: list[list[str]] = []
        self._began = time.monotonic()

    def row(self, *cells: object) -> None:
        """Add a line to the table."""
        assert len(cells) == len(self._columns)
        self._rows.append([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells])

    def fail(self, what: str, again: str = "") -> None:
        """Note that something was not survived, and how to see it again; told on stderr at once."""
        self.failures.append(what)
        print(what + (f"\n  again: {again}" if again else ""), file=sys.stderr, flush=True)

    def text(self) -> str:
        """The whole of it."""
        took = time.monotonic() - self._began
        python = platform.python_version()
        linux = platform.release().partition("-")[0]
        line = f"`{command()}`, {took:.0f} s, {time.strftime('%Y-%m-%d')}, Python {python}, Linux {linux},"
        ruler = ["--:" if column.startswith(">") else "---" for column in self._columns]
        table = [[column.removeprefix(">") for column in self._columns], ruler, *self._rows]
        verdict = f"**{len(self.failures)} {self._bad}.**" if self.failures else f"{self._good}."
        lines = [f"| {' | '.join(cells)} |" for cells in table]
        return f"{line} {os.cpu_count()} CPUs: {verdict}\n\n" + "\n".join(lines) + "\n"

    def finish(self, into: str | None) -> int:
        """Print it, put it into a document if one is named, and return the exit status."""
        text = self.text()
        print(text)
        if into is not None:
            document, _, place = into.partition("#")
            put_into(Path(document), place or self.name, text)
        return int(bool(self.failures))


def command() -> str:
    """How this program was called, without where it puts the table."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = f"-m {spec.name}" if spec is not None else sys.argv[0]
    words = list(sys.argv[1:])
    if "--into" in words:
        at = words.index("--into")
        del words[at : at + 2]
    return " ".join(["python", name, *words])


def put_into(document: Path, name: str, text: str) -> None:
    """Replace what a document has between `<!-- name -->` and `<!-- /name -->`.

    Raises:
        ValueError: It has no such place.
    """
    whole = document.read_text()
    place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    changed, times = place.subn(lambda found: f"{found[1]}\n{text}\n{found[2]}", whole)
    if times != 1:
        raise ValueError(f"{document} has {times} places for {name!r}")
    document.write_text(changed)


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with what all of these programs take."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--into",
        metavar="FILE",
        help="a Markdown file whose table is to be replaced (FILE#PLACE: another one than the program's)",
    )
    return made


def chosen(all_of_them: Iterable[str], wanted: str | None) -> list[str]:
    """The names that a comma-separated option asks for; all if it was not given.

    Raises:
        SystemExit: There is no such name.
    """
    known = list(all_of_them)
    names = known if wanted is None else wanted.split(",")
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return names
