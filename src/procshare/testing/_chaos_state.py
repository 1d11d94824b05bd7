"""What `chaos`'s workers do with counters, values and arrays.

Each adds what it intends to add; so the number lies between what was acknowledged and what was intended, at any time.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare import OwnerDied, SharedArray, SharedCounter, SharedLock, SharedValue

if TYPE_CHECKING:
    from procshare.testing._chaos_worker import Deed, Worker

LENGTH = 3000  # elements; a write of them can be cut short anywhere


def make(name: str, slots: int) -> dict[str, Any]:
    """The objects; *name* makes theirs unique."""
    return {
        "counter": SharedCounter(),
        "named counter": SharedCounter(name=f"{name}-counter"),
        "q": SharedValue(0, "q"),
        "d": SharedValue(0.0, "d", name=f"{name}-d"),
        "record": SharedValue[Any](record(0)),
        "array": SharedArray.zeros(LENGTH, "q"),
        "repair": SharedLock(),
        "slices": SharedArray.zeros((slots, 50), "q", on_owner_death="proceed"),
    }


def record(n: int) -> tuple[int, bytes]:
    """A value that shows whether it is whole; its size goes up and down."""
    return n, pattern(n, n * 7919 % (90_000 if n % 50 == 0 else 3_000))


def pattern(n: int, size: int) -> bytes:
    """So many bytes, all alike."""
    return bytes([n % 251]) * size


def grown(old: tuple[int, bytes]) -> tuple[int, bytes]:
    """The record after an increment."""
    assert old == record(old[0]), f"a torn record: {old[0]}, {len(old[1])} bytes"
    return record(old[0] + 1)


class Oops(Exception):
    """What a block raises that is to change nothing."""


def counter(w: Worker) -> None:
    """Count up in one of the ways there are, or look."""
    name = w.some("counter", "named counter")
    x = w.world[name]
    n = w.rng.randint(1, 9)
    w.some(_increment, _increment, _modify, _block, _swap, _oops, _look, _await)(w, name, x, n)


def _increment(w: Worker, name: str, x: Any, n: int) -> None:
    for _ in range(w.rng.randint(1, 20)):
        w.intend(name, n)
        now = x.increment(n)
        w.ack(name, n)
        w.check(now > w.memory.get(name, -1), f"{name} went back to {now}")
        w.memory[name] = now


def _modify(w: Worker, name: str, x: Any, n: int) -> None:
    w.intend(name, n)

    def more(old: Any) -> Any:
        w.inside()
        return old + n

    x.modify(more)
    w.ack(name, n)


def _block(w: Worker, name: str, x: Any, n: int) -> None:
    with x.locked(w.timeout()) as cell:
        w.intend(name, n)
        old = cell.value
        cell.value = old + n
        w.inside()
        w.check(cell.value == old + n, f"{name} changed inside a block")
    w.ack(name, n)


def _swap(w: Worker, name: str, x: Any, n: int) -> None:
    w.intend(name, n)
    done = False
    while not done:
        old = x.value
        done = x.compare_exchange(old, old + n)
    w.ack(name, n)


def _oops(w: Worker, name: str, x: Any, n: int) -> None:
    with suppress(Oops), x.locked(w.timeout()) as cell:
        cell.value += n
        w.inside()
        raise Oops
    w.between(name, lambda: x.value)


def _value(x: Any) -> Any:
    return x.value


def _look(w: Worker, name: str, x: Any, _n: int) -> None:
    for _ in range(10):
        w.between(name, lambda: x.value)


def _await(w: Worker, _name: str, x: Any, _n: int) -> None:
    seen = x.value
    with suppress(TimeoutError):
        now = x.wait_until(seen.__lt__, timeout=0.02)
        w.check(now > seen, "a wait ended with what it did not wait for")


def value(w: Worker) -> None:
    """The same with values of a type code, and with records that grow and shrink."""
    name = w.some("q", "d", "record", "record")
    x = w.world[name]
    if name != "record":
        w.some(_modify, _block, _oops, _look, _await)(w, name, x, w.rng.randint(1, 9))
    else:
        w.some(_record_modify, _record_block, _record_look, _record_look)(w, x)


def _record_modify(w: Worker, x: Any) -> None:
    w.intend("record")

    def more(old: Any) -> Any:
        w.inside()
        return grown(old)

    x.modify(more)
    w.ack("record")


def _record_block(w: Worker, x: Any) -> None:
    with x.locked(w.timeout()) as cell:
        w.intend("record")
        cell.value = grown(cell.value)
        w.inside()
    w.ack("record")


def _record_look(w: Worker, x: Any) -> None:
    def number() -> int:
        n, body = x.value
        w.check(body == record(n)[1], f"a torn record: {n}, {len(body)} bytes")
        return int(n)

    for _ in range(5):
        w.between("record", number)


def array(w: Worker) -> None:
    """Write all elements in a block, in two strokes; after a death there, repair and recover."""
    try:
        w.some(_strokes, _strokes, _array_modify, _array_look, _slice)(w, w.world["array"])
    except OwnerDied:
        w.note("owner died")
        _repair(w, w.world["array"])


def _strokes(w: Worker, x: Any) -> None:
    with x.locked(w.timeout()) as live:
        n = int(live[0])
        w.check((live == n).all(), f"a half-written array without OwnerDied: {set(live.tolist())}")
        w.intend("array")
        cut = w.rng.randrange(LENGTH)
        live[:cut] = n + 1
        w.inside()
        live[cut:] = n + 1
    w.ack("array")


def _array_modify(w: Worker, x: Any) -> None:
    w.intend("array")
    try:
        x.modify(_plus_one)
    except OwnerDied:
        w.undo("array")
        raise
    w.ack("array")


def _plus_one(copy: Any) -> Any:
    return copy + 1


def _array_look(w: Worker, x: Any) -> None:
    low = w.ledger.acknowledged("array")
    copy = x.value
    high = w.ledger.intended("array")
    n = int(copy[0])
    w.check((copy == n).all(), f"a torn snapshot of an array: {set(copy.tolist())}")
    w.check(low <= n <= high, f"array is {n}, not between {low} and {high}")


def _repair(w: Worker, x: Any) -> None:
    """One at a time makes it whole, and only then declares it good: until then nobody else can write."""
    with w.world["repair"]:
        w.enter("repair")
        try:
            with x.locked():
                pass
        except OwnerDied:
            live = x.array
            found = set(live.tolist())
            w.check(max(found) - min(found) <= 1, f"more than one write is half done: {found}")
            live[:] = max(found)
            x.recover()
        w.leave("repair")


def _slice(w: Worker, _x: Any) -> None:
    """Nobody else writes this slot's elements."""
    x = w.world["slices"]
    low, high = w.state_of(w.slot, "slice")
    seen = set(x.array[w.slot].tolist())
    w.check(seen <= set(range(low, high + 1)), f"a slot's own elements are {seen}, not from {low} to {high}")
    n = w.next_state("slice")
    if w.some(True, False):
        x.array[w.slot] = n
    else:
        with x.locked(w.timeout()) as live:
            w.inside()
            live[w.slot] = n
    w.settled("slice")


def settle(w: Worker) -> None:
    """At the end: all are what they must be, and can be written."""
    for name in "counter", "named counter", "q", "d":
        w.between(name, partial(_value, w.world[name]))
        _block(w, name, w.world[name], 1)
    for look in _record_look, _record_block, _record_modify:
        look(w, w.world["record"])
    _repair(w, w.world["array"])
    _array_look(w, w.world["array"])


DEEDS: dict[str, Deed] = {"SharedCounter": counter, "SharedValue": value, "SharedArray": array}
