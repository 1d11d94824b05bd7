"""The path of a traced process from one instruction to the next, and the moments on it that a death may tell apart."""

from __future__ import annotations

import signal
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from procshare.backends.shm.core import native
from procshare.testing._machine_code import Text
from procshare.testing._shared_files import SharedFiles
from procshare.testing._tracer import CONT, SYSCALL, SYSCALL_CODE, Gone, Traced

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

KILL = 62  # the number of the system call
CALLS = {
    0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 5: "fstat", 6: "lstat", 8: "lseek", 9: "mmap",
    10: "mprotect", 11: "munmap", 12: "brk", 16: "ioctl", 17: "pread64", 18: "pwrite64", 24: "sched_yield",
    28: "madvise", 35: "nanosleep", 39: "getpid", 62: "kill", 72: "fcntl", 77: "ftruncate", 87: "unlink",
    91: "fchmod", 102: "getuid", 107: "geteuid", 137: "statfs", 186: "gettid", 202: "futex", 217: "getdents64",
    228: "clock_gettime", 230: "clock_nanosleep", 257: "openat", 262: "newfstatat", 263: "unlinkat",
    265: "linkat", 285: "fallocate", 318: "getrandom", 324: "membarrier", 332: "statx", 449: "futex_waitv",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """An instruction, when a process comes there for the *visit*-th time."""

    address: int
    visit: int


@dataclass(frozen=True)
class Moment:
    """Just before an instruction.

    Attributes:
        number: Of this moment on its path, from 0.
        why: "store", or "before" or "after" and a system call.
        anchor: The core's instruction after which, or with which, it was last stepped; if any was.
        place: The instruction itself, by its visits since the anchor.
        apart: How many shared files there are then, and in how many words they are no longer what they were.
        closely: Whether the path was stepped through the interpreter, too.
    """

    number: int
    why: str
    anchor: Place | None
    place: Place
    apart: tuple[int, int]
    closely: bool


@dataclass
class Path:
    """All moments that count on the way through a call.

    Attributes:
        steps: How many instructions of the core's it has, and of what it calls in the C library.
        stores: How many of them changed bytes that are shared.
        calls: How many were system calls.
        unseen: Shared bytes were changed by others than these, so that each of the interpreter's must be looked at.
    """

    steps: int = 0
    stores: int = 0
    calls: int = 0
    unseen: bool = False
    moments: list[Moment] = field(default_factory=list[Moment])


class Follower:
    """Goes with a traced process: by steps through the core, and at full speed, but for system calls, through all else.

    While it is not stepped, each instruction of the core is a breakpoint. And if shared bytes are changed meanwhile,
    the path says so.

    Args:
        traced: The process.
        to: The number of the moment to stop at; to the end of its work if it is None.
        closely: Step through all else, too.
    """

    def __init__(self, traced: Traced, to: int | None = None, closely: bool = False) -> None:
        self.path = Path()
        self._traced, self._to, self._closely = traced, to, closely
        self._visits = defaultdict[int, int](int)  # of the core's instructions
        self._since = defaultdict[int, int](int)  # of all, since the anchor
        self._is_call = dict[int, bool]()
        self._anchor: Place | None = None
        self._left = self._here = 0  # where it was in the core last, and where it is

    def follow(self) -> Path:
        """Go.

        Raises:
            Gone: The process died.
        """
        with SharedFiles(self._traced.pid) as self._files, Text(self._traced, native.__file__) as self._text:
            self._first = self._files.glimpse()
            self._last: list[bytes] = list(self._first.contents)
            self._apart = self._first.apart(self._first)
            self._here = self._traced.at()
            going = True
            while going:
                going = self._step() if self._closely or self._text.near(self._here) else self._run()
        return self.path

    def _note(self, why: str, address: int) -> bool:
        place = Place(address, self._since[address] + 1)
        self.path.moments.append(Moment(len(self.path.moments), why, self._anchor, place, self._apart, self._closely))
        return len(self.path.moments) - 1 != self._to

    def _changed(self) -> bool:
        now = self._files.contents()
        if now == self._last:
            return False
        self._last, self._apart = now, self._files.glimpse().apart(self._first)
        return True

    def _step(self) -> bool:
        """One instruction; False at the end."""
        here = self._here
        if here not in self._is_call:
            self._is_call[here] = self._traced.word(here).to_bytes(8, "little").startswith(SYSCALL_CODE)
        call = call_at(self._traced) if self._is_call[here] else None
        if call == "" or (call and not self._note(f"before {call}", here)):
            return False
        if here in self._text.core:
            self._left = here
        self._visits[here] += 1
        self._since[here] += 1
        self._here = self._traced.step()
        if self._traced.finished:
            raise Gone(0)
        self.path.steps += 1
        if call:
            self.path.calls += 1
            self._files.look_again()
        if self._changed():
            self.path.stores += 1
            return self._note(f"after {call}" if call else "store", self._here)
        return not call or self._note(f"after {call}", self._here)

    def _run(self) -> bool:
        """Through what is not the core, to the next of its instructions; False at the end."""
        if self._left:
            self._anchor = Place(self._left, self._visits[self._left])
            self._since.clear()
        self._text.trap(True)
        call = None
        while True:
            stopped = self._traced.go(SYSCALL)
            registers = self._traced.registers()
            at = registers.rip - len(SYSCALL_CODE)
            if stopped == signal.SIGTRAP and registers.rip - 1 in self._text.core:
                break
            if stopped != signal.SIGTRAP | 0x80:
                self._traced.go(CONT, stopped)
                raise Gone(-stopped)
            if call is None:
                self.path.unseen |= self._changed()
                call = call_at(self._traced, registers.orig_rax)
                if call == "" or not self._note(f"before {call}", at):
                    return False
                self._since[at] += 1
                continue
            self.path.calls += 1
            self._files.look_again()
            self.path.stores += self._changed()
            if not self._note(f"after {call}", registers.rip):
                return False
            self._since[registers.rip] += 1
            call = None
        self.path.unseen |= self._changed()
        self._text.trap(False)
        self._here = self._traced.step_back()
        self._since.clear()
        self._anchor = Place(self._here, self._visits[self._here] + 1)
        return True


def follow(traced: Traced, to: Moment | None = None, closely: bool = False) -> Path:
    """Go with a process to the end of its work, or to a moment, and say what was on the way."""
    if to is None:
        return Follower(traced, None, closely).follow()
    return Follower(traced, to.number, to.closely).follow()


def call_at(traced: Traced, number: int | None = None) -> str:
    """The name of the system call that it is about to make; none if that is to say that its work is done."""
    registers = traced.registers()
    number = registers.rax if number is None else number
    if number == KILL and registers.rdi == traced.pid and registers.rsi == signal.SIGSTOP:
        return ""
    return CALLS.get(number, f"call {number}")


def bring(traced: Traced, moment: Moment) -> bool:
    """Run to a moment at full speed; whether it came there, and the shared bytes changed as much as they should."""
    with SharedFiles(traced.pid) as files:
        first = files.glimpse()
        try:
            for place in (moment.anchor, moment.place):
                if place is not None and not traced.run_to(place.address, place.visit):
                    return False
        except Gone:
            return False
        files.look_again()
        return files.glimpse().apart(first) == moment.apart


def thinned(moments: Sequence[Moment], most: int) -> list[Moment]:
    """All moments, but of what one instruction stores again and again only some: first, last, and evenly between."""
    by_place = defaultdict[tuple[str, int], list[Moment]](list)
    for each in moments:
        by_place[each.why, each.place.address if each.why == "store" else each.number].append(each)
    return sorted((each for found in by_place.values() for each in spread(found, most)), key=lambda each: each.number)


def spread(found: Sequence[T], most: int) -> list[T]:
    """So many of them, the first and the last among them, evenly."""
    if len(found) <= most:
        return list(found)
    if most == 1:
        return [found[-1]]
    return [found[round(n * (len(found) - 1) / (most - 1))] for n in range(most)]
