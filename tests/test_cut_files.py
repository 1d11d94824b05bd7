"""A file that is made shorter behind an attached process is CorruptSegment there, and no SIGBUS."""

from __future__ import annotations

import os
import signal
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from death_support import Task, asleep
from procshare import CorruptSegment, SharedArray, SharedCounter, SharedDict
from procshare.backends import native_built
from procshare.testing._kinds import KINDS
from scripts import SHM, run, until
from support import Child, kept

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")


def do(method: str, *args: Any, **kwargs: Any) -> Callable[[Any], object]:
    """Call a method."""
    return lambda x: getattr(x, method)(*args, **kwargs)


def enter(method: str, timeout: float = 0.2) -> Callable[[Any], object]:
    """Enter a block."""
    return lambda x: getattr(x, method)(timeout=timeout).__enter__()


def same(now: Any) -> Any:
    """No change."""
    return now


def never(_now: object) -> bool:
    """What is not to be."""
    return False


Calls = list["Callable[[Any], object]"]
STATE: Calls = [lambda x: x.value, do("modify", same), enter("locked"), do("wait_until", never, 0.2)]
MAPPING: Calls = [*STATE, len, list, lambda x: "a" in x, do("get", "a"), do("pop", "a"), do("update", a=2)]
TAKEN: Calls = [do("acquire", timeout=0.2), do("__enter__")]
CALLS: dict[str, Calls] = {
    "SharedCounter": [*STATE, int, do("increment"), do("exchange", 3), do("compare_exchange", 10, 3), do("set", 3)],
    "SharedValue": [*STATE, do("set", 5), do("set", "y" * 100_000)],
    "SharedArray": [*STATE, do("set", range(2000)), do("recover")],
    "SharedDict": [*MAPPING, lambda x: x["a"], do("__setitem__", "b", 1), do("increment", "a"), do("clear")],
    "SharedList": [
        *STATE,
        len,
        list,
        lambda x: x[0],
        do("append", 3),
        do("pop"),
        do("insert", 1, 1),
        do("extend", [1]),
    ],
    "SharedSet": [*STATE, len, list, lambda x: 1 in x, do("add", 3), do("discard", 1)],
    "SharedNamespace": [*STATE, lambda x: x.a, do("__setattr__", "a", 2)],
    "SharedQueue": [
        *(do("put", 1), do("put", b"x" * 100_000), do("put_many", range(9)), do("get", timeout=0.2)),
        *(do("get_many", timeout=0.2), enter("lease"), do("qsize"), do("empty"), do("join", 0.2), do("task_done")),
        *(do("shutdown"), do("shutdown", immediate=True)),
    ],
    "SharedLock": [*TAKEN, do("locked")],
    "SharedRLock": TAKEN,
    "SharedSemaphore": [*TAKEN, do("release"), do("get_value")],
    "SharedBoundedSemaphore": [*TAKEN, do("release"), do("get_value")],
    "SharedEvent": [do("is_set"), do("set"), do("clear"), do("wait", 0.2)],
    "SharedCondition": TAKEN,
    "SharedBarrier": [do("wait", 0.2), do("reset"), do("abort"), lambda x: x.n_waiting, lambda x: x.broken],
    "SharedRWLock": [enter("reading"), enter("writing")],
}


def make(kind: str) -> Any:
    """One with a file of its own, and something in it."""
    x = KINDS[kind].make(name=f"cut-{os.getpid()}")
    if kind == "SharedQueue":
        x.put_many(range(10))
    return x


