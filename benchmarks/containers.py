"""Dicts, lists, sets and namespaces: one operation at a time on 1,000 keys, alone and beside a process that writes.

The keys have 6 to 8 letters and come in random order. The floor is the built-in type's; where a lock is needed, with a
`threading.Lock`. The standard library's side is `multiprocessing.Manager()`; where a lock is needed, with a
`multiprocessing.Lock`, the fastest that it has. "Same key objects" are those that were put in, which a plain dict knows
by their address; "equal keys" are other objects, as keys that were read or computed are.
"""

from __future__ import annotations

import multiprocessing
import random
import string
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from measure import compare
from writer import writing

from procshare import SharedDict, SharedList, SharedNamespace, SharedSet, transaction
from procshare.bench.measure import each, loop, timed

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Row

    Seconds = Callable[[], float]

SIZE = 1_000
MANAGED = 200
"""How many keys a manager is asked for in each round: it takes some 50 µs for each."""
PASSES = 50
TEN = "with lock:\n    for k in ks: d[k] = v"
TWO = "with lock:\n    for k in ks: a[k] = v\n    for k in ks: b[k] = v"


def random_keys(count: int) -> list[str]:
    """Different keys of 6 to 8 letters."""
    source = random.Random(count)
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(source.choices(string.ascii_lowercase, k=source.randint(6, 8)))] = None
    return list(found)


def equal_keys(keys: list[str]) -> list[str]:
    """Other objects that are equal to these, in another random order."""
    copies = ["".join(list(key)) for key in keys]
    random.Random(0).shuffle(copies)
    return copies


class Setting:
    """One dict of each kind with the same keys and values."""

    def __init__(self, manager: Any, value: object) -> None:
        self.keys = random_keys(SIZE)
        self.value = value
        self.plain = dict.fromkeys(self.keys, value)
        random.Random(1).shuffle(self.keys)
        self.equal = equal_keys(self.keys)
        self.shared = SharedDict(self.plain)
        self.managed: Any = manager.dict(self.plain)

    def ours(self, body: str, keys: list[str] | None = None, **names: object) -> Seconds:
        """Seconds for one key."""
        return each(body, keys or self.keys, PASSES, d=self.shared, v=self.value, **names)

    def theirs(self, body: str, **names: object) -> Seconds:
        """The manager's, for some of the keys."""
        return each(body, self.keys[:MANAGED], 1, d=self.managed, v=self.value, **names)

    def floor(self, body: str, keys: list[str] | None = None, **names: object) -> Seconds:
        """The plain dict's."""
        return each(body, keys or self.keys, PASSES, d=self.plain, v=self.value, **names)

    def compare(self, what: str, body: str, target: str = "", keys: list[str] | None = None, **more: Any) -> Row:
        """The same statement for all."""
        return compare(what, self.ours(body, keys), self.theirs(body), self.floor(body, keys), target=target, **more)


def _items(s: Setting) -> list[Row]:
    lock, their_lock = threading.Lock(), multiprocessing.Lock()
    locked = "with lock: d[k] = d[k] + 1"
    return [
        s.compare("d[k] of an int, same key objects", "d[k]", ">= 400x, <= 3.5x floor"),
        s.compare("d[k] of an int, equal keys", "d[k]", ">= 400x, <= 3.5x floor", s.equal),
        s.compare("d[k] = int, same key objects", "d[k] = v", ">= 300x, <= 5x floor"),
        s.compare("d[k] = int, equal keys", "d[k] = v", ">= 300x, <= 5x floor", s.equal),
        s.compare("d.get(k)", "d.get(k)"),
        s.compare("k in d", "k in d"),
        s.compare("d.pop(k); d[k] = int", "d.pop(k); d[k] = v"),
        compare(
            "d.increment(k); else d[k] += 1 in a lock",
            s.ours("d.increment(k)"),
            s.theirs(locked, lock=their_lock),
            s.floor(locked, lock=lock),
        ),
        _whole("list(d.items()), 1,000 keys", "list(d.items())", s),
        _whole("d.copy(), 1,000 keys", "d.copy()", s),
        _whole("d.update(...), 1,000 keys", "d.update(new)", s, new=dict(s.plain)),
    ]


def _whole(what: str, body: str, s: Setting, **names: object) -> Row:
    """One call for all keys: what a manager does in one round trip as well."""
    ours, theirs = loop(body, 20, d=s.shared, **names), loop(body, 5, d=s.managed, **names)
    return compare(what, ours, theirs, loop(body, 20, d=s.plain, **names))


def _values(s: Setting, what: str) -> list[Row]:
    return [
        s.compare(f"d[k] of {what}", "d[k]"),
        s.compare(f"d[k] = {what}", "d[k] = v"),
    ]


