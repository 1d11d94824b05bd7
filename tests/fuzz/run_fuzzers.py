"""Build the harnesses in this folder with clang, run each for a time, and print what came of it: `.ci/fuzz 60`.

Coverage guides it (libFuzzer), and AddressSanitizer and UndefinedBehaviorSanitizer watch. The core's own C files are
compiled into a program that has a Python in it, so an input runs in the fuzzer's process: `codecs` decodes bytes as
items, keys, words and records; `segments` attaches to damaged segments of each kind and uses them. What is found is
kept in build/fuzz/found, and shown again by the same program with the file as its argument. Inputs that led somewhere
new are kept in build/fuzz/corpus; a small choice of them is in seeds/, one input in hexadecimal a line, and is where
each run begins. `--keep` makes that choice anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from procshare.testing._report import Report, parser

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "fuzz"
HARNESSES = {"codecs": ["-max_len=4200"], "segments": ["-max_len=160", "-handle_xfsz=0"]}
COMMON = ["-timeout=10", "-rss_limit_mb=2048", "-malloc_limit_mb=256", "-print_final_stats=1", "-close_fd_mask=0"]
CHECKS = "address,undefined"
COMPILE = [
    *("-std=gnu11", "-O1", "-g", "-fno-omit-frame-pointer"),
    *("-fno-sanitize-recover=undefined", "-fno-sanitize=function"),
]
KEPT_BYTES = 60_000  # of seeds for each harness


def compiled(source: Path, newest: float) -> Path:
    """An object file of the core, with coverage."""
    made = BUILD / "core" / f"{source.stem}.o"
    if not made.exists() or made.stat().st_mtime < max(newest, source.stat().st_mtime):
        include = sysconfig.get_path("include")
        flags = [*COMPILE, f"-fsanitize=fuzzer-no-link,{CHECKS}", f"-I{include}", "-c"]
        subprocess.run(["clang", *flags, str(source), "-o", str(made)], check=True)
    return made


def build() -> None:
    """Make both programs."""
    (BUILD / "core").mkdir(parents=True, exist_ok=True)
    native = ROOT / "src" / "procshare" / "_native"
    newest = max(header.stat().st_mtime for header in native.glob("*.h"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [pool.submit(compiled, source, newest) for source in sorted(native.glob("*.c"))]
    objects = [each.result() for each in made]
    libraries, version = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDVERSION")
    python = [f"-L{libraries}", f"-Wl,-rpath,{libraries}", f"-lpython{version}", "-lm", "-ldl", "-lutil"]
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        python.append("-rdynamic")
    for name in HARNESSES:
        sources = [str(HERE / f"{name}.c"), str(HERE / "python.c"), *map(str, objects)]
        flags = [*COMPILE, f"-fsanitize=fuzzer,{CHECKS}", f"-I{sysconfig.get_path('include')}"]
        subprocess.run(["clang", *flags, *sources, *python, "-o", str(BUILD / name)], check=True)


def environment() -> dict[str, str]:
    """What the programs need to find."""
    path = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests")))
    return {
        **os.environ,
        "FUZZ_PYTHON": sys.executable,
        "FUZZ_HOME": str(HERE),
        "PYTHONPATH": path,
        "PYTHONMALLOC": "malloc",
        "PROCSHARE_BACKEND": "shm",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:malloc_context_size=8",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }


def seeds_of(name: str) -> Path:
    """The folder with a harness's seeds, unpacked."""
    folder = BUILD / "seeds" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, line in enumerate((HERE / "seeds" / f"{name}.txt").read_text().split()):
        (folder / f"{number:04}").write_bytes(bytes.fromhex(line))
    return folder


def fuzz(name: str, arguments: list[str], timeout: float) -> tuple[int, str]:
    """Run a program: its exit status, and what it wrote."""
    command = [str(BUILD / name), *COMMON, *HARNESSES[name], *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, errors="replace", timeout=timeout)
    return done.returncode, done.stderr


def last(pattern: str, text: str) -> int:
    """The number that was said last; 0 if none was."""
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def run(name: str, seconds: float, report: Report) -> None:
    """Fuzz until the time is over, also behind a finding."""
    corpus, found = BUILD / "corpus" / name, BUILD / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    seeds = seeds_of(name)
    executed = edges = findings = 0
    began = time.monotonic()
    while (left := int(began + seconds - time.monotonic())) > 0 and findings < 20:
        arguments = [f"-max_total_time={left}", f"-artifact_prefix={found}/{name}-", str(corpus), str(seeds)]
        status, said = fuzz(name, arguments, left + 300)
        executed += last(r"number_of_executed_units: (\d+)", said) or last(r"#(\d+)\t", said)
        edges = max(edges, last(r"cov: (\d+)", said))
        if status == 0:
            break
        findings += 1
        kept = re.findall(r"Test unit written to (\S+)", said)
        again = f"{BUILD / name} {kept[-1]}" if kept else f"{BUILD / name}"
        report.fail(f"{name}: {said[-6000:]}", again)
    took = time.monotonic() - began
    report.row(name, executed, round(executed / took), edges, len(list(corpus.iterdir())), findings)


def keep(name: str) -> None:
    """Choose seeds: the smallest inputs that together reach all that the corpus and the old seeds reach."""
    chosen = BUILD / "chosen" / name
    shutil.rmtree(chosen, ignore_errors=True)
    chosen.mkdir(parents=True)
    fuzz(name, ["-merge=1", str(chosen), str(BUILD / "corpus" / name), str(seeds_of(name))], 3600)
    inputs = sorted((path.read_bytes() for path in chosen.iterdir()), key=lambda data: (len(data), data))
    lines = list[str]()
    while inputs and sum(map(len, lines)) < KEPT_BYTES:
        lines.append(inputs.pop(0).hex())
    (HERE / "seeds" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def main() -> int:
    """Parse the command line and do as it says."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=60.0, help="for each harness; default: %(default)g")
    options.add_argument(
        "--keep", action="store_true", help="write seeds/ anew from what was found so far; fuzz nothing"
    )
    chosen = options.parse_args()
    if shutil.which("clang") is None:
        print("clang is missing; on Debian: apt-get install clang libclang-rt-14-dev", file=sys.stderr)
        return 2
    build()
    if chosen.keep:
        for name in HARNESSES:
            keep(name)
        return 0
    report = Report("parsers", ["target", ">executions", ">a second", ">edges", ">corpus", ">findings"])
    for name in HARNESSES:
        run(name, chosen.seconds, report)
    return report.finish(chosen.into)


if __name__ == "__main__":
    sys.exit(main())
