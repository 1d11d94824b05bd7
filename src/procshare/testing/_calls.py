"""The calls of every public type, each of them short and over soon."""

from __future__ import annotations

import pickle
import random
from contextlib import suppress
from queue import Empty, Full
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

from procshare import Closed, LockTimeout, NotFound, OwnerDied, WaitTimeout, attach
from procshare.testing._kinds import is_true

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Call = Callable[[Any], object]

MOMENT = 0.002  # seconds that a call waits at most for what may not come
LONG = 5.0  # seconds in which any lock must be had, also where hundreds want it
TOLD = (LockTimeout, WaitTimeout, Empty, Full, BrokenBarrierError, KeyError, IndexError, ValueError, AttributeError)


def attempt(call: Call, x: Any) -> None:
    """Make a call; that it was in vain since others were faster is no failure, but `Closed` is."""
    try:
        call(x)
    except Closed:
        raise
    except TOLD:
        pass


def _same(value: Any) -> Any:
    return value


def _locked(x: Any) -> None:
    with x.locked(timeout=LONG):
        pass


def _written(x: Any) -> None:
    with x.locked(timeout=LONG) as guard:
        guard["called"] = [1]
        del guard["called"]


def _inserted(x: Any) -> None:
    with x.locked(timeout=LONG) as guard:
        guard.insert(0, "called")
        guard.pop(0)


def _again(x: Any) -> None:
    pickle.loads(pickle.dumps(x)).close()


def _attached(x: Any) -> None:
    with suppress(NotFound):
        attach(x.name).close()


STATE: Mapping[str, Call] = {
    "value": lambda x: x.value,
    "set": lambda x: x.set(x.value),
    "modify": lambda x: x.modify(_same),
    "locked": _locked,
    "wait_until": lambda x: x.wait_until(is_true, timeout=LONG),
    "repr": repr,
}
ANY: Mapping[str, Call] = {"pickle": _again, "attach": _attached}
MAPPING: Mapping[str, Call] = {
    "[k]": lambda x: x["b"],
    "[k] =": lambda x: x.__setitem__("b", "text"),
    "[k] = record": lambda x: x.__setitem__(f"c{random.randrange(9)}", ["record", 1.5]),
    "del": lambda x: x.__delitem__(f"c{random.randrange(9)}"),
    "in": lambda x: "b" in x,
    "len": len,
    "iter": list,
    "block": _written,
}
LOCK: Mapping[str, Call] = {
    "with": lambda x: _take(x, None),
    "acquire": lambda x: _take(x, LONG),
    "try": lambda x: _take(x, 0),
    "locked": lambda x: x.locked(),
}


def _take(x: Any, timeout: float | None) -> None:
    if timeout is None:
        with x:
            pass
    elif x.acquire(timeout=timeout):
        x.release()


def _entered(x: Any, how: str) -> None:
    with getattr(x, how)(timeout=LONG):
        pass


def _waited(x: Any) -> None:
    with x:
        x.wait(MOMENT)


def _notified(x: Any) -> None:
    with x:
        x.notify_all()


def _joined(x: Any) -> None:
    with suppress(OwnerDied):  # a child that took items has ended
        x.join(timeout=MOMENT)


def _leased(x: Any) -> None:
    with x.lease(MOMENT):
        pass


def _room(x: Any) -> Any:
    if x.qsize() > 500:
        x.get_many(400, timeout=MOMENT)
    return x


def _send(x: Any, item: object) -> None:
    here, there = x
    if not there.poll(0):  # nobody takes it out, so that the pipe would be full soon
        here.send(item)


def _ends(x: Any) -> Any:
    return x[random.randrange(2)]


def _inside(x: Any) -> None:
    with x.locked(timeout=LONG) as live:
        live[0] = live[0]


