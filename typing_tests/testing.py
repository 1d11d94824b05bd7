"""Type-checked, never run: what tests are given by `procshare.testing` and its pytest plugin."""

from collections.abc import Callable
from typing import assert_type

from procshare import SegmentInfo, SharedCounter
from procshare.testing import StartWorker, Worker, WorkerDied, arm, fault_points, visits


def take(tickets: SharedCounter, n: int = 1) -> int:
    """What a worker does."""
    return tickets.increment(n)


def test_tickets(procshare_start: StartWorker, procshare_segments: Callable[[], list[SegmentInfo]]) -> None:
    """A test as users write it."""
    tickets = SharedCounter()
    worker = procshare_start(take, tickets, n=5)
    assert_type(worker, Worker[int])
    assert_type(worker.result(), int)
    assert_type(worker.result(timeout=1), int)
    assert_type(worker.pid, int)
    worker.kill()
    wide: Worker[float] = worker
    assert_type(procshare_start.dying_at("lock.acquired:2", take, tickets), Worker[int])
    assert_type(procshare_segments()[0].kind, str)
    try:
        wide.result()
    except WorkerDied as died:
        assert_type(died.code, int)
    procshare_start(take)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    procshare_start(take, tickets, n="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    procshare_start(take, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    procshare_start.dying_at(5, take, tickets)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    procshare_start.end()
    wide = procshare_start(str, 5)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]


assert_type(fault_points(), tuple[str, ...])
assert_type(visits(), dict[str, int])
arm("lock.acquired")
arm(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
