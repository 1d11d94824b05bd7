"""What `chaos`'s workers do with dicts, lists, sets and namespaces.

Sums are moved about and stay what they are; what is written at once is seen at once; each slot has keys of its own,
which hold what it wrote last; tokens are put in and taken out as often as was said.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from procshare import SharedDict, SharedList, SharedNamespace, SharedSet
from procshare.testing._chaos_state import Oops, pattern

if TYPE_CHECKING:
    from procshare.testing._chaos_worker import Deed, Worker

PURSES = tuple(f"purse {n}" for n in range(6))
SUM = 6_000
BAG = 40
LOG = 200  # entries, after which the log is cut


def make(name: str, _slots: int) -> dict[str, Any]:
    """The objects; *name* makes theirs unique."""
    return {
        "dict": SharedDict[Any, Any]({"total": 0, **dict.fromkeys(PURSES, 1_000)}),
        "tokens": SharedDict[Any, Any](name=f"{name}-tokens"),
        "log": SharedList[Any](),
        "bag": SharedList[Any](range(BAG), name=f"{name}-bag"),
        "set": SharedSet[Any](),
        "namespace": SharedNamespace({"hits": 0, "a": 0, "b": 0}),
    }


# ---- dict ----


def a_dict(w: Worker) -> None:
    """One of the deeds on the dict."""
    w.some(_total, _move, _own, _others, _whole, _churn, _trio, _put_token, _take_token)(w, w.world["dict"])


def _total(w: Worker, d: Any) -> None:
    for _ in range(w.rng.randint(1, 10)):
        w.intend("total")
        if w.some(True, True, False):
            d.increment("total")
        else:
            d.modify_item("total", (1).__add__)
        w.ack("total")
    w.between("total", lambda: d["total"])


def _move(w: Worker, d: Any) -> None:
    """From purse to purse, now and then with a change of mind."""
    one, other = w.rng.sample(PURSES, 2)
    fails = w.rng.random() < 0.2
    with suppress(Oops), d.locked(w.timeout()) as block:
        n = w.rng.randint(1, 50)
        block[one] -= n
        w.inside()
        block[other] += n
        if fails:
            raise Oops


def _own(w: Worker, d: Any) -> None:
    """Write or delete what only this slot writes: odd states are a value, even ones none."""
    n = w.next_state("own key")
    if n % 2:
        d["own", w.slot] = n, pattern(n, n * 31 % 2_000)
    elif w.some(True, False):
        d.pop(("own", w.slot), None)
    else:
        with d.locked(w.timeout()) as block:
            block.pop(("own", w.slot), None)
            w.inside()
    w.settled("own key")


def _others(w: Worker, d: Any) -> None:
    """Any slot's own key holds a state from the last one acknowledged to the last one begun."""
    slot = w.rng.randrange(w.ledger.slots)
    low, _ = w.state_of(slot, "own key")
    found = w.read(lambda: d.get(("own", slot)))
    _, high = w.state_of(slot, "own key")
    if found is None:
        w.check(low % 2 == 0 or high > low, f"slot {slot}'s key is not there in state {low}")
    else:
        n, body = found
        w.check(n % 2 and low <= n <= high, f"slot {slot}'s key is in state {n}, not between {low} and {high}")
        w.check(body == pattern(n, n * 31 % 2_000), f"slot {slot}'s value is torn: {len(body)} bytes")


def _whole(w: Worker, d: Any) -> None:
    """One snapshot: the sum is kept, and three keys that are written at once are alike."""
    found = d.value
    w.check(sum(found[purse] for purse in PURSES) == SUM, f"purses do not add up: {found}")
    trio = {found.get(("trio", n)) for n in range(3)}
    w.check(len(trio) == 1, f"three keys that are written at once are {trio}")
    w.check(list(found)[:7] == ["total", *PURSES], f"the order of keys changed: {list(found)[:7]}")


def _churn(w: Worker, d: Any) -> None:
    """Grow and shrink."""
    keys = [("passing", w.slot, n) for n in range(w.rng.randint(1, 60))]
    for n, key in enumerate(keys):
        d[key] = pattern(n, w.rng.randrange(2_000))
    for n, key in enumerate(keys):
        found = d[key]
        w.check(found == pattern(n, len(found)), f"a value of {len(found)} bytes is torn")
    for key in [("passing", w.slot, n) for n in range(60)]:
        d.pop(key, None)


def _trio(w: Worker, d: Any) -> None:
    n = w.rng.randrange(10**6)
    d.update({("trio", each): n for each in range(3)})


def _put_token(w: Worker, _d: Any) -> None:
    if len(w.world["tokens"]) < 300:
        n = w.intend("tokens put")
        w.world["tokens"][w.slot, n] = pattern(n, n % 300)
        w.ack("tokens put")


def _take_token(w: Worker, _d: Any) -> None:
    tokens = w.world["tokens"]
    for _ in range(2):
        w.intend("tokens taken")
        try:
            (_, n), body = tokens.popitem()
        except KeyError:
            w.undo("tokens taken")
        else:
            w.ack("tokens taken")
            w.check(body == pattern(n, n % 300), "a torn token")
    low = w.ledger.acknowledged("tokens put")
    taken = w.ledger.acknowledged("tokens taken")
    found = w.read(lambda: len(tokens))
    high = w.ledger.intended("tokens put") - taken
    low -= w.ledger.intended("tokens taken")
    w.check(low <= found <= high, f"{found} tokens, not between {low} and {high}")


