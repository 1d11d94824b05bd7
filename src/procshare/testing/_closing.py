"""Waits that end by an exception or a close from elsewhere; threads that end while they hold something."""

from __future__ import annotations

import ctypes
import threading
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from procshare import Closed, NotFound, OwnerDied
from procshare.testing._kinds import KINDS, kept
from procshare.testing._processes import PATIENCE, until
from procshare.testing._situations import Failed, hammering, some_call, use_whole

if TYPE_CHECKING:
    from collections.abc import Callable


class Stop(Exception):
    """Raised in another thread."""


class _Drained:
    """All permits of a semaphore, for a block."""

    def __init__(self, x: Any) -> None:
        self._x = x

    def __enter__(self) -> None:
        self._x.acquire()
        self._x.acquire()

    def __exit__(self, *_: object) -> None:
        self._x.release(2)


def _wait_for(x: Any) -> None:
    with x:
        x.wait()


WAITS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], object]]] = {
    # how another handle is made to wait for it, and the wait
    **dict.fromkeys(
        ("SharedCounter", "SharedValue", "SharedArray", "SharedDict", "SharedList", "SharedSet", "SharedNamespace"),
        (lambda x: x.locked(), lambda x: x.locked().__enter__()),
    ),
    "SharedQueue": (lambda _x: nullcontext(), lambda x: x.get()),
    "SharedLock": (lambda x: x, lambda x: x.acquire()),
    "SharedRLock": (lambda x: x, lambda x: x.acquire()),
    "SharedSemaphore": (_Drained, lambda x: x.acquire()),
    "SharedBoundedSemaphore": (_Drained, lambda x: x.acquire()),
    "SharedEvent": (lambda _x: nullcontext(), lambda x: x.wait()),
    "SharedCondition": (lambda _x: nullcontext(), _wait_for),
    "SharedBarrier": (lambda _x: nullcontext(), lambda x: x.wait()),
    "SharedRWLock": (lambda x: x.writing(), lambda x: x.reading().__enter__()),
}


class Waiter(threading.Thread):
    """A thread that waits on a handle, and how that ended."""

    def __init__(self, kind: str, x: Any, more: Callable[[Any], object] | None = None) -> None:
        super().__init__(daemon=True)
        self._call = more or WAITS[kind][1]
        self._x = x
        self.ended: object = "waits"
        self.start()

    def run(self) -> None:
        """Wait."""
        try:
            self._call(self._x)
            self.ended = "had it"
        except BaseException as error:  # noqa: BLE001 - looked at
            self.ended = error

    def asleep(self) -> None:
        """Wait until it waits."""
        until(lambda: self.native_id is not None and _state(self.native_id) in "S?", 5)

    def over(self) -> object:
        """How it ended."""
        self.join(PATIENCE)
        if self.is_alive():
            raise Failed("the waiter waits for ever")
        return self.ended


def _state(thread: int) -> str:
    with suppress(OSError), open(f"/proc/self/task/{thread}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]
    return "?"


def raised_in_waiters(kind: str, tries: int) -> int:
    """An exception is thrown into a thread that waits: it comes out, and nothing is left of the wait."""
    for _ in range(tries):
        with kept(KINDS[kind].make()) as x:
            with WAITS[kind][0](x):
                waiter = Waiter(kind, x)
                waiter.asleep()
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(waiter.ident or 0), ctypes.py_object(Stop))
                if kind in ("SharedQueue", "SharedEvent", "SharedBarrier", "SharedCondition"):
                    time.sleep(0.02)
                    _let_go(kind, x)
            ended = waiter.over()
            if not isinstance(ended, Stop) and ended != "had it":
                raise Failed(f"the waiter ended with {ended!r}")
            use_whole(kind, x)
    return tries


def _let_go(kind: str, x: Any) -> None:
    if kind == "SharedQueue":
        x.put("for the waiter")
    elif kind == "SharedEvent":
        x.set()
    elif kind == "SharedBarrier":
        x.abort()
    elif kind == "SharedCondition":
        with x:
            x.notify_all()


def closed_under_waiters(kind: str, tries: int, *, unlinks: bool = False) -> int:
    """The very handle that a thread waits on is closed: the wait ends with Closed, or with what it waited for."""
    for _ in range(tries):
        with kept(KINDS[kind].make()) as x:
            twin = x.attach(x.name)
            with WAITS[kind][0](x):
                waiters = [Waiter(kind, twin) for _ in range(1 if kind == "SharedBarrier" else 2)]
                for waiter in waiters:
                    waiter.asleep()
                if unlinks:
                    twin.unlink()
                twin.close()
                time.sleep(0.01)
            for waiter in waiters:
                _let_go(kind, x)
                ended = waiter.over()
                if not isinstance(ended, Closed) and ended != "had it" and kind != "SharedBarrier":
                    raise Failed(f"the waiter ended with {ended!r}") from (
                        ended if isinstance(ended, BaseException) else None
                    )
            use_whole(kind, x)
    return tries


def closed_in_a_loop(kind: str, tries: int) -> int:
    """Threads share a handle that one of them closes and attaches again, over and over."""
    with kept(KINDS[kind].make()) as x:
        some_call(kind, x)
        name = x.name
        shared: list[Any] = [x.attach(name)]

        def use() -> None:
            with suppress(Closed, OwnerDied):
                some_call(kind, shared[0])

        with hammering(use):
            for _ in range(tries):
                old, shared[0] = shared[0], x.attach(name)
                old.close()
        shared[0].close()
        with suppress(NotFound):
            use_whole(kind, x)
    return tries


def ended_while_holding(kind: str, tries: int) -> int:
    """A thread ends inside a block, or with the lock: others have it, as after a death."""

    def hold(x: Any) -> None:
        if kind == "SharedRWLock":
            x.writing().__enter__()
        elif hasattr(x, "acquire"):
            x.acquire()
        else:
            kept_open.append(x.locked())
            kept_open[-1].__enter__()

    for _ in range(tries):
        kept_open = list[Any]()
        with kept(KINDS[kind].make()) as x:
            if Waiter(kind, x, hold).over() != "had it":
                raise Failed("the thread did not hold it")
            use_whole(kind, x)
            kept_open.clear()
    return tries


HOLDS = tuple(
    kind for kind in WAITS if kind not in ("SharedQueue", "SharedEvent", "SharedBarrier") and "Sem" not in kind
)
