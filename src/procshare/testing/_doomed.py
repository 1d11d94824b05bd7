"""The processes that the sweep kills, and the one that starts them: in the core's test build, all of them.

A doomed process writes in a file that outlives it how many steps of its act it has done, and at its end, if it lives to
see it, which fault points it has visited.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import pickle
import signal
import traceback
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from procshare import SharedArray, SharedDict, SharedPipe
from procshare.testing._acts_lives import all_acts
from procshare.testing._processes import pickled
from procshare.testing.faults import arm, visits

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path
    from typing import Self

    from procshare.testing._acts import Act

ROOM = 1 << 16
PRELOADED = ["numpy", "procshare.testing._doomed", "procshare.backends.shm"]


@dataclass(frozen=True)
class Order:
    """What a doomed process does.

    Attributes:
        kind, role: Which act.
        point: Where it stops or dies, as for `arm()`.
        stop: After how many steps it is killed; -1: not between steps.
        touch: Whether it only does what whoever comes first after a death does.
        ledger: The file.
    """

    kind: str
    role: str
    point: str
    stop: int
    touch: bool
    ledger: Path


acts = cache(all_acts)


class Ledger:
    """How many steps a process has done; and in JSON whatever else it has to say.

    Args:
        path: The file; it is made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(ROOM))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ROOM)

    @property
    def done(self) -> int:
        """How many steps."""
        return int.from_bytes(self._map[:8], "little")

    @done.setter
    def done(self, n: int) -> None:
        self._map[:8] = n.to_bytes(8, "little")

    @property
    def last_words(self) -> dict[str, Any]:
        """What was said; nothing if it died before."""
        text = self._map[16 : 16 + int.from_bytes(self._map[8:16], "little")]
        words: dict[str, Any] = json.loads(text) if text else {}
        return words

    @last_words.setter
    def last_words(self, words: dict[str, Any]) -> None:
        text = json.dumps(words).encode()[: ROOM - 16] if words else b""
        self._map[16 : 16 + len(text)] = text
        self._map[8:16] = len(text).to_bytes(8, "little")

    def close(self) -> None:
        """Unmap it."""
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def doom(order: Order, given: Any) -> None:
    """Do an act, and die where the order says."""
    act = acts()[order.kind][order.role]
    ledger = Ledger(order.ledger)
    try:
        arm(order.point)
        x = pickle.loads(given) if isinstance(given, bytes) else given
        if order.touch:
            act.touch(x)
        else:
            run(act, x, order, ledger)
        found = visits()
        arm("-")
        ledger.last_words = {"visits": found}
    except BaseException:  # noqa: BLE001 - told by its parent
        arm("-")
        ledger.last_words = {"error": traceback.format_exc()[-3000:]}
    finally:
        os._exit(0)


def run(act: Act, x: Any, order: Order, ledger: Ledger) -> None:
    """Do the steps."""
    for n, step in enumerate([*act.steps, None]):
        if order.stop == n:
            os.kill(os.getpid(), signal.SIGSTOP)
            signal.pause()
        if step is not None:
            step(x)
            ledger.done = n + 1


def start(method: str, order: Order, given: Any) -> Any:
    """Start a doomed process. Forked, it has the object of its parent; else it attaches for itself."""
    context: Any = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(PRELOADED)
    x = pickle.loads(given) if method == "fork" and isinstance(given, bytes) else given
    process = context.Process(target=doom, args=(order, x), daemon=True)
    process.start()
    let_go(x)
    return process


def let_go(x: Any) -> None:
    """Close what a forked child has now."""
    several: list[Any] = [*x] if isinstance(x, tuple) else [x]
    for each in several:
        if hasattr(each, "segment") or hasattr(each, "fileno"):
            each.close()


def serve(connection: Connection[Any, Any]) -> None:
    """Start processes, one at a time, for as long as somebody asks for them. Reaps each when told to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    acts()
    warm_up()
    with suppress(EOFError):
        while True:
            process = start(*connection.recv())
            connection.send(process.pid)
            connection.recv()  # it is dead
            process.join(20)
            if process.exitcode is None:
                process.kill()
                process.join()
            connection.send(process.exitcode)
            process.close()


def warm_up() -> None:
    """Load now what the doomed would each load for themselves."""
    here, there = SharedPipe()
    with here, there, SharedArray([1]) as array, SharedDict[str, int]({"a": 1}) as d:
        pickle.loads(pickled((array, d)))
