"""What the demo prints, section by section; and the same as plain data for `--json`."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import procshare
from procshare.cli import paper as papers
from procshare.cli.layout import Cell, Column
from procshare.cli.text import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from procshare.cli.demo_channels import Channels
    from procshare.cli.demo_counting import Counting, Tally
    from procshare.cli.demo_files import Reading, Totals
    from procshare.cli.demo_words import Words
    from procshare.cli.paper import Paper


def _columns(*titles: str) -> list[Column]:
    """A first column of text, and others of figures."""
    return [Column(title, right=number > 0) for number, title in enumerate(titles)]


def _lost(tally: Tally) -> Cell:
    return Cell(f"{tally.lost:,} ({tally.lost / tally.expected:.0%})", "bad") if tally.lost else Cell("none", "good")


class DemoPage:
    """The demo's output, section by section.

    Args:
        paper: What it is printed on.
    """

    def __init__(self, paper: Paper) -> None:
        self._paper = paper

    def _section(self, title: str, text: str) -> None:
        papers.heading(self._paper, title)
        papers.say(self._paper, text)
        papers.blank(self._paper)

    def _table(self, columns: list[Column], rows: list[list[Cell | str]]) -> None:
        papers.table(self._paper, columns, rows)
        papers.blank(self._paper)

    def before_counting(self, workers: int, times: int, start_method: str) -> None:
        """Say what is about to be counted."""
        self._section(
            "1. The problem: counting together",
            f"{workers} processes, started by {start_method}, each add 1 to the same number {times:,} times. "
            f"{workers * times:,} is right.",
        )

    def counting(self, counting: Counting) -> None:
        """Show what each way of counting came to, and what that means."""
        rows: list[list[Cell | str]] = []
        for tally in counting.tallies:
            each = f"{tally.seconds / tally.expected * 1e9:,.0f} ns"
            rows.append([tally.label, f"{tally.counted:,}", _lost(tally), milliseconds(tally.seconds), each])
        self._table(_columns("", "counted", "lost", "time", "per increment"), rows)
        papers.say(
            self._paper,
            "A plain global: each process counts in a copy of its own; the parent's stays 0.",
            _about_unlocked(counting.unlocked),
            "mp.Value with it: exact, at the price of a semaphore for each increment.",
            _about_shared(counting),
        )

    def before_reading(self, workers: int, root: str) -> None:
        """Say what is about to be read."""
        self._section(
            "2. Real data: reading a source tree together",
            f"{workers} workers read Python {platform.python_version()}'s standard library, {root}, and count files, "
            "lines and bytes by value in shared counters and a shared array. There is no queue: the index of the next "
            "file is a SharedCounter as well.",
        )

    def progress(self, total: int) -> AbstractContextManager[Callable[[int], object]]:
        """A bar that is told how many of *total* files are done."""
        return self._paper.progress(total, "files")

    def reading(self, reading: Reading, workers: int) -> None:
        """Show what the workers found, beside what one process alone did."""
        self._table(
            _columns("", "files", "lines", "bytes", "time"),
            [
                [f"{workers} workers, shared", *_figures(reading.shared), milliseconds(reading.seconds)],
                ["one process, alone", *_figures(reading.alone), milliseconds(reading.seconds_alone)],
            ],
        )
        papers.say(
            self._paper,
            f"Starting the workers took {milliseconds(reading.seconds_starting)}; it is not in their time.",
            _frequent_bytes(reading.shared),
            Cell("Both agree on files, lines and each of the 256 bins.", "good")
            if reading.ok
            else Cell("They differ.", "bad"),
        )

    def before_words(self, workers: int) -> None:
        """Say what is about to be counted."""
        self._section(
            "3. Any data: counting words in one dict",
            f"{workers} workers count the words of the same files into one SharedDict: each file by itself, then "
            "counts.increment(word, n) for each of its words. That is atomic, and needs no lock.",
        )

    def words(self, words: Words, workers: int) -> None:
        """Show what the workers counted, beside one process alone, and a sample beside a manager's dict."""
        sample = words.sample
        figures = f"{words.files:,}", f"{words.total:,}", f"{words.distinct:,}"
        sampled = f"{sample.files:,}", "", ""
        self._table(
            _columns("", "files", "words", "distinct", "time"),
            [
                [f"{workers} workers, SharedDict", *figures, milliseconds(words.seconds)],
                ["one process, collections.Counter", figures[0], "", "", milliseconds(words.seconds_alone)],
                [f"{workers} workers, SharedDict", *sampled, milliseconds(sample.seconds)],
                [f"{workers} workers, Manager().dict(), lock", *sampled, milliseconds(sample.seconds_manager)],
            ],
        )
        papers.say(
            self._paper,
            f"The most frequent: {', '.join(f'{word} {times:,}' for word, times in words.frequent[:4])}.",
            _about_manager(words),
            Cell(f"Workers and Counter agree on each of the {words.distinct:,} words.", "good")
            if words.ok
            else Cell("They differ.", "bad"),
        )

    def before_channels(self, collectors: int) -> None:
        """Say what is about to be sent."""
        self._section(
            "4. Channels: passing work on",
            "A producer and a consumer, whose loop ends when the producer calls shutdown(). "
            f"Then {collectors} workers send results back, one is killed in the middle of its work, "
            "and one answers questions through a SharedPipe.",
        )

    def channels(self, channels: Channels) -> None:
        """Show what was sent, what came, and how long it took."""
        rows: list[list[Cell | str]] = []
        for stream in (channels.queue, channels.stdlib):
            each = f"{stream.seconds / stream.sent * 1e9:,.0f} ns"
            right = Cell("yes", "good") if stream.exact else Cell("no", "bad")
            counts = f"{stream.sent:,}", f"{stream.received:,}"
            rows.append([stream.label, *counts, right, milliseconds(stream.seconds), each])
        self._table(_columns("", "sent", "received", "right", "time", "per item"), rows)
        papers.say(self._paper, *_about_channels(channels))


