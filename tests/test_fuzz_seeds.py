"""The inputs that led the fuzzers of tests/fuzz somewhere, shown to the ordinary core; and a few trials in company.

What a fuzzer found once stays among them, so it is found again. `.ci/fuzz` looks for more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fuzz_bytes import FOLDERS, KINDS_TOGETHER, together

if TYPE_CHECKING:
    from victims import Asked

FUZZ = Path(__file__).parent / "fuzz"


@pytest.mark.parametrize("harness", ["codec", "segment"])
def test_what_the_fuzzers_found(harness: str) -> None:
    """None of it is a crash, a hang, or an error that damage should not lead to."""
    path = os.pathsep.join((FOLDERS, os.environ.get("PYTHONPATH", "")))
    seeds = (FUZZ / "seeds" / f"{harness}s.txt").read_bytes()
    assert seeds
    command = [sys.executable, str(FUZZ / f"{harness}_inputs.py")]
    done = subprocess.run(
        command, input=seeds, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")


@pytest.fixture(scope="module")
def company() -> Any:
    """The program that shows damage to several processes at once."""
    program = together()
    yield program
    program.close()


@pytest.mark.parametrize("cuts", [False, True], ids=["changed", "cut"])
@pytest.mark.parametrize("number", range(3, KINDS_TOGETHER, 9))
def test_damage_to_what_is_in_use(number: int, cuts: bool, company: Asked) -> None:
    """Two processes with two threads each use it, while a third one writes into it."""
    verdict = company.verdict(number, number, cuts)
    assert verdict.tells == []
    assert verdict.counts["answer"] + verdict.counts.get("CorruptSegment", 0) > 0
