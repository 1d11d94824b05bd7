"""The tests on a core built with sanitizers.

    python tests/sanitizers.py [address|thread|leak|all] [--into docs/reliability.md] [arguments for pytest]

Jobs:
    address  AddressSanitizer and UndefinedBehaviorSanitizer: any finding ends the process, and so fails its test.
    thread   ThreadSanitizer. Python itself is not instrumented, but its locks are seen, the GIL's among them; so what
             is found is what the core does to private memory without the GIL, or to shared memory without an atomic.
             Fences it does not know: what they order is tried by the mutants, and is atomic in any case.
    leak     LeakSanitizer, for what the core allocated and nothing names any more when the process ends. A suppression
             of Python's own leaks would match the core's callers too, so those that name the core are picked out.

What ThreadSanitizer leaves out is in tests/sanitizers_thread.supp, which says why. A SIGBUS is not AddressSanitizer's:
the core has an action for it (mapping.c), and tests that want such an end look at the status.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import procshare
from procshare.testing._report import Report, parser

TESTS = Path(__file__).parent
SOURCES = TESTS.parent / "src" / "procshare" / "_native"
COMPILER = shlex.split(sysconfig.get_config_var("CC") or "gcc")[:1]
FLAGS = ["-std=c11", "-O1", "-g", "-fno-omit-frame-pointer", "-fPIC", f"-I{sysconfig.get_path('include')}"]
KINDS = ("array", "counter", "dict", "list", "locks", "queue", "transactions")
CALLS = [f"conformance/test_{kind}.py" for kind in KINDS]
DAMAGE = [f"test_{what}.py" for what in ("bad_bytes", "channel_bytes", "container_bytes", "checks", "cut_files")]
MOMENTS = [f"test_{what}.py" for what in ("forks", "locks", "queue_items", "queue_leases", "reentry")]
THREADS = ["test_races.py", "test_locks.py", "test_async_waits.py", "conformance/test_queue.py"]
WAITS = [f"test_{what}.py" for what in ("queue_leases", "sync_holders", "sync_waits", "wakes")]


class Job(NamedTuple):
    """One way to build and run.

    Attributes:
        flags: For the compiler.
        libraries: What a Python without instrumentation must load first.
        environ: For the tests.
        tests: Which they are if none are named.
    """

    flags: list[str]
    libraries: list[str]
    environ: dict[str, str]
    tests: list[str]


JOBS = {
    "address": Job(
        ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
        ["libasan.so", "libubsan.so"],
        {
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=0:handle_sigbus=0:abort_on_error=1:log_path={log}",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:log_path={log}",
        },
        [*CALLS, *DAMAGE, *MOMENTS],
    ),
    "thread": Job(
        ["-fsanitize=thread", "-Wno-tsan"],
        ["libtsan.so"],
        {
            "TSAN_OPTIONS": "die_after_fork=0:exitcode=0:history_size=7:second_deadlock_stack=1:"
            f"suppressions={TESTS}/sanitizers_thread.supp:log_path={{log}}"
        },
        [*THREADS, *WAITS],
    ),
    "leak": Job(
        ["-fsanitize=address"],
        ["libasan.so"],
        {
            "PYTHONMALLOC": "malloc",
            "ASAN_OPTIONS": "detect_leaks=1:handle_sigbus=0:log_path={log}:exitcode=0",
        },
        ["test_leaking.py"],
    ),
}


def build(job: Job, site: Path) -> None:
    """A copy of the package with both cores made for this job."""
    shutil.copytree(
        Path(procshare.__file__).parent, site / "procshare", ignore=shutil.ignore_patterns("*.so", "_native")
    )
    sources = sorted(map(str, SOURCES.glob("*.c")))
    builds = {"_native": [], "_native_faults": ["-DPROCSHARE_FAULTS"]}
    commands = [
        [*COMPILER, *FLAGS, *job.flags, *more, "-shared", *sources, "-o", str(site / "procshare" / f"{name}.abi3.so")]
        for name, more in builds.items()
    ]
    for process in [subprocess.Popen(command) for command in commands]:
        if process.wait() != 0:
            raise SystemExit("the core was not built")


def loaded_first(job: Job) -> str:
    """The libraries' paths, for LD_PRELOAD."""
    found = [
        subprocess.run([*COMPILER, f"-print-file-name={name}"], capture_output=True, text=True)
        for name in job.libraries
    ]
    return " ".join(each.stdout.strip() for each in found)


def findings(logs: Path) -> list[str]:
    """What sanitizers have written, one text for each finding."""
    texts = [path.read_text(errors="replace") for path in sorted(logs.iterdir())]
    parts = [
        part for text in texts for part in re.split(r"(?m)^(?==+\n?WARNING|==\d+==ERROR)", text) if "SUMMARY" in part
    ]
    return [part for part in parts if "LeakSanitizer" not in part or "/_native/" in part]


def run(name: str, arguments: list[str], report: Report) -> None:
    """One job, a row of the table."""
    job, began = JOBS[name], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sanitize-") as directory:
        site, logs = Path(directory, "site"), Path(directory, "logs")
        logs.mkdir()
        build(job, site)
        environ = {key: value.format(log=logs / "log") for key, value in job.environ.items()}
        environ = {
            **os.environ,
            **environ,
            "PYTHONPATH": str(site),
            "PROCSHARE_BACKEND": "shm",
            "PROCSHARE_SANITIZER": name,
        }
        tests = arguments or [str(TESTS / test) for test in job.tests]
        command = ["setarch", "-R", "env", f"LD_PRELOAD={loaded_first(job)}", sys.executable, "-m", "pytest"]
        options = ["-p", "no:cacheprovider", "-q", "--tb=short"]
        done = subprocess.run([*command, *options, *tests], env=environ, stdout=subprocess.PIPE, text=True)
        print(done.stdout, file=sys.stderr)
        counts = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|error|skipped)", done.stdout)}
        found = findings(logs)
    passed, failed = counts.get("passed", 0), counts.get("failed", 0) + counts.get("error", 0)
    report.row(name, passed + failed, passed, len(found), f"{time.monotonic() - began:.0f}")
    for text in found:
        report.fail(f"{name}: {text}", f".ci/sanitize {name}")
    if done.returncode != 0 or passed == 0:
        report.fail(f"{name}: {passed} tests passed, {failed} failed", f".ci/sanitize {name}")


def main() -> int:
    """Run the jobs that were asked for."""
    options = parser(__doc__)
    options.add_argument("job", nargs="?", default="all", choices=[*JOBS, "all"])
    arguments, more = options.parse_known_args()
    report = Report("sanitizers", ["job", ">tests run", ">passed", ">findings", ">seconds"], "nothing found", "found")
    for name in JOBS if arguments.job == "all" else [arguments.job]:
        run(name, more, report)
    return report.finish(arguments.into)


if __name__ == "__main__":
    sys.exit(main())
