"""What `segments()` and `stats()` tell of objects in use: types, ages, changes, waits, timeouts, and the dead."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import struct
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, Full
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import procshare
from death_support import Task, die_with, never, take_over
from procshare import (
    CorruptSegment,
    LockTimeout,
    NotFound,
    SegmentStats,
    SharedArray,
    SharedBarrier,
    SharedCounter,
    SharedDict,
    SharedEvent,
    SharedList,
    SharedLock,
    SharedQueue,
    SharedRWLock,
    SharedSemaphore,
    SharedSet,
    SharedValue,
    WaitTimeout,
    stats,
)
from procshare.backends import native_built
from scripts import until
from support import Child, kept
from sync_support import WAYS, Keeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from support import Line

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

SHM = Path("/dev/shm")
SHORT = 0.03  # seconds of a wait that is in vain


def told(x: Any) -> SegmentStats:
    """What `stats()` says of it."""
    name: str = x.name
    return stats(name)


def info(x: Any, *, all_users: bool = False) -> procshare.SegmentInfo:
    """What `segments()` says of it."""
    name = x.name  # which exports it
    return next(each for each in procshare.segments(all_users) if each.name == name)


# ---- segments() ----

RECORD = [("id", "<i4"), ("at", "<f8", (2,))]
LONG = [(f"field{i}", "<f4") for i in range(30)]
TYPES: list[tuple[Callable[[], Any], str]] = [
    (lambda: SharedArray(np.zeros((3, 4), np.int64)), "int64 (3, 4)"),
    (lambda: SharedArray(np.zeros(0, np.complex64)), "complex64 (0,)"),
    (lambda: SharedArray(np.array(1.5, np.float32)), "float32 ()"),
    (lambda: SharedArray(np.zeros(2, bool)), "bool (2,)"),
    (lambda: SharedArray(np.zeros(2, ">u2")), ">u2 (2,)"),
    (lambda: SharedArray(np.zeros(2, "S7")), "S7 (2,)"),
    (lambda: SharedArray(np.zeros(2, "M8[ns]")), "M8[ns] (2,)"),
    (lambda: SharedArray(np.zeros(5, RECORD)), "{id: int32, at: (float64, (2,))} (5,)"),
    (lambda: SharedValue(1.5, "d"), "float64"),
    (lambda: SharedValue(1, "H"), "uint16"),
    (lambda: SharedValue(True, "?"), "bool"),
    (lambda: SharedValue(b"x", "c"), "S1"),
    (lambda: SharedValue("text"), "object"),
    (lambda: SharedCounter(), ""),
    (lambda: SharedDict({"a": 1}), ""),
]


@pytest.mark.parametrize(("make", "wanted"), TYPES, ids=lambda each: each if isinstance(each, str) else "")
def test_the_type_is_told_where_the_kind_leaves_it_open(make: Callable[[], Any], wanted: str) -> None:
    """As NumPy names it; and whose it is."""
    with kept(make()) as x:
        assert (info(x).type, info(x).user) == (wanted, os.geteuid())


def test_a_long_list_of_fields_is_cut() -> None:
    """So that it fits a line."""
    with kept(SharedArray(np.zeros(1, LONG))) as x:
        told = info(x).type
        assert len(told) < 80
        assert told.endswith("…} (1,)")


@pytest.mark.parametrize("name", [None, "stats-age"])
def test_the_age_is_the_objects_own(name: str | None) -> None:
    """Also of a slot in a slab that is older, or was another object's before."""
    first = SharedValue(1)
    first.close()
    before = time.time()
    with kept(SharedValue(2, name=name)) as x:
        age = info(x).age
        assert age is not None
        assert 0 <= age <= time.time() - before + 0.02  # the clock that it is read from ticks slowly


BLOCKS: dict[str, Callable[[], Any]] = {
    "counter": SharedCounter,
    "value": lambda: SharedValue("x"),
    "array": lambda: SharedArray([1, 2]),
    "dict": lambda: SharedDict({"a": 1}),
}


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
def test_how_long_a_block_holds_its_lock(make: Callable[[], Any]) -> None:
    """From its beginning, and only while it goes on."""
    with kept(make()) as x:
        assert info(x).holder_for is None
        before = time.monotonic()
        with x.locked():
            begun = time.monotonic()
            assert info(x).holder == os.getpid()
            first = info(x).holder_for
            assert first is not None
            assert until(lambda: (info(x).holder_for or 0) > first)
            held = info(x).holder_for
            assert held is not None
            assert held <= time.monotonic() - before + 0.02
            assert held >= 0 <= begun - before
        assert (info(x).holder, info(x).holder_for) == (None, None)


