"""Every table and drawing of README.md and docs/benchmarks.md, measured anew and put there: `make bench`.

`python benchmarks/pages.py --quick` does the same in few rounds, to see that all works; `pages.py methods` one part.
"""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING

import against
import libraries
import run as detailed
from measure import be_quick

from procshare.bench import catalogue, plot, report
from procshare.bench.machine import this_machine
from procshare.testing._report import put_into

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procshare.bench.catalogue import Results
    from procshare.bench.measure import Effort, Row

ROOT = Path(__file__).parent.parent
README, PAGE, PLOTS = ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "plots"
LEFT_OUT = (
    "value",
    "dict-object",
    "dict-update",
    "list-read",
    "array-add",
    "array-life",
    "rlock",
    "lock-contended",
    "pipe",
)
"""Rows that the README has no room for; and those of making and closing."""


def measured(rows: Mapping[str, Callable[[Effort], Row]], effort: Effort) -> Results:
    """Measure them all, and tell when each is done."""
    machine = this_machine()
    found: list[Row] = []
    for row in catalogue.run(rows, effort, rows):
        found.append(row)
        print(report.short_markdown([row], places=True).splitlines()[-1], flush=True)
    return catalogue.results(effort, found, machine)


def _summary(results: Results) -> str:
    first, *behind = report.summary(results.rows)
    return "\n".join([first, "", *(f"- {line}" for line in behind)]) + "\n"


def methods(quick: bool) -> None:
    """What `procshare bench` shows."""
    command = "procshare bench --quick" if quick else "procshare bench"
    results = measured(catalogue.ROWS, catalogue.effort(quick, multiprocessing.get_context("fork")))
    (PLOTS / "methods.svg").write_text(plot.drawing(results, catalogue.TITLE))
    about = report.about(results, command)
    put_into(PAGE, "methods", f"{about}\n{_summary(results)}\n{report.markdown(results.rows)}")
    short = [row for row in results.rows if row.key not in LEFT_OUT and not row.key.endswith("-life")]
    put_into(README, "bench", f"{about}\n{report.short_markdown(short)}")


def peers(quick: bool) -> None:
    """What `against.py` shows."""
    command = "python benchmarks/against.py --quick" if quick else "python benchmarks/against.py"
    results = measured(against.ROWS, against.effort(quick))
    (PLOTS / "peers.svg").write_text(plot.drawing(results, "Sharing state between processes: other libraries"))
    table = report.short_markdown(results.rows, places=True)
    put_into(PAGE, "peers", f"{report.about(results, command)}\n{_summary(results)}\n{table}")
    put_into(PAGE, "libraries", libraries.markdown())


def details(quick: bool) -> None:
    """What `run.py` shows."""
    command = "python benchmarks/run.py --quick" if quick else "python benchmarks/run.py"
    if quick:
        be_quick()
    machine = this_machine()
    table = detailed.markdown(detailed.measured(detailed.GROUPS))
    put_into(PAGE, "details", f"`{command}`, {machine}.\n\n{table}")


PARTS = {"methods": methods, "peers": peers, "details": details}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that all works")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    PLOTS.mkdir(exist_ok=True)
    for part in options.parts or PARTS:
        PARTS[part](options.quick)


if __name__ == "__main__":
    main()
