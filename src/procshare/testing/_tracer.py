"""A process that is run instruction by instruction, or system call by system call: a small tracer over ptrace(2).

The traced process is forked from this one. It stops itself just before what it is to do and just after it; in between
its parent has it in hand. Linux on x86-64 only.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

TRACEME, PEEK, PEEKUSER, POKE, CONT, STEP, GETREGS, SETREGS, DETACH, SYSCALL, SETOPTIONS = (
    0,
    1,
    3,
    4,
    7,
    9,
    12,
    13,
    17,
    24,
    0x4200,
)
SYSGOOD, EXITKILL = 0x1, 0x100000
WALL = 0x40000000
RIP = 16 * 8  # where struct user has it
SYSCALL_CODE = b"\x0f\x05"
BREAKPOINT = 0xCC

# struct user_regs_struct
_REGISTERS = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip "
    "cs eflags rsp ss fs_base gs_base ds es fs gs"
)


class Registers(ctypes.Structure):
    """All registers of a stopped process."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in _REGISTERS.split()]
    rax: int
    rdi: int
    rsi: int
    rdx: int
    r10: int
    r8: int
    r9: int
    orig_rax: int
    rip: int
    rsp: int


class NotTraceable(Exception):
    """This machine, or its settings, lets no process trace another."""


class Gone(Exception):
    """The traced process ended before it should.

    Attributes:
        code: Its exit status; negative: the signal that killed it.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the traced process ended with {code}")
        self.code = code


def _ptrace() -> Any:
    call = ctypes.PyDLL(None).ptrace
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    call.restype = ctypes.c_long
    return call


_call: Any = _ptrace() if sys.platform == "linux" else None


def why_not() -> str | None:
    """Why no process can be traced here; None if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"the tracer is written for Linux on x86-64, and this is {sys.platform} on {platform.machine()}"
    try:
        with Traced(lambda: None) as traced:
            traced.step()
            traced.registers()
    except (NotTraceable, Gone, OSError) as error:
        return f"no process may be traced here ({error}); see ptrace(2) and /proc/sys/kernel/yama/ptrace_scope"
    return None


class Traced:
    """A forked process, stopped just before it calls *work*.

    Args:
        work: What it is to do.
        before: Called first, at full speed; *work* is called with what it returns, if it is given.
        after: Called when *work* has returned and the process was let go on, with what *work* returned or raised.
    """

    def __init__(
        self,
        work: Callable[..., object],
        before: Callable[[], Any] | None = None,
        after: Callable[..., object] | None = None,
    ) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            _live(work, before, after)
        self.ended: int | None = None
        self.finished = False  # it has come to the end of its work
        try:
            if self._wait() != signal.SIGSTOP:
                raise NotTraceable("the process did not stop when it should")
            if _call(SETOPTIONS, self.pid, None, SYSGOOD | EXITKILL) < 0:
                raise NotTraceable("ptrace was refused")
        except BaseException:
            self.kill()
            raise

    def _wait(self) -> int:
        _, status = os.waitpid(self.pid, WALL)
        if os.WIFSTOPPED(status):
            return os.WSTOPSIG(status)
        self.ended = os.waitstatus_to_exitcode(status)
        raise Gone(self.ended)

    def go(self, how: int, number: int = 0) -> int:
        """Let it go on until it stops, and say by which signal; its own SIGSTOP means that its work is done."""
        if _call(how, self.pid, None, number) < 0:
            raise NotTraceable("ptrace was refused")
        stopped = self._wait()
        if stopped == signal.SIGSTOP:
            self.finished = True
        return stopped

    def step(self) -> int:
        """One instruction, or one turn of one that repeats itself: the address of the next.

        Raises:
            Gone: It died of it.
        """
        stopped = self.go(STEP)
        if stopped not in (signal.SIGTRAP, signal.SIGSTOP):
            self.go(CONT, stopped)  # a fault, say: let it die of that
        rip: int = _call(PEEKUSER, self.pid, RIP, None)
        return rip

    def at(self) -> int:
        """The address of the next instruction."""
        rip: int = _call(PEEKUSER, self.pid, RIP, None)
        return rip

    def registers(self) -> Registers:
        """What the registers hold."""
        found = Registers()
        if _call(GETREGS, self.pid, None, ctypes.addressof(found)) < 0:
            raise NotTraceable("the registers cannot be read")
        return found

    def set_registers(self, registers: Registers) -> None:
        """Put these in their place."""
        _call(SETREGS, self.pid, None, ctypes.addressof(registers))

    def word(self, address: int) -> int:
        """The eight bytes at an address of its memory."""
        found: int = _call(PEEK, self.pid, address, None)
        return found & (1 << 64) - 1

    def run_to(self, address: int, visit: int) -> bool:
        """At full speed to the instruction at an address, at the *visit*-th time that it comes there; False: never."""
        seen = int(self.at() == address)
        code = self.word(address)
        trap = code & ~0xFF | BREAKPOINT
        while seen < visit:
            if self.at() == address and self.step() == address:  # one that repeats itself
                seen += 1
                continue
            _call(POKE, self.pid, address, trap)
            if self.go(CONT) != signal.SIGTRAP:
                return False
            _call(POKE, self.pid, address, code)
            self.step_back()
            seen += 1
        return True

    def step_back(self) -> int:
        """From behind a breakpoint to it: its address."""
        registers = self.registers()
        registers.rip -= 1
        self.set_registers(registers)
        return registers.rip

    def release(self) -> None:
        """Let it go on alone, when its work is done."""
        while not self.finished:
            self.go(CONT)
        _call(DETACH, self.pid, None, 0)

    def poll(self) -> bool:
        """Whether it has ended, after it was released."""
        if self.ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG | WALL)
            if pid and not os.WIFSTOPPED(status):
                self.ended = os.waitstatus_to_exitcode(status)
        return self.ended is not None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.ended is not None:
            return
        assert self.pid > 1
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(Gone):
            while True:
                self._wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()


def _tell() -> None:
    kind, error, trace = sys.exc_info()
    if kind is not None and error is not None:
        sys.excepthook(kind, error, trace)


def _live(work: Callable[..., object], before: Callable[[], Any] | None, after: Callable[..., object] | None) -> None:
    code, me, stop, kill = 70, os.getpid(), signal.SIGSTOP, os.kill
    outcome: Any = None
    try:
        given = () if before is None else (before(),)
        if _call(TRACEME, 0, None, None) < 0:
            os._exit(71)
        try:
            kill(me, stop)
            outcome = work(*given)
        except Exception as error:  # noqa: BLE001 - judged by whoever asked for the work
            outcome = error.with_traceback(None)  # which keeps nothing alive
            outcome.__context__ = None
        kill(me, stop)
        if after is not None:
            after(outcome, *given)
        elif isinstance(outcome, Exception):
            raise outcome
        code = 0
    finally:  # with what it raised told, if it did
        _tell()
        os._exit(code)
