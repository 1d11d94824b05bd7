"""Arbitrary bytes in a segment give an error or a wrong answer: never a crash, a hang or an access outside.

The damage is done, and used, in a process of its own with a deadline. When that dies or hangs, Hypothesis shows the
damage that did it. (A file that is made shorter while it is mapped is another matter: that is a SIGBUS in any program.)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scripts import Script

if TYPE_CHECKING:
    from collections.abc import Iterator

VICTIM = """
import json, resource, struct, traceback
import numpy as np
import procshare.backends.shm.array

hooks = procshare.backends.shm.segment
hooks.register = hooks.unregister = lambda name: None  # what is left of a death is removed below, in silence
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 28, 1 << 28))
if "ASAN_OPTIONS" not in os.environ:  # the sanitizer maps terabytes
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

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

def token(data):
    "The lock word of this process, which is seated."
    for seat in range(768 if len(data) >= 8192 else 0):
        generation, pid = struct.unpack_from("=II", data, 2048 + seat * 8)
        if pid == os.getpid():
            return (seat + 1) << 21 | (generation & 0x1FFFFF)
    return 0

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
            if how == "flip":
                byte = data[where] if where < len(data) else 0
                os.pwrite(fd, bytes([byte ^ (1 << number % 8)]), where)
            elif how == "byte":
                os.pwrite(fd, bytes([number % 256]), where)
            elif how == "word":
                os.pwrite(fd, struct.pack("=Q", number % (1 << 64)), where & ~7)
            elif how == "half":
                os.pwrite(fd, struct.pack("=I", number % (1 << 32)), where & ~3)
            elif how == "lock":
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

FINE = (ProcshareError, OverflowError, TypeError, MemoryError, OSError, UnicodeDecodeError)
PICKLE = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError, ValueError)  # of a damaged one

def attempt(step, tells):
    try:
        return step()
    except FINE as error:
        if isinstance(error, OSError) and not isinstance(error, ProcshareError) and error.errno not in (27, 12, 28, 22):
            tells.append(traceback.format_exc())
    except Exception as error:
        if not isinstance(error, PICKLE):
            tells.append(traceback.format_exc())

def judge(kind, named, attached, hurts, announce):
    tells = []
    made = MAKE[kind](**({"name": f"bad-{os.getpid()}"} if named else {}))
    name, path = made.name, "/dev/shm/" + made.segment
    announce(path)
    at = 8192 + 128 * (int(name.partition("#")[2].partition(".")[0]) - 1) if "#" in name else ROOT
    with open(path, "rb") as file:
        whole = file.read()
    if not attached:  # the damage is done to a copy that nobody is attached to
        path = f"/dev/shm/procshare-bad{os.getpid()}"
        announce(path)
        cut = [number for _, _, how, number in hurts if how == "cut"]
        whole = bytearray(whole)
        struct.pack_into("=I", whole, FLAGS, 1 | 2 | 4)  # persistent, or attaching would remove it
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(whole[: cut[0] % len(whole)] if cut else whole)
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

def apart(*case):
    "Judge it in a forked process; what it said, or how it died."
    there, back = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(8)
        write = lambda what: os.write(back, json.dumps(what).encode() + b"\\n")
        try:
            write({"tells": judge(*case, lambda path: write({"path": path}))})
        except BaseException:
            write({"tells": [traceback.format_exc()]})
        os._exit(0)
    os.close(back)
    with open(there) as pipe:
        said = [json.loads(line) for line in pipe]
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for each in said:
        if "path" in each and os.path.lexists(each["path"]):
            os.unlink(each["path"])
    return said[-1]["tells"] if status == 0 else [f"its process ended with {status} ({-signal.SIGALRM}: it hung)"]

# Where the header's fields are, found by what a segment is known to hold.
probe = SharedCounter(0x1234567890, name=f"bad-probe-{os.getpid()}")
with open("/dev/shm/" + probe.segment, "rb") as file:
    probed = file.read()
ROOT = probed.index(struct.pack("=Q", 0x1234567890))
FLAGS = probed.index(struct.pack("=I", os.getpid()), 0, 1024) + 4
HEAP_LOCK = FLAGS + 4 + 8 + 8 + 32 + 4  # after tracker, handed_at, claim and seat_hint
probe.unlink()
probe.close()

for line in sys.stdin:
    say(json.dumps(apart(*json.loads(line))))
"""


def buffer(offset: int, order: int) -> int:
    """What a slot says of where one of its records lies."""
    return offset << 6 | order


def tagged(tag: int, rest: int) -> int:
    """A value's word."""
    return ~(tag << 48 | rest) & ((1 << 64) - 1)


KINDS = ["counter", "code", "int", "short", "long", "pickle", "array", "records"]
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, 63, 64, 4095, 4096, 8191, 8192, *(1 << n for n in (16, 20, 31, 40, 62, 63))]),
    st.sampled_from([(1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1]),
    st.integers(0, (1 << 64) - 1),
    st.builds(buffer, st.integers(0, 1 << 20), st.integers(0, 63)),
    st.builds(tagged, st.integers(0xFFF8, 0xFFFF), st.integers(0, 7)),
)
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


class Victims:
    """A process whose children are shown the damage, one each."""

    def __init__(self) -> None:
        self._script: Script | None = None

    def show(self, *damage: Any) -> list[str]:
        """What went wrong with it: tracebacks of what should not have been raised."""
        if self._script is None:
            self._script = Script(VICTIM)
        self._script.tell(json.dumps(damage))
        try:
            told: list[str] = json.loads(self._script.hear(timeout=15))
        except AssertionError:
            self.close()
            raise
        return told

    def close(self) -> None:
        """End it."""
        if self._script is not None:
            self._script.__exit__()
        self._script = None


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    """Kept for all the tests here."""
    kept = Victims()
    yield kept
    kept.close()


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
