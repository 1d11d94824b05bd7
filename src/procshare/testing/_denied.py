"""System calls that fail: which of a traced process's are the core's, how each may fail, and letting one fail."""

from __future__ import annotations

import errno
import os
import signal
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from procshare.backends.shm.core import native
from procshare.testing._machine_code import Text
from procshare.testing._stepping import CALLS, call_at
from procshare.testing._tracer import CONT, SYSCALL, Gone, Traced

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_RESULT = (1 << 64) - errno.ENOSYS  # what stands for the result of a call that is about to be made
STACK = 320  # bytes of it among which is the address that a call of the C library returns to
EMPTY_PATH = 0x1000  # the file is what the descriptor leads to
AFTER_ALL = {"close", "munmap"}  # these do their work even where they say that they failed
# Left out is fstat, which fails on no descriptor that is open; what comes of closed ones is another program's matter.
FAILURES: dict[str, Sequence[str]] = {
    "open": ("ENOENT", "EACCES", "EMFILE", "ENFILE", "ENOMEM", "EINTR", "ENOSPC", "EIO"),
    "close": ("EINTR", "EIO"),
    "lstat": ("EACCES", "ENOMEM"),
    "mmap": ("ENOMEM", "EAGAIN", "EACCES", "ENFILE", "EPERM"),
    "munmap": ("ENOMEM",),
    "madvise": ("ENOMEM", "EINVAL", "EAGAIN", "ENOSYS"),
    "pread64": ("EINTR", "EIO", "ENOMEM"),
    "pwrite64": ("EINTR", "EIO", "ENOSPC", "ENOMEM", "EAGAIN"),
    "write": ("EINTR", "EPIPE", "EIO"),
    "fcntl": ("EINTR", "ENOLCK", "EACCES", "EAGAIN", "EINVAL", "EPERM"),
    "ftruncate": ("EINTR", "EIO", "ENOSPC", "EPERM"),
    "fallocate": ("EINTR", "EIO", "ENOSPC", "ENOMEM", "EOPNOTSUPP", "ENOSYS", "EPERM"),
    "fchmod": ("EPERM", "EIO"),
    "unlink": ("EPERM", "EACCES", "EIO", "EBUSY", "ENOMEM"),
    "linkat": ("ENOSPC", "ENOMEM", "EACCES", "EPERM", "EIO", "ENOSYS"),
    "statfs": ("EINTR", "EIO", "ENOSYS", "EACCES"),
    "getrandom": ("EINTR", "ENOSYS"),
    "futex": ("EINTR", "EAGAIN", "ENOMEM", "ENOSYS"),
    "futex_waitv": ("EINTR", "EAGAIN", "ENOSYS"),
    "membarrier": ("ENOSYS", "EPERM"),
    "clock_nanosleep": ("EINTR",),
    "getdents64": ("EIO", "ENOMEM"),
}
ALIKE = {"openat": "open", "newfstatat": "lstat", "stat": "lstat", "statx": "lstat", "unlinkat": "unlink"}


@dataclass(frozen=True)
class Denial:
    """A system call that fails.

    Attributes:
        number: Of the call, among the core's of an operation, from 0.
        call: What it is called.
        error: How it fails, "EIO" or the like.
        lasting: All such calls after it fail likewise.
    """

    number: int
    call: str
    error: str
    lasting: bool

    def __str__(self) -> str:
        return f"{self.call}:{self.error}{'...' if self.lasting else ''}"


def ways(calls: Sequence[str]) -> list[Denial]:
    """Every way in which one of these calls may fail."""
    return [
        Denial(number, call, error, lasting)
        for number, call in enumerate(calls)
        for error in FAILURES[call]
        for lasting in (False, True)
        if not (lasting and error == "EINTR")
    ]


def run(traced: Traced, denial: Denial | None = None) -> list[str]:
    """Let it do its work, and one of the core's system calls fail; the names of all of these calls.

    Raises:
        Gone: It died.
    """
    seen = list[str]()
    with Text(traced, native.__file__) as text:
        while True:
            stopped = traced.go(SYSCALL)
            if stopped != signal.SIGTRAP | 0x80:
                traced.go(CONT, stopped)
                raise Gone(-stopped)
            registers = traced.registers()
            if registers.rax != NO_RESULT:
                continue  # the end of one that was begun before
            name = call_at(traced, registers.orig_rax)
            if name == "":
                return seen
            if name == "newfstatat" and registers.r10 & EMPTY_PATH:
                name = "fstat"
            name = ALIKE.get(name, name)
            call = name if name in FAILURES and _counts(traced, text) else None
            if call is not None:
                seen.append(call)
            if denial is None or call != denial.call or not _due(denial, len(seen) - 1):
                traced.go(SYSCALL)  # to its end
                continue
            if call not in AFTER_ALL:
                registers.orig_rax = (1 << 64) - 1  # no call at all
                traced.set_registers(registers)
            traced.go(SYSCALL)
            registers = traced.registers()
            registers.rax = (1 << 64) - getattr(errno, denial.error)
            traced.set_registers(registers)


def _due(denial: Denial, number: int) -> bool:
    return number >= denial.number if denial.lasting else number == denial.number


def _counts(traced: Traced, text: Text) -> bool:
    """Whether the call that it is about to make is the core's, or on a file in /dev/shm, or to the resource tracker."""
    registers = traced.registers()
    name = CALLS[registers.orig_rax]
    stack = text.read(registers.rsp, STACK)
    if any(each in text.core for (each,) in struct.iter_unpack("=Q", stack[: len(stack) // 8 * 8])):
        return True
    if name in ("open", "openat", "stat", "lstat", "newfstatat", "unlink", "unlinkat", "statfs"):
        at = registers.rsi if name in ("openat", "newfstatat", "unlinkat") else registers.rdi
        return text.read(at, 8) == b"/dev/shm"
    if name in ("getdents64", "fstat", "close", "pread64", "pwrite64", "ftruncate", "fallocate"):
        return _leads_to(traced, registers.rdi).startswith("/dev/shm")
    return name == "write" and _leads_to(traced, registers.rdi).startswith("pipe:")


def _leads_to(traced: Traced, fd: int) -> str:
    try:
        return os.readlink(f"/proc/{traced.pid}/fd/{fd & 0xFFFFFFFF}")
    except OSError:
        return ""
