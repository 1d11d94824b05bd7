"""What `chaos`'s workers do with queues, with and without leases.

A producer numbers its items; what became of each is written down. Of a queue whose items are taken for good, no item
comes twice, and no more are lost than consumers died with. Of one whose items are leased none is lost, and one
comes again only if who had it died, or put it back.
"""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

from procshare import OwnerDied, SharedQueue, WaitTimeout
from procshare.testing._chaos_ledger import ITEMS
from procshare.testing._chaos_state import Oops, pattern

if TYPE_CHECKING:
    from procshare.testing._chaos_worker import Deed, Worker

MAXSIZE = 40
CAPACITY = 1 << 16
BACKLOG = 100  # leased items, above which nobody puts one
NEVER_PUT, TAKEN, DONE, ENDING = -3, -2, -1, 1 << 62
NAMES = "queue", "small queue"


def make(name: str, _slots: int) -> dict[str, Any]:
    """The objects; *name* makes theirs unique."""
    return {
        "queue": SharedQueue[Any](MAXSIZE),
        "small queue": SharedQueue[Any](MAXSIZE, capacity=CAPACITY, name=f"{name}-queue"),
        "leased": SharedQueue[Any](),
    }


def body(serial: int) -> bytes:
    """What an item carries: mostly little, at times more than the small queue's capacity."""
    return pattern(serial, serial * 977 % (200_000 if serial % 40 == 0 else 800))


def queue(w: Worker) -> None:
    """Put or take."""
    name = w.some(*NAMES)
    x = w.world[name]
    w.some(_put, _put, _put_many, _get, _get, _get_many)(w, name, x)
    size = w.read(x.qsize)
    w.check(0 <= size <= MAXSIZE, f"{name} holds {size} items and takes {MAXSIZE}")


def _put(w: Worker, _name: str, x: Any) -> None:
    for _ in range(w.rng.randint(1, 8)):
        serial = w.intend("put")
        if serial >= ITEMS:
            w.undo("put")
            return
        try:
            x.put((w.slot, serial, body(serial)), timeout=w.some(0.0, 0.02, 0.2))
        except Full:
            w.ledger.set_item(False, w.slot, serial, NEVER_PUT)
            w.ack("put")
            return
        w.ack("put")


def _put_many(w: Worker, _name: str, x: Any) -> None:
    k = w.rng.randint(1, 10)
    last = w.intend("put", k)
    if last >= ITEMS:
        w.undo("put", k)
        return
    try:
        x.put_many([(w.slot, n, body(n)) for n in range(last - k + 1, last + 1)], timeout=w.some(0.0, 0.02, 0.2))
    except Full:
        return  # some of them; as if a producer had died there
    w.ack("put", k)


def _get(w: Worker, name: str, x: Any) -> None:
    for _ in range(w.rng.randint(1, 8)):
        w.intend("taken")
        try:
            item = x.get(timeout=w.some(0.0, 0.02, 0.2))
        except Empty:
            w.undo("taken")
            return
        _taken(w, name, item)
        w.ack("taken")
        x.task_done()


def _get_many(w: Worker, name: str, x: Any) -> None:
    k = w.rng.randint(1, 10)
    w.intend("taken", k)
    try:
        items = x.get_many(k, timeout=w.some(0.0, 0.02, 0.2))
    except Empty:
        w.undo("taken", k)
        return
    for item in items:
        _taken(w, name, item)
    w.ack("taken", k)
    for _ in items:
        x.task_done()
    with suppress(WaitTimeout, OwnerDied):  # both are so at times
        x.join(0)


def _taken(w: Worker, name: str, item: Any) -> None:
    slot, serial, content = item
    w.check(content == body(serial), f"{name}: item {slot, serial} of {len(content)} bytes is torn")
    before = w.ledger.item(False, slot, serial)
    w.check(before == 0, f"{name}: item {slot, serial} comes though {before} was written of it")
    w.ledger.set_item(False, slot, serial, TAKEN)
    last = w.memory.get((name, slot), 0)
    w.check(serial > last, f"{name}: item {slot, serial} comes after {last}")
    w.memory[name, slot] = serial


