"""The command line as a whole: help, exit codes, pipes whose reader leaves, completion, and life without its extra."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

import procshare
from cli_support import Terminal, needs_shm, run, without_escapes
from demo_support import DEADLINE, SMALL, environment, outcome, python
from procshare.cli.app import make_app
from procshare.cli.commands import MODULES

pytestmark = pytest.mark.timeout(60)

COMMANDS = [command for commands in MODULES.values() for command in commands]


def test_help_names_every_command_and_exit_code() -> None:
    """Also without any argument, with exit code 0."""
    asked, bare = run("--help"), run()
    assert (asked.code, bare.code) == (0, 0)
    assert asked.out == bare.out
    assert all(f"\n  {command} " in asked.out for command in COMMANDS)
    assert "..." not in asked.out.partition("Commands:")[2]
    assert "Exit codes: 0 all is well; 1 something is wrong" in asked.out
    assert "─" not in asked.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_json(command: str) -> None:
    """Only its module is loaded for it."""
    assert [each.callback.__name__ for each in make_app(command).registered_commands if each.callback]
    told = run(command, "--help")
    assert told.code == 0
    assert "--json" in told.out


def test_what_makes_no_sense_exits_with_2() -> None:
    """An unknown command, an unknown option, a missing name, a value out of range; said on stderr."""
    for wrong in (["nonsense"], ["ls", "--nonsense"], ["show"], ["demo", "--workers", "0"], ["top", "--interval", "0"]):
        ran = run(*wrong)
        assert (ran.code, ran.out) == (2, ""), wrong
        assert "Error" in ran.err


def test_version() -> None:
    """As an option, as a command, and as JSON."""
    assert run("--version").out == run("version").out
    assert run("version").out.startswith("procshare ")
    assert run("version", "--json").data["backend"] == procshare.default_backend()


@needs_shm
def test_a_reader_that_leaves_is_not_complained_about() -> None:
    """`procshare ls | head -1` prints one line and nothing else."""
    with procshare.SharedCounter(name=f"test-{'x' * 150}"):
        command = f"{sys.executable} -m procshare.cli top --interval 0.05; echo $? >&2"
        ran = subprocess.run(
            ["bash", "-c", f"({command}) | head -1"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert ran.stdout.startswith("NAME")
    assert ran.stdout.count("\n") == 1
    assert ran.stderr == "141\n"


def test_errors_of_the_system_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback where the system refuses something."""

    def refuse(all_users: bool = False) -> list[procshare.SegmentInfo]:
        del all_users
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(procshare, "segments", refuse)
    assert run("ls") == (1, "", "procshare: [Errno 24] Too many open files\n")
    assert run("ls", "--json").data == {"ok": False, "error": "[Errno 24] Too many open files"}


def test_interrupted_commands_exit_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is one line on stderr."""

    def interrupt(all_users: bool = False) -> list[procshare.SegmentInfo]:
        del all_users
        signal.raise_signal(signal.SIGINT)
        return []

    monkeypatch.setattr(procshare, "segments", interrupt)
    assert run("ls") == (130, "", "procshare: interrupted\n")


def test_without_the_core_it_says_why_there_are_no_segments() -> None:
    """In one line, with exit code 1."""
    script = "import sys; sys.modules['procshare.backends.shm.segment'] = None\n"
    ran = python("-c", script + "from procshare.cli import main; main(['ls'])")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "only the shm backend has segments" in ran.stderr


@needs_shm
def test_names_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell is offered the names of what there is, and commands."""
    name = f"test-complete-{os.getpid()}"
    with procshare.SharedCounter(name=name):
        monkeypatch.setenv("_PROCSHARE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "procshare show test-comp")
        monkeypatch.setenv("COMP_CWORD", "2")
        assert run().out.split() == [name]
        monkeypatch.setenv("COMP_WORDS", "procshare hol")
        monkeypatch.setenv("COMP_CWORD", "1")
        assert run().out.split() == ["holders"]


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_other_commands_name_the_missing_extra(missing: str) -> None:
    """In one line, with exit code 2; help says so too."""
    hide = f"import sys; sys.modules[{missing!r}] = None; from procshare.cli import main; "
    ran = python("-c", f"{hide} main(['ls'])")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"procshare: {missing} is not installed: pip install 'procshare[cli]'\n"
    helped = python("-c", f"{hide} main([])")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "pip install 'procshare[cli]'" in helped.stdout


WITHOUT_EXTRA = """
import sys
for package in ("typer", "rich", "click"):
    sys.modules[package] = None
from procshare.cli import main
if __name__ == "__main__":
    main(sys.argv[1:])
"""


def test_demo_runs_without_the_extra() -> None:
    """With NumPy alone, as JSON and as a page; its arguments are checked there too."""
    ran = python("-c", WITHOUT_EXTRA, "demo", "--json", "--start-method", "fork", *SMALL)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert outcome(ran)["ok"] is True
    wrong = python("-c", WITHOUT_EXTRA, "demo", "--workers", "65")
    assert wrong.returncode == 2
    assert "65 is not from 1 to 64" in wrong.stderr


def test_workers_import_neither_typer_nor_rich() -> None:
    """What a spawned worker of the demo imports."""
    modules = "demo_channels, demo_counting, demo_files, demo_words, demo_workers"
    ran = python("-c", f"import sys, procshare.cli.__main__; from procshare.cli import {modules}; print(*sys.modules)")
    assert ran.returncode == 0
    assert {"typer", "rich", "click"}.isdisjoint(ran.stdout.split())


def test_a_terminal_gets_colours_unless_it_says_no() -> None:
    """NO_COLOR and TERM=dumb are respected; and there are panels around help only where there is room for them."""
    for environ, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        with Terminal("doctor", environ=environ) as terminal:
            text = terminal.read_all()
        assert ("\x1b[32m" in text) is coloured, environ
        assert "version" in without_escapes(text)
    with Terminal("--help", columns=40) as terminal:
        assert "╭" not in terminal.read_all()
    with Terminal("--help", columns=90) as terminal:
        assert "╭" in terminal.read_all()
