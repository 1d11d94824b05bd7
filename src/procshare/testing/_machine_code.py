"""The machine code of the core in a traced process, of which nothing is run unseen."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from procshare.testing._tracer import BREAKPOINT, NotTraceable

if TYPE_CHECKING:
    from typing import Self

    from procshare.testing._tracer import Traced


class Text:
    """The machine code of the core in a traced process, of which nothing is run unseen.

    Args:
        traced: The process.
        file: The core's.
    """

    def __init__(self, traced: Traced, file: str) -> None:
        self.core: range = range(0)
        self.helpers: list[range] = []  # of the C library and the kernel, whom the core calls
        with open(f"/proc/{traced.pid}/maps") as lines:
            for line in lines:
                where, rights, *_, name = line.split(maxsplit=5)
                name = name.strip().removesuffix(" (deleted)")  # one that was built anew meanwhile
                if "x" not in rights:
                    continue
                first, last = (int(each, 16) for each in where.split("-"))
                if name == file:
                    self.core = range(first, last)
                elif name == "[vdso]" or os.path.basename(name).startswith(("libc.", "libc-", "ld-", "libpthread")):
                    self.helpers.append(range(first, last))
        if not self.core:
            raise NotTraceable(f"{file} is not among what the process has mapped")
        self._memory = os.open(f"/proc/{traced.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        self._code = os.pread(self._memory, len(self.core), self.core.start)
        self._traps = bytes([BREAKPOINT]) * len(self.core)

    def near(self, address: int) -> bool:
        """Whether what is at an address belongs to the core or is called by it."""
        return address in self.core or any(address in each for each in self.helpers)

    def read(self, address: int, length: int) -> bytes:
        """What is in its memory; nothing where there is none."""
        try:
            return os.pread(self._memory, length, address)
        except (OSError, OverflowError):
            return b""

    def trap(self, on: bool) -> None:
        """Make every instruction of the core a breakpoint, or itself again."""
        os.pwrite(self._memory, self._traps if on else self._code, self.core.start)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._memory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
