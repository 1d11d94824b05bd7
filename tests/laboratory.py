"""Where mutants of the core are made and tried, two at a time."""

from __future__ import annotations

import json
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import procshare
from procshare.testing._room import NotAllowed, private_shm
from scripts import SHM, entries

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from mutant import Mutant

TESTS = Path(__file__).parent
SOURCES = TESTS.parent / "src" / "procshare" / "_native"
COMPILER = shlex.split(sysconfig.get_config_var("CC") or "")
FLAGS = ["-std=c11", "-O1", "-fPIC", "-fvisibility=hidden", f"-I{sysconfig.get_path('include')}", f"-I{SOURCES}"]
BUILDS = {"_native": FLAGS, "_native_faults": [*FLAGS, "-DPROCSHARE_FAULTS"]}
WORKERS = 2
TRIES = 2  # of a test that should notice: on a busy machine those who should sleep may not have begun to
RACES = 8  # the same, of one that needs two processes to meet
DEADLINE = 100.0  # seconds that one test may take, or some on an unchanged core
AT_ONCE = 15

# A process that has imported what takes long, and nothing of procshare's or of the tests. For each line that it gets
# (home, log, names of tests) it forks, says the child's pid, and then its exit status. A failure is enough: no time for
# Hypothesis to look for a smaller one.
RUNNER = """
import json, os, sys
import asyncio, concurrent.futures.process, multiprocessing.managers, multiprocessing.pool
import hypothesis, hypothesis.extra.numpy, numpy, psutil, pytest
from hypothesis import Phase, settings

def child(home, log, names):
    os.setpgid(0, 0)
    os.chdir(home)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), stream)
    sys.path.insert(0, home)
    os.environ["PYTHONPATH"] = home
    settings.register_profile("mutation", phases=[Phase.explicit, Phase.generate], database=None)
    settings.load_profile("mutation")
    quiet = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore:Module already imported"]
    return pytest.main([*quiet, *names])

for line in iter(sys.stdin.readline, ""):
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        status = child(*job)
        sys.stdout.flush()
        os._exit(status)  # threads that a mistake keeps waiting need not end
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Outcome(NamedTuple):
    """What became of some tests.

    Attributes:
        status: pytest's exit status; negative: the signal that killed it.
        output: What it printed.
        seconds: How long that took.
    """

    status: int
    output: str
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether a test failed, rather than that there was none, or that pytest itself did."""
        return self.status == 1 and ("1 failed" in self.output or "1 error" in self.output)


