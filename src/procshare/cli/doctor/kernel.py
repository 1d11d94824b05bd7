"""What the native core asks of the kernel, each tried in /dev/shm: a sandbox may refuse what the kernel has."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
import sys
from typing import TYPE_CHECKING

from procshare.cli.doctor.finding import Finding, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOPIC = "kernel"
SHM = "/dev/shm"
_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98}  # the number of the system call
_FUTEX_WAKE = 1
_BYTES = 4096


def look_at_kernel() -> Iterator[Finding]:
    """Unnamed files, reserving memory, locks of an open file description, futexes, /proc."""
    yield Finding(TOPIC, "release", "ok", f"{platform.system()} {platform.release()}", data=platform.release())
    if sys.platform != "linux":
        return
    yield _tried("O_TMPFILE", "unnamed files in /dev/shm", _unnamed)
    yield _tried("fallocate", "memory can be reserved", _reserve)
    yield _tried("OFD locks", "the kernel tells who is alive", _ofd_lock)
    yield _tried("futex", "waiting without polling", _futex)
    yield _proc()


def _tried(name: str, good: str, attempt: Callable[[], bool | None]) -> Finding:
    try:
        known = attempt()
    except OSError as error:
        return Finding(TOPIC, name, *_refused(error), data=False)
    if known is None:
        return Finding(TOPIC, name, "note", "not tried on this kind of machine")
    return Finding(TOPIC, name, "ok", good, data=True)


def _refused(error: OSError) -> tuple[State, str, str]:
    if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        hint = "the kernel is too old, or a sandbox forbids it (docker run --security-opt seccomp=…)"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "/dev/shm is full: procshare prune, or docker run --shm-size=1g"
    else:
        hint = "procshare needs Linux 3.15 or later, and a tmpfs at /dev/shm"
    return "fail", f"refused: {error.strerror}", hint


def _open_unnamed() -> int:
    return os.open(SHM, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _unnamed() -> bool:
    os.close(_open_unnamed())
    return True


def _reserve() -> bool:
    descriptor = _open_unnamed()
    try:
        os.posix_fallocate(descriptor, 0, _BYTES)
    finally:
        os.close(descriptor)
    return True


def _ofd_lock() -> bool:
    """Another description of the same file must not get a byte that this one has locked."""
    first = _open_unnamed()
    try:
        second = os.open(f"/proc/self/fd/{first}", os.O_RDWR | os.O_CLOEXEC)
        try:
            request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
            fcntl.fcntl(first, fcntl.F_OFD_SETLK, request)
            try:
                fcntl.fcntl(second, fcntl.F_OFD_SETLK, request)
            except (BlockingIOError, PermissionError):
                return True
            raise OSError(errno.ENOLCK, "two have the same lock")
        finally:
            os.close(second)
    finally:
        os.close(first)


def _futex() -> bool | None:
    number = _FUTEX.get(platform.machine())
    if number is None:
        return None
    library = ctypes.CDLL(None, use_errno=True)
    word = ctypes.c_uint32(0)
    if library.syscall(number, ctypes.byref(word), _FUTEX_WAKE, 1, None, None, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True


def _proc() -> Finding:
    if os.path.exists("/proc/self/fd"):
        return Finding(TOPIC, "/proc", "ok", "mounted", data=True)
    hint = "mount -t proc proc /proc: a forked child opens its segments anew through /proc/self/fd"
    return Finding(TOPIC, "/proc", "fail", "not mounted", hint, data=False)
