"""The programs of `examples/`, run as their READMEs say, and what the READMEs show of them."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from demo_support import environment
from server_support import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

SESSION = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(folder: Path, *arguments: str, warnings: str = "error", timeout: float = 120) -> tuple[str, str]:
    """What Python printed and wrote to stderr.

    Raises:
        AssertionError: It did not exit with 0.
    """
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environment(), "PYTHONWARNINGS": warnings},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, ran.stderr


def shown(example: str) -> dict[str, str]:
    """For each command `python ...` in the README of an example, what it is shown to print."""
    sessions = SESSION.findall((EXAMPLES / example / "README.md").read_text())
    commands = [each.partition("\n")[::2] for session in sessions for each in session.split("$ ")[1:]]
    return {command.removeprefix("python "): printed for command, printed in commands if command.startswith("python ")}
