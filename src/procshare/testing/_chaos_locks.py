"""What `chaos`'s workers do with locks, semaphores and read-write locks: who is inside with whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procshare import SharedBoundedSemaphore, SharedLock, SharedRLock, SharedRWLock, SharedSemaphore

if TYPE_CHECKING:
    from procshare.testing._chaos_worker import Deed, Worker

PERMITS = 2


def make(name: str, _slots: int) -> dict[str, Any]:
    """The objects; *name* makes theirs unique."""
    return {
        "lock": SharedLock(),
        "rlock": SharedRLock(name=f"{name}-rlock"),
        "semaphore": SharedSemaphore(PERMITS, robust=True),
        "bounded": SharedBoundedSemaphore(PERMITS, robust=True, name=f"{name}-bounded"),
        "signals": SharedSemaphore(0),
        "full": SharedBoundedSemaphore(1),
        "rwlock": SharedRWLock(),
    }


# ---- locks ----


def lock(w: Worker) -> None:
    """Nobody else is inside; who comes after a death there is told so."""
    x = w.world["lock"]
    if not x.acquire(timeout=w.timeout()):
        w.check(w.timed, "an acquire without a limit gave up")
        return
    died = x.owner_died
    w.check(not w.enter("lock") or died, "a holder died inside, and owner_died is false")
    if w.rng.random() < 0.1:
        w.check(not x.acquire(block=False), "it was taken twice")
    w.leave("lock")
    x.release()
    if w.rng.random() < 0.1:
        w.check(_refused(x), "what nobody holds, or another, was released")


def _refused(x: Any) -> bool:
    try:
        x.release()
    except (RuntimeError, ValueError):
        return True
    return False


def rlock(w: Worker) -> None:
    """The same, to some depth."""
    x = w.world["rlock"]
    depth = w.rng.randint(1, 3)
    if not x.acquire(timeout=w.timeout()):
        return
    died = x.owner_died
    for _ in range(depth - 1):
        w.check(x.acquire(timeout=0), "its holder could not take it again")
    w.check(not w.enter("rlock") or died, "a holder died inside, and owner_died is false")
    for _ in range(depth - 1):
        x.release()
        w.inside()
    w.leave("rlock")
    x.release()


# ---- semaphores ----


def semaphore(w: Worker) -> None:
    """Permits that come back; or signals, which belong to nobody."""
    if w.rng.random() < 0.7:
        _permit(w, "semaphore")
    else:
        _signal(w, w.world["signals"])


def bounded(w: Worker) -> None:
    """Permits that come back; and one release too many."""
    w.check(_refused(w.world["full"]), "there are more permits than at first")
    _permit(w, "bounded")


def _permit(w: Worker, name: str) -> None:
    x = w.world[name]
    w.check(_refused(x), "a permit that this process has not taken was released")
    if not x.acquire(timeout=w.timeout()):
        return
    with w.holding(name):
        others = w.ledger.holding(name)
        w.check(len(others) <= PERMITS, f"{name}: slots {others} have a permit each, and there are {PERMITS}")
        w.check(w.slot in others, f"{name}: slot {w.slot} has a permit and does not count as alive")
        w.inside()
    x.release()


def _signal(w: Worker, x: Any) -> None:
    if w.rng.random() < 0.5:
        n = w.rng.randint(1, 3)
        w.intend("signals given", n)
        x.release(n)
        w.ack("signals given", n)
    else:
        w.intend("signals taken")
        (w.ack if x.acquire(timeout=w.some(0.0, 0.05, 0.2)) else w.undo)("signals taken")
    _signals(w, x)


def _signals(w: Worker, x: Any) -> None:
    low, taken = w.ledger.acknowledged("signals given"), w.ledger.acknowledged("signals taken")
    found = w.read(x.get_value)
    high = w.ledger.intended("signals given") - taken
    low -= w.ledger.intended("signals taken")
    w.check(low <= found <= high, f"{found} signals, not between {low} and {high}")


# ---- read-write locks ----


def rwlock(w: Worker) -> None:
    """Readers together, a writer alone."""
    x = w.world["rwlock"]
    if w.some(True, True, False):
        with x.reading(w.timeout()), w.holding("reading"):
            _no_writer(w)
            left = w.ledger["left"]
            w.inside()
            alike = left == w.ledger["left"] == w.ledger["right"]
            w.check(alike or w.ledger["in rwlock"], "a reader saw half of what a writer wrote")
            _no_writer(w)
    else:
        with x.writing(w.timeout()):
            w.enter("rwlock")
            readers = w.ledger.holding("reading")
            w.check(not readers, f"slots {readers} read while slot {w.slot} writes")
            n = max(w.ledger["left"], w.ledger["right"]) + 1
            w.ledger["left"] = n
            w.inside()
            w.ledger["right"] = n
            w.leave("rwlock")


def _no_writer(w: Worker) -> None:
    writer = w.ledger["in rwlock"]
    w.check(not writer or not w.ledger.lives(writer), f"slot {w.slot} reads while there is a writer")


def settle(w: Worker) -> None:
    """At the end, with everybody gone: all is free, and every permit is there."""
    for name in "semaphore", "bounded":
        found = w.world[name].get_value()
        w.check(found == PERMITS, f"{name}: {found} of {PERMITS} permits are left")
    for deed in lock, rlock, semaphore, bounded, rwlock, rwlock:
        deed(w)
    _signals(w, w.world["signals"])


DEEDS: dict[str, Deed] = {
    "SharedLock": lock,
    "SharedRLock": rlock,
    "SharedSemaphore": semaphore,
    "SharedBoundedSemaphore": bounded,
    "SharedRWLock": rwlock,
}
