"""Damaged segments of every kind, as an input of segments.c describes them; tests/test_fuzz_seeds.py shows them too.

Each kind's files are made once, by a process that is killed then, as it holds locks and leases: what is laid out for an
input are copies of these, to which nobody is attached. An input is

    kind | when | n | n calls | area, how, place (2 bytes), number (8 bytes) | ...

with one byte for each of the first; `when` says whether the damage is done before attaching or after it. The areas are
those of test_container_bytes.py and channel_damage.py.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import re
import resource
import runpy
import signal
import struct
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import channel_victims
import procshare
import test_bad_bytes as states
import test_container_bytes as containers
from scripts import PREAMBLE
from victims import BEGIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOM = 12  # bytes of an input for each damage
SHM = "/dev/shm"
MOST = 1 << 28  # bytes that a file may have, which the programs set too


def program(source: str) -> dict[str, Any]:
    """The names that a victims' program defines."""
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "victim.py"
        path.write_text(PREAMBLE + BEGIN + source)
        return runpy.run_path(str(path))


KNOWN = set[bytes]()  # pickles that this process has seen: other bytes are none of procshare's business
loads, dumps = pickle.loads, pickle.dumps


def load_known(data: bytes, **how: Any) -> Any:
    """Only what somebody pickled."""
    if bytes(data) not in KNOWN:
        raise pickle.UnpicklingError("not a pickle that was made here")
    try:
        return loads(data, **how)
    except ValueError as error:
        if "buffers" not in how:
            raise
        raise pickle.UnpicklingError("what was pickled beside it is damaged") from error


def dump_known(obj: object, *args: Any, **how: Any) -> bytes:
    """Remember it."""
    made = dumps(obj, *args, **how)
    KNOWN.add(made)
    return made


for name, new in (("loads", load_known), ("dumps", dump_known)):
    setattr(pickle, name, new)


STATE, CONTAINER = program(states.VICTIM), program(containers.VICTIM)
CHANNEL = program(channel_victims.VICTIM.replace("asyncio.run(warm())", ""))
FLAGS: int = STATE["FLAGS"]


def announce(_made: object) -> None:
    """Nobody needs to know."""


def same(now: Any) -> Any:
    """For `modify()`."""
    return now


def always(_now: Any) -> bool:
    """For `wait_until()`."""
    return True


def limit_growth(size: int) -> None:
    """No file may become larger, as where memory has run out."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, MOST))


def nest() -> tuple[Any, Any]:
    """Handles within handles, all of whose names are as long: any can take another's place."""
    inner = procshare.SharedDict({"n": procshare.SharedList([1]), "value": 2})
    return procshare.SharedDict({"inner": inner, "list": procshare.SharedList([inner, 3]), "a": 1}), inner


