"""The door to the command line, which needs the `cli` extra and says so if it is missing.

click and rich are imported here at the last moment: spawned workers import this package as well, and need neither.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXTRA = ("click", "rich")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the `procshare` command, and exit.

    Args:
        argv: The arguments after the command's name; default: those of this process.
    """
    try:
        commands = import_module("procshare.cli.commands")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        print(f"procshare: {package} is not installed: pip install 'procshare[cli]'", file=sys.stderr)
        sys.exit(2)
    commands.procshare(args=argv, prog_name="procshare")
