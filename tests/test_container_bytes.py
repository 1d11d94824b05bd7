"""Arbitrary bytes in a container's segment give an error or a wrong answer: never a crash, a hang or an access outside.

The damage is aimed: at the root, at where the generations lie, at slots of the index, entries, heads of records, redo
records and the names of nested handles; and a redo record may be declared pending. All calls are made afterwards.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from victims import NUMBERS, Victims, tagged, victims

__all__ = ["victims"]  # the fixture

VICTIM = """
ROOM, GENERATIONS, SIZE = 1024, 1152, 384  # the root, and its two generations
REDO, LINKED = 7, 0x80

def some(n):
    "Keys and values of each sort; two of the values are nested handles."
    return {"a": 1, "text": "t" * 50, "k" * 40: b"b" * 100, ("n", 1): [1, {"x": 2}], 10**30: None, b"b": 2.5,
            "list": SharedList([1, "two"]), "count": SharedCounter(3), **{i: f"value {i}" for i in range(n)}}

def named(n):
    return {str(key): value for key, value in some(n).items()}

MAKE = {
    "dict": lambda **kw: SharedDict(some(20), **kw),
    "big dict": lambda **kw: SharedDict(some(900), **kw),
    "list": lambda **kw: SharedList(some(20).values(), **kw),
    "big list": lambda **kw: SharedList([*some(1500).values(), *range(1500)], **kw),
    "set": lambda **kw: SharedSet({*some(20)}, **kw),
    "namespace": lambda **kw: SharedNamespace(named(20), **kw),
}

def stir(made, other):
    "Leave dead entries, redo records of it alone and of two containers, and a handle that was replaced."
    keyed = isinstance(made, (SharedDict, SharedNamespace))
    with made.locked() as t:
        if isinstance(made, SharedSet):
            t.add("new"); t.discard("a"); t.add("x" * 300)
        elif keyed:
            t["new"] = "n" * 30; t["a"] = 5; del t["text"]; t["list"] = SharedList()
        else:
            t[0] = "n" * 30; t.append("x" * 300); t[6] = SharedList(); del t[3]
    with transaction(made, other) as (t, u):
        u["other"] = u["b"] = 5
        if isinstance(made, SharedSet):
            t.add("both"); t.add("c" * 300)
        elif keyed:
            t["both"] = t["c"] = "c" * 300
        else:
            t[1] = t[2] = "c" * 300

def extents(data):
    "What the damage is aimed at: ranges of the file."
    number, = struct.unpack_from("=Q", data, ROOM)
    g = GENERATIONS + SIZE * (number & 1)
    span, _count, filled = struct.unpack_from("=3Q", data, g)
    pages = struct.unpack_from("=57I", data, g + 72)
    orders, index_order, _segments, arenas = data[g + 300 : g + 330], data[g + 330], data[g + 331], data[g + 332]
    found = {"fields": [(0, 896)], "root": [(ROOM, 896)], "first": [(ROOM, 96)], "counts": [(g, 72)],
             "pages": [(g + 72, 261)], "seats": [(2048, 6144)], "all": [(0, len(data))],
             "slots": [], "entries": [(pages[1] * 4096 + 32 * i, 32) for i in range(100)],
             "heads": [], "redo": [], "names": []}
    if index_order:
        at = pages[0] * 4096
        slots = [at + 8 * i for i in range(1 << index_order - 3)]
        found["slots"] = [(slot, 8) for slot in slots if any(data[slot : slot + 8])]
    for arena in range(arenas):
        at = pages[27 + arena] * 4096
        end = at + (1 << orders[arena] if arena + 1 < arenas else filled)
        while at + 8 <= end and data[at + 7]:
            length, tag = int.from_bytes(data[at : at + 7], "little"), data[at + 7]
            found["heads"].append((at, 8))
            if tag == REDO:
                found["redo"].append((at, 8 + length))
            if tag & LINKED:
                found["names"].append((at + 8, int.from_bytes(data[at + 8 : at + 12], "little")))
            at += 8 + (length + 7 & ~7)
    return {area: ranges or found["entries"] for area, ranges in found.items()}

