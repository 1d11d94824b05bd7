"""What importing takes: fresh interpreters in turn, each timing one import by its own clock."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from measure import Row, compare

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "from procshare import SharedCounter"
THEIRS = "import multiprocessing.shared_memory"
LIMIT = 1.3


def fresh(statement: str) -> Callable[[], float]:
    """A function that starts an interpreter; the seconds that it took for the statement."""
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"

    def run() -> float:
        return float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout)

    return run


def rows() -> list[Row]:
    """For benchmarks/run.py; what follows an import until the first object is there, as well."""
    made = "from procshare import SharedCounter; SharedCounter()"
    theirs = "import multiprocessing; multiprocessing.Value('q')"
    target = f"<= {LIMIT}x the stdlib's time"
    return [
        compare(OURS, fresh(OURS), fresh(THEIRS), rounds=30, target=target),
        compare("the same, and a first counter", fresh(made), fresh(theirs), rounds=30),
    ]


if __name__ == "__main__":
    row = rows()[0]
    took = 1 / (row.faster or 0.001)
    print(f"{OURS}: {row.ours * 1e3:.1f} ms, {took:.2f} times what `{THEIRS}` takes (at most {LIMIT})")
    sys.exit(took > LIMIT)
