"""Inputs of codecs.c, shown to the ordinary core: the same bytes, as an item of a queue, a key or a word.

The harness imports this too, for a procshare with the core under test and a pickle that loads nothing: what bytes mean
to pickle is not procshare's, and that only bytes of this user's are shown to it is.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import procshare
from procshare import CorruptSegment, KindMismatch

if TYPE_CHECKING:
    from procshare import Handle

PLAIN, LARGE = 10, 0x40
ROOT, META, FIRST_RING = 768, 1024, 16384  # see src/procshare/_native/layout.h
CODE = 29  # where a slot has its type code


def refuse(*_args: object, **_how: object) -> NoReturn:
    """Instead of `pickle.loads`."""
    raise pickle.UnpicklingError


for name in ("loads",):
    setattr(pickle, name, refuse)
with procshare.SharedDict({(1, "a"): [1]}, backend="shm"):
    pass  # all that is loaded late is loaded now


def write(handle: Handle, where: int, new: bytes) -> None:
    """Overwrite bytes of an object's segment."""
    fd = os.open(f"/dev/shm/{handle.segment}", os.O_RDWR)
    os.pwrite(fd, new, where)
    os.close(fd)


def as_item(tag: int, body: bytes) -> Any:
    """Of a queue."""
    with procshare.SharedQueue[Any](backend="shm") as queue:
        queue.put(body)
        write(queue, FIRST_RING + 7, bytes([tag & ~LARGE]))
        return queue.get(timeout=0)


def as_key(tag: int, body: bytes) -> Any:
    """Of a dict."""
    with procshare.SharedDict({body: 1}, backend="shm") as table:
        with open(f"/dev/shm/{table.segment}", "rb") as file:
            data = file.read()
        number = struct.unpack_from("=Q", data, META)[0]
        page = struct.unpack_from("=I", data, META + 128 + 384 * (number & 1) + 76)[0]
        write(table, page * 4096 + 8, bytes([tag]))
        return list(table.items())


def as_word(code: int | None, body: bytes) -> Any:
    """Of a value."""
    with procshare.SharedValue(0, "q" if code else None, name=f"fuzz-word-{os.getpid()}", backend="shm") as value:
        write(value, ROOT, body[:8].ljust(8, b"\0"))
        if not code:
            return value.value
        write(value, ROOT + CODE, bytes([code]))
        value.close()
        other: Any = procshare.attach(value.name)
        return other.value


def one(data: bytes) -> None:
    """Show it one input; an error that damage should not lead to is raised."""
    if len(data) < 2:
        return
    which, tag, body = data[0] % 8, data[1], data[2:]
    try:
        if which == 1:
            as_key(tag, body)
        elif which in (2, 6):
            as_word(tag if which == 6 else None, body)
        else:
            as_item(PLAIN if which == 0 else tag, body)
    except (CorruptSegment, pickle.UnpicklingError):
        pass
    except KindMismatch:
        if which != 6:  # a code may make it another kind of value
            raise


if __name__ == "__main__":
    for line in sys.stdin:
        one(bytes.fromhex(line))