def test_a_lock_writes_down_no_time() -> None:
    """Taking one is a single instruction: the holder is told, and not since when."""
    with kept(SharedLock()) as x, x:
        assert (info(x).holder, info(x).holder_for) == (os.getpid(), None)


def write_for_ever(line: Line, x: Any) -> None:
    """Short holds of its lock, one after another."""
    line.tell("writing")
    while True:
        x["a"] += 1


def test_short_holds_are_not_taken_for_a_long_one() -> None:
    """A block that ended leaves its time behind; who then writes all the time has held the lock since never."""
    with kept(SharedDict({"a": 1})) as x:
        with x.locked():
            pass
        with Child("spawn", write_for_ever, x) as writer:
            assert writer.hear() == "writing"
            for _ in range(50):
                assert info(x).holder_for is None
            writer.kill()


def test_what_others_have_and_what_cannot_be_read_is_listed_if_asked_for() -> None:
    """By what the file system tells; without being asked, only what is this user's and makes sense."""
    stranger = os.geteuid() + 1
    files = {
        f"procshare.{stranger}.stats-other": (f"procshare.{stranger}.stats-other", b"x" * 100),
        "procshare-stats-nonsense": ("procshare-stats-nonsense", b"procshr\x01" * 10),
    }
    try:
        for name, (_, content) in files.items():
            (SHM / name).write_bytes(content)
            (SHM / name).chmod(0o600)
        assert not {each.segment for each in procshare.segments()} & set(files)
        found = {each.segment: each for each in procshare.segments(all_users=True)}
        for name, (shown, content) in files.items():
            assert found[name] == (
                *(shown, name, "unknown", len(content), None, (), None, False),
                *("", os.geteuid(), None, None),
            )
    finally:
        for name in files:
            (SHM / name).unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away, and read it then")
def test_root_reads_what_others_have() -> None:
    """All of it, without being let in."""
    with kept(SharedArray([1.0, 2.0], name="stats-theirs")) as x:
        try:
            os.chown(SHM / x.segment, 12345, -1)
            assert x.name not in {each.name for each in procshare.segments()}
            there = info(x, all_users=True)
            assert (there.kind, there.type, there.user) == ("array", "float64 (2,)", 12345)
            assert there.attached == (os.getpid(),)
            with pytest.raises(procshare.NotOwned):
                told(x)
        finally:
            os.chown(SHM / x.segment, os.geteuid(), -1)


# ---- changes and length ----


def commit_to_dict(x: SharedDict[str, int]) -> None:
    """Four commits."""
    x["b"] = 2
    x.increment("b")
    del x["a"]
    with x.locked() as inside:
        inside.update({"c": 3, "d": 4})


def block_of_value(x: SharedValue[Any]) -> None:
    """Two commits, and a block without one."""
    x.set(7)
    with x.locked() as cell:
        cell.value = 8
        cell.value = 9
    with x.locked():
        pass


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], object], int | None, int | None]] = {
    "counter": (SharedCounter, lambda x: x.increment(), None, None),
    "value with a code": (lambda: SharedValue(1, "q"), block_of_value, 2, None),
    "value": (lambda: SharedValue("x" * 100), block_of_value, 2, None),
    "value of records": (lambda: SharedValue(1), lambda x: (x.set("y" * 50), x.set("z" * 5000)), 2, None),
    "array": (lambda: SharedArray([1, 2]), lambda x: (x.set([3, 4]), x.modify(np.negative)), 2, None),
    "dict": (lambda: SharedDict({"a": 1, "x": 2}), commit_to_dict, 4, 4),
    "list": (lambda: SharedList([1, 2]), lambda x: (x.append(3), x.extend([4, 5]), x.pop()), 3, 4),
    "set": (lambda: SharedSet({1}), lambda x: (x.add(2), x.add(3)), 2, 3),
    "queue": (SharedQueue, lambda x: (x.put(1), x.put_many([2, 3]), x.get()), 3, 2),
    "event": (SharedEvent, lambda x: (x.set(), x.set(), x.clear(), x.set()), 2, None),
    "barrier": (lambda: SharedBarrier(1), lambda x: (x.wait(), x.wait()), 2, None),
    "lock": (SharedLock, lambda x: (x.acquire(), x.release()), None, None),
}


