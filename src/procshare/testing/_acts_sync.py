"""Acts, as in `_acts.py`, on locks and signals."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare import (
    LockTimeout,
    SharedBarrier,
    SharedBoundedSemaphore,
    SharedCondition,
    SharedLock,
    SharedSemaphore,
)
from procshare.testing._acts import Act, beside, do, enter, leave
from procshare.testing._kinds import KINDS, take
from procshare.testing._processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from procshare.testing._kinds import Step


def look_at_lock(x: Any) -> bool:
    """Whether its holder died."""
    assert x.acquire(timeout=PATIENCE)
    died: bool = x.owner_died
    x.release()
    return died


def hold(x: Any) -> None:
    """Keep it for a moment, and let others have it for one."""
    take_for(x, 0.003)
    time.sleep(0.002)


def take_for(x: Any, seconds: float) -> None:
    """Take it, and give it back after a while."""
    if not x.acquire(timeout=PATIENCE):
        raise LockTimeout(str(x), PATIENCE, None)
    time.sleep(seconds)
    x.release()


def sync(
    kind: str,
    roles: Mapping[str, Sequence[Step]],
    look: Callable[[Any], Any],
    touch: Step,
    blocked: Sequence[Step],
    make: Any = None,
    use: Step | None = None,
    meanwhile: Step | None = None,
) -> dict[str, Act]:
    """Roles of a type."""
    known = KINDS[kind]
    return {
        role: Act(
            steps,
            make or known.make,
            look,
            use or known.use,
            touch,
            blocked,
            meanwhile if "waiter" in role else None,
        )
        for role, steps in roles.items()
    }


BOUNDED = do("acquire", timeout=PATIENCE)
TWICE = [BOUNDED, BOUNDED, do("release"), do("release")]
LOCKS = {
    "SharedLock": sync(
        "SharedLock",
        {
            "holder": [BOUNDED, do("release"), enter(""), leave],
            "waiter": [BOUNDED, do("release"), beside("", take), take],
        },
        look_at_lock,
        take,
        (take, do("locked")),
        meanwhile=hold,
    ),
    "SharedRLock": sync(
        "SharedRLock",
        {"holder": [*TWICE, enter(""), leave], "waiter": [*TWICE, beside("", take), take]},
        look_at_lock,
        take,
        (take, do("locked")),
        meanwhile=hold,
    ),
}


# ---- semaphores ----


def release_touched(x: Any) -> None:
    """Let one in who waits."""
    x.release()
    time.sleep(0.003)


PERMITS = [BOUNDED, BOUNDED, do("release"), do("release", 1), BOUNDED, do("acquire", block=False), do("release", 2)]


def semaphores(kind: str, cls: Any) -> dict[str, Act]:
    """Plain ones, whose permits die with their holders, and robust ones."""
    plain = {
        "holder": PERMITS,
        "waiter": [do("acquire", timeout=0.02), do("acquire", timeout=0.02), do("acquire", timeout=0.005)],
    }
    robust = {f"{role} of a robust one": steps for role, steps in plain.items()}
    look = do("get_value")
    return sync(kind, plain, look, look, (look,), use=use_semaphore) | sync(
        kind, robust, look, take, (look, take), make=partial(cls, 2, robust=True), meanwhile=hold
    )


def use_semaphore(x: Any) -> None:
    """Whatever the dead took, what is put in its place can be had."""
    if x.get_value() == 0:
        x.release()
    take(x)


# ---- events, conditions, barriers, readers and writers ----


def flash(x: Any) -> None:
    """Set it for a moment."""
    x.set()
    time.sleep(0.002)
    x.clear()
    time.sleep(0.002)


def notify_all(x: Any) -> None:
    """Wake whoever waits."""
    with x:
        x.notify_all()
    time.sleep(0.003)


def wait_inside(x: Any) -> None:
    """Wait to be notified."""
    with x:
        x.wait(PATIENCE)


def wait_shortly(x: Any) -> None:
    """Wait in vain, or for whoever notifies."""
    with x:
        x.wait(0.005)


def meet(x: Any) -> None:
    """Come to the barrier, and be there for whoever else comes."""
    with suppress(threading.BrokenBarrierError):
        x.wait(0.05)
    if x.broken:
        x.reset()


def pass_with_another(x: Any) -> None:
    """Wait at a barrier for another thread of this process."""

    def late() -> None:
        time.sleep(0.003)
        pass_it(x)

    thread = threading.Thread(target=late)
    thread.start()
    pass_it(x)
    thread.join()


def pass_it(x: Any) -> None:
    """Wait at a barrier."""
    with suppress(threading.BrokenBarrierError):
        x.wait(PATIENCE)


def act() -> None:
    """A barrier's action."""


