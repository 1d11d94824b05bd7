"""Forks at awkward moments: while other threads are inside each call, inside blocks, callbacks and handlers."""

from __future__ import annotations

import atexit
import multiprocessing.util
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare import Closed, Handle, LockTimeout, OwnerDied, SharedCounter, SharedDict, transaction
from procshare.testing._calls import CALLS, attempt
from procshare.testing._kinds import KINDS, kept
from procshare.testing._processes import PATIENCE
from procshare.testing._situations import Failed, drain, fork, forked, hammering, reap, some_call, use_quiet
from procshare.testing._tallies import tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTAINERS = "SharedDict", "SharedList", "SharedSet", "SharedNamespace"
STATES = ("SharedCounter", "SharedValue", "SharedArray", *CONTAINERS)


def usable(kind: str, x: Any) -> None:
    """In a child, beside the parent's threads: each call of the type, and something new with a name."""
    for name in CALLS[kind]:
        some_call(kind, x, [name])
    with SharedCounter(1) as made:
        Handle.attach(made.name).close()  # which exports it
        if made.increment() != 2:
            raise Failed("a new counter of a child is wrong")


def nested(kind: str, x: Any) -> None:
    """In a child: use it in a grandchild, and in a great-grandchild that is forked at once."""
    forked(lambda: forked(lambda: usable(kind, x)))
    usable(kind, x)


def in_a_thread(kind: str, x: Any) -> None:
    """In a child: fork in a thread of its own."""
    failed = list[BaseException]()

    def run() -> None:
        try:
            forked(lambda: usable(kind, x))
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _leave_in_order() -> None:
    util: Any = multiprocessing.util
    util._exit_function()  # what a child of multiprocessing runs
    os._exit(0)


ENDS: Mapping[str, tuple[Callable[[], object], int]] = {
    "os._exit": (lambda: None, 0),
    "in order": (_leave_in_order, 0),
    "exec": (lambda: os.execv("/bin/true", ["true"]), 0),
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL),
}


