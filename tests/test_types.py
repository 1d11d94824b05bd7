"""What the type checkers say of the package and of `typing_tests`, which holds the mistakes that they must find."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import procshare

ROOT = Path(__file__).parent.parent


def checker(module: str) -> str:
    """The name of an installed checker; skips the test if it is not installed."""
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed; `pip install '.[test]'` does it")
    return module


def run(module: str, *args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a checker with the Python that runs the tests."""
    command = [sys.executable, "-m", checker(module), *args]
    environ = {**os.environ, "PYTHONPATH": str(Path(procshare.__file__).parent.parent)}
    return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The programs of the page on types, as files."""
    folder = tmp_path_factory.mktemp("typed")
    found = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/typing.md").read_text(), re.MULTILINE | re.DOTALL)
    paths = [folder / f"typing_page_{number}.py" for number, _ in enumerate(found)]
    for path, block in zip(paths, found, strict=True):
        path.write_text(block)
    assert len(paths) >= 5
    return [str(path) for path in paths]


def test_mypy_strict_is_content(blocks: list[str]) -> None:
    """Over the package, over the page on types, and over every mistake in `typing_tests`, which must still be one."""
    done = run("mypy", "src", "typing_tests", *blocks)

    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_strict_is_content(blocks: list[str]) -> None:
    """A second checker agrees, with the same files."""
    done = run("basedpyright", "--warnings", "--pythonpath", sys.executable, "src", "typing_tests", *blocks)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_name_has_a_known_type(tmp_path: Path) -> None:
    """A user's checker never has to guess: `--verifytypes` finds no symbol whose type is missing or ambiguous."""
    args = ("--verifytypes", "procshare", "--ignoreexternal", "--outputjson", "--pythonpath", sys.executable)
    done = run("basedpyright", *args, cwd=tmp_path)
    report: dict[str, Any] = json.loads(done.stdout)["typeCompleteness"]
    incomplete = [symbol["name"] for symbol in report["symbols"] if not symbol["isTypeKnown"]]

    assert report["packageName"] == "procshare"
    assert report["pyTypedPath"]
    assert incomplete == []
    assert report["completenessScore"] == 1


def test_the_checks_would_notice(tmp_path: Path) -> None:
    """A mistake that no `ignore` excuses fails, so the runs above are not content with everything."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from procshare import SharedCounter\n\nSharedCounter().value += 1\n")
    done = run("mypy", "--strict", "--config-file=", str(wrong), cwd=ROOT / "src")

    assert done.returncode == 1
    assert "read-only" in done.stdout
