"""The bytes of an array: a small one's in `multiprocessing`'s heap, a large one's in a `SharedMemory`.

Both are handed to children as file descriptors, so a child needs no name that might be gone by then, and never
registers with the resource tracker, which on Python 3.11 and 3.12 would unlink the segment for everyone. Of a
`SharedMemory` only the creation is used: the mapping is our own, because its `close()` fails while views live.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import multiprocessing
import os
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing import reduction, resource_tracker, util
from multiprocessing.shared_memory import SharedMemory
from typing import Any

from procshare._errors import OutOfSharedMemory
from procshare.backends.tracker import release, tracking

LARGE = 1 << 16
"""Bytes from which on an array has a `SharedMemory` of its own."""

_exported: list[MappedMemory] = []  # someone may know the name: these stay until their creator exits


class HeapMemory:
    """A ctypes array in `multiprocessing`'s heap: a file that was unlinked as soon as it was mapped."""

    __slots__ = ("buffer",)
    buffer: Any

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer

    @classmethod
    def make(cls, size: int) -> HeapMemory:
        """Zeroed bytes; one at least, since the heap has no empty blocks."""
        return cls(multiprocessing.RawArray(ctypes.c_byte, max(1, size)))


class MappedMemory:
    """A mapping of a `SharedMemory`, and the descriptor that children get."""

    __slots__ = ("__weakref__", "_fd", "_unlink", "buffer", "name", "size")
    name: str
    size: int

    def __init__(self, name: str, size: int, fd: int, *, created: bool) -> None:
        self.name, self.size, self._fd = name, size, fd
        self.buffer: Any = mmap.mmap(fd, size)
        util.Finalize(self, os.close, (fd,))
        # Runs at garbage collection or at the exit of this process, and in no child forked from it.
        self._unlink = util.Finalize(self, _unlink_later, (name,), exitpriority=10) if created else None

    @classmethod
    def make(cls, size: int) -> MappedMemory:
        """Zeroed bytes, reserved.

        Raises:
            OutOfSharedMemory: Nothing was created.
        """
        with tracking():
            segment = SharedMemory(create=True, size=size)
        try:
            fd = _descriptor(segment)
            _reserve(fd, segment.name, size)
            return cls(segment.name, size, os.dup(fd), created=True)
        except BaseException:
            unlink_segment(segment.name)
            raise
        finally:
            segment.close()

    @classmethod
    def adopt(cls, segment: SharedMemory) -> MappedMemory:
        """The bytes of a live `SharedMemory`, which stays its owner's."""
        return cls(segment.name, segment.size, os.dup(_descriptor(segment)), created=False)

    def export(self) -> str:
        """The name, kept valid until it is unlinked or this process exits."""
        if self._unlink is not None and self not in _exported:
            _exported.append(self)
        return self.name

    def unlink(self) -> None:
        """Take the name away; the mappings stay."""
        if self in _exported:
            _exported.remove(self)
        if self._unlink is None:
            unlink_segment(self.name)
        elif self._unlink.still_active():
            self._unlink()

    def __reduce__(self) -> tuple[Any, ...]:
        return _mapped, (self.name, self.size, reduction.DupFd(self._fd))


def unlink_segment(name: str) -> None:
    """Remove a POSIX shared memory by name and take it off the resource tracker; silent if it is gone."""
    path = name if name.startswith("/") else f"/{name}"
    with suppress(FileNotFoundError):
        import_module("_posixshmem").shm_unlink(path)  # what SharedMemory itself calls; it cannot without mapping
    # Registering again does nothing if it is registered; taking off what is not would print a traceback.
    with tracking():
        resource_tracker.register(path, "shared_memory")
        resource_tracker.unregister(path, "shared_memory")


def _unlink_later(name: str) -> None:
    release(partial(unlink_segment, name))


def _mapped(name: str, size: int, sent: Any) -> MappedMemory:
    return MappedMemory(name, size, sent.detach(), created=False)


def _descriptor(segment: SharedMemory) -> int:
    fd: int = getattr(segment, "_fd", -1)  # no public way to it, and the name may be unlinked already
    if fd < 0:
        raise ValueError(f"SharedMemory {segment.name!r} is closed")
    return fd


def _reserve(fd: int, name: str, size: int) -> None:
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        room = os.fstatvfs(fd)
        raise OutOfSharedMemory(name, size, room.f_bavail * room.f_frsize) from None