def damage(path, hurts):
    fd = os.open(path, os.O_RDWR)
    try:
        data = os.pread(fd, 1 << 22, 0)
        if any(how == "cut" for _, _, how, _ in hurts):
            return
        found = extents(data)
        for area, place, how, number in hurts:
            start, length = found[area][place % len(found[area])]
            change(fd, data, start + place // len(found[area]) % length, how, number)
            if how == "lock":
                os.pwrite(fd, struct.pack("=I", token(data) | number % 2 << 31), ROOT + 16)
            elif how == "pending":
                at = found["redo"][place % len(found["redo"])][0]
                os.pwrite(fd, struct.pack("=Q", at << 2 | number % 4), ROOM + 8)
    finally:
        os.close(fd)

def look(handle):
    "Every way to read it."
    yield lambda: handle.value
    yield lambda: repr(handle)
    yield lambda: len(handle)
    yield lambda: list(handle)
    yield lambda: handle == handle.value
    yield lambda: handle.wait_until(lambda _: True, timeout=0.02)
    if isinstance(handle, SharedList):
        for at in (0, 1, 7, -1, 500, slice(2, 9), slice(None, None, -1)):
            yield lambda: handle[at]
        yield lambda: 5 in handle
    else:
        for key in ("a", "k" * 40, "10" * 15, "missing", "new", "both"):
            yield lambda: key in handle
    if isinstance(handle, (SharedDict, SharedNamespace)):
        for key in ("a", "k" * 40, "text", "list", "count", "new", "both"):
            yield lambda: handle[key]
    if isinstance(handle, SharedDict):
        yield lambda: (list(handle.keys()), list(handle.values()), list(handle.items()), list(reversed(handle)))
        yield lambda: [handle.get(key) for key in (10**30, ("n", 1), b"b", None, *range(20))]

def nested(handle):
    "What a handle in it leads to."
    values = handle.value
    for each in values.values() if isinstance(values, dict) else values:
        if isinstance(each, Handle):
            each.value

def write(handle):
    "Every way to write it, without and within a block."
    big = "g" * 5000
    if isinstance(handle, SharedList):
        yield lambda: handle.append(1)
        yield lambda: handle.append(big)
        yield lambda: handle.extend([1, "two", big])
        yield lambda: handle.insert(1, "i" * 30)
        yield lambda: handle.__setitem__(0, "s" * 30)
        yield lambda: handle.__setitem__(slice(1, 3), [1, 2, big])
        yield lambda: handle.__delitem__(0)
        yield lambda: handle.__delitem__(slice(0, 4, 2))
        yield lambda: [handle.pop(), handle.pop(0), handle.pop(1)]
        yield lambda: handle.remove("two")
        yield lambda: handle.reverse()
        yield lambda: handle.sort(key=repr)
        yield lambda: [handle.append("v" * n) for n in range(150)]
        yield lambda: [handle.pop() for n in range(140)]
        yield lambda: handle.append(SharedList())
    elif isinstance(handle, SharedSet):
        yield lambda: [handle.add(n) for n in range(300)]
        yield lambda: [handle.discard(n) for n in range(290)]
        yield lambda: handle.remove("a")
        yield lambda: handle.pop()
        yield lambda: handle.update({"p", "q" * 300})
        yield lambda: handle.symmetric_difference_update({"p", "x"})
    else:
        yield lambda: handle.__setitem__("a", 2)
        yield lambda: handle.__setitem__("a", big)
        yield lambda: handle.__setitem__("z" * 40, big)
        yield lambda: handle.__delitem__("k" * 40)
        yield lambda: handle.increment("new number")
        yield lambda: handle.modify_item("a", lambda now: 5, 0)
        yield lambda: handle.update({"u": 1, "a": big, "w" * 50: 2})
        yield lambda: [handle.__setitem__(f"g{n}", "v" * n) for n in range(150)]
        yield lambda: [handle.__delitem__(f"g{n}") for n in range(150)]
        yield lambda: handle.__setitem__("list", SharedList())
    if isinstance(handle, SharedDict):
        yield lambda: handle.setdefault("default", 5)
        yield lambda: [handle.pop("a", 0), handle.popitem(), handle.popitem(last=False)]
    yield lambda: handle.modify(lambda now: now)

def block(handle):
    with handle.locked(timeout=0.02) as t:
        for step in [*look(t), *write(t)]:
            try:
                step()
            except (LookupError, ProcshareError, TypeError, ValueError):
                pass
        with t.locked() as inner:
            inner.set(inner.value)

def both(handle, other):
    with transaction(handle, other, timeout=0.02) as (t, u):
        u["n"] = len(t)
        if isinstance(t, SharedList):
            t.append("both"); t[0] = "b"
        elif isinstance(t, SharedSet):
            t.add("b2"); t.discard("both")
        else:
            t["both"] = t["b2"] = "b" * 100

def use(handle, other):
    yield from look(handle)
    yield lambda: nested(handle)
    yield lambda: both(handle, other)
    yield from write(handle)
    yield from look(handle)
    yield lambda: block(handle)
    yield lambda: handle.set(handle.value)
    yield lambda: nested(handle)
    yield lambda: pickle.loads(pickle.dumps(handle)).value
    yield lambda: type(handle).attach(handle.name).value
    yield lambda: (handle.clear() if hasattr(handle, "clear") else handle.set({}))
    yield lambda: other.value
    yield lambda: handle.unlink()

def judge(announce, kind, attached, hurts):
    tells = []
    other = SharedDict({"a": 1, "b": 2})
    made = MAKE[kind](name=f"bad-{os.getpid()}")
    stir(made, other)
    path = "/dev/shm/" + made.segment
    name = made.name
    announce(path)
    if not attached:  # the damage is done to a copy that nobody is attached to
        with open(path, "rb") as file:
            whole = file.read()
        path = f"/dev/shm/procshare-bad{os.getpid()}"
        announce(path)
        spoiled(path, whole, hurts)
        name = os.path.basename(path)
    damage(path, hurts)
    handles = [made] if attached else []
    for attach in (procshare.attach, *(cls.attach for cls in (SharedDict, SharedList, SharedSet, SharedNamespace))):
        handle = attempt(lambda: attach(name), tells)
        if handle is not None:
            handles.append(handle)
    attempt(segments, tells)
    attempt(lambda: prune(dry_run=True), tells)
    for handle in handles:
        for step in use(handle, other):
            attempt(step, tells)
    for handle in handles:
        attempt(handle.close, tells)
    for each in (made, other):
        attempt(each.unlink, tells)
        attempt(each.close, tells)
    return tells

for make in MAKE.values():  # so that all modules are loaded
    with make():
        pass
"""


def record_word(offset: int) -> int:
    """The word of a value that lies in a record."""
    return tagged(0xFFFB, offset)


def head(tag: int, length: int) -> int:
    """What is in front of a record."""
    return tag << 56 | length


def pair(high: int, low: int) -> int:
    """Two numbers in a word: a hash and an entry, a list's first position and its length, two pages."""
    return high << 32 | low


def pending(at: int, state: int) -> int:
    """That a redo record is committed or prepared."""
    return at << 2 | state


KINDS = ["dict", "big dict", "list", "big list", "set", "namespace"]
SMALL = st.one_of(st.integers(0, 300), st.sampled_from([(1 << 32) - 1, 1 << 31, 1 << 20, 1 << 14]))
WORDS = st.one_of(
    NUMBERS,
    SMALL,
    st.builds(record_word, st.integers(0, 1 << 15)),
    st.builds(head, st.sampled_from([0, 1, 2, 4, 5, 6, 7, 8, 0x80, 0x84, 0x87, 255]), SMALL),
    st.builds(pair, SMALL, SMALL),
    st.builds(pending, st.integers(8192, 1 << 17), st.integers(0, 3)),
)
AREAS = ["fields", "root", "first", "counts", "pages", "slots", "entries", "heads", "redo", "names", "seats", "all"]
HURT = st.tuples(
    st.sampled_from(AREAS),
    st.integers(0, 1 << 20),
    st.sampled_from(["flip", "byte", "word", "half", "half", "word", "lock", "pending", "pending", "cut"]),
    WORDS,
)
HURTS = st.lists(HURT, min_size=1, max_size=6)
EXAMPLES: list[list[Any]] = [
    [("first", 0, "word", 0)],  # the generation's number
    [("first", 0, "word", 2)],
    [("first", 8, "word", (1 << 64) - 1)],  # pending
    [("first", 64, "word", 1)],  # sequence
    [("first", 64, "word", 1), ("first", 0, "lock", 0)],
    [("counts", 0, "word", (1 << 64) - 1)],  # span
    [("counts", 0, "word", pair(1 << 31, 1 << 31))],
    [("counts", 8, "word", 1 << 60)],  # count
    [("counts", 16, "word", (1 << 64) - 8)],  # of the arena, in use
    [("counts", 24, "word", (1 << 64) - 4096)],  # and reserved
    [("counts", 32, "word", 0)],
    [("counts", 40, "word", 1 << 63)],
    [("pages", 0, "half", 0)],  # index, table, arena
    [("pages", 4, "half", 1)],
    [("pages", 108, "half", (1 << 32) - 1)],
    [("pages", 228, "byte", 63)],  # their orders and numbers
    [("pages", 258, "byte", 36)],
    [("pages", 259, "byte", 255)],
    [("pages", 260, "byte", 255)],
    [("first", 0, "pending", 1)],
    [("first", 1, "pending", 2)],
    [("redo", 8, "word", 1 << 59), ("first", 0, "pending", 1)],
    [("redo", 32, "word", 5), ("first", 1, "pending", 2), ("first", 0, "lock", 0)],
    [("all", 0, "cut", 0)],
    [("all", 0, "cut", 8192)],
    [("all", 0, "cut", 12288)],
    [("all", 0, "cut", 16389)],
]


@pytest.mark.parametrize("kind", ["dict", "list"])
def test_undamaged_nothing_is_wrong(kind: str, victims: Victims) -> None:
    """The victims themselves work."""
    for attached in (True, False):
        assert victims.show(kind, attached, []) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attached", [True, False], ids=["attached", "before attaching"])
def test_damage_at_each_place(kind: str, attached: bool, victims: Victims) -> None:
    """One field at a time, of those that lead somewhere."""
    for hurts in EXAMPLES:
        told = victims.show(kind, attached, hurts)
        assert not told, f"{hurts}\n" + "\n".join(told)


TRIAL = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@TRIAL
@given(kind=st.sampled_from(KINDS), hurts=HURTS)
@example(kind="dict", hurts=[("slots", 0, "word", (1 << 64) - 1)])
@example(kind="dict", hurts=[("root", 0, "word", (1 << 64) - 1)])
def test_damage_before_attaching(kind: str, hurts: list[Any], victims: Victims) -> None:
    """Attaching refuses it, or the handle answers something."""
    told = victims.show(kind, False, hurts)
    assert not told, "\n".join(told)


@TRIAL
@given(kind=st.sampled_from(KINDS), hurts=HURTS)
@example(kind="list", hurts=[("heads", 3, "word", (4 << 56) - 1)])
@example(kind="dict", hurts=[("root", 0, "word", (1 << 64) - 1)])
def test_damage_while_attached(kind: str, hurts: list[Any], victims: Victims) -> None:
    """Every call returns or raises, and the handle closes."""
    told = victims.show(kind, True, hurts)
    assert not told, "\n".join(told)