def during_calls(kind: str, tries: int) -> int:
    """Threads make one call over and over; the main thread forks, and the child must find all of it usable at once."""
    made = 0
    with kept(KINDS[kind].make()) as x:
        _warm(kind, x)
        per_call = max(tries // len(CALLS[kind]), 1)
        for name, call in CALLS[kind].items():
            with hammering(partial(attempt, call, x)):
                for _ in range(per_call):
                    end, expected = list(ENDS.values())[made % len(ENDS)]
                    act = (usable, nested, usable, in_a_thread)[(made // len(ENDS)) % 4]
                    code = reap(fork(partial(act, kind, x), end))
                    if code != expected:
                        raise Failed(f"forked during {name!r}: the child ended with {code} instead of {expected}")
                    made += 1
        use_quiet(kind, x)
    return made


def exact(kind: str, tries: int) -> int:
    """Threads count, children count, and the sum is what all of them did."""
    with tally(kind) as counted:
        counted.add()
        begun = counted.total()
        with hammering(counted.add) as hammer:
            for _ in range(tries):
                forked(counted.add)
        wanted = begun + hammer.made + tries
        if counted.total() != wanted:
            raise Failed(f"{counted.total()} were counted, and not {wanted}")
    return tries


def _warm(kind: str, x: Any) -> None:
    # What is imported for the first time in one thread while another one forks is locked in the child, for Python.
    for _ in range(2):
        for name in CALLS[kind]:
            some_call(kind, x, [name])
    usable(kind, x)


# ---- inside of something ----


def refused(x: Any) -> None:
    """In a child that was forked inside a block: the lock is the parent's."""
    try:
        with x.locked(timeout=0.01):
            pass
    except LockTimeout:
        return
    raise Failed("the child has the lock that its parent holds")


def in_block(kind: str, x: Any) -> None:
    """Inside `with x.locked()`: the child's guard is dead, its lock is not its own."""
    with x.locked() as guard:
        forked(partial(refused, x))

        def write() -> None:
            try:
                if kind in ("SharedCounter", "SharedValue"):
                    guard.value = 1
                elif kind != "SharedArray":
                    _ = guard.value
            except Closed:
                return
            if kind != "SharedArray":  # whose guard is its memory
                raise Failed("the parent's guard works in the child")

        forked(write)


def in_modify(_kind: str, x: Any) -> None:
    """In a modify() callback: the child's part is without effect."""
    children = list[int]()
    before = x.value if not hasattr(x, "array") else None

    def fn(value: Any) -> Any:
        children.append(os.fork())
        return value

    try:
        x.modify(fn)
    except (Closed, OwnerDied):
        if children != [0]:
            raise
    finally:
        if children == [0]:
            os._exit(0)
    if reap(children[0]) != 0 or (before is not None and x.value != before):
        raise Failed("a fork in modify() did harm")


def in_predicate(kind: str, x: Any) -> None:
    """In wait_until()'s predicate, which holds nothing."""

    def predicate(_value: object) -> bool:
        forked(partial(usable, kind, x))
        return True

    x.wait_until(predicate, timeout=20)


now: dict[str, Callable[[], object]] = {"act": list}  # what a child does that is forked while a value is pickled


class Forking:
    """A value that forks when it is pickled and when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        _fork_once()
        return _unpickled, ()


def _unpickled() -> str:
    _fork_once()
    return "forked"


def _fork_once() -> None:
    act, now["act"] = now["act"], list  # the child may come by here again
    forked(act)
    now["act"] = act


def in_pickling(kind: str, x: Any) -> None:
    """While a value is pickled and unpickled by a call."""
    now["act"] = partial(usable, kind, x)
    try:
        _pickle_in(kind, x)
    finally:
        now["act"] = list


def _pickle_in(kind: str, x: Any) -> Any:
    if kind == "SharedValue":
        x.set(Forking())
        return x.value
    if kind == "SharedList":
        x.append(Forking())
        return x.pop()
    if kind in ("SharedDict", "SharedNamespace"):
        x["forking"] = Forking()
        if x["forking"] != "forked":
            raise Failed("the value is another one")
        return x.pop("forking") if kind == "SharedDict" else None
    if kind == "SharedQueue":
        x.put(Forking())
        return x.get(timeout=1)
    return None


def in_transaction(_kind: str, x: Any) -> None:
    """Inside a transaction with another container: the child commits nothing."""
    with SharedDict({"n": 1}) as other:
        with transaction(x, other) as (_, inside):
            inside["n"] = 2
            forked(partial(refused, x))
            forked(lambda: _expect(other.value, {"n": 1}))
        _expect(other.value, {"n": 2})


def _expect(value: object, wanted: object) -> None:
    if value != wanted:
        raise Failed(f"{value!r} instead of {wanted!r}")


def in_lease(kind: str, x: Any) -> None:
    """Inside a lease: the item is the parent's, also when the child leaves the block."""
    x.put("leased")
    lease = x.lease(5)
    with lease as item:
        _expect(item, "leased")
        forked(lambda: lease.__exit__(None, None, None))
        forked(partial(usable, kind, x))
    _expect(x.qsize(), 0)


def in_handler(kind: str, x: Any) -> None:
    """In a signal handler that interrupts whatever the main thread calls."""
    children = list[int]()
    begun = list[int]()  # no fork within a fork: hooks of Python's own would wait for themselves

    def handler(*_: object) -> None:
        if len(begun) == len(children) < 3:
            begun.append(1)
            children.append(fork(partial(usable, kind, x)))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        deadline = time.monotonic() + PATIENCE
        while len(children) < 3 and time.monotonic() < deadline:
            some_call(kind, x)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        codes = [reap(child) for child in children]
    if len(codes) < 3 or any(codes):
        raise Failed(f"children of a signal handler ended with {codes}")


def at_exit(kind: str, x: Any) -> None:
    """In an atexit handler of a child that ends in order."""

    def ending() -> None:
        forked(partial(usable, kind, x))

    def child() -> None:
        handlers: Any = atexit
        handlers.register(ending)
        handlers._run_exitfuncs()
        handlers.unregister(ending)

    forked(child)


PLACES: Mapping[str, tuple[Callable[[str, Any], object], tuple[str, ...]]] = {
    "a block": (in_block, STATES),
    "a modify() callback": (in_modify, STATES),
    "a predicate": (in_predicate, STATES),
    "pickling": (in_pickling, ("SharedValue", *CONTAINERS, "SharedQueue")),
    "a transaction": (in_transaction, CONTAINERS),
    "a lease": (in_lease, ("SharedQueue",)),
    "a signal handler": (in_handler, tuple(KINDS)),
    "an atexit handler": (at_exit, tuple(KINDS)),
}


def inside(place: str, kind: str, tries: int) -> int:
    """Fork inside of something, again and again, and use the object afterwards."""
    with ExitStack() as stack:
        x = stack.enter_context(kept(KINDS[kind].make()))
        _warm(kind, x)
        drain(kind, x)
        for _ in range(tries):
            PLACES[place][0](kind, x)
        use_quiet(kind, x)
    sys.stderr.flush()
    return tries
