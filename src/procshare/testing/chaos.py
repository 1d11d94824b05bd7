"""Processes of all types killed, stopped and restarted at random: a campaign of some minutes, and what it survived.

    python -m procshare.testing.chaos --seconds 60 --seed 1

Workers do what comes into their heads with objects of every public type. They are killed in the middle of it, by a
signal from outside, by a timer some microseconds into a call, or inside a lock; they are stopped there, for a moment or
for seconds, and killed while they are stopped; all of them are killed at once, and the resource tracker is. Each is
started again by another start method. What they did stands in books that outlive them, and everything that is read is
checked against these.

All decisions are drawn from the seed: which worker does what, how it is started, at which of its deeds it is killed and
how. How the processes interleave is the machine's. So a failure comes again with its seed, if not each time: `--replay`
runs the same seed until it does. On failure the last deeds of all workers and their stacks are printed.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procshare import prune
from procshare.testing._chaos_conductor import Conductor, Options, Trouble
from procshare.testing._chaos_ledger import TOPICS, Ledger
from procshare.testing._chaos_program import make, settle
from procshare.testing._processes import entries, until
from procshare.testing._report import Report, chosen, parser

if TYPE_CHECKING:
    import argparse

COLUMNS = "type", ">deeds", ">killed in it", ">stopped in it", ">longest wait", ">longest read", ">checked", ">wrong"
TIMES = 10  # that a seed is run until it fails again


def main() -> int:
    """Run a campaign and print its table; 1 if something was not survived."""
    o = _options()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of NumPy's would be in the way of forks
    if not o.plain:
        os.environ.setdefault("PROCSHARE_FAULT", "-")  # before the core is loaded: let there be points to die at
    report = Report("chaos", COLUMNS)
    for time_ in range(1, (TIMES if o.replay else 1) + 1):
        options = Options(o.seed, o.seconds, o.workers, o.pace, chosen(TOPICS, o.only), not o.spare_tracker)
        again = f"{_again(o)} --replay"
        print(f"chaos: seed {o.seed}, time {time_}; again: {again}", file=sys.stderr, flush=True)
        campaign(options, report, again)
        if report.failures:
            break
    return report.finish(o.into)


def _options() -> argparse.Namespace:
    p = parser(__doc__)
    p.add_argument("--seconds", type=float, default=60, help="for how long (default: 60)")
    p.add_argument("--seed", type=int, default=time.time_ns() % 10**6, help="default: another each time")
    p.add_argument("--workers", type=int, default=8, help="processes at a time (default: 8)")
    p.add_argument("--pace", type=float, default=1.0, help="how many times longer than usual they live (default: 1)")
    p.add_argument("--only", metavar="TYPES", help="some of the table's lines, by commas")
    p.add_argument("--spare-tracker", action="store_true", help="do not kill the resource tracker")
    p.add_argument("--plain", action="store_true", help="only the core as it is installed, without points to die at")
    p.add_argument("--replay", action="store_true", help=f"run the seed until it fails, {TIMES} times at most")
    return p.parse_args()


def _again(o: argparse.Namespace) -> str:
    words = [f"python -m procshare.testing.chaos --seconds {o.seconds:g} --seed {o.seed} --workers {o.workers}"]
    words += [f"--pace {o.pace:g}"] if o.pace != 1 else []
    words += [f"--only '{o.only}'"] if o.only else []
    return " ".join(words + ["--spare-tracker"] * o.spare_tracker + ["--plain"] * o.plain)


def campaign(options: Options, report: Report, again: str) -> None:
    """One run of a seed, with everything cleared away at its end; adds its lines to the table."""
    warnings.filterwarnings("ignore", "resource_tracker: process died")  # it is killed on purpose
    multiprocessing.set_forkserver_preload(["numpy", "procshare.testing._chaos_program"])
    prune()
    before = entries()
    folder = Path(tempfile.mkdtemp(prefix="procshare-chaos-"))
    ledger = Ledger(folder / "ledger", options.workers)
    world = make(f"chaos-{os.getpid()}-{time.time_ns() % 10**6}", options.workers)
    conductor = Conductor(options, ledger, folder, world)
    wrong = list[str]()
    try:
        conductor.run()
    except Trouble as trouble:
        wrong.append(f"seed {options.seed}: {trouble}\n{conductor.black_box()}")
    else:
        wrong += settle(ledger, options.seed, world, folder, options.topics)
    finally:
        for slot in conductor.slots:
            if slot.child is not None:
                slot.child.__exit__()
        end(world)
    if not wrong and not until(lambda: not prune() and not entries() - before, 10):
        wrong.append(f"left in /dev/shm: {sorted(entries() - before)}")
    for each in wrong:
        report.fail(each, again)
    _tell(report, conductor, ledger)
    ledger.close()
    if not wrong:
        shutil.rmtree(folder)


def end(world: dict[str, Any]) -> None:
    """Destroy all objects."""
    for x in world.values():
        if hasattr(x, "unlink"):
            x.unlink()
            x.close()


def _tell(report: Report, conductor: Conductor, ledger: Ledger) -> None:
    """The lines of the table."""
    sums = [0] * 5
    for topic in conductor.options.topics:
        deeds, checked = (sum(ledger.column(f"{topic}:{count}")) for count in ("deeds", "checked"))
        wait, read = (max(ledger.column(f"{topic}:longest {what}")) / 1e9 for what in ("wait", "read"))
        found = int(conductor.failed_in == topic)
        killed, stopped = conductor.ended[topic], conductor.stops[topic]
        report.row(topic, deeds, killed, stopped, f"{wait:.3f} s", f"{read:.3f} s" if read else "", checked, found)
        sums = [a + b for a, b in zip(sums, (deeds, killed, stopped, checked, 0), strict=True)]
    deeds, killed, stopped, checked, _ = sums
    what = f"all: {conductor.started:,} processes, all killed at once {conductor.massacres} times"
    what += f", resource tracker killed {conductor.trackers} times"
    report.row(what, deeds, killed, stopped, "", "", checked, len(report.failures))


if __name__ == "__main__":
    sys.exit(main())