# ---- list ----


def a_list(w: Worker) -> None:
    """One of the deeds on the log, or on the bag."""
    w.some(_append, _append, _cut, _read_log, _shuffle, _shuffle, _read_bag)(w)


def _append(w: Worker) -> None:
    """What a life appends is there in order and without gaps, whatever was cut off in front."""
    log, life = w.world["log"], w.life << 32
    for _ in range(w.rng.randint(1, 5)):
        first = w.memory.get("log", 0)
        k = w.some(1, 1, 3)
        w.next_state("log", life | first + k)
        w.intend("log put", k)
        items = [(w.slot, w.life, n, pattern(n, 20)) for n in range(first + 1, first + k + 1)]
        if k == 1:
            log.append(items[0])
        else:
            log.extend(items)
        w.ack("log put", k)
        w.settled("log")
        w.memory["log"] = first + k


def _cut(w: Worker) -> None:
    log = w.world["log"]
    with log.locked(w.timeout()) as block:
        k = len(block) - LOG
        if k <= 0:
            return
        w.intend("log cut", k)
        del block[:k]
        w.inside()
    w.ack("log cut", k)


def _read_log(w: Worker) -> None:
    before = w.ledger.column("log:acknowledged")
    put, cut = w.ledger.acknowledged("log put"), w.ledger.acknowledged("log cut")
    found = w.world["log"].value
    most, least = w.ledger.intended("log put") - cut, put - w.ledger.intended("log cut")
    w.check(least <= len(found) <= most, f"{len(found)} entries, not between {least} and {most}")
    last: dict[int, tuple[int, int]] = {}
    for slot, life, n, body in found:
        one = last.get(slot)
        follows = one is None or (one[0] == life and n == one[1] + 1) or (one[0] < life and n == 1)
        w.check(follows and body == pattern(n, 20), f"after {one} of slot {slot} comes {(life, n)}")
        last[slot] = life, n
    for slot, (life, n) in last.items():
        said = before[slot] >> 32, before[slot] & 0xFFFFFFFF
        w.check((life, n) >= said, f"slot {slot} had put {said}, and {(life, n)} is its last")


def _shuffle(w: Worker) -> None:
    """Whatever is done to it, the bag holds the same elements."""
    bag = w.world["bag"]
    i, j = sorted(w.rng.sample(range(BAG), 2))
    how = w.rng.randrange(6)
    w.note("shuffle", how)
    if how == 0:
        bag.reverse()
    elif how == 1:
        bag.sort()
    elif how == 2:
        bag.modify(partial(_turned, i))
    else:
        with bag.locked(w.timeout()) as block:
            if how == 3:
                block.insert(i, block.pop(j))
            elif how == 4:
                block[i], block[j] = block[j], block[i]
            else:
                block[i:j] = list(reversed(block[i:j]))
            w.inside()


def _turned(i: int, items: list[Any]) -> list[Any]:
    return items[i:] + items[:i]


def _read_bag(w: Worker) -> None:
    bag = w.world["bag"]
    found = bag.value
    w.check(sorted(found) == list(range(BAG)), f"the bag holds {sorted(found)}")
    one = w.read(lambda: bag[w.rng.randrange(BAG)])
    w.check(one in range(BAG), f"an element is {one}")


# ---- set, namespace ----


def a_set(w: Worker) -> None:
    """Elements of the slot's own; three at a time."""
    s = w.world["set"]
    how = w.rng.randrange(4)
    if how == 0:
        n = w.next_state("own element")
        if n % 2:
            s.add(("own", w.slot))
        else:
            s.discard(("own", w.slot))
        w.settled("own element")
    elif how == 1:
        trio = {("trio", w.slot, n) for n in range(3)}
        w.some(s.update, s.difference_update)(trio)
    elif how == 2:
        found = s.value
        for slot in range(w.ledger.slots):
            three = sum(("trio", slot, n) in found for n in range(3))
            w.check(three in (0, 3), f"{three} of three elements are there")
    else:
        slot = w.rng.randrange(w.ledger.slots)
        low, _ = w.state_of(slot, "own element")
        found = w.read(lambda: ("own", slot) in s)
        _, high = w.state_of(slot, "own element")
        w.check(found == low % 2 or high > low, f"slot {slot}'s element is {found} in state {low}")


def a_namespace(w: Worker) -> None:
    """Count, and write two names at once."""
    ns = w.world["namespace"]
    how = w.rng.randrange(4)
    if how == 0:
        w.intend("hits")
        ns.increment("hits")
        w.ack("hits")
    elif how == 1:
        n = w.rng.randrange(10**6)
        ns.update(a=pattern(n, n % 500), b=pattern(n, n % 500))
    elif how == 2:
        found = ns.value
        w.check(found["a"] == found["b"], "two names that are written at once differ")
        setattr(ns, f"of{w.slot}", w.life)
    else:
        w.between("hits", lambda: ns.hits)


def settle(w: Worker) -> None:
    """At the end: each is what it must be, and can be written."""
    d = w.world["dict"]
    for deed in _total, _whole, _churn, _whole, _take_token:
        deed(w, d)
    for look in _read_log, _cut, _read_bag, _append, a_set, a_namespace:
        look(w)
    w.between("hits", lambda: w.world["namespace"].hits)


DEEDS: dict[str, Deed] = {
    "SharedDict": a_dict,
    "SharedList": a_list,
    "SharedSet": a_set,
    "SharedNamespace": a_namespace,
}