def _transactions(s: Setting, other: SharedDict[str, object], their_other: Any) -> list[Row]:
    ten, five = s.keys[:10], s.keys[:5]
    names = {"ks": ten, "v": s.value}
    lock, their_lock = threading.Lock(), multiprocessing.Lock()
    block = "with d.locked() as t:\n    for k in ks: t[k] = v"
    both = "with transaction(a, b) as (x, y):\n    for k in ks: x[k] = v\n    for k in ks: y[k] = v"
    two = {"ks": five, "v": s.value}
    plain: dict[str, object] = {}
    return [
        compare(
            "transaction of 10 writes",
            loop(block, 2_000, d=s.shared, **names),
            loop(TEN, 20, d=s.managed, lock=their_lock, **names),
            loop(TEN, 2_000, d=s.plain, lock=lock, **names),
            target="<= 15 µs",
        ),
        compare(
            "transaction over two dicts, 5 writes each",
            loop(both, 2_000, a=s.shared, b=other, transaction=transaction, **two),
            loop(TWO, 20, a=s.managed, b=their_other, lock=their_lock, **two),
            loop(TWO, 2_000, a=s.plain, b=plain, lock=lock, **two),
        ),
    ]


def _beside_a_writer(s: Setting) -> list[Row]:
    """The same reads while another process writes the same keys flat out."""
    with ExitStack() as stack:
        ours = stack.enter_context(writing(s.ours("d[k] = v")))
        theirs = stack.enter_context(writing(each("d[k] = v", s.keys[:20], 1, d=s.managed, v=s.value)))
        read, busy, managed = s.ours("d[k]"), ours.beside(s.ours("d[k]")), theirs.beside(s.theirs("d[k]"))
        return [
            compare(
                "d[k], another process writing",
                busy,
                managed,
                s.floor("d[k]"),
                target=">= 200x, <= 7x floor",
            ),
            compare("the same; the floor is d[k] with none writing", busy, None, read, target="<= 2x floor"),
        ]


def _lists(manager: Any) -> list[Row]:
    turns, some = 20_000, 100
    plain: list[int] = list(range(SIZE))
    shared, managed = SharedList(plain), manager.list(plain)
    longer = [[], SharedList[int](), manager.list()]
    places = random.Random(0).choices(plain, k=SIZE)
    every = [plain, shared, managed]

    def both(what: str, body: str, target: str = "", lists: list[Any] = every, **names: object) -> Row:
        own, ours, theirs = lists
        return compare(
            what,
            loop(body, turns, s=ours, **names),
            loop(body, some, s=theirs, **names),
            loop(body, turns, s=own, **names),
            target=target,
        )

    def index(which: Any, passes: int, keys: list[int]) -> Seconds:
        return each("s[k]", keys, passes, s=which)

    return [
        both("l.append(1)", "s.append(1)", ">= 300x", longer),
        compare(
            "l[i], 1,000 items",
            index(shared, PASSES, places),
            index(managed, 1, places[:MANAGED]),
            index(plain, PASSES, places),
            target=">= 300x",
        ),
        both("l[500] = 1", "s[500] = 1"),
        both("l.append(1); l.pop()", "s.append(1); s.pop()"),
        compare(
            "l[:], 1,000 items",
            loop("s[:]", 50, s=shared),
            loop("s[:]", 10, s=managed),
            loop("s[:]", 50, s=plain),
        ),
    ]


def _others(manager: Any, keys: list[str]) -> list[Row]:
    """Sets, for which a manager has nothing, and namespaces."""
    plain, shared = set(keys), SharedSet(keys)
    ns, theirs = SharedNamespace(), manager.Namespace()
    own = threading.local()
    for each_ns in (ns, theirs, own):
        each_ns.x = 1

    def namespaces(what: str, body: str) -> Row:
        ours = loop(body, 20_000, ns=ns)
        return compare(what, ours, loop(body, 100, ns=theirs), loop(body, 20_000, ns=own))

    return [
        compare("k in s", each("k in s", keys, PASSES, s=shared), None, each("k in s", keys, PASSES, s=plain)),
        compare(
            "s.discard(k); s.add(k)",
            each("s.discard(k); s.add(k)", keys, PASSES, s=shared),
            None,
            each("s.discard(k); s.add(k)", keys, PASSES, s=plain),
        ),
        namespaces("ns.x", "ns.x"),
        namespaces("ns.x = 1", "ns.x = 1"),
        compare("make and close a dict", timed(lambda: SharedDict[str, int]().close(), 200), timed(manager.dict, 20)),
    ]


def rows() -> list[Row]:
    """Dicts of ints, of strings, of tuples; transactions; beside a writer; lists; sets and namespaces."""
    with ExitStack() as stack:
        manager = stack.enter_context(multiprocessing.Manager())
        ints = Setting(manager, 1)
        other = stack.enter_context(SharedDict[str, object]())
        found = [*_items(ints), *_transactions(ints, other, manager.dict()), *_beside_a_writer(ints)]
        strings = Setting(manager, "a string")
        tuples = Setting(manager, (1, 2.5, "x"))
        found += [*_values(strings, "a str"), *_values(tuples, "a tuple, which is pickled")]
        return [*found, *_lists(manager), *_others(manager, ints.keys)]