def _about_channels(channels: Channels) -> Iterator[Cell | str]:
    backend = procshare.default_backend()
    ratio = channels.ratio
    if ratio < 1:
        yield f"SharedQueue: {1 / ratio:,.1f} times as slow as mp.Queue, on the {backend} backend."
    else:
        yield Cell(f"SharedQueue: {ratio:,.1f} times as fast as mp.Queue.", "strong")
    if channels.results_equal:
        yield f"Results: all {channels.results:,} came back, each once, and each is right."
    else:
        yield Cell(f"Results: the {channels.results:,} that came back are not those of one process alone.", "bad")
    if channels.rescued is None:
        yield f"Lease: not tried; the {backend} backend does not know who took an item."
    elif channels.rescued:
        after = milliseconds(channels.rescue_seconds)
        yield f"Lease: a worker was killed with an item; another one had it {after} later."
    else:
        yield Cell("Lease: a killed worker's item did not come back.", "bad")
    answers = "each answer right" if channels.answered else "with wrong answers"
    each = f"{channels.round_trip_seconds * 1e6:,.0f} µs"
    told = f"SharedPipe: {channels.round_trips:,} questions, {answers}; {each} for one and its answer."
    yield told if channels.answered else Cell(told, "bad")


def _about_manager(words: Words) -> Cell | str:
    ratio = words.sample.ratio
    if ratio < 1:
        backend = procshare.default_backend()
        return f"SharedDict: {1 / ratio:,.1f} times as slow as the manager, on the {backend} backend."
    return Cell(f"SharedDict: {ratio:,.1f} times as fast as Manager().dict() with a lock.", "strong")


def _about_unlocked(tally: Tally) -> str:
    if not tally.lost:
        return "mp.Value without its lock: none lost this time. That was luck: `+=` reads, then writes."
    return "mp.Value without its lock: two read the same number and write the same sum."


def _about_shared(counting: Counting) -> Cell | str:
    if counting.shared.lost:
        return Cell("SharedCounter lost increments: this is a bug in procshare.", "bad")
    if counting.ratio < 1:  # the stdlib backend: mp.Value once more, with news for wait_until on top
        slower = f"{1 / counting.ratio:,.1f} times as slow as mp.Value with its lock"
        return f"SharedCounter: exact; {slower}, on the {procshare.default_backend()} backend."
    return Cell(
        f"SharedCounter: exact, and {counting.ratio:,.1f} times as fast as mp.Value with its lock.",
        "strong",
    )


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
