"""`procshare demo`: count, read, count words and pass work on together, with and without procshare."""

from __future__ import annotations

import multiprocessing
import sys
from typing import TYPE_CHECKING, NamedTuple

from procshare.cli import report
from procshare.cli.demo_workers import WorkerFailed
from procshare.cli.outcome import INTERRUPTED, WRONG, Failed, complain
from procshare.cli.paper import new_paper, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procshare.cli.demo_channels import Channels
    from procshare.cli.demo_counting import Counting
    from procshare.cli.demo_files import Reading
    from procshare.cli.demo_words import Words

MOST_WORKERS = 64
HELP = """Count together, with and without procshare.

Then read files, count their words and pass work on.

Shows what processes lose when they share naively, and that procshare loses nothing.

Exits with 1 if an exact count is not exact, or a worker died."""


class Request(NamedTuple):
    """What to show."""

    workers: int = 4
    """How many processes."""
    start_method: str | None = None
    """How multiprocessing starts them; None: Python's own choice."""
    increments: int = 50_000
    """By each process."""
    files: int | None = None
    """Read only so many; None: all."""


class Shown(NamedTuple):
    """What came of each part."""

    counting: Counting
    reading: Reading
    words: Words
    channels: Channels


def run(request: Request, as_json: bool) -> None:
    """Run the demo; end the process with 1 if what must be exact is not, with 130 if Ctrl-C comes.

    Raises:
        Failed: A worker died.
    """
    method = request.start_method or multiprocessing.get_start_method()
    # For the whole process, not as a context handed around: the stdlib backend makes its locks for the default one.
    multiprocessing.set_start_method(method, force=True)
    try:
        shown = _show(request, method, as_json)
    except WorkerFailed as error:
        raise Failed(str(error)) from None
    except KeyboardInterrupt:
        complain("interrupted; the workers were stopped")
        sys.exit(INTERRUPTED)
    if as_json:
        print_json(report.demo_as_data(request.workers, method, *shown))
    for wrong in _wrongs(shown):  # the JSON tells it too
        complain(wrong)
        sys.exit(WRONG)


def _show(request: Request, method: str, as_json: bool) -> Shown:
    from procshare.cli import demo_channels, demo_counting, demo_files, demo_words  # which need NumPy

    workers, _, increments, files = request
    page = report.DemoPage(new_paper(quiet=as_json))
    page.before_counting(workers, increments, method)
    counting = demo_counting.run_counting(workers, increments)
    page.counting(counting)
    page.before_reading(workers, str(demo_files.library_root()))
    reading = demo_files.run_reading(workers, page.progress, files)
    page.reading(reading, workers)
    page.before_words(workers)
    words = demo_words.run_words(workers, page.progress, files)
    page.words(words, workers)
    page.before_channels(demo_channels.COLLECTORS)
    channels = demo_channels.run_channels(increments, files)
    page.channels(channels)
    return Shown(counting, reading, words, channels)


def _wrongs(shown: Shown) -> Iterator[str]:
    if not shown.counting.ok:
        yield "a count that must be exact is not"
    if not shown.reading.ok:
        yield "the workers' totals differ from the sequential run's"
    if not shown.words.ok:
        yield "the words that the workers counted differ from collections.Counter's"
    if not shown.channels.ok:
        yield "what came through a queue or a pipe is not what was sent"
