"""What a worker process of `chaos` runs, and the objects that all of them share."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from procshare.testing import (
    _chaos_channels as chaos_channels,
)
from procshare.testing import (
    _chaos_containers as chaos_containers,
)
from procshare.testing import (
    _chaos_lives as chaos_lives,
)
from procshare.testing import (
    _chaos_locks as chaos_locks,
)
from procshare.testing import (
    _chaos_signals as chaos_signals,
)
from procshare.testing import (
    _chaos_state as chaos_state,
)
from procshare.testing import (
    _chaos_transactions as chaos_transactions,
)
from procshare.testing._chaos_fate import fate
from procshare.testing._chaos_ledger import ENDING, RUNNING, TOPICS, Ledger, born
from procshare.testing._chaos_worker import Worker
from procshare.testing.faults import arm, fault_points

if TYPE_CHECKING:
    from pathlib import Path

    from procshare.testing._chaos_fate import Blow
    from procshare.testing._chaos_worker import Deed
    from procshare.testing._processes import Line

MODULES = (
    chaos_state,
    chaos_containers,
    chaos_transactions,
    chaos_channels,
    chaos_locks,
    chaos_signals,
    chaos_lives,
)
DEEDS: dict[str, Deed] = {topic: deed for module in MODULES for topic, deed in module.DEEDS.items()}
WEIGHTS = {"children and pools": 1, "SharedPipe": 1, "SharedBarrier": 3, "handed over": 4, "opened by name": 4}
USUAL = 8
POINTS = {  # beginnings of the names of fault points that a deed of a topic comes by
    "SharedCounter": ("counter.", "change.", "lock."),
    "SharedValue": ("value.", "heap.", "change."),
    "SharedArray": ("array.", "lock."),
    "SharedDict": ("container.", "map.", "redo."),
    "SharedList": ("container.", "list.", "redo."),
    "SharedSet": ("container.", "map.", "redo."),
    "SharedNamespace": ("container.", "map.", "redo."),
    "transaction": ("transaction.", "redo.", "container."),
    "SharedQueue": ("queue.", "heap."),
    "SharedQueue.lease": ("lease.", "queue."),
    "SharedLock": ("lock.",),
    "SharedRLock": ("lock.",),
    "SharedSemaphore": ("semaphore.",),
    "SharedBoundedSemaphore": ("semaphore.",),
    "SharedEvent": ("event.", "links."),
    "SharedCondition": ("condition.", "condition.woken"),
    "SharedBarrier": ("barrier.",),
    "SharedRWLock": ("rwlock.",),
    "handles in containers": ("links.", "segment.", "container."),
    "handed over": ("segment.", "slab.", "links.", "seat."),
    "opened by name": ("segment.", "seat."),
}
FAILED = 3  # exit status of a worker that found something wrong


def make(name: str, slots: int) -> dict[str, Any]:
    """All objects of a campaign."""
    world = dict[str, Any]()
    for module in MODULES:
        world.update(module.make(name, slots))
    return world


def settle(ledger: Ledger, seed: int, world: dict[str, Any], folder: Path, topics: list[str]) -> list[str]:
    """Look at everything once more, when all workers are gone; what is wrong.

    Args:
        topics: Those that were practised; a module is looked at if one of its topics was.
    """
    wrong = list[str]()
    for module in MODULES:
        if set(topics) & set(module.DEEDS):
            w = Worker(ledger, ledger.slots - 1, 0, seed, world, folder)
            w.put("life", 0)
            w.put("pid", os.getpid())
            w.put("born", born(os.getpid()))
            try:
                module.settle(w)
            except Exception:  # noqa: BLE001 - told
                wrong.append(f"at the end, {module.__name__}:\n{traceback.format_exc()}")
    return wrong


def work(
    _line: Line, folder: Path, slot: int, life: int, seed: int, pace: float, topics: list[str], world: dict[str, Any]
) -> None:
    """One life: deeds as the seed has them, until the campaign or this life ends."""
    errors = (folder / f"{slot}.err").open("a", buffering=1)
    os.dup2(errors.fileno(), 2)
    faulthandler.enable(errors)
    ledger = Ledger(folder / "ledger")
    w = Worker(ledger, slot, life, seed, world, folder)
    w.put("born", born(os.getpid()))
    w.put("pid", os.getpid())
    w.note(f"life {life} begins", os.getpid())
    try:
        _live(w, list(fate(seed, slot, life, pace).blows), topics)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        (folder / f"{slot}.wrong").write_text(traceback.format_exc())
        w.note("wrong")
        ledger["wrong"] = 1 + w.get("topic")
        os._exit(FAILED)


def _live(w: Worker, blows: list[Blow], topics: list[str]) -> None:
    fallen = 0
    weights = [WEIGHTS.get(topic, USUAL) for topic in topics]
    number = 0
    while w.ledger["phase"] < ENDING:
        number += 1
        topic = w.rng.choices(topics, weights)[0]
        if w.ledger["phase"] == RUNNING and fallen < len(blows) and number >= blows[fallen].deed:
            fallen += 1
            _fall(w, blows[fallen - 1], fallen, topic)
        w.do(topic, DEEDS[topic])
    w.note("the end")


def _fall(w: Worker, blow: Blow, number: int, topic: str) -> None:
    w.note(f"blow: {blow.how}", blow.microseconds)
    if blow.how in ("kill", "stop"):
        w.await_blow(number)  # and goes on meanwhile
    elif blow.how == "alarm":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which ends the process as SIGKILL does: nothing runs
        signal.setitimer(signal.ITIMER_REAL, blow.microseconds / 1e6)
    elif blow.how == "fault":
        with suppress(RuntimeError):  # those who are spawned run the core as it is installed
            begins = POINTS.get(topic, ("",))
            which, rest = divmod(blow.point * len(begins), 1)
            points = [point for point in fault_points() if point.startswith(begins[int(which)])]
            point = points[int(rest * len(points))]
            w.note(point, blow.visit)
            arm(f"{point}:{blow.visit}")
    elif blow.how in ("dive", "faint"):
        w.blow, w.blow_number = blow, number
    elif blow.how == "leave":
        sys.exit(0)
    else:
        os._exit(0)


assert set(DEEDS) == set(TOPICS)
