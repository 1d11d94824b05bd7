"""The operations on every type: those of `writes`, puts and gets, waits and wakes, lives."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from queue import Empty, Full
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

import procshare
from procshare import SharedBarrier, SharedBoundedSemaphore, SharedQueue, SharedSemaphore
from procshare.testing._kinds import KINDS, look_at_nothing, look_at_queue, prompt, take, use_queue
from procshare.testing._operations import Operation, comings_and_goings
from procshare.testing._writes import LARGE, STATE, do, of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procshare.testing._kinds import Step

HUGE = b"huge " * 4000

# ---- queues and pipes ----


def full(items: list[Any], **options: Any) -> Callable[[], Any]:
    """A queue with something in it."""

    def make() -> Any:
        made = SharedQueue[Any](**options)
        made.put_many(items)
        return made

    return make


def leased(x: Any) -> Any:
    """A lease."""
    lease = x.lease(0)
    lease.__enter__()
    return lease


def got(x: Any) -> Any:
    """A queue of which something was taken."""
    x.get(timeout=0)
    return x


def get_in_vain(x: Any) -> None:
    """Wait a moment for what does not come."""
    with suppress(Empty):
        x.get(timeout=0.002)


def put_in_vain(x: Any) -> None:
    """Wait a moment for room."""
    with suppress(Full):
        x.put("x", timeout=0.002)


def use_full(x: Any) -> None:
    """Take what fills it, if anything does, put something else there."""
    with suppress(Empty):
        x.get_nowait()
    x.put("used", timeout=1)


def shut(x: Any) -> Any:
    """What is in a queue that may be shut down: it is left there."""
    try:
        return look_at_queue(x)
    except procshare.ShutDown:
        return "shut", x.qsize()


def use_shut(x: Any) -> None:
    """Use it if that can be."""
    with suppress(procshare.ShutDown):
        use_queue(x)


queue = of("SharedQueue", full([1, "two", LARGE, (3, None)]))
shut_queue = of("SharedQueue", full([1, "two"]), look=shut, use=use_shut, kept=False)


def look_at_pipe(x: Any) -> list[Any]:
    """What is on its way; it is taken out."""
    found = list[Any]()
    while x[1].poll():
        found.append(x[1].recv())
    return found


pipe = of("SharedPipe", look=look_at_pipe)


def send(item: object) -> Step:
    """Send something from one end."""
    return lambda x: x[0].send(item)


CHANNELS: Sequence[Operation] = [
    queue("put", do("put", 1), do("put", LARGE), do("put", (1, "x", {"y": 2.5})), taken_over=True),
    queue("put large", do("put", HUGE), make=full([], capacity=1500), use=use_full, taken_over=True),
    queue("put many", do("put_many", [1, "two", LARGE] * 3)),
    queue("grow", do("put_many", [b"g" * 300] * 40), taken_over=True),
    queue("get", do("get"), do("get"), do("get"), taken_over=True),
    queue("get large", do("get"), make=full([HUGE], capacity=1500), use=use_full),
    queue("get many", do("get_many", 3)),
    queue("lease", leased, kept=False, taken_over=True),
    queue("end a lease", do("__exit__", None, None, None), before=leased, kept=False),
    queue("give a lease back", do("__exit__", KeyError, KeyError(), None), before=leased, taken_over=True),
    queue("task done", do("task_done"), before=got, kept=False),
    queue("get in vain", get_in_vain, make=SharedQueue[Any]),
    queue("put in vain", put_in_vain, make=full([1], maxsize=1), use=use_full),
    shut_queue("shut down", do("shutdown")),
    shut_queue("shut down at once", do("shutdown", True)),
    pipe("send", send(1), send(LARGE)),
    # Not its receiving: of a message that one reader of an end has begun to receive, another gets the rest.
]

# ---- locks and signals ----


def acquired(x: Any) -> Any:
    """It, taken."""
    assert x.acquire(timeout=5)
    return x


def held(kind: str) -> Callable[[], Any]:
    """One that the process which looks on has itself."""
    return lambda: acquired(KINDS[kind].make())


def is_held(x: Any) -> bool:
    """Whether anybody has it."""
    return bool(x.locked())


def let_go(x: Any) -> None:
    """Give it back, where it is held, and take it again."""
    if x.locked():
        x.release()
    take(x)


def in_vain(x: Any) -> None:
    """Try to have what another has."""
    assert not x.acquire(timeout=0.002)


def wait_in_it(x: Any) -> None:
    """Wait for a condition, in vain."""
    with x:
        x.wait(0.002)


def notify(x: Any) -> None:
    """Notify a condition."""
    with x:
        x.notify()
        x.notify_all()


def meet(x: Any) -> None:
    """Wait at a barrier for nobody."""
    with suppress(BrokenBarrierError):
        x.wait(0.002)


def pass_again(x: Any) -> None:
    """Pass a barrier alone, which who died there may have broken."""
    x.reset()
    x.wait(1)


def inside(how: str) -> Step:
    """Enter a read-write lock and leave it."""

    def step(x: Any) -> None:
        with prompt(x, how):
            pass

    return step


def reading_in_vain(x: Any) -> None:
    """Try to read while another writes."""
    with suppress(procshare.LockTimeout), x.reading(0.002):
        raise AssertionError("it was read while another wrote")


def locks(kind: str) -> list[Operation]:
    """What all that can be acquired has in common."""
    one = of(kind)
    return [
        one("acquire and release", acquired, do("release"), kept=False, taken_over=True),
        one("release", do("release"), before=acquired, kept=False),
    ]


def held_locks(kind: str) -> list[Operation]:
    """What has one holder."""
    return [
        *locks(kind),
        Operation(kind, "acquire in vain", [in_vain], held(kind), look=is_held, use=let_go, kept=False),
    ]


robust = of("SharedSemaphore", partial(SharedSemaphore, 2, robust=True), kept=False)
bounded = of("SharedBoundedSemaphore", partial(SharedBoundedSemaphore, 2, robust=True), kept=False)
event = of("SharedEvent")
condition = of("SharedCondition")
barrier = of("SharedBarrier")
rwlock = of("SharedRWLock", kept=False)

SYNC: Sequence[Operation] = [
    *held_locks("SharedLock"),
    *held_locks("SharedRLock"),
    *locks("SharedSemaphore"),
    *locks("SharedBoundedSemaphore"),
    robust("acquire and release a robust one", acquired, do("release"), taken_over=True),
    bounded("acquire and release a robust one", acquired, do("release"), taken_over=True),
    event("set", do("set")),
    event("set, wait and clear", do("set"), do("wait", 1), do("clear")),
    event("wait in vain", do("wait", 0.002)),
    condition("notify", notify, taken_over=True),
    condition("wait in vain", wait_in_it, taken_over=True),
    barrier("pass alone", do("wait", 1), make=partial(SharedBarrier, 1), look=look_at_nothing, use=pass_again),
    barrier("wait in vain", meet, taken_over=True),
    barrier("abort and reset", do("abort"), do("reset")),
    rwlock("read", inside("reading"), taken_over=True),
    rwlock("write", inside("writing"), taken_over=True),
]

LIVES: Sequence[Operation] = [each for kind in KINDS for each in comings_and_goings(kind)]
OPERATIONS: Sequence[Operation] = [*STATE, *CHANNELS, *SYNC, *LIVES]


def of_kind(kind: str) -> list[Operation]:
    """The operations on one type, in order."""
    return [each for each in OPERATIONS if each.kind == kind]
