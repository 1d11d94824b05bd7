"""A /dev/shm of one's own, as small as one likes, and the ways to run out of something in it.

A shortage is a context manager: while it lasts, only so much is left of pages, files, descriptors, address space or
file size. The kernel is asked for all of it (unshare, mount, setrlimit), so nothing is imitated.
"""

from __future__ import annotations

import ctypes
import os
import resource
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from procshare.testing._processes import SHM

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

PAGE = resource.getpagesize()
FILLER = "filler"
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18


class NotAllowed(Exception):
    """This process may have no mounts of its own."""


def private_shm(options: str = "size=4m") -> None:
    """Give this process a /dev/shm of its own, which nobody else sees and which goes with it.

    Args:
        options: For the tmpfs, as `mount -o` takes them.

    Raises:
        NotAllowed: The kernel does not allow it: the process is no administrator, and may not make a user namespace.
    """
    private_mounts()
    mount("tmpfs", SHM, "tmpfs", 0, options)


def private_mounts() -> None:
    """Mounts of this process's own; as `private_shm`, but nothing is mounted yet."""
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_MOUNTS) != 0:
        if libc.unshare(_NEW_USER | _NEW_MOUNTS) != 0:
            raise NotAllowed(f"unshare: {os.strerror(ctypes.get_errno())}")
        try:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        except OSError as error:
            raise NotAllowed(str(error)) from error
    mount("none", Path("/"), None, _RECURSIVE | _PRIVATE)


def mount(source: str, target: Path, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    """mount(2).

    Raises:
        NotAllowed: It failed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    words = [None if word is None else word.encode() for word in (source, str(target), kind)]
    if libc.mount(*words, ctypes.c_ulong(flags), None if options is None else options.encode()) != 0:
        raise NotAllowed(f"mount: {os.strerror(ctypes.get_errno())}")


def unmount(target: Path) -> None:
    """umount2(2), at once or as soon as nobody uses it."""
    ctypes.CDLL(None).umount2(str(target).encode(), 2)


def read_only_shm() -> None:
    """From now on nothing can be made in /dev/shm."""
    mount("tmpfs", SHM, None, _REMOUNT | _READ_ONLY, "")


def missing_shm() -> None:
    """From now on there is no /dev/shm, nor anything else in /dev."""
    mount("tmpfs", SHM.parent, "tmpfs")


def strange_shm() -> None:
    """From now on /dev/shm is a file system in which no file without a name can be made."""
    mount("/proc", SHM, None, _BIND | _RECURSIVE)


def free_bytes() -> int:
    """How many bytes of /dev/shm are free."""
    fs = os.statvfs(SHM)
    return fs.f_bavail * fs.f_frsize


# ---- shortages: of so much, for the length of a block ----


@contextmanager
def pages(left: int) -> Generator[None]:
    """Only so many pages of /dev/shm are free."""
    with _filler() as fd:
        take = free_bytes() - left * PAGE
        if take > 0:
            os.posix_fallocate(fd, 0, take)
        yield


@contextmanager
def _filler() -> Generator[int]:
    path = SHM / FILLER
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)
        path.unlink()


@contextmanager
def files(left: int) -> Generator[None]:
    """Only so many more files can be made in /dev/shm."""
    made = list[Path]()
    try:
        for number in range(os.statvfs(SHM).f_ffree - left):
            path = SHM / f"{FILLER}-{number}"
            path.touch()
            made.append(path)
        yield
    finally:
        for path in made:
            path.unlink()


def descriptors(left: int) -> AbstractContextManager[None]:
    """Only so many more descriptors can be opened in this process."""
    limit = 0
    while left > 0 or _is_open(limit):
        left -= not _is_open(limit)
        limit += 1
    return _limit(resource.RLIMIT_NOFILE, limit)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def address_space(left: int) -> AbstractContextManager[None]:
    """Only so many more KiB of address space can be had by this process."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
    return _limit(resource.RLIMIT_AS, used + left * 1024)


def file_size(most: int) -> AbstractContextManager[None]:
    """No file may become larger than so many KiB by what this process does."""
    return _limit(resource.RLIMIT_FSIZE, most * 1024)


@contextmanager
def _limit(which: int, soft: int) -> Generator[None]:
    before = resource.getrlimit(which)
    resource.setrlimit(which, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)


SHORTAGES: dict[str, Callable[[int], AbstractContextManager[None]]] = {
    "pages": pages,
    "files": files,
    "descriptors": descriptors,
    "address space": address_space,
    "file size": file_size,
}
