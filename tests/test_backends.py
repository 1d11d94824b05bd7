"""Which backend is the default, with a core, without one, and with a broken one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import procshare
from procshare.backends import native_built

CALL = "import procshare; print(procshare.default_backend(), flush=True); procshare.SharedCounter(3).close()"


def call(package: Path, backend: str = "") -> subprocess.CompletedProcess[str]:
    """What a program says that imports procshare from *package*."""
    environ = {**os.environ, "PYTHONPATH": str(package), "PROCSHARE_BACKEND": backend}
    return subprocess.run([sys.executable, "-c", CALL], env=environ, capture_output=True, text=True, timeout=60)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package without its compiled core."""
    shutil.copytree(
        Path(procshare.__file__).parent, tmp_path / "procshare", ignore=shutil.ignore_patterns("*.so", "_native")
    )
    return tmp_path


def test_without_a_core_the_standard_library_serves(package: Path) -> None:
    """As where no compiler was found at installation."""
    done = call(package)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stdlib\n", "")


def test_a_broken_core_is_an_error_and_not_a_fallback(package: Path) -> None:
    """A core that was built but does not load must not just look slow."""
    (package / "procshare" / "_native.abi3.so").write_bytes(b"not a shared object")
    done = call(package)
    assert done.returncode == 1
    assert done.stdout == "shm\n"
    assert "ImportError" in done.stderr


@pytest.mark.skipif(not native_built(), reason="the core was not built")
def test_the_environment_chooses() -> None:
    """PROCSHARE_BACKEND changes the default; a name that no backend has is an error."""
    home = Path(procshare.__file__).parent.parent
    assert call(home).stdout == "shm\n"
    assert call(home, "stdlib").stdout == "stdlib\n"
    assert "no backend is called 'redis'" in call(home, "redis").stderr
