"""The subcommands of `procshare`, in click."""

from __future__ import annotations

import json
import multiprocessing
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

import procshare as library
from procshare.cli import demo_channels, demo_counting, demo_files, demo_words, report
from procshare.cli.demo_workers import WorkerFailed

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from procshare import SegmentInfo

_INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="procshare")
def procshare() -> None:
    """Share state between Python processes."""


@procshare.command()
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="How many processes.")
@click.option(
    "--start-method",
    type=click.Choice(multiprocessing.get_all_start_methods()),
    default=multiprocessing.get_start_method,
    show_default="Python's own choice",
    help="How multiprocessing starts them.",
)
@_json_option
@click.option("--increments", type=click.IntRange(1), default=50_000, hidden=True, help="By each process.")
@click.option("--files", type=click.IntRange(1), default=None, hidden=True, help="Read only so many.")
def demo(workers: int, start_method: str, as_json: bool, increments: int, files: int | None) -> None:
    """Count, read, count words and pass work on together, with and without procshare.

    Shows what processes lose when they share naively, and that procshare loses nothing.

    Exits with 1 if an exact count is not exact, or a worker died.
    """
    # For the whole process, not as a context handed around: the stdlib backend makes its locks for the default one.
    multiprocessing.set_start_method(start_method, force=True)
    page = report.DemoPage(quiet=as_json)
    try:
        page.before_counting(workers, increments, start_method)
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
    except WorkerFailed as error:
        _fail(str(error), as_json)
    except KeyboardInterrupt:
        click.echo("procshare: interrupted; the workers were stopped", err=True)
        sys.exit(_INTERRUPTED)
    if as_json:
        print(json.dumps(report.demo_as_data(workers, start_method, counting, reading, words, channels)))
    if not counting.ok:
        _fail("a count that must be exact is not")
    if not reading.ok:
        _fail("the workers' totals differ from the sequential run's")
    if not words.ok:
        _fail("the words that the workers counted differ from collections.Counter's")
    if not channels.ok:
        _fail("what came through a queue or a pipe is not what was sent")


def _fail(message: str, as_json: bool = False) -> NoReturn:
    if as_json:
        print(json.dumps({"ok": False, "error": message}))
    click.echo(f"procshare: {message}", err=True)
    sys.exit(1)


@procshare.command("ls")
@_json_option
def list_segments(as_json: bool) -> None:
    """List the shared objects that have a name."""
    with _shm_backend():
        found = library.segments()
    _print(found, "shared objects", as_json)


@procshare.command()
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@_json_option
def prune(dry_run: bool, as_json: bool) -> None:
    """Remove segments that nobody uses.

    Those to which no living process is attached, persistent ones excepted.
    """
    with _shm_backend():
        removed = library.prune(dry_run)
    _print(removed, "would be removed" if dry_run else "removed", as_json)


@contextmanager
def _shm_backend() -> Generator[None]:
    """Say plainly that there are no segments where the shm backend was not built."""
    try:
        yield
    except ImportError as error:
        _fail(f"only the shm backend has segments, and it cannot be loaded here: {error}")


def _print(infos: Sequence[SegmentInfo], title: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps([info._asdict() for info in infos]))
    else:
        report.segments_table(infos, title)