def leased(w: Worker) -> None:
    """Put, or take for a while."""
    x = w.world["leased"]
    if w.some(True, False) and x.qsize() < BACKLOG:
        for _ in range(w.rng.randint(1, 4)):
            serial = w.intend("leased put")
            if serial >= ITEMS:
                w.undo("leased put")
                return
            x.put((w.slot, serial, body(serial)))
            w.ack("leased put")
    else:
        for _ in range(w.rng.randint(1, 4)):
            if not lease(w, x, w.some(0.0, 0.02, 0.2)):
                return


def lease(w: Worker, x: Any, timeout: float) -> bool:
    """Take one; False if there was none."""
    fails = w.rng.random() < 0.1
    w.intend("leased")
    place = None
    try:
        with x.lease(timeout) as (slot, serial, content):
            before = w.ledger.item(True, slot, serial)
            w.note(f"leased of {slot}", serial)
            dead = before > 0 and not w.ledger.lives(before & ~ENDING)
            w.check(before == 0 or dead, f"item {slot, serial} comes though {before} was written of it")
            w.check(content == body(serial), f"item {slot, serial} of {len(content)} bytes is torn")
            place = slot, serial
            w.ledger.set_item(True, *place, w.mark)
            w.inside()
            if fails:
                w.ledger.set_item(True, *place, 0)
                raise Oops
            w.ledger.set_item(True, *place, w.mark | ENDING)
    except Empty:
        w.undo("leased")
        return False
    except Oops:
        w.undo("leased")
        return True
    w.ledger.set_item(True, *place, DONE)
    w.ack("leased")
    return True


def settle(w: Worker) -> None:
    """At the end, with everybody gone: take all that is there, and account for all that was ever put."""
    for name in NAMES:
        _drain(w, name, w.world[name])
        w.world[name].put((0, 0, body(0)))
        w.check(w.world[name].get(timeout=1) == (0, 0, body(0)), f"{name} does not give back what was put")
    while lease(w, w.world["leased"], 0.5):  # what the dead had comes back
        pass
    w.world["leased"].join(1)
    w.check(w.world["leased"].qsize() == 0, "items are left that nobody can take")
    lost = sum(w.ledger.item(False, *place) == 0 for place in _put_ever(w, "put"))
    may = w.ledger.unknown("put") + w.ledger.unknown("taken")
    w.check(lost <= may, f"{lost} items were lost, and at most {may} were in the hands of the dead")
    fates = [w.ledger.item(True, *place) for place in _put_ever(w, "leased put")]
    lost = sum(fate == 0 for fate in fates)
    may = w.ledger.unknown("leased put")
    w.check(lost <= may, f"{lost} items never came, and at most {may} were not put")
    held = sum(fate > 0 and not fate & ENDING for fate in fates)
    w.check(held == 0, f"{held} leased items were lost with the dead")
    ended = sum(fate > 0 for fate in fates)
    may = w.ledger.unknown("leased")
    w.check(ended <= may, f"{ended} items were done by the dead, and at most {may} died at it")


def _put_ever(w: Worker, account: str) -> list[tuple[int, int]]:
    most = w.ledger.column(f"{account}:intended")
    return [(slot, serial) for slot, n in enumerate(most) for serial in range(1, n + 1)]


def _drain(w: Worker, name: str, x: Any) -> None:
    w.memory.clear()  # the conductor was no consumer before
    while True:
        try:
            item = x.get(timeout=0.1)
        except Empty:
            break
        _taken(w, name, item)
    w.check(x.qsize() == 0, f"{name}: items are left that nobody can take")


DEEDS: dict[str, Deed] = {"SharedQueue": queue, "SharedQueue.lease": leased}