def look_at_barrier(x: Any) -> None:
    """It answers; what it says depends on who has come."""
    assert x.n_waiting >= 0
    assert x.broken in (True, False)


def use_condition(x: Any) -> None:
    """Enter it, wait in vain, notify."""
    KINDS["SharedCondition"].use(x)


def read_it(x: Any) -> None:
    """Read, and let go."""
    with x.reading(timeout=PATIENCE):
        pass


def write_it(x: Any) -> None:
    """Write, and let go."""
    with x.writing(timeout=PATIENCE):
        pass


def both_ways(x: Any) -> None:
    """Keep writers out for a moment, then everyone."""
    for how in "reading", "writing":
        with getattr(x, how)(timeout=PATIENCE):
            time.sleep(0.002)
    time.sleep(0.002)


def of_own_lock() -> Any:
    """A condition of a lock that somebody else may have."""
    return SharedCondition(SharedLock())


BARRIER: dict[str, Sequence[Step]] = {
    "breaker": [do("abort"), do("reset"), do("abort"), do("reset")],
    "waiter": [pass_it, pass_it],
    "both parties": [pass_with_another, pass_with_another],
}
CONDITION: dict[str, Sequence[Step]] = {
    "holder": [enter(""), leave, do("acquire"), do("acquire"), do("release"), do("release")],
    "notifier (waiter)": [notify_all, notify_all],
    "waiter": [wait_inside, wait_inside],
}
SYNC: dict[str, dict[str, Act]] = {
    **LOCKS,
    "SharedSemaphore": semaphores("SharedSemaphore", SharedSemaphore),
    "SharedBoundedSemaphore": semaphores("SharedBoundedSemaphore", SharedBoundedSemaphore),
    "SharedEvent": sync(
        "SharedEvent",
        {"setter": [do("set"), do("set"), do("clear"), do("clear"), do("set"), do("clear")]},
        do("is_set"),
        do("is_set"),
        (do("is_set"), do("wait", 0.01)),
    )
    | sync(
        "SharedEvent",
        {"waiter": [do("wait", 0.005), do("wait", PATIENCE), do("wait", PATIENCE)]},
        lambda _x: None,
        do("is_set"),
        (do("is_set"),),
        meanwhile=flash,
    ),
    "SharedCondition": sync(
        "SharedCondition", CONDITION, lambda _x: None, use_condition, (take, wait_shortly), meanwhile=notify_all
    )
    | sync(
        "SharedCondition",
        {"notifier (waiter) of a lock": [notify_all, notify_all]},
        lambda _x: None,
        use_condition,
        (take,),
        meanwhile=wait_shortly,
    ),
    "SharedBarrier": sync(
        "SharedBarrier", BARRIER, look_at_barrier, look_at_barrier, (look_at_barrier,), meanwhile=meet
    )
    | sync(
        "SharedBarrier",
        {"waiter with an action": [pass_it, pass_it]},
        look_at_barrier,
        look_at_barrier,
        (look_at_barrier,),
        make=partial(SharedBarrier, 2, act),
        meanwhile=meet,
    ),
    "SharedRWLock": sync(
        "SharedRWLock",
        {
            "reader": [enter("reading"), enter("reading"), leave, leave, enter("reading")],
            "writer": [enter("writing"), enter("reading"), leave, enter("writing"), leave, leave, enter("writing")],
            "waiter": [read_it, write_it, read_it, write_it],
        },
        lambda _x: None,
        write_it,
        (read_it, write_it),
        meanwhile=both_ways,
    ),
}
SYNC["SharedCondition"]["notifier (waiter)"] = Act(
    [notify_all, notify_all], SharedCondition, lambda _x: None, use_condition, use_condition, (take,), wait_shortly
)
