"""Every public type: the rows of all the tables that this package prints. `_acts.py` has what processes do to them."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty
from typing import TYPE_CHECKING, Any

import procshare
from procshare import (
    LockTimeout,
    SharedArray,
    SharedBarrier,
    SharedBoundedSemaphore,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedList,
    SharedLock,
    SharedNamespace,
    SharedPipe,
    SharedQueue,
    SharedRLock,
    SharedRWLock,
    SharedSemaphore,
    SharedSet,
    SharedValue,
)
from procshare.testing._processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Step = Callable[[Any], object]


@dataclass(frozen=True)
class Kind:
    """A public type.

    Attributes:
        make: Makes one with something in it; takes `name` and `backend`.
        look: All that it holds, as plain data. Changes nothing, and waits for nobody.
        use: What another process must be able to do at once, whatever happened: take each lock, write, read. May
            change the state.
    """

    make: Callable[..., Any]
    look: Callable[[Any], Any]
    use: Step


def prompt(x: Any, how: str = "locked") -> Any:
    """A block of a lock that must be free, or be free of the dead, soon: `x.locked(timeout)` or the like."""
    return getattr(x, how)(timeout=PATIENCE)


def take(x: Any) -> None:
    """Take a lock and give it back."""
    if not x.acquire(timeout=PATIENCE):
        raise LockTimeout(str(x), PATIENCE, None)
    x.release()


def use_state(x: Any) -> None:
    """Read it, lock it, replace it by what it is, and wait for a change that has been."""
    with prompt(x):
        pass
    x.set(x.value)
    x.wait_until(is_true, timeout=PATIENCE)


def use_array(x: SharedArray[Any]) -> None:
    """The same, after its contents were declared good if a holder died."""
    with suppress(procshare.OwnerDied), prompt(x):
        pass
    x.recover()
    use_state(x)


def use_mapping(x: Any) -> None:
    """Write a key, read it, delete it."""
    use_state(x)
    x["used"] = 1
    assert x["used"] == 1
    del x["used"]


def use_list(x: SharedList[Any]) -> None:
    """Append an item, read it, take it off."""
    use_state(x)
    x.append("used")
    assert x.pop() == "used"


def use_set(x: SharedSet[Any]) -> None:
    """Add an element, find it, take it out."""
    use_state(x)
    x.add("used")
    assert "used" in x
    x.remove("used")


def use_queue(x: SharedQueue[Any]) -> None:
    """Put an item, take the first, be done with it."""
    x.put("used", timeout=PATIENCE)
    with x.lease(PATIENCE):
        pass


def use_pipe(x: Any) -> None:
    """Send an item to the other end and back."""
    here, there = x
    here.send("used")
    assert there.recv() == "used"
    there.send("again")
    assert here.recv() == "again"


def use_event(x: SharedEvent) -> None:
    """Set it, wait for it, clear it."""
    x.set()
    assert x.wait(PATIENCE)
    x.clear()


def use_condition(x: SharedCondition) -> None:
    """Enter it, wait in vain, notify."""
    if not x.acquire(timeout=PATIENCE):
        raise LockTimeout("condition", PATIENCE, None)
    x.wait(0)
    x.notify_all()
    x.release()


def use_barrier(x: SharedBarrier) -> None:
    """Reset it, and pass it with another thread."""
    x.reset()
    other = threading.Thread(target=x.wait, args=(PATIENCE,), daemon=True)
    other.start()
    x.wait(PATIENCE)
    other.join(PATIENCE)


def use_rwlock(x: SharedRWLock) -> None:
    """Read, write, read."""
    for how in "reading", "writing", "reading":
        with prompt(x, how):
            pass


def look_at_queue(x: SharedQueue[Any]) -> tuple[list[Any], int]:
    """What is queued, in order; it is taken out and put back. And how many that is."""
    items = list[Any]()
    with suppress(Empty):
        while True:
            items.append(x.get_nowait())
    x.put_many(items)
    return items, len(items)


def look_at_nothing(_x: object) -> None:
    """It holds nothing."""


def make_pipe(**_how: Any) -> Any:
    """Both ends; they have no name and one backend."""
    return SharedPipe()


@contextmanager
def kept(made: Any) -> Generator[Any]:
    """An object for the length of a block; then it is destroyed."""
    try:
        yield made
    finally:
        both: Any = (made,) if hasattr(made, "close") else made  # a pipe is a pair
        for each in both:
            if hasattr(each, "unlink"):
                each.unlink()
            each.close()


def is_true(_value: object) -> bool:
    """For a wait that is over at once."""
    return True


KINDS: dict[str, Kind] = {
    "SharedCounter": Kind(partial(SharedCounter, 10), lambda x: x.value, use_state),
    "SharedValue": Kind(partial(SharedValue[Any], "old"), lambda x: x.value, use_state),
    "SharedArray": Kind(partial(SharedArray[Any], range(2000)), lambda x: x.array.tolist(), use_array),
    "SharedDict": Kind(
        partial(SharedDict[str, Any], {"a": 1, "b": "text", "c": [1, 2]}), lambda x: list(x.value.items()), use_mapping
    ),
    "SharedList": Kind(partial(SharedList[Any], [1, "text", [1, 2]]), lambda x: x.value, use_list),
    "SharedSet": Kind(partial(SharedSet[Any], [1, "text", None]), list, use_set),
    "SharedNamespace": Kind(
        partial(SharedNamespace, {"a": 1, "b": "text", "c": [1, 2]}), lambda x: x.value, use_mapping
    ),
    "SharedQueue": Kind(SharedQueue[Any], look_at_queue, use_queue),
    "SharedPipe": Kind(make_pipe, look_at_nothing, use_pipe),
    "SharedLock": Kind(SharedLock, look_at_nothing, take),
    "SharedRLock": Kind(SharedRLock, look_at_nothing, take),
    "SharedSemaphore": Kind(partial(SharedSemaphore, 2), lambda x: x.get_value(), take),
    "SharedBoundedSemaphore": Kind(partial(SharedBoundedSemaphore, 2), lambda x: x.get_value(), take),
    "SharedEvent": Kind(SharedEvent, lambda x: x.is_set(), use_event),
    "SharedCondition": Kind(SharedCondition, look_at_nothing, use_condition),
    "SharedBarrier": Kind(partial(SharedBarrier, 2), lambda x: x.broken, use_barrier),
    "SharedRWLock": Kind(SharedRWLock, look_at_nothing, use_rwlock),
}