CALLS: Mapping[str, Mapping[str, Call]] = {
    "SharedCounter": {
        **STATE,
        **ANY,
        "increment": lambda x: x.increment(),
        "exchange": lambda x: x.exchange(3),
        "compare_exchange": lambda x: x.compare_exchange(3, 4),
    },
    "SharedValue": {**STATE, **ANY, "set record": lambda x: x.set("x" * random.randrange(9000))},
    "SharedArray": {**STATE, **ANY, "block": _inside, "[i]": lambda x: x[0], "array": lambda x: x.array},
    "SharedDict": {
        **STATE,
        **ANY,
        **MAPPING,
        "get": lambda x: x.get("none"),
        "pop": lambda x: x.pop(f"c{random.randrange(9)}", None),
        "popitem": lambda x: x.update([x.popitem()]),
        "setdefault": lambda x: x.setdefault(f"c{random.randrange(9)}", [0]),
        "update": lambda x: x.update({f"c{n}": "y" * 200 for n in range(9)}),
        "increment": lambda x: x.increment("a"),
        "modify_item": lambda x: x.modify_item("a", _same, 0),
    },
    "SharedList": {
        **STATE,
        **ANY,
        "append, pop": lambda x: (x.append([1, 2]), x.pop()),
        "insert, pop": lambda x: (x.insert(1, "one"), x.pop(1)),
        "extend, del": lambda x: (x.extend(["one", 2]), x.__delitem__(slice(-2, None))),
        "[i]": lambda x: x[0],
        "[i] =": lambda x: x.__setitem__(0, "text" * 9),
        "[i:j]": lambda x: x[:2],
        "len": len,
        "iter": list,
        "block": _inserted,
    },
    "SharedSet": {
        **STATE,
        **ANY,
        "add": lambda x: x.add(random.randrange(9)),
        "discard": lambda x: x.discard(random.randrange(9)),
        "in": lambda x: 1 in x,
        "pop": lambda x: x.add(x.pop()),
        "|=": lambda x: x.__ior__({1, "text", "key" * 20}),
        "iter": list,
        "len": len,
    },
    "SharedNamespace": {**STATE, **ANY, **MAPPING, "x.n": lambda x: x.a, "x.n =": lambda x: setattr(x, "called", [1])},
    "SharedQueue": {
        **ANY,
        "put": lambda x: _room(x).put_nowait("item"),
        "put, get": lambda x: (_room(x).put_nowait(("item", 1)), x.get(timeout=MOMENT)),
        "put large": lambda x: (_room(x).put(b"x" * 100_000, timeout=LONG), x.get(timeout=MOMENT)),
        "get": lambda x: x.get(timeout=MOMENT),
        "put_many": lambda x: _room(x).put_many(["item", ["record"]], timeout=LONG),
        "get_many": lambda x: x.get_many(9, timeout=MOMENT),
        "lease": _leased,
        "task_done": lambda x: x.task_done(),
        "join": _joined,
        "qsize": lambda x: x.qsize(),
    },
    "SharedPipe": {
        "send": lambda x: _send(x, "item"),
        "send large": lambda x: _send(x, b"x" * 10_000),
        "poll": lambda x: _ends(x).poll(MOMENT),
    },
    "SharedLock": {**ANY, **LOCK},
    "SharedRLock": {**ANY, **LOCK},
    "SharedSemaphore": {**ANY, **LOCK, "get_value": lambda x: x.get_value()},
    "SharedBoundedSemaphore": {**ANY, **LOCK, "get_value": lambda x: x.get_value()},
    "SharedEvent": {
        **ANY,
        "set": lambda x: x.set(),
        "clear": lambda x: x.clear(),
        "is_set": lambda x: x.is_set(),
        "wait": lambda x: x.wait(MOMENT),
    },
    "SharedCondition": {**ANY, **LOCK, "wait": _waited, "notify_all": _notified},
    "SharedBarrier": {
        **ANY,
        "wait": lambda x: x.wait(MOMENT),
        "reset": lambda x: x.reset(),
        "abort": lambda x: x.abort(),
        "n_waiting": lambda x: x.n_waiting,
    },
    "SharedRWLock": {
        **ANY,
        "reading": lambda x: _entered(x, "reading"),
        "writing": lambda x: _entered(x, "writing"),
    },
}
