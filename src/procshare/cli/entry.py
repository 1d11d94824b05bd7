"""The door to the command line. With the extra `cli` it is typer's; without, `demo` runs all the same.

typer and rich are imported at the last moment: spawned workers import this package as well, and need neither.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXTRA = ("typer", "rich")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the `procshare` command, and exit.

    Args:
        argv: The arguments after the command's name; default: those of this process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if (missing := _missing()) is not None:
        import_module("procshare.cli.plain").main(arguments, missing)
    else:
        import_module("procshare.cli.app").main(arguments)


def _missing() -> str | None:
    return next((package for package in _EXTRA if not is_there(package)), None)


def is_there(package: str) -> bool:
    """Whether a package is installed; it is not imported to find out."""
    return find_spec(package) is not None
