"""The command line, in typer. Each command is a module of `procshare.cli.commands`, which adds itself."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from procshare.cli.commands import MODULES
from procshare.cli.outcome import EXIT_CODES, told
from procshare.cli.paper import on_terminal
from procshare.cli.version import print_version

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMPLETING = "_PROCSHARE_COMPLETE"  # set by a shell that wants to know how a command line could go on
_NARROW = 60  # columns below which panels around options leave no room for what is said in them


class _Group(TyperGroup):
    """Makes exit codes and single lines of what a command raises."""

    def invoke(self, ctx: Any) -> Any:
        with told(as_json=bool(ctx.obj and ctx.obj["json"])):
            return super().invoke(ctx)


def _panels() -> bool:
    """Whether help is drawn in panels: to be looked at, not to be read by a program."""
    if not on_terminal() or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return os.get_terminal_size(sys.stdout.fileno()).columns >= _NARROW


def _version(asked: bool) -> None:
    if asked:
        print_version(as_json=False)
        raise typer.Exit


def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    del version
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def make_app(command: str = "") -> typer.Typer:
    """The command line, as it suits where the output goes.

    Args:
        command: The one command that is needed; another text: all of them.
    """
    app = typer.Typer(
        cls=_Group,
        name="procshare",
        help="Share state between Python processes: look at it, watch it, clear it away.",
        epilog=EXIT_CODES,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode="rich" if _panels() else None,
        pretty_exceptions_enable=False,
        invoke_without_command=True,
    )
    app.callback()(_root)
    needed = [module for module, added in MODULES.items() if command in added] or list(MODULES)
    for module in needed:
        import_module(f"procshare.cli.commands.{module}").register(app)
    return app


def main(argv: Sequence[str]) -> None:
    """Run the command, and exit."""
    command = argv[0] if argv and _COMPLETING not in os.environ else ""
    make_app(command)(args=list(argv), prog_name="procshare", obj={"json": "--json" in argv})
