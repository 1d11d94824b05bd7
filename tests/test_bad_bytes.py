"""Arbitrary bytes in a segment give an error or a wrong answer: never a crash, a hang or an access outside.

The damage is done, and used, in a process of its own with a deadline. When that dies or hangs, Hypothesis shows the
damage that did it. (A file that is made shorter while it is mapped has tests of its own, test_cut_files.py.)
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from victims import NUMBERS, Victims, victims

__all__ = ["victims"]  # the fixture

VICTIM = """
import numpy as np
import procshare.backends.shm.array

RECORD = np.dtype({"names": ["a", "b"], "formats": ["i4", ("f8", (2,))], "offsets": [4, 8], "itemsize": 32})
MAKE = {
    "counter": lambda **kw: SharedCounter(5, **kw),
    "code": lambda **kw: SharedValue(5, "i", **kw),
    "int": lambda **kw: SharedValue(5, **kw),
    "short": lambda **kw: SharedValue("short", **kw),
    "long": lambda **kw: SharedValue(b"long" * 50_000, **kw),
    "pickle": lambda **kw: SharedValue([1, {"two": 3.0}], **kw),
    "array": lambda **kw: SharedArray([[1, 2], [3, 4]], **kw),
    "records": lambda **kw: SharedArray(np.zeros(5, RECORD), **kw),
}

def damage(path, at, hurts):
    "Change the file: at is where the object's slot begins."
    fd = os.open(path, os.O_RDWR)
    try:
        data = os.pread(fd, 1 << 20, 0)
        areas = {"fields": (0, 896), "slot": (at, 128), "seats": (2048, 6144), "meta": (1024, 200),
                 "payload": (8192, max(len(data) - 8192, 8)), "all": (0, max(len(data), 8))}
        for area, place, how, number in hurts:
            if how == "cut":
                continue
            start, length = areas[area]
            where = start + place % length
            change(fd, data, where, how, number)
            if how == "lock":
                os.pwrite(fd, struct.pack("=I", token(data) | number % 2 << 31), at + 16)
            elif how == "heap lock":
                os.pwrite(fd, struct.pack("=I", token(data)), HEAP_LOCK)
    finally:
        os.close(fd)

def use(handle):
    "Everything that can be done with it."
    yield lambda: handle.value
    yield lambda: repr(handle)
    yield lambda: handle.wait_until(lambda _: True, timeout=0.02)
    if isinstance(handle, SharedCounter):
        yield lambda: handle.increment()
        yield lambda: handle.decrement(3)
        yield lambda: handle.exchange(4)
        yield lambda: handle.compare_exchange(4, 5)
    if isinstance(handle, SharedArray):
        yield lambda: handle.array.tobytes()
        yield lambda: handle.recover()
        yield lambda: handle.set(handle.array.copy())
        yield lambda: list(handle)
    def write(value):
        with handle.locked(timeout=0.02) as cell:
            if not isinstance(handle, SharedArray):
                cell.value = value
    yield lambda: write(7)
    for value in [7, 1 << 50] + ["x", b"y" * 100, b"z" * 200_000, [1]] * isinstance(handle, SharedValue):
        yield lambda: handle.set(value)
        yield lambda: write(value)
        yield lambda: handle.value
    yield lambda: handle.modify(lambda now: now)
    yield lambda: handle.wait_until(lambda _: False, timeout=0.001)
    yield lambda: pickle.loads(pickle.dumps(handle)).value
    yield lambda: type(handle).attach(handle.name).value
    yield lambda: handle.unlink()

def judge(announce, kind, named, attached, hurts):
    tells = []
    made = MAKE[kind](**({"name": f"bad-{os.getpid()}"} if named else {}))
    name, path = made.name, "/dev/shm/" + made.segment
    announce(path)
    at = 8192 + 4096 + 128 * (int(name.partition("#")[2].partition(".")[0]) - 1) if "#" in name else ROOT
    with open(path, "rb") as file:
        whole = file.read()
    if not attached:  # the damage is done to a copy that nobody is attached to
        path = f"/dev/shm/procshare-bad{os.getpid()}"
        announce(path)
        spoiled(path, whole, hurts)
        name = os.path.basename(path) + ("#" + name.partition("#")[2] if "#" in name else "")
        damage(path, at, hurts)
    else:
        damage(path, at, hurts)
    handles = [made] if attached else []
    for attach in (procshare.attach, *(cls.attach for cls in (SharedCounter, SharedValue, SharedArray))):
        handle = attempt(lambda: attach(name), tells)
        if handle is not None:
            handles.append(handle)
    attempt(segments, tells)
    attempt(lambda: prune(dry_run=True), tells)
    for handle in handles:
        for step in use(handle):
            attempt(step, tells)
    for handle in handles:
        handle.close()
    made.unlink()
    made.close()
    return tells
"""


KINDS = ["counter", "code", "int", "short", "long", "pickle", "array", "records"]
HURTS = st.lists(
    st.tuples(
        st.sampled_from(["fields", "slot", "slot", "seats", "meta", "payload", "all"]),
        st.integers(0, 1 << 20),
        st.sampled_from(["flip", "byte", "word", "half", "lock", "heap lock", "cut"]),
        NUMBERS,
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(KINDS), named=st.booleans(), hurts=HURTS)
@example(kind="counter", named=True, hurts=[("all", 0, "cut", 0)])
@example(kind="array", named=True, hurts=[("all", 0, "cut", 8192)])
@example(kind="long", named=True, hurts=[("all", 0, "cut", 8193)])
@example(kind="short", named=False, hurts=[("all", 0, "cut", 65535)])
def test_damage_before_attaching(kind: str, named: bool, hurts: list[Any], victims: Victims) -> None:
    """Attaching refuses it, or the handle answers something."""
    told = victims.show(kind, named, False, hurts)
    assert not told, "\n".join(told)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(KINDS), named=st.booleans(), hurts=HURTS)
@example(kind="counter", named=True, hurts=[("slot", 0, "word", 1 << 63)])
@example(kind="counter", named=False, hurts=[("slot", 0, "lock", 0)])
@example(kind="short", named=False, hurts=[("slot", 0, "lock", 1)])
@example(kind="array", named=True, hurts=[("slot", 0, "lock", 0), ("slot", 0, "word", 1)])
@example(kind="long", named=True, hurts=[("slot", 0, "heap lock", 0)])
@example(kind="long", named=True, hurts=[("slot", 48, "word", 33 << 6 | 20), ("slot", 56, "word", 33 << 6 | 20)])
def test_damage_while_attached(kind: str, named: bool, hurts: list[Any], victims: Victims) -> None:
    """Every call returns or raises, and the handle closes."""
    told = victims.show(kind, named, True, hurts)
    assert not told, "\n".join(told)
