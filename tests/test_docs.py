"""Every Python block of the README and the docs runs, as a program or test of its own, and prints nothing to stderr."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for number, block in enumerate(BLOCK.findall(page.read_text()), 1)
]

PLUGIN = ["-p", "no:cacheprovider", "-p", "procshare.testing.plugin", "-o", "procshare_leaks=error"]
AS_TEST = ["-m", "pytest", "-q", *PLUGIN]


@pytest.mark.parametrize("block", BLOCKS)
def test_documented_code_runs(block: str, tmp_path: Path) -> None:
    """What the documentation shows works as it stands."""
    program = tmp_path / "block.py"
    program.write_text(block)
    is_test = "\ndef test_" in block and "__main__" not in block
    command: list[str | Path] = [sys.executable, "-W", "error", *(AS_TEST if is_test else []), program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("page", "example"),
    [("gunicorn", "gunicorn/app.py"), ("gunicorn", "gunicorn/gunicorn.conf.py"), ("uvicorn", "uvicorn/app.py")],
)
def test_a_page_shows_the_example_as_it_is(page: str, example: str) -> None:
    """What is explained in the docs is what the integration tests run."""
    shown = BLOCK.findall((ROOT / "docs" / "howto" / f"{page}.md").read_text())

    assert (ROOT / "examples" / example).read_text() in shown


def test_readme_has_blocks() -> None:
    """The pattern still finds what it is to check."""
    assert len(BLOCKS) >= 7
