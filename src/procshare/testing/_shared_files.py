"""The files in /dev/shm that another process has open, and what changes in them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Self

LARGEST = 1 << 22  # bytes of a file that are compared


@dataclass(frozen=True)
class Glimpse:
    """The bytes of all files in /dev/shm that a process has open, in the order of their descriptors."""

    contents: tuple[bytes, ...]

    def apart(self, other: Glimpse) -> tuple[int, int]:
        """How many files there are, and in how many words they are unlike those of another moment."""
        words = 0
        for mine, theirs in zip(self.contents, other.contents, strict=False):
            room = min(len(mine), len(theirs)) // 8 * 8
            unlike = np.frombuffer(mine[:room], np.uint64) != np.frombuffer(theirs[:room], np.uint64)
            words += int(unlike.sum()) + abs(len(mine) - len(theirs)) // 8
        return len(self.contents), words


class SharedFiles:
    """The files in /dev/shm that a process has open, read without touching their holes.

    Args:
        pid: The process, stopped.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._files: dict[tuple[int, int], list[int]] = {}  # device and inode: own descriptor, size
        self.look_again()

    def look_again(self) -> None:
        """See which there are, and how long: after a system call, which alone can change that."""
        for fd in sorted(map(int, os.listdir(f"/proc/{self._pid}/fd"))):
            path = f"/proc/{self._pid}/fd/{fd}"
            with suppress(OSError):
                if os.readlink(path).startswith("/dev/shm/"):
                    found = os.stat(path)
                    if (found.st_dev, found.st_ino) not in self._files:
                        self._files[found.st_dev, found.st_ino] = [os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0]
        for each in self._files.values():
            each[1] = min(os.fstat(each[0]).st_size, LARGEST)

    def contents(self) -> list[bytes]:
        """All their bytes."""
        pread = os.pread
        return [pread(fd, size, 0) for fd, size in self._files.values()]

    def glimpse(self) -> Glimpse:
        """The same, to be compared by words."""
        return Glimpse(tuple(self.contents()))

    def close(self) -> None:
        """Close the descriptors."""
        for fd, _ in self._files.values():
            os.close(fd)
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