@pytest.mark.parametrize(("make", "use", "changes", "length"), CHANGES.values(), ids=CHANGES)
def test_changes_and_length(
    make: Callable[[], Any], use: Callable[[Any], object], changes: int | None, length: int | None
) -> None:
    """Commits since it was made, where the kind counts them, and items; nobody waited for any of it."""
    with kept(make()) as x:
        at_first = told(x)
        assert at_first.changes in (0, None)
        use(x)
        assert told(x) == SegmentStats(x.name, x.kind, changes, length, 0, 0, 0, False)
        assert told(x) in stats()


def hold_item(line: Line, x: SharedQueue[str]) -> None:
    """Until it is killed."""
    with x.lease():
        line.tell("on lease")
        signal.pause()


def test_an_item_on_lease_counts_again_when_its_holder_is_dead() -> None:
    """As `qsize()` counts, and without anybody doing anything about it."""
    with kept(SharedQueue[str]()) as x:
        x.put("job")
        with Child("spawn", hold_item, x) as worker:
            assert worker.hear() == "on lease"
            assert told(x).length == 0
            worker.kill()
            assert told(x).length == 1
        assert told(x).owner_deaths == 0
        assert x.get(timeout=5) == "job"
        assert told(x).owner_deaths == 1


# ---- waits and timeouts ----


@pytest.mark.parametrize("how", WAYS)
def test_waits_and_timeouts_are_counted_once_each(how: str) -> None:
    """However long a wait sleeps and wakes again; a call that does not wait counts as neither."""
    way: Any = WAYS[how]
    with way.make() as x:
        with Keeper(way, x) as keeper:
            assert Task(lambda: way.wait(x, 0)).result() is False
            before = told(x)
            assert (before.waits, before.timeouts) == (0, 0)
            assert Task(lambda: way.wait(x, SHORT)).result() is False
            late = told(x)
            assert (late.timeouts, late.owner_deaths) == (1, 0)
            assert 1 <= late.waits <= 2  # a writer waits for others who want to write, and then for readers
            waiter = Task(lambda: way.wait(x, 10))
            assert until(lambda: told(x).waits > late.waits)
            assert told(x).waiting
            keeper.let_go()
            assert waiter.result() is True
        assert told(x).timeouts == 1


@pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
def test_waits_for_a_block_and_for_a_change(make: Callable[[], Any]) -> None:
    """`LockTimeout` and `WaitTimeout` are timeouts; a wait that ends well is only a wait."""
    with kept(make()) as x:

        def late() -> None:
            with x.locked(SHORT):
                pass

        with x.locked():
            with pytest.raises(LockTimeout):
                Task(late).result()
            with pytest.raises(LockTimeout):
                Task(lambda: x.locked(0).__enter__()).result()
            assert (told(x).waits, told(x).timeouts) == (1, 1)
            waiter = Task(lambda: x.locked().__enter__())
            assert until(lambda: told(x).waits == 2)
        waiter.result()
    with kept(make()) as x:
        with pytest.raises(WaitTimeout):
            x.wait_until(never, SHORT)
        with pytest.raises(WaitTimeout):
            x.wait_until(never, 0)
        assert (told(x).waits, told(x).timeouts) == (1, 1)
        assert told(x).waiting


def test_tasks_wait_as_threads_do() -> None:
    """Those of asyncio, in line or not."""

    async def in_vain(
        lock: SharedLock, queue: SharedQueue[int], full: SharedQueue[int], value: SharedValue[int]
    ) -> None:
        assert await lock.acquire_async(timeout=5)
        try:
            both = [asyncio.create_task(_acquire(lock)) for _ in range(2)]
            assert await asyncio.gather(*both) == [False, False]
        finally:
            lock.release()
        with pytest.raises(Empty):
            await queue.get_async(timeout=SHORT)
        with pytest.raises(Full):
            await full.put_async(2, timeout=SHORT)
        with pytest.raises(WaitTimeout):
            await value.wait_until_async(lambda n: n > 5, timeout=SHORT)
        with pytest.raises(WaitTimeout):
            await value.wait_until_async(lambda n: n > 5, timeout=0)

    async def _acquire(lock: SharedLock) -> bool:
        return await lock.acquire_async(timeout=SHORT)

    with (
        kept(SharedLock()) as lock,
        kept(SharedQueue()) as queue,
        kept(SharedQueue(1)) as full,
        kept(SharedValue(1)) as value,
    ):
        full.put(1)
        asyncio.run(in_vain(lock, queue, full, value))
        counts = [(each.waits, each.timeouts) for each in (told(x) for x in (lock, queue, full, value))]
        assert counts == [(2, 2), (1, 1), (1, 1), (1, 1)]


