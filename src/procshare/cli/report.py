"""What the commands print, in rich; and the same as plain data for `--json`."""

from __future__ import annotations

import platform
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import procshare

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from procshare import SegmentInfo
    from procshare.cli.demo_channels import Channels
    from procshare.cli.demo_counting import Counting, Tally
    from procshare.cli.demo_files import Reading, Totals
    from procshare.cli.demo_words import Words


def _table(*columns: str) -> Table:
    """A table whose first column is text and whose others are figures."""
    table = Table(box=None, header_style="bold", padding=(0, 3, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms" if seconds >= 0.1 else f"{seconds * 1e3:,.1f} ms"


def _lost(tally: Tally) -> str:
    return f"[red]{tally.lost:,} ({tally.lost / tally.expected:.0%})[/]" if tally.lost else "[green]none[/]"


class DemoPage:
    """The demo's output, section by section.

    Args:
        quiet: Print nothing; for `--json`.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._console = Console(quiet=quiet, highlight=False)

    def _section(self, title: str, text: str) -> None:
        self._console.print(f"\n[bold cyan]{title}[/]")
        self._console.print(text)
        self._console.print()

    def before_counting(self, workers: int, times: int, start_method: str) -> None:
        """Say what is about to be counted."""
        self._section(
            "1. The problem: counting together",
            f"{workers} processes, started by {start_method}, each add 1 to the same number {times:,} times.\n"
            f"{workers * times:,} is right.",
        )

    def counting(self, counting: Counting) -> None:
        """Show what each way of counting came to, and what that means."""
        table = _table("", "counted", "lost", "time", "per increment")
        for tally in counting.tallies:
            each = f"{tally.seconds / tally.expected * 1e9:,.0f} ns"
            table.add_row(tally.label, f"{tally.counted:,}", _lost(tally), _milliseconds(tally.seconds), each)
        self._console.print(table)
        self._console.print()
        self._console.print("A plain global: each process counts in a copy of its own; the parent's stays 0.")
        self._console.print(_about_unlocked(counting.unlocked))
        self._console.print("mp.Value with it: exact, at the price of a semaphore for each increment.")
        self._console.print(_about_shared(counting))

    def before_reading(self, workers: int, root: str) -> None:
        """Say what is about to be read."""
        self._section(
            "2. Real data: reading a source tree together",
            f"{workers} workers read Python {platform.python_version()}'s standard library, {escape(root)},\n"
            "and count files, lines and bytes by value in shared counters and a shared array.\n"
            "There is no queue: the index of the next file is a SharedCounter as well.",
        )

    @contextmanager
    def progress(self, total: int) -> Generator[Callable[[int], object]]:
        """A bar that is told how many of *total* files are done."""
        columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TextColumn("files"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, disable=self._quiet) as bar:
            task = bar.add_task("reading", total=total)
            yield lambda done: bar.update(task, completed=done)

    def reading(self, reading: Reading, workers: int) -> None:
        """Show what the workers found, beside what one process alone did."""
        table = _table("", "files", "lines", "bytes", "time")
        table.add_row(f"{workers} workers, shared", *_figures(reading.shared), _milliseconds(reading.seconds))
        table.add_row("one process, alone", *_figures(reading.alone), _milliseconds(reading.seconds_alone))
        self._console.print()
        self._console.print(table)
        self._console.print()
        self._console.print(
            f"Starting the workers took {_milliseconds(reading.seconds_starting)}; it is not in their time."
        )
        self._console.print(_frequent_bytes(reading.shared))
        self._console.print(
            "[green]Both agree on files, lines and each of the 256 bins.[/]" if reading.ok else "[red]They differ.[/]"
        )

    def before_words(self, workers: int) -> None:
        """Say what is about to be counted."""
        self._section(
            "3. Any data: counting words in one dict",
            f"{workers} workers count the words of the same files into one SharedDict:\n"
            "each file by itself, then counts.increment(word, n) for each of its words.\n"
            "That is atomic, and needs no lock.",
        )

    def words(self, words: Words, workers: int) -> None:
        """Show what the workers counted, beside one process alone, and a sample beside a manager's dict."""
        table = _table("", "files", "words", "distinct", "time")
        figures = f"{words.files:,}", f"{words.total:,}", f"{words.distinct:,}"
        table.add_row(f"{workers} workers, SharedDict", *figures, _milliseconds(words.seconds))
        table.add_row("one process, collections.Counter", *figures[:1], "", "", _milliseconds(words.seconds_alone))
        sample = words.sample
        table.add_row(f"{workers} workers, SharedDict", f"{sample.files:,}", "", "", _milliseconds(sample.seconds))
        manager = f"{workers} workers, Manager().dict(), lock"
        table.add_row(manager, f"{sample.files:,}", "", "", _milliseconds(sample.seconds_manager))
        self._console.print()
        self._console.print(table)
        self._console.print()
        self._console.print(
            f"The most frequent: {', '.join(f'{word} {times:,}' for word, times in words.frequent[:4])}."
        )
        self._console.print(_about_manager(words))
        self._console.print(
            f"[green]Workers and Counter agree on each of the {words.distinct:,} words.[/]"
            if words.ok
            else "[red]They differ.[/]"
        )

    def before_channels(self, collectors: int) -> None:
        """Say what is about to be sent."""
        self._section(
            "4. Channels: passing work on",
            "A producer and a consumer, whose loop ends when the producer calls shutdown().\n"
            f"Then {collectors} workers send results back, one is killed in the middle of its work,\n"
            "and one answers questions through a SharedPipe.",
        )

    def channels(self, channels: Channels) -> None:
        """Show what was sent, what came, and how long it took."""
        table = _table("", "sent", "received", "right", "time", "per item")
        for stream in (channels.queue, channels.stdlib):
            each = f"{stream.seconds / stream.sent * 1e9:,.0f} ns"
            right = "[green]yes[/]" if stream.exact else "[red]no[/]"
            seconds = _milliseconds(stream.seconds)
            table.add_row(stream.label, f"{stream.sent:,}", f"{stream.received:,}", right, seconds, each)
        self._console.print(table)
        self._console.print()
        for line in _about_channels(channels):
            self._console.print(line)


def _about_channels(channels: Channels) -> Iterator[str]:
    backend = procshare.default_backend()
    ratio = channels.ratio
    if ratio < 1:
        yield f"SharedQueue: {1 / ratio:,.1f} times as slow as mp.Queue, on the {backend} backend."
    else:
        yield f"SharedQueue: [bold]{ratio:,.1f} times as fast[/] as mp.Queue."
    if channels.results_equal:
        yield f"Results: all {channels.results:,} came back, each once, and each is right."
    else:
        yield f"[red]Results: the {channels.results:,} that came back are not those of one process alone.[/]"
    if channels.rescued is None:
        yield f"Lease: not tried; the {backend} backend does not know who took an item."
    elif channels.rescued:
        after = _milliseconds(channels.rescue_seconds)
        yield f"Lease: a worker was killed with an item; another one had it {after} later."
    else:
        yield "[red]Lease: a killed worker's item did not come back.[/]"
    answers = "each answer right" if channels.answered else "[red]with wrong answers[/]"
    each = f"{channels.round_trip_seconds * 1e6:,.0f} µs"
    yield f"SharedPipe: {channels.round_trips:,} questions, {answers}; {each} for one and its answer."


def _about_manager(words: Words) -> str:
    ratio = words.sample.ratio
    if ratio < 1:
        return (
            f"SharedDict: {1 / ratio:,.1f} times as slow as the manager, on the {procshare.default_backend()} backend."
        )
    return f"SharedDict: [bold]{ratio:,.1f} times as fast[/] as Manager().dict() with a lock."


def _about_unlocked(tally: Tally) -> str:
    if not tally.lost:
        return "mp.Value without its lock: none lost this time. That was luck: `+=` reads, then writes."
    return "mp.Value without its lock: two read the same number and write the same sum."


def _about_shared(counting: Counting) -> str:
    if counting.shared.lost:
        return "[red]SharedCounter lost increments: this is a bug in procshare.[/]"
    if counting.ratio < 1:  # the stdlib backend: mp.Value once more, with news for wait_until on top
        slower = f"{1 / counting.ratio:,.1f} times as slow as mp.Value with its lock"
        return f"SharedCounter: exact; {slower}, on the {procshare.default_backend()} backend."
    return f"SharedCounter: exact, and [bold]{counting.ratio:,.1f} times as fast[/] as mp.Value with its lock."


def _figures(totals: Totals) -> tuple[str, str, str]:
    return f"{totals.files:,}", f"{totals.lines:,}", f"{totals.bytes:,}"


def _frequent_bytes(totals: Totals) -> str:
    frequent = sorted(range(256), key=lambda byte: totals.histogram[byte], reverse=True)[:5]
    size = max(totals.bytes, 1)
    shown = (f"{bytes([byte])!r:.6} {totals.histogram[byte] / size:.1%}" for byte in frequent)
    return f"The most frequent bytes: {', '.join(shown)}."


def demo_as_data(
    workers: int, start_method: str, counting: Counting, reading: Reading, words: Words, channels: Channels
) -> dict[str, Any]:
    """The demo's outcome as one JSON object."""
    return {
        "ok": counting.ok and reading.ok and words.ok and channels.ok,
        "python": platform.python_version(),
        "backend": procshare.default_backend(),
        "workers": workers,
        "start_method": start_method,
        "counting": {
            "increments_each": counting.times,
            "runs": [{**asdict(tally), "lost": tally.lost} for tally in counting.tallies],
            "ratio": counting.ratio,
        },
        "reading": {**asdict(reading), "equal": reading.ok},
        "words": {**asdict(words), "sample": {**asdict(words.sample), "ratio": words.sample.ratio}},
        "channels": {**asdict(channels), "ratio": channels.ratio},
    }


def segments_table(infos: Sequence[SegmentInfo], title: str) -> None:
    """Print shared objects as a table."""
    console = Console(highlight=False)
    console.print(f"[bold]{title}[/]" if infos else f"{title}: none")
    if not infos:
        return
    table = _table("name", "kind", "bytes", "owner", "attached", "holder", "persist")
    table.columns[0].overflow = "fold"
    table.columns[0].no_wrap = False
    for info in infos:
        attached = ", ".join(map(str, info.attached)) or "-"
        owner, holder = (str(pid) if pid is not None else "-" for pid in (info.owner, info.holder))
        persist = "yes" if info.persist else "no"
        table.add_row(escape(info.name), info.kind, f"{info.size:,}", owner, attached, holder, persist)
    console.print(table)