def cut_and_call(kind: str, call: Callable[[Any], object], size: float, tells: list[str]) -> None:
    """Cut the file of one behind its maker, call it twice, and end it."""
    x = make(kind)
    path = SHM / x.segment
    os.truncate(path, int(path.stat().st_size * size) // 4096 * 4096)
    for _ in range(2):
        try:
            answer = call(x)
        except CorruptSegment:
            continue
        except Exception as error:  # noqa: BLE001 - told to the parent
            answer = error
        if size == 0:
            tells.append(f"{answer!r} from what is not there any more")
    x.unlink()
    x.close()
    if path.exists():
        tells.append("the file is still there")
    if SharedCounter(1).increment() != 2:
        tells.append("others suffer")


def in_child(fn: Callable[[list[str]], object]) -> None:
    """Run it in a forked process, which must end well and tell nothing."""
    there, back = os.pipe()
    child = os.fork()
    if child == 0:
        tells: list[str] = []
        try:
            signal.alarm(20)
            fn(tells)
        except BaseException:  # noqa: BLE001 - told to the parent
            tells.append(traceback.format_exc())
        os.write(back, "\n".join(tells).encode())
        os._exit(0)
    os.close(back)
    with open(there) as pipe:
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert (told, status) == ("", 0)


@pytest.mark.parametrize(
    ("kind", "size"),
    [*((kind, 0.0) for kind in CALLS), ("SharedValue", 0.5), ("SharedDict", 0.5), ("SharedQueue", 0.5)],
)
def test_each_call_says_so(kind: str, size: float) -> None:
    """With nothing left of the file every call raises; with part of it, none dies."""
    for call in CALLS[kind]:
        in_child(partial(cut_and_call, kind, call, size))


WAITS: dict[str, Callable[[Any], object]] = {
    "SharedCounter": do("wait_until", never),
    "SharedDict": do("wait_until", never),
    "SharedLock": do("acquire"),
    "SharedSemaphore": lambda x: [x.acquire() for _ in range(3)],
    "SharedEvent": do("wait"),
    "SharedBarrier": do("wait"),
    "SharedQueue": lambda x: [x.get() for _ in range(11)],
    "SharedRWLock": enter("writing", timeout=20),
}


@pytest.mark.parametrize("kind", WAITS)
def test_whoever_waits_is_told(kind: str) -> None:
    """It wakes up with CorruptSegment."""
    with kept(make(kind)) as x:
        if kind == "SharedLock":
            x.acquire()
        elif kind == "SharedRWLock":
            x.reading().__enter__()
        task = Task(partial(WAITS[kind], x))
        assert until(lambda: task.native_id is not None and asleep(task.native_id))
        os.truncate(SHM / x.segment, 0)
        with pytest.raises(CorruptSegment, match="made shorter"):
            task.result()


def first_write(line: Any, x: Any, call: Callable[[Any], object]) -> str:
    """In another process: what comes of it there, once it is told to."""
    line.tell("attached")
    line.hear()
    try:
        call(x)
    except CorruptSegment:
        return "CorruptSegment"
    return "done"


def put_large(x: Any) -> None:
    """What needs more than is left of the file."""
    x.put(b"x" * 100_000, timeout=5)


def set_large(x: Any) -> None:
    """Likewise."""
    x["large"] = "x" * 100_000


def grow(x: Any) -> None:
    """Likewise."""
    x.set("y" * 100_000)


LOCKED_WRITES = {"SharedDict": set_large, "SharedQueue": put_large, "SharedValue": grow}


@pytest.mark.parametrize("kind", LOCKED_WRITES)
def test_whoever_is_told_keeps_no_lock(kind: str) -> None:
    """Another process that has not noticed anything yet is told as well, and does not wait for the first one."""
    with kept(make(kind)) as x, Child("fork", first_write, x, LOCKED_WRITES[kind]) as other:
        assert other.hear() == "attached"
        LOCKED_WRITES[kind](x)  # so that all of it is mapped here
        os.truncate(SHM / x.segment, 8192 if kind != "SharedQueue" else 20480)
        for _ in range(2):
            with pytest.raises(CorruptSegment):
                LOCKED_WRITES[kind](x)
        other.tell("go")
        assert other.result(timeout=5) == "CorruptSegment"


def test_views_see_zeros() -> None:
    """An ndarray cannot raise; the next call of its array does."""
    with kept(SharedArray(range(1, 5001))) as x:
        live = x.array
        os.truncate(SHM / x.segment, 8192)
        assert not live.any()
        with pytest.raises(CorruptSegment):
            x.set(range(1, 5001))


def test_a_file_that_was_cut_does_not_grow() -> None:
    """That would hide it."""
    with kept(SharedDict({"a": 1})) as x:
        path = SHM / x.segment
        os.truncate(path, 8192)
        with pytest.raises(CorruptSegment):
            x.update((n, "x" * 1000) for n in range(1000))
        assert path.stat().st_size == 8192


OTHERS = """
import mmap, os, signal, tempfile
x = SharedCounter(5)
"""
OWN_FILE = """
with tempfile.TemporaryFile() as file:
    file.truncate(8192)
    there = mmap.mmap(file.fileno(), 8192)
    file.truncate(0)
    there[5000]
"""


@pytest.mark.parametrize(
    "cause", [OWN_FILE, "os.kill(os.getpid(), signal.SIGBUS)", "signal.raise_signal(signal.SIGBUS)"]
)
@pytest.mark.parametrize("before", ["", "import faulthandler; faulthandler.enable()\n"])
def test_other_bus_errors_are_what_they_were(cause: str, before: str) -> None:
    """A file that is not ours, or a signal that was sent, ends the process; faulthandler says where."""
    ended = run(before + OTHERS + cause)
    assert ended.code == -signal.SIGBUS
    assert ("Fatal Python error: Bus error" in ended.err) == bool(before)


def test_a_handler_of_the_program_is_asked() -> None:
    """One that was there before gets what is not ours."""
    before = "import signal\nsignal.signal(signal.SIGBUS, lambda *_: print('asked', flush=True))\n"
    ended = run(before + OTHERS + "os.kill(os.getpid(), signal.SIGBUS)\nprint(x.increment())")
    assert (ended.code, ended.out) == (0, "asked\n6\n")