# ---- deaths ----


HELD: dict[str, tuple[Callable[[], Any], str, str]] = {
    "counter": (SharedCounter, "locked", "locked"),
    "value": (lambda: SharedValue("x"), "locked", "locked"),
    "array": (lambda: SharedArray([1], on_owner_death="proceed"), "locked", "locked"),
    "dict": (lambda: SharedDict({"a": 1}), "locked", "locked"),
    "lock": (SharedLock, "acquire", "acquire"),
    "robust semaphore": (lambda: SharedSemaphore(1, robust=True), "acquire", "acquire"),
    "writing": (SharedRWLock, "writing", "reading"),
    "reading": (SharedRWLock, "reading", "writing"),
}


@pytest.mark.parametrize(("make", "die", "after"), HELD.values(), ids=HELD)
def test_a_death_is_counted_by_whoever_takes_over(make: Callable[[], Any], die: str, after: str) -> None:
    """Once; and until then nobody holds it."""
    with kept(make()) as x:
        with Child("spawn", die_with, x, die) as child:
            child.hear()
            child.kill()
        assert info(x).holder is None
        assert told(x).owner_deaths == 0
        take_over(x, after)
        if die == "writing":  # a reader goes in without the lock
            take_over(x, "writing")
        take_over(x, after)
        assert told(x).owner_deaths == 1


# ---- names and damage ----


def test_an_object_in_a_slab_begins_with_nothing() -> None:
    """Whatever happened to the one that had its slot before."""
    first = SharedEvent()
    assert not first.wait(SHORT)
    first.close()
    with kept(SharedEvent()) as x:
        assert told(x)[2:] == (0, None, 0, 0, 0, False)


def test_an_unknown_name_is_not_found() -> None:
    """Nor is a slot that is nobody's, nor a slab."""
    with kept(SharedCounter()) as x:
        segment = x.segment
        for name in ("stats-nobody", f"{segment}#300.1", f"{x.name}7", segment, "procshare-nobody"):
            with pytest.raises(NotFound) as caught:
                stats(name)
            assert caught.value.name in name
    with pytest.raises(NotFound):
        told(x)


def test_looking_attaches_to_nothing() -> None:
    """No descriptor, no mapping, no seat; a wait of somebody else goes on."""
    with kept(SharedQueue[int](name="stats-look")) as x:
        mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if "stats-look" in line]
        open_files = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            assert stats("stats-look").length == 0
        assert [line for line in Path("/proc/self/maps").read_text().splitlines() if "stats-look" in line] == mapped
        assert len(os.listdir("/proc/self/fd")) == open_files
        assert info(x).attached == (os.getpid(),)


KINDS: list[Callable[[], Any]] = [
    lambda: SharedCounter(name="stats-bytes"),
    lambda: SharedArray([1, 2], name="stats-bytes"),
    lambda: SharedDict({"a": 1}, name="stats-bytes"),
    lambda: SharedList([1], name="stats-bytes"),
    lambda: SharedQueue[Any](name="stats-bytes"),
    lambda: procshare.SharedCondition(name="stats-bytes"),
    lambda: SharedRWLock(name="stats-bytes"),
    SharedEvent,
]


@pytest.mark.parametrize("make", KINDS)
def test_damaged_bytes_give_an_answer_or_an_error(make: Callable[[], Any]) -> None:
    """Never a crash or a hang, and never an error in the list of all."""
    chance = random.Random(7)
    with kept(make()) as x:
        name: str = x.name
        path = SHM / x.segment
        whole = path.read_bytes()
        for turn in range(60):
            data = bytearray(whole)
            for _ in range(turn % 7 + 1):
                at = chance.randrange(8, len(data) - 8)
                data[at : at + 8] = struct.pack("=Q", chance.choice([0, 1 << 63, (1 << 64) - 1, 1 << 31, 4096, 7]))
            if turn % 5 == 0:  # all books at once
                data[768:2048] = chance.randbytes(1280)
            with path.open("r+b") as file:
                file.write(data)
            procshare.segments(all_users=True)
            assert all(type(each) is SegmentStats for each in stats())
            with suppress(CorruptSegment, NotFound):
                stats(name)
        with path.open("r+b") as file:
            file.write(whole)
        assert stats(name).name == name
