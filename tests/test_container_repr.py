"""A repr waits for nobody, also while a commit stands still in its middle."""

from __future__ import annotations

import os
import struct
import threading
from typing import Any

import pytest

from death_support import Task, forked
from procshare import SharedArray, SharedDict, SharedList, SharedNamespace, SharedRWLock, SharedSet
from procshare.backends import native_built

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

SEQUENCE = 1024 + 64  # where a container's sequence number is in its segment, see layout.h
MAKE: dict[str, Any] = {
    "dict": lambda: SharedDict({"a": 1}),
    "list": lambda: SharedList([1]),
    "set": lambda: SharedSet([1]),
    "namespace": lambda: SharedNamespace(a=1),
}


@pytest.mark.parametrize("kind", MAKE)
def test_a_repr_waits_for_no_commit(kind: str) -> None:
    """Somebody has the lock, and the sequence number says that a commit is being made: the repr says so at once."""
    with MAKE[kind]() as x:
        segment = os.open(f"/dev/shm/{x.segment}", os.O_RDWR)
        wanted = repr(x)
        held, leave = threading.Event(), threading.Event()

        def commit() -> None:
            with x.locked():
                before = os.pread(segment, 8, SEQUENCE)
                os.pwrite(segment, struct.pack("<Q", struct.unpack("<Q", before)[0] | 1), SEQUENCE)
                held.set()
                leave.wait(10)
                os.pwrite(segment, before, SEQUENCE)

        committer = Task(commit)
        assert held.wait(10)
        shown = Task(lambda: repr(x))
        shown.join(5)
        waits = shown.is_alive()
        leave.set()
        committer.result()
        os.close(segment)

        assert not waits
        assert "LockTimeout" in shown.result()
        assert repr(x) == wanted


def test_an_array_tells_that_its_holder_died() -> None:
    """Until somebody declares it good again."""
    with SharedArray([1, 2], "i") as x:
        block = x.locked()
        assert forked(lambda: block.__enter__()) == 0

        assert repr(x).endswith("[1, 2] owner died, see recover()>")
        x.recover()
        assert repr(x) == "<SharedArray shape=(2,) dtype=int32 [1, 2]>"


def test_a_writer_has_a_read_write_lock() -> None:
    """Readers stand in no one place."""
    with SharedRWLock() as lock:
        with lock.writing():
            assert repr(lock) == f"<SharedRWLock locked by pid {os.getpid()}>"
        with lock.reading():
            assert repr(lock) == "<SharedRWLock open>"
