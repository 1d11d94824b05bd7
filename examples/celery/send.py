"""Send tasks to the worker, and look at what its processes have done together."""

from __future__ import annotations

from tasks import NAME, die_once, look_up

from procshare import SharedCounter, SharedDict

TASKS = 60


def main() -> None:
    """Wait for the count, not for each result."""
    for n in range(TASKS):
        look_up.delay("a word" if n % 2 else "another word")
    die_once.delay()
    done: SharedCounter = SharedCounter.attach(f"{NAME}-done")
    known: SharedDict[str, int] = SharedDict.attach(f"{NAME}-known")
    done.wait_until(lambda n: n == TASKS + 1, timeout=60)
    print(f"{done.value} tasks done; known: {sorted(known.items())}")


if __name__ == "__main__":
    main()
