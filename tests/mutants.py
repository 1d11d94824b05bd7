"""The tests are worth something: for each mistake in the C core, one of them fails.

    python tests/mutants.py [--only TEXT] [--into docs/reliability.md]

Each mutant (the tables are in mutants_*.py) is the core with a passage replaced, compiled from a copy of the changed
file, and put into a copy of the package. The test that is named beside it passes on an unchanged copy, and must fail
on the mutant. Processes that have pytest loaded are forked for them, which makes a hundred bearable.
"""

from __future__ import annotations

import sys

from laboratory import Laboratory
from mutants_containers import CONTAINERS
from mutants_locks import LOCKS
from mutants_operating import OPERATING
from mutants_queues import QUEUES
from mutants_segments import SEGMENTS
from mutants_states import STATES
from mutants_sync import SYNC
from procshare.testing._report import Report, parser

MUTANTS = {**STATES, **CONTAINERS, **LOCKS, **SEGMENTS, **QUEUES, **SYNC, **OPERATING}


def main() -> int:
    """Try them, and print the table."""
    options = parser(__doc__)
    options.add_argument("--only", metavar="TEXT", default="", help="those with this in their name, file or test")
    options.add_argument("--show", action="store_true", help="what the tests that did not notice have printed")
    arguments = options.parse_args()
    mutants = {name: mutant for name, mutant in MUTANTS.items() if arguments.only in f"{name} {mutant}"}
    columns = ["mutant", "in", "caught by", ">after, s"]
    report = Report("mutants", columns, good="all caught", bad="not caught")
    with Laboratory() as laboratory:
        for outcome in laboratory.unchanged(mutant.caught_by for mutant in mutants.values()):
            if outcome.status != 0:
                report.fail(f"the unchanged core does not pass:\n{outcome.output}")
        for name, outcome in laboratory.tries(mutants).items():
            mutant = mutants[name]
            seen = f"{outcome.seconds:.1f}" if outcome.failed else "**not at all**"
            report.row(name, mutant.changes[0].source, f"`{mutant.caught_by}`", seen)
            if not outcome.failed:
                report.fail(
                    f"{mutant.caught_by} did not notice {name}", f"python tests/mutants.py --only '{name}' --show"
                )
                if arguments.show:
                    print(outcome.output, file=sys.stderr)
    return report.finish(arguments.into)


if __name__ == "__main__":
    sys.exit(main())
