"""Acts, as in `_acts.py`, on queues and pipes."""

from __future__ import annotations

import time
from contextlib import suppress
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

from procshare import (
    SharedCounter,
    SharedPipe,
    SharedQueue,
    ShutDown,
    WaitTimeout,
)
from procshare.testing._acts import BIG, Act, do, enter, fail, leave
from procshare.testing._processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procshare.testing._kinds import Step

TOUCHED = "touched"  # what survivors put into a queue; no look shows it
BLOB = b"B" * 30_000
LARGE = b"L" * 300_000


def look_at_queue(x: Any) -> Any:
    """What is queued, how many tasks are not done, and whether it is shut down; all of it is taken out."""
    items, undone = list[Any](), 0
    x.qsize()  # so that who takes first looks for what the dead had on lease, which it would do now and then
    with suppress(Empty, ShutDown):
        while True:
            items.append(x.get(timeout=0))
    with suppress(ValueError):
        while True:
            x.task_done()
            undone += 1
    shut = False
    try:
        x.put(TOUCHED, timeout=0)
        x.get(timeout=0)
        x.task_done()
    except ShutDown:
        shut = True
    own = [item for item in items if item != TOUCHED]
    return own, undone - (len(items) - len(own)), shut


def use_queue(x: Any) -> None:
    """It takes and gives as a new one, unless it was shut down."""
    with suppress(ShutDown):
        for item in (1, "used", b"y" * 900):
            x.put(item, timeout=PATIENCE)
            with x.lease(PATIENCE) as got:
                assert got == item
        x.join(timeout=PATIENCE)


def lease_in_vain(x: Any) -> None:
    """Take the first item, if there is one, and fail to work on it."""
    with suppress(KeyError, Empty, ShutDown), x.lease(0.02):
        raise KeyError


def touch_queue(x: Any) -> None:
    """Both ends."""
    x.qsize()
    with suppress(Full, ShutDown):
        x.put(TOUCHED, timeout=0)
    lease_in_vain(x)


def join_in_vain(x: Any) -> None:
    """Wait for all work to be done, for a moment."""
    with suppress(WaitTimeout, RuntimeError, Exception):
        x.join(timeout=0.01)


def put_touched(x: Any) -> None:
    """Put something, if there is room."""
    with suppress(Full, ShutDown):
        x.put(TOUCHED, timeout=0.02)


def get_in_vain(x: Any) -> None:
    """Wait for what is not there."""
    with suppress(Empty):
        x.get(timeout=0.01)


def put_in_vain(x: Any) -> None:
    """Wait for room, for one that fits into it and for one that fits nowhere."""
    for item in ("x", BLOB):
        with suppress(Full):
            x.put(item, timeout=0.01)


def feed(x: Any) -> None:
    """Put something now and then."""
    put_touched(x)
    time.sleep(0.004)


def filled(items: Sequence[Any], options: Mapping[str, Any]) -> Callable[[], Any]:
    """A queue with something in it."""

    def make() -> Any:
        queue = SharedQueue[Any](**options)
        queue.put_many(items)
        return queue

    return make


def queueing(
    items: Sequence[Any], steps: Sequence[Step], meanwhile: Step | None = None, options: Mapping[str, Any] | None = None
) -> Act:
    """An act on a queue."""
    blocked = (put_touched, lease_in_vain, do("qsize"), join_in_vain)
    return Act(steps, filled(items, options or {}), look_at_queue, use_queue, touch_queue, blocked, meanwhile)


FEW = [("item", n, "x" * (n * 9 % 70)) for n in range(12)]
SORTS: list[Any] = [1, "two", b"3" * 200, (4, "four", None), [5], {"six": 6.5}, BLOB, 10**50, b""]
ROOM = {"capacity": 1 << 20}
TIGHT = {"capacity": 1500}
QUEUE = {
    "producer": queueing([], [*(do("put", item) for item in SORTS), do("put_many", FEW), do("put_many", [])]),
    "producer of large items": queueing(
        [BLOB], [do("get"), do("put", BLOB), do("get"), do("put", BLOB)], options=TIGHT
    ),
    "grower": queueing(FEW, [*[do("put", b"g" * 3000)] * 6, do("put_many", [b"g" * 900] * 90)], options=ROOM),
    "shrinker": queueing(
        [b"g" * 4000] * 80, [do("get_many", 90), *[get_in_vain] * 3, do("put", 1)], options={"capacity": 1 << 22}
    ),
    "consumer": queueing(SORTS, [*[do("get")] * 3, do("get_many", 3), do("task_done"), do("task_done"), do("get")]),
    "holder": queueing(
        FEW, [enter("lease"), leave, enter("lease"), enter("lease"), fail, leave, enter("lease"), fail, enter("lease")]
    ),
    "holder of large items": queueing(
        [BLOB], [enter("lease"), fail, enter("lease"), leave, do("put", LARGE), enter("lease"), leave], options=TIGHT
    ),
    "waiter": queueing(
        [], [get_in_vain, do("get", timeout=PATIENCE), do("get", timeout=PATIENCE), join_in_vain], meanwhile=feed
    ),
    "waiter for room": queueing(["first"], [put_in_vain, do("get")], options={"maxsize": 1, "capacity": 1000}),
    "who shuts it down": queueing(FEW, [do("get"), do("shutdown"), do("get"), enter("lease"), leave]),
    "who ends it": queueing(FEW, [do("get"), enter("lease"), do("shutdown", immediate=True), leave]),
}


# ---- pipes ----


def look_at_pipe(ends: Any) -> list[Any]:
    """What the other end had sent; the survivor has no copy of it."""
    found = list[Any]()
    with suppress(EOFError):
        while True:
            item = ends[0].recv()
            found.append(item.value if hasattr(item, "value") else item)
    return found


def use_pipe(ends: Any) -> None:
    """The end is known to be one."""
    try:
        ends[0].send(1)
    except OSError:
        return
    raise AssertionError("the other end is not known to be closed")


def send_counter(end: Any) -> None:
    """Send a handle on an object, which then belongs to whoever has it."""
    end.send(SharedCounter(5).hand_over())


def pipe(*steps: Step) -> Act:
    """An act on the other end of a pipe."""
    return Act(steps, SharedPipe, look_at_pipe, use_pipe, lambda _x: None, (), give=lambda ends: ends[1])


PIPE = {
    "producer": pipe(do("send", 1), do("send", "text"), do("send_bytes", b"\x80\x04N."), do("send", [BIG]), do("close"))
}
