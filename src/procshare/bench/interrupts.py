"""Ctrl-C while processes are being started."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def interrupts_held_back() -> Generator[None]:
    """Deliver a Ctrl-C after the block, so that no process is started that nobody knows of.

    The processes inherit the mask, so that one that is still importing prints no traceback either.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
