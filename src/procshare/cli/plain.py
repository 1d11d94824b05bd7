"""The command line without the extra `cli`: `demo` and `version` run, and the rest says what to install."""

from __future__ import annotations

import multiprocessing
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from procshare.cli.demo import HELP, MOST_WORKERS, Request, run
from procshare.cli.outcome import EXIT_CODES, USAGE, complain, told
from procshare.cli.version import print_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INSTALL = "pip install 'procshare[cli]'"


def main(argv: Sequence[str], missing: str) -> None:
    """Run what runs without typer and rich.

    Args:
        argv: The arguments after the command's name.
        missing: The package that is not there.
    """
    first = argv[0] if argv else "--help"
    if first == "demo":
        _demo(argv[1:])
    elif first in ("version", "--version"):
        print_version("--json" in argv)
    elif first in ("--help", "-h"):
        print(_parser("demo | version", f"All other commands need {missing}: {INSTALL}").format_help(), end="")
    else:
        complain(f"{missing} is not installed: {INSTALL}")
        sys.exit(USAGE)


def _parser(prog: str, description: str) -> ArgumentParser:
    return ArgumentParser(
        prog=f"procshare {prog}",
        description=description,
        epilog=EXIT_CODES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    def number(text: str) -> int:
        found = int(text)
        if found < least or (most is not None and found > most):
            raise ArgumentTypeError(
                f"{found} is not {'at least' if most is None else f'from {least} to'} {most or least}"
            )
        return found

    return number


def _demo(argv: Sequence[str]) -> None:
    parser = _parser("demo", HELP)
    parser.add_argument("--workers", type=_whole(1, MOST_WORKERS), default=4, help="how many processes; default: 4")
    methods = multiprocessing.get_all_start_methods()
    parser.add_argument("--start-method", choices=methods, help="how they are started; default: Python's own choice")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--increments", type=_whole(1), default=50_000, help=SUPPRESS)
    parser.add_argument("--files", type=_whole(1), help=SUPPRESS)
    given = parser.parse_args(argv)
    with told(given.json):
        run(Request(given.workers, given.start_method, given.increments, given.files), given.json)