class World:
    """The files of one kind: the segment that is damaged, and those that its handles lead to."""

    def __init__(self, family: str, kind: str) -> None:
        self.family, self.kind = family, kind
        there, back = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with open(back, "w") as pipe:
                    print(json.dumps([*self._make(), [known.hex() for known in KNOWN]]), file=pipe)
                signal.pause()
            finally:
                os._exit(1)
        os.close(back)
        with open(there) as pipe:
            self.name, self.partner, known = json.loads(pipe.readline())
        KNOWN.update(map(bytes.fromhex, known))
        self.files = self._take(child)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while True:  # those that it had forked come to this process
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        self.segment = self.name.partition("#")[0]
        if self.segment not in self.files:
            self.segment = f"procshare.{os.geteuid()}.{self.name}"
        self.areas = self._areas()
        names = sorted(name.encode() for name in self.files)
        whole = self.files[self.segment]
        self.mentioned = [found.start() for name in names for found in re.finditer(re.escape(name), whole[8192:])]
        self.mentioned = [8192 + at for at in self.mentioned]
        self.others = [name for name in names if len(name) == 26]  # as long as any that nobody chose

    def _make(self) -> tuple[str, str]:
        named = {"name": f"fuzz-{os.getpid()}"}
        partner = ""
        if self.family == "state":
            kind, _, small = self.kind.partition(" in a ")
            made = STATE["MAKE"][kind](**({} if small else named))
        elif self.family == "nest":
            made, other = nest()
            partner = other.name
        elif self.family == "container":
            made = CONTAINER["MAKE"][self.kind](**named)
            other = CONTAINER["SharedDict"]({"a": 1, "b": 2})
            CONTAINER["stir"](made, other)
            partner = other.name
            self._kept = made, other
        else:
            made = CHANNEL["MAKE"][self.kind](announce, {} if "small" in self.kind else named)
        self._kept_too = made
        return made.name, partner

    def _take(self, child: int) -> dict[str, bytes]:
        files = dict[str, bytes]()
        for name in os.listdir(SHM):
            with open(f"{SHM}/{name}", "rb") as file:
                data = bytearray(file.read())
            if len(data) < 8192 or struct.unpack_from("=I", data, FLAGS - 4) != (child,):
                continue
            struct.pack_into("=I", data, FLAGS, 1 | 2 | 4)  # linked, shared, persistent
            files[name] = bytes(data)
            os.unlink(f"{SHM}/{name}")
        return files

    def _areas(self) -> list[list[tuple[int, int]]]:
        data = self.files[self.segment]
        place = self.name.partition("#")[2]
        slot = 12288 + 128 * (int(place.partition(".")[0]) - 1) if place else STATE["ROOT"]
        if self.family in ("container", "nest"):
            found = CONTAINER["extents"](data)
        elif self.family == "channel":
            found = CHANNEL["extents"](self.kind, data, slot)
        else:
            found = {
                "slot": [(slot, 128)],
                "first": [(slot, 48)],
                "fields": [(0, 896)],
                "seats": [(2048, 128)],
                "meta": [(1024, 200)],
                "payload": [(8192, max(len(data) - 8192, 8))],
                "all": [(0, len(data))],
            }
        return [ranges for _, ranges in sorted(found.items()) if ranges]

    def lay_out(self) -> None:
        """Write the files as they were."""
        for name, data in self.files.items():
            path = f"{SHM}/{name}"
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            if os.fstat(fd).st_size != len(data):
                os.ftruncate(fd, len(data))
            os.pwrite(fd, data, 0)
            os.close(fd)

    def damage(self, hurts: bytes) -> None:
        """Do what the rest of an input says."""
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        limit_growth(MOST)
        fd = os.open(f"{SHM}/{self.segment}", os.O_RDWR)
        for at in range(0, len(hurts) - ROOM + 1, ROOM):
            area, how, place, number = struct.unpack_from("=BBHQ", hurts, at)
            ranges = self.areas[area % len(self.areas)]
            start, length = ranges[place % len(ranges)]
            where = start + place // len(ranges) % length
            how %= 7
            if how == 6 and self.mentioned:
                os.pwrite(fd, self.others[number % len(self.others)], self.mentioned[place % len(self.mentioned)])
            elif how == 0:
                os.pwrite(fd, bytes([number & 255]), where)
            elif how == 1:
                os.pwrite(fd, struct.pack("=I", number & 0xFFFFFFFF), where & ~3)
            elif how >= 5:
                os.pwrite(fd, struct.pack("=Q", number), where)
            else:
                where &= ~7
                (old,) = struct.unpack("=Q", os.pread(fd, 8, where).ljust(8, b"\0"))
                new = number if how == 2 else old + number if how == 3 else old ^ number
                os.pwrite(fd, struct.pack("=Q", new & (1 << 64) - 1), where)
        os.close(fd)
        limit_growth(limit)

    def clear_away(self) -> None:
        """Remove the files."""
        for name in self.files:
            if os.path.exists(f"{SHM}/{name}"):
                os.unlink(f"{SHM}/{name}")


# ---- what is called ----


def locked(handle: Any) -> Any:
    """A block that changes nothing."""
    with handle.locked(timeout=0) as cell:
        return cell


