"""procshare itself: its version and backend, whether the core was built, and whether two processes share a counter."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import sysconfig
import time
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import procshare
from procshare.cli.doctor.finding import Finding, State
from procshare.cli.text import duration
from procshare.cli.version import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPIC = "procshare"
_CORE = "procshare._native"
_PATIENCE = 20.0  # seconds; a process that does not start in this time will not
_ROUNDS = 1000
_AGAIN = "pip install --force-reinstall --no-cache-dir procshare"


def look_at_setup() -> Iterator[Finding]:
    """Version, core, backend, and a trial."""
    home = str(Path(procshare.__file__).parent)
    version = installed("procshare") or "unknown"
    yield Finding(TOPIC, "version", "ok", f"{version}, in {home}", data={"version": version, "path": home})
    core = _core()
    yield core
    backend = _backend(core)
    yield backend
    if backend.state != "fail":
        yield _trial()


def _core() -> Finding:
    spec = find_spec(_CORE)
    if spec is None or not isinstance(spec.loader, ExtensionFileLoader):
        why, hint = why_not_built()
        wanted = os.environ.get("PROCSHARE_BACKEND") == "shm"
        return Finding(TOPIC, "core", "fail" if wanted else "warn", f"not built: {why}", hint, data=False)
    file = Path(spec.origin or _CORE).name
    try:
        import_module(_CORE)
    except ImportError as error:
        return Finding(
            TOPIC, "core", "fail", f"{file} cannot be loaded: {error}", f"build it anew: {_AGAIN}", data=False
        )
    return Finding(TOPIC, "core", "ok", f"built, {file}", data=True)


def why_not_built() -> tuple[str, str]:
    """Why there is no compiled core, as far as it shows, and what to do about it."""
    if sys.platform != "linux":
        return "it is for Linux", "use the stdlib backend, which is the default here"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python has no GIL, and no stable ABI", "use a Python with a GIL, or the stdlib backend"
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return "there is no C compiler", f"install one (apt-get install gcc libc6-dev), then {_AGAIN}"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "Python.h is missing", f"install it (apt-get install python3-dev), then {_AGAIN}"
    return "procshare was installed without it", f"{_AGAIN} -v shows what {compiler} says"


def _backend(core: Finding) -> Finding:
    try:
        name = procshare.default_backend()
    except ValueError as error:
        return Finding(TOPIC, "backend", "fail", str(error), "mend the environment variable PROCSHARE_BACKEND")
    if named := os.environ.get("PROCSHARE_BACKEND"):
        state: State = "fail" if name == "shm" and core.data is False else "note"
        return Finding(TOPIC, "backend", state, f"{name}, by PROCSHARE_BACKEND={named}", data=name)
    if core.state == "fail":
        return Finding(TOPIC, "backend", "fail", f"{name}, which needs the core", data=name)
    if name == "stdlib":
        hint = "it works with the limits of multiprocessing: no names, and a death may leave a lock held"
        return Finding(TOPIC, "backend", "warn", name, hint, data=name)
    return Finding(TOPIC, "backend", "ok", name, data=name)


def _count(counter: procshare.SharedCounter) -> None:
    for _ in range(_ROUNDS):
        counter.increment()


def _trial() -> Finding:
    """Let another process count along."""
    began = time.perf_counter()
    try:
        with procshare.SharedCounter() as counter:
            child = multiprocessing.Process(target=_count, args=(counter,))
            child.start()
            try:
                _count(counter)
                child.join(_PATIENCE)
            finally:
                child.kill()
                child.join()
            with counter.locked(timeout=_PATIENCE) as cell:
                total = cell.value
    except (procshare.ProcshareError, OSError, ImportError, RuntimeError) as error:
        return Finding(TOPIC, "trial", "fail", f"{type(error).__name__}: {error}", data=False)
    if total != 2 * _ROUNDS:
        return Finding(TOPIC, "trial", "fail", f"two processes counted to {total}, not {2 * _ROUNDS}", data=False)
    took = duration(time.perf_counter() - began)
    return Finding(TOPIC, "trial", "ok", f"two processes counted together, in {took}", data=True)
