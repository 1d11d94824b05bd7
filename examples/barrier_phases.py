"""Heat spreads along a rod, computed by four workers in phases: nobody begins a phase before all have ended the last.

Each worker owns a part of the rod, and reads one element of each neighbour's. The rod exists twice: in each phase the
workers read one copy and write the other. A worker that dies at the barrier breaks it, and the others get a
BrokenBarrierError within 100 ms; with `multiprocessing.Barrier` they would wait for ever.
"""

from __future__ import annotations

import os
import signal
from multiprocessing import Process
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from procshare import SharedArray, SharedBarrier, SharedCounter

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

WORKERS = 4
SIZE = 400
PHASES = 200


class Phases(NamedTuple):
    """What the workers came to."""

    equal: bool
    """Whether their rod is exactly what one process alone computes."""
    heat: float
    broken: int
    """How many workers were told that another one had died."""


def step(old: npt.NDArray[np.float64], new: npt.NDArray[np.float64], first: int, last: int) -> None:
    """Each element of a part becomes the mean of itself and its neighbours; the ends of the rod stay."""
    first, last = max(first, 1), min(last, len(old) - 1)
    new[first:last] = (old[first - 1 : last - 1] + old[first:last] + old[first + 1 : last + 1]) / 3


def work(rods: list[SharedArray[np.float64]], barrier: SharedBarrier, worker: int) -> None:
    """Compute one part of the rod, phase by phase."""
    part = SIZE // WORKERS
    for phase in range(PHASES):
        old, new = rods[phase % 2].array, rods[(phase + 1) % 2].array
        step(old, new, worker * part, (worker + 1) * part)
        barrier.wait()


def alone() -> npt.NDArray[np.float64]:
    """The same in one process."""
    old = np.zeros(SIZE)
    old[0] = 100
    new = old.copy()
    for _ in range(PHASES):
        step(old, new, 0, SIZE)
        old, new = new, old
    return old


def die() -> None:
    """What one of the workers does when all have come to the barrier, before they go on."""
    os.kill(os.getpid(), signal.SIGKILL)


def meet(barrier: SharedBarrier, broken: SharedCounter, worker: int) -> None:
    """Come to the barrier, and see whether all go on."""
    try:
        barrier.wait(timeout=30)
    except BrokenBarrierError:
        broken.increment()
        print(f"worker {worker}: the barrier is broken")


def run(target: Callable[..., None], *shared: object) -> None:
    """Let all workers do the same, and wait for them."""
    workers = [Process(target=target, args=(*shared, worker)) for worker in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main() -> Phases:
    """Compute together; then lose a worker at the barrier."""
    rods = [SharedArray.zeros(SIZE), SharedArray.zeros(SIZE)]
    for rod in rods:
        rod.array[0] = 100  # one end is kept hot
    with SharedBarrier(WORKERS) as barrier:
        run(work, rods, barrier)
    result = rods[PHASES % 2].value
    equal, heat = np.array_equal(result, alone()), float(result.sum())
    print(f"{PHASES} phases by {WORKERS} workers: as computed alone: {equal}; heat in the rod: {heat:.1f}")
    with SharedBarrier(WORKERS, action=die) as barrier, SharedCounter() as broken:
        run(meet, barrier, broken)
        return Phases(equal, heat, broken.value)


if __name__ == "__main__":
    main()