def of_state(x: Any, _partner: str) -> Iterator[Callable[[], Any]]:
    """Of counters, values and arrays."""
    handle: Any = x
    yield lambda: handle.value
    yield lambda: handle.set(7)
    yield lambda: handle.set(1 << 60)
    yield lambda: locked(handle)
    yield lambda: handle.modify(same)
    yield lambda: repr(handle)
    if isinstance(x, procshare.SharedCounter):
        yield lambda: handle.increment(3)
        yield lambda: handle.exchange(4)
        yield lambda: handle.compare_exchange(4, 5)
    elif isinstance(x, procshare.SharedArray):
        yield lambda: handle.array.tobytes()
        yield handle.recover
        yield lambda: list(handle)
    else:  # a type code takes none of these
        yield lambda: handle.set("x" * 50)
        yield lambda: handle.set(b"z" * 20_000)
        yield lambda: handle.set([1])
    yield lambda: handle.wait_until(always, timeout=0)
    yield handle.unlink


def of_container(handle: Any, partner: str) -> Iterator[Callable[[], Any]]:
    """Of dicts, lists, sets and namespaces."""
    look, write = CONTAINER["look"], CONTAINER["write"]

    def both() -> None:
        with procshare.attach(partner) as other:
            CONTAINER["both"](handle, other)

    yield from look(handle)
    yield from write(handle)
    yield both
    yield both
    yield lambda: CONTAINER["nested"](handle)
    yield lambda: CONTAINER["block"](handle)
    yield lambda: handle.set(handle.value)
    yield lambda: locked(handle)
    yield handle.clear if hasattr(handle, "clear") else lambda: handle.set({})
    yield handle.unlink
    yield handle.hand_over


def lease(queue: Any, error: Exception | None) -> None:
    """Take one, and be done with it, or not."""
    with queue.lease(timeout=0):
        if error is not None:
            raise error


ITEMS: tuple[Any, ...] = (5, b"p" * 9000, "m" * 70, (1, 2), [1, {2}], b"L" * 30_000)


def of_queue(queue: Any, _partner: str) -> Iterator[Callable[[], Any]]:
    """Of queues."""
    for item in ITEMS:
        yield partial(queue.put, item, timeout=0)
    yield lambda: queue.put_many([b"q" * 500] * 30, timeout=0)
    yield queue.get_nowait
    yield queue.get_nowait
    yield lambda: queue.get_many(3, timeout=0)
    yield lambda: queue.get_many(timeout=0)
    yield lambda: lease(queue, None)
    yield lambda: lease(queue, KeyError("back"))
    yield queue.task_done
    yield lambda: queue.join(timeout=0)
    yield lambda: (queue.qsize(), queue.empty(), queue.full())
    yield queue.shutdown
    yield lambda: queue.shutdown(immediate=True)
    yield queue.unlink


def of_lock(x: Any, _partner: str) -> Iterator[Callable[[], Any]]:
    """Of what is acquired."""
    yield lambda: x.acquire(timeout=0)
    yield lambda: x.release()
    yield lambda: x.locked()
    yield lambda: x.get_value() if hasattr(x, "get_value") else repr(x)
    if hasattr(x, "notify"):
        yield lambda: x.wait(0)
        yield lambda: x.notify(2)
        yield x.notify_all
    yield x.unlink


def of_other(x: Any, _partner: str) -> Iterator[Callable[[], Any]]:
    """Of events, barriers and read-write locks."""
    if isinstance(x, procshare.SharedRWLock):
        yield lambda: x.reading(0).__enter__()
        yield lambda: x.writing(0).__enter__()
        yield lambda: CHANNEL["inside"](x, reading=0, reading_=0)
        yield lambda: CHANNEL["inside"](x, writing=0)
    else:
        yield lambda: x.wait(0)
    if isinstance(x, procshare.SharedEvent):
        yield x.set
        yield x.clear
        yield x.is_set
    if isinstance(x, procshare.SharedBarrier):
        yield x.reset
        yield x.abort
        yield lambda: (x.parties, x.n_waiting, x.broken)
    yield lambda: repr(x)
    yield x.unlink


