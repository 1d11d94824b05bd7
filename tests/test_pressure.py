"""Where memory, files, descriptors, address space or file size run out: the program's own checks, with fewer steps."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


def test_whatever_runs_out_is_told_and_nothing_is_lost() -> None:
    """Each type, each attempt, with too little of each of them, in a /dev/shm of 4 MiB."""
    command = [sys.executable, "-m", "procshare.testing.pressure", "--short"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if "not run" in told.stderr:
        pytest.skip(told.stderr.strip())
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    total = next(line for line in told.stdout.splitlines() if line.startswith("| **all**"))
    tried, done, refused, other, intact, regained = (
        int(cell.replace(",", "")) for cell in re.findall(r"[\d,]+(?= \|)", total)
    )
    assert tried > 4_000
    assert refused > 2_000
    assert done + refused + other == tried
    assert refused <= intact <= regained
