"""What is made, used, sent and closed a thousand times leaves nothing in its process: no memory, mapping or descriptor.

Also the tests of LeakSanitizer's job, see sanitizers.py.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from procshare.backends import native_built
from procshare.testing._kinds import KINDS, kept

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")

ROUNDS = 300
ROOM = 96 << 10  # bytes: what an allocator and its caches may differ by; one of 100 bytes a round would be 30,000


class MallInfo(ctypes.Structure):
    """`struct mallinfo2` of the C library."""

    _fields_ = tuple((f"field_{i}", ctypes.c_size_t) for i in range(10))  # 4: of mapped blocks, 7: of others


def allocated() -> int | None:
    """Bytes that `malloc` has given out; None where that cannot be told."""
    tell = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if tell is None or "PROCSHARE_SANITIZER" in os.environ:
        return None
    tell.restype = MallInfo
    info: Any = tell()
    return int(info.field_7) + int(info.field_4)


def open_things() -> tuple[int, int]:
    """How many descriptors and how many mappings there are of what was shared."""
    maps = Path("/proc/self/maps").read_text()
    return len(os.listdir("/proc/self/fd")), maps.count("/dev/shm")


def once(kind: str) -> None:
    """Its whole life in one process, with a second handle that came by pickle."""
    with kept(KINDS[kind].make()) as made:
        KINDS[kind].look(made)
        KINDS[kind].use(made)
        if kind != "SharedPipe":  # whose ends are descriptors, and travel otherwise
            twin: Any = pickle.loads(pickle.dumps(made))
            KINDS[kind].use(twin)
            twin.close()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_piles_up(kind: str) -> None:
    """After as many rounds again there is as much as before."""
    for _ in range(ROUNDS // 3):
        once(kind)
    gc.collect()
    before, memory = open_things(), allocated()
    for _ in range(ROUNDS):
        once(kind)
    gc.collect()
    assert open_things() == before
    if memory is not None:
        assert (allocated() or 0) - memory < ROOM
