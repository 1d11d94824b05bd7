"""Thousands of objects in a process, a hundred processes, many keys: the program's own checks, with fewer of each."""

from __future__ import annotations

import subprocess
import sys


def test_thousands_within_the_usual_limits() -> None:
    """Small objects, containers, processes, keys, items and nested handles, with 1,024 descriptors."""
    command = [sys.executable, "-m", "procshare.testing.scale", "--short"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    rows = [line for line in told.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 10
    assert "not run" not in told.stdout
