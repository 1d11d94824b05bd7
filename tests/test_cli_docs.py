"""The page about the command line, and the README: each command that they show runs, and prints what they show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from typer.main import get_command

import procshare
from cli_support import needs_shm, run
from procshare.cli.app import make_app
from procshare.cli.commands import MODULES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [needs_shm, pytest.mark.timeout(60)]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/reference/command-line.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Shown(NamedTuple):
    """A command in the documentation."""

    arguments: list[str]
    output: list[str]


def shown(page: Path) -> Iterator[Shown]:
    """Every call of `procshare` on a page, with the lines below it."""
    for block in BLOCK.findall(page.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, *output = part.splitlines()
            words = shlex.split(line, comments=True)
            if words[0] == "procshare":
                yield Shown(words[1 : words.index("|")] if "|" in words else words[1:], output)


CALLS = [call for page in (PAGE, ROOT / "README.md") for call in shown(page)]


@pytest.fixture
def world() -> Iterator[None]:
    """The objects that the documentation speaks of."""
    procshare.SharedCounter.open("left-behind", persist=True).close()
    with (
        procshare.SharedCounter(1234, name="visitors"),
        procshare.SharedCounter(name="requests"),
        procshare.SharedQueue[int](name="jobs"),
        procshare.SharedArray(np.zeros((2, 3)), name="weights"),
    ):
        yield
    if any(info.name == "left-behind" for info in procshare.segments()):
        procshare.unlink("left-behind")


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("call", [pytest.param(call, id=" ".join(call.arguments)) for call in CALLS])
def test_what_is_shown_is_what_is_printed(call: Shown) -> None:
    """The exit code is 0, and the first line is that of the page, up to the width of its columns."""
    arguments = [*call.arguments]
    if arguments[0] in ("top", "watch"):
        arguments += ["--count", "1", "--interval", "0.05"]
    if arguments[0] == "demo":
        arguments += ["--help"]  # it has tests of its own, and takes its time
    ran = run(*arguments)
    assert (ran.code, ran.err) == (0, "")
    if call.output:
        assert ran.out.splitlines()[0].split() == call.output[0].split()
    if call.output and arguments[0] == "show":
        told = [line.split("  ")[1] for line in ran.out.splitlines() if line.startswith("  ") and line[2] != " "]
        assert told == [line.split("  ")[1] for line in call.output if line.startswith("  ") and line[2] != " "]


@pytest.mark.parametrize("command", [command for commands in MODULES.values() for command in commands])
def test_every_option_is_on_the_page(command: str) -> None:
    """No command, and no option of one, is left out."""
    page = PAGE.read_text()
    assert re.search(rf"^## .*\b{command}\b", page, re.MULTILINE)
    group: Any = get_command(make_app(command))
    parameters = [each for each in group.commands[command].params if not getattr(each, "hidden", False)]
    options: list[str] = [name for each in parameters for name in each.opts if name[0] == "-"]
    assert [name for name in options if name not in page] == []


def test_every_exit_code_is_on_the_page() -> None:
    """Those that `--help` names."""
    told = re.findall(r"(\d+) \w", run("--help").out.partition("Exit codes:")[2])
    assert told == re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)