class Runner:
    """A process that forks one that runs tests, and waits for it; then the next."""

    def __init__(self) -> None:
        environ = {**os.environ, "PROCSHARE_BACKEND": "shm"}
        command = [sys.executable, "-c", RUNNER]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
            preexec_fn=alone,  # noqa: PLW1509 - this process has no thread yet
        )

    def run(self, home: Path, *names: str) -> Outcome:
        """These tests, on the package in *home*."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        log = home / "log"
        log.write_text("")
        began = time.monotonic()
        self._process.stdin.write(json.dumps([str(home), str(log), [str(TESTS / name) for name in names]]) + "\n")
        self._process.stdin.flush()
        group = int(self._process.stdout.readline())
        watchdog = threading.Timer(DEADLINE, end_group, (group,))
        watchdog.start()
        status = int(self._process.stdout.readline())
        watchdog.cancel()
        seconds = time.monotonic() - began
        end_group(group)  # what the test has left behind
        return Outcome(status, log.read_text(errors="replace"), seconds)

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait()


def alone() -> None:
    """Where root may, a /dev/shm of this process's own: what one mutant leaves must not fail another's test."""
    if os.geteuid() == 0:
        with suppress(NotAllowed):
            private_shm("size=50%")


def end_group(group: int) -> None:
    """Kill what there is of a process group that a runner has made."""
    assert group > 1
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def compile_core(sources: Iterable[Path], objects: Path, build: str) -> None:
    """Each source to an object of the same name."""
    objects.mkdir(exist_ok=True, parents=True)
    subprocess.run([*COMPILER, *BUILDS[build], "-c", *map(str, sources)], cwd=objects, check=True, timeout=60)


def changed(mutant: Mutant) -> dict[str, str]:
    """The sources that are not as they were.

    Raises:
        AssertionError: A passage to be replaced is not there, or more than once.
    """
    texts: dict[str, str] = {}
    for source, passage, replacement in mutant.changes:
        text = texts.get(source) or (SOURCES / source).read_text()
        assert text.count(passage) == 1, f"the passage to change is not once in {source}; write it anew: {passage}"
        texts[source] = text.replace(passage, replacement)
    return texts


class Laboratory:
    """A place with the objects of the unchanged core, and processes that run tests. To be used in a `with` block."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="mutants-"))
        self._before = entries()
        self._pool = ThreadPoolExecutor(WORKERS)
        self._runners: queue.SimpleQueue[Runner] = queue.SimpleQueue()
        for _ in range(WORKERS):
            self._runners.put(Runner())

    def __enter__(self) -> Self:
        sources = sorted(SOURCES.glob("*.c"))
        builds = [build for build in BUILDS for _ in range(4)]
        parts = [sources[i::4] for _ in BUILDS for i in range(4)]
        list(self._pool.map(compile_core, parts, [self._home / build for build in builds], builds))
        for build in BUILDS:
            self._link(build, [], self._home)
        self._package("unchanged")
        return self

    def __exit__(self, *_exc: object) -> None:
        self._pool.shutdown()
        for _ in range(WORKERS):
            self._runners.get().close()
        shutil.rmtree(self._home)
        self._tidy()

    def unchanged(self, names: Iterable[str]) -> list[Outcome]:
        """These tests, each once, on a core that is made as the mutants are, but for the mistake."""
        ordered = sorted(set(names))
        shares = [ordered[i : i + AT_ONCE] for i in range(0, len(ordered), AT_ONCE)]
        return list(self._pool.map(self._run, [self._home / "unchanged"] * len(shares), shares))

    def tries(self, mutants: dict[str, Mutant]) -> dict[str, Outcome]:
        """What the tests of mutants have to say: of those that race one after the other, of the rest side by side."""
        outcomes = dict.fromkeys(mutants, Outcome(0, "", 0))
        homes = dict(zip(mutants, self._pool.map(self._make, range(len(mutants)), mutants.values()), strict=True))
        calm = [name for name in mutants if not mutants[name].races]
        done = self._pool.map(self._try, [homes[name] for name in calm], [mutants[name].caught_by for name in calm])
        outcomes.update(zip(calm, done, strict=True))
        for name, mutant in mutants.items():
            if mutant.races:
                outcomes[name] = self._try(homes[name], mutant.caught_by, RACES)
        return outcomes

    def _try(self, home: Path, name: str, tries: int = TRIES) -> Outcome:
        for _ in range(tries - 1):
            outcome = self._run(home, [name])
            if outcome.status != 0:
                return outcome
        return self._run(home, [name])

    def _run(self, home: Path, names: list[str]) -> Outcome:
        runner = self._runners.get()
        try:
            return runner.run(home, *names)
        finally:
            self._runners.put(runner)

    def _make(self, number: int, mutant: Mutant) -> Path:
        texts = changed(mutant)
        home = self._package(f"mutant-{number}")
        for source, text in texts.items():
            (home / source).write_text(text)
        for build in BUILDS if mutant.dies else ["_native"]:
            compile_core([home / source for source in texts], home / build, build)
            self._link(build, sorted((home / build).glob("*.o")), home / "procshare")
        return home

    def _link(self, build: str, made: list[Path], where: Path) -> None:
        kept = [
            each for each in sorted((self._home / build).glob("*.o")) if each.name not in {new.name for new in made}
        ]
        core = where / f"{build}.abi3.so"
        core.unlink(missing_ok=True)  # it is a link to the unchanged one
        subprocess.run([*COMPILER, "-shared", *map(str, [*kept, *made]), "-o", str(core)], check=True, timeout=60)

    def _package(self, name: str) -> Path:
        """A place where `procshare` is the installed one, but for the cores, which are this laboratory's."""
        package = self._home / name / "procshare"
        package.mkdir(parents=True)
        for each in Path(procshare.__file__).parent.iterdir():
            if each.suffix != ".so" and each.name != "_native":
                (package / each.name).symlink_to(each)
        for build in BUILDS:
            (package / f"{build}.abi3.so").symlink_to(self._home / f"{build}.abi3.so")
        return package.parent

    def _tidy(self) -> None:
        """Remove what mutants have left in /dev/shm."""
        attached = {info.segment for info in procshare.segments() if info.attached}
        for name in entries() - self._before - attached:
            (SHM / name).unlink(missing_ok=True)
