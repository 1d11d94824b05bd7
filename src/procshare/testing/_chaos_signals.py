"""What `chaos`'s workers do with events, conditions and barriers."""

from __future__ import annotations

from functools import partial
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any

from procshare import (
    NotFound,
    SharedBarrier,
    SharedCondition,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedLock,
    SharedRLock,
)

if TYPE_CHECKING:
    from procshare.testing._chaos_worker import Deed, Worker

PARTIES = 3
MOST_WAITING = 3
LOST = 2e9  # calm nanoseconds that something may lie ready while somebody waits for it


def make(name: str, _slots: int) -> dict[str, Any]:
    """The objects; *name* makes theirs unique."""
    condition_lock = SharedRLock(name=f"{name}-condition-lock")
    phases = SharedCounter(name=f"{name}-phases")
    return {
        "event": SharedEvent(),
        "event lock": SharedLock(),
        "latches": SharedDict[Any, Any](),
        "condition lock": condition_lock,
        "condition": SharedCondition(condition_lock),
        "phases": phases,
        "barrier": SharedBarrier(PARTIES, partial(count, phases)),
    }


def count(phases: SharedCounter) -> None:
    """The barrier's action."""
    phases.increment()


# ---- events ----


def event(w: Worker) -> None:
    """Set and clear under a lock; and latches, which stay set once they are."""
    w.some(_flag, _latch, _await_latch, _await_latch)(w)


def _flag(w: Worker) -> None:
    x = w.world["event"]
    with w.world["event lock"]:
        died = w.enter("event")
        w.check(died or x.is_set() == bool(w.ledger["event"]), "an event is not as it was left")
        x.set()
        w.ledger["event"] = 1
        w.check(x.is_set() and x.wait(0), "an event is not set")
        w.inside()
        if w.some(True, False):
            x.clear()
            w.ledger["event"] = 0
            w.check(not x.is_set() and not x.wait(0), "an event is not clear")
        w.leave("event")
    x.wait(0.01)


def _latch(w: Worker) -> None:
    """Odd states: a new one; even ones: it is set."""
    latches = w.world["latches"]
    n = w.next_state("latch")
    if n % 2:
        latches[w.slot] = SharedEvent()
    else:
        latch = latches.get(w.slot)
        if latch is None:  # a death before the first state
            latch = SharedEvent()
        latch.set()
        latches.setdefault(w.slot, latch)
    w.settled("latch")


def _await_latch(w: Worker) -> None:
    latches = w.world["latches"]
    slot = w.rng.randrange(w.ledger.slots)
    low, _ = w.state_of(slot, "latch")
    try:
        found = latches[slot].wait(w.some(0.0, 0.03))
    except (KeyError, NotFound):
        found = None
    _, high = w.state_of(slot, "latch")
    if high == low and low:
        w.check(found == (low % 2 == 0), f"slot {slot}'s latch is {found} in state {low}")


# ---- conditions ----


def condition(w: Worker) -> None:
    """Give something to one who waits; only who was notified takes it, so that a notification that is lost stays so."""
    w.some(_produce, _produce, _consume)(w, w.world["condition"])


def _enter(w: Worker, x: Any) -> bool:
    """Whether a death has made the books doubtful; then they begin anew, and all are told to look."""
    died = bool(w.world["condition lock"].owner_died)
    if w.enter("condition") or died:
        w.ledger["available"] = 0
        x.notify_all()
        return True
    return False


def _produce(w: Worker, x: Any) -> None:
    with x:
        _enter(w, x)
        waiting = w.ledger.holding("waiting")
        if w.ledger["available"]:
            since = w.calm - w.ledger["available since"]
            told = not waiting or since < LOST
            w.check(told, f"something lies ready for {since / 1e9:.1f} s, and slots {waiting} wait, and are not told")
        elif waiting:
            w.ledger["available since"] = w.calm
            w.ledger["available"] = 1
            x.notify()
            if w.ledger.holding("waiting") != waiting:
                w.ledger["available"] = 0  # they may have died before, and then nobody was there to be told
        w.leave("condition")


def _consume(w: Worker, x: Any) -> None:
    with x:
        _enter(w, x)
        if len(w.ledger.holding("waiting")) < MOST_WAITING:
            with w.holding("waiting"):
                w.leave("condition")
                woken = x.wait(w.some(0.02, 0.1, 0.5))
                _enter(w, x)
                if woken:
                    w.ledger["available"] = 0
        w.leave("condition")


# ---- barriers ----


def barrier(w: Worker) -> None:
    """All go on together, or all are told that one is missing."""
    x = w.world["barrier"]
    before = w.world["phases"].value
    w.intend("barrier")
    w.timed = True  # who stands still in the middle of arriving may keep others from that for as long
    try:
        number = x.wait(w.some(0.02, 0.2))
    except BrokenBarrierError:
        if w.some(True, True, False):
            x.reset()
        return
    w.ack("barrier")
    w.check(0 <= number < PARTIES, f"number {number} at a barrier of {PARTIES}")
    w.check(w.world["phases"].value > before, "a party went on before the action was run")
    _phases(w)


def _phases(w: Worker) -> None:
    low = w.ledger.acknowledged("barrier")
    phases = w.world["phases"].value
    high = w.ledger.intended("barrier")
    w.check(low <= PARTIES * phases <= high, f"{phases} phases of {PARTIES}, not between {low} and {high} arrivals")


def settle(w: Worker) -> None:
    """At the end, with everybody gone: each can be used."""
    _flag(w)
    _latch(w)
    _produce(w, w.world["condition"])
    _consume(w, w.world["condition"])
    _phases(w)


DEEDS: dict[str, Deed] = {"SharedEvent": event, "SharedCondition": condition, "SharedBarrier": barrier}