CALLS: dict[type, Any] = {
    procshare.SharedCounter: of_state,
    procshare.SharedValue: of_state,
    procshare.SharedArray: of_state,
    procshare.SharedDict: of_container,
    procshare.SharedList: of_container,
    procshare.SharedSet: of_container,
    procshare.SharedNamespace: of_container,
    procshare.SharedQueue: of_queue,
    procshare.SharedLock: of_lock,
    procshare.SharedRLock: of_lock,
    procshare.SharedSemaphore: of_lock,
    procshare.SharedBoundedSemaphore: of_lock,
    procshare.SharedCondition: of_lock,
    procshare.SharedEvent: of_other,
    procshare.SharedBarrier: of_other,
    procshare.SharedRWLock: of_other,
}


def calls(handle: Any, partner: str) -> list[Callable[[], Any]]:
    """All that an input can call."""
    steps: list[Callable[[], Any]] = []
    for cls, of_kind in CALLS.items():
        if isinstance(handle, cls):
            steps = list(of_kind(handle, partner))
            break
    return steps


SAID = re.compile(  # in a RuntimeError, ValueError or TypeError that is right where things are as the bytes say
    "more than its|called too many times|is not in list|is given as a tuple of|"
    "does not pickle, so only|cannot be interpreted as an integer|cannot be the name of an attribute|"
    "needs an int at key|" + CHANNEL["SAID"].pattern
)
ANSWERS = (  # of calls on something whole: nobody there, nothing there, no room for more
    *CHANNEL["CHANNEL"],
    LookupError,
    OverflowError,
    procshare.AlreadyExists,
    procshare.OwnerDied,
    procshare.Closed,
    procshare.WaitTimeout,
)
DAMAGE = (
    procshare.CorruptSegment,
    procshare.LockTimeout,
    procshare.KindMismatch,
    procshare.VersionMismatch,
    procshare.NotFound,
    procshare.OutOfSharedMemory,
    pickle.UnpicklingError,
)


def fine(error: Exception) -> bool:
    """Whether a damaged segment may lead to it."""
    return isinstance(error, (*ANSWERS, *DAMAGE)) or (
        type(error) in (RuntimeError, ValueError, TypeError) and SAID.search(str(error)) is not None
    )


def attempt(step: Callable[[], Any]) -> Any:
    """Its answer; an error that damage should not lead to is raised."""
    try:
        return step()
    except Exception as error:
        if not fine(error):
            raise
    return None


# ---- the inputs ----

KINDS = [
    *(("state", kind) for kind in states.KINDS),
    *(("state", f"{kind} in a slab") for kind in ("counter", "short", "long")),
    *(("container", kind) for kind in ("dict", "list", "set", "namespace")),
    ("nest", "nest"),
    *(("channel", kind) for kind in CHANNEL["MAKE"] if "bomb" not in kind and kind != "barrier with an action"),
]
worlds = dict[int, World]()


def world(number: int) -> World:
    """Of the how-manieth kind."""
    number %= len(KINDS)
    if number not in worlds:
        worlds[number] = World(*KINDS[number])
    return worlds[number]


count = itertools.count(1)


def leave_nothing() -> None:
    """Remove what the calls made and put into what is gone."""
    STATE["remove_all_of"](os.getpid())


def one(data: bytes) -> None:
    """Do what an input says."""
    if len(data) < 3:
        return
    this, when, n = world(data[0]), data[1], data[2] % 16
    steps, hurts = data[3 : 3 + n], data[3 + n :]
    this.lay_out()
    if not when & 1:
        this.damage(hurts)
    if when & 48:
        limit_growth(len(this.files[this.segment]) + (1 << 16) * (when & 32 != 0))
    handle = attempt(lambda: procshare.attach(this.name))
    if when & 14 == 14:
        attempt(procshare.segments)
        attempt(lambda: procshare.prune(dry_run=True))
    if handle is not None:
        if when & 1:
            this.damage(hurts)
        there = calls(handle, this.partner)
        for step in steps:
            attempt(there[step % len(there)])
        attempt(handle.close)
    limit_growth(MOST)
    this.clear_away()
    if next(count) % 200 == 0:
        leave_nothing()


for number in range(len(KINDS)):
    world(number)

if __name__ == "__main__":
    for line in sys.stdin:
        one(bytes.fromhex(line))
    leave_nothing()
