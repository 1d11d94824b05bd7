"""One trial, one process: what it finds comes back through a pipe, and whatever became of it the next is fresh."""

from __future__ import annotations

import faulthandler
import gc
import os
import pickle
import select
import signal
import struct
import time
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import procshare
from procshare.testing._processes import SHM, entries

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

CREATOR = 56  # where a header has the process id of who made the segment


class Failed(Exception):
    """A trial came to no good end; the message says how."""


def prepare() -> None:
    """Before the first trial: load and start all that trials would each have to."""
    from multiprocessing import resource_tracker

    from procshare.testing._kinds import KINDS, kept

    with _silence():  # it would tell of the names that the killed had told it and never made
        resource_tracker.ensure_running()
    for kind in KINDS.values():
        with kept(kind.make()) as x:
            kind.look(x)
            kind.use(x)
    gc.collect()
    gc.freeze()


@contextmanager
def _silence() -> Generator[None]:
    kept_open, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept_open, 2)
        os.close(kept_open)
        os.close(null)


def forked(call: Callable[[], Any], timeout: float) -> Any:
    """What a call returns that is made in a forked process.

    Raises:
        Failed: It raised, the process died, or it took too long.
    """
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _answer(call, theirs, timeout)
    os.close(theirs)
    try:
        said = _hear(ours, time.monotonic() + timeout + 5)
    finally:
        os.close(ours)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not said:
        raise Failed(f"the process that looked on ended with {code}")
    good, answer = pickle.loads(said)
    if not good:
        raise Failed(answer)
    return answer


def _hear(fd: int, deadline: float) -> bytes:
    said = b""
    while select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0]:
        if not (more := os.read(fd, 1 << 16)):
            return said
        said += more
    raise Failed("it hung")


def _answer(call: Callable[[], Any], to: int, timeout: float) -> None:
    faulthandler.dump_traceback_later(timeout, exit=True)  # a hang tells where
    gc.disable()
    try:
        try:
            said = pickle.dumps((True, call()))
        except Exception as error:  # noqa: BLE001 - it is told to the parent
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"
            said = pickle.dumps((False, text))
        view = memoryview(said)
        while view:
            view = view[os.write(to, view) :]
    finally:
        os._exit(0)


def left_by(pids: set[int]) -> list[str]:
    """What is still in /dev/shm of what these processes made, after a `prune()`."""
    procshare.prune()
    return sorted(name for name in entries() if _creator(name) in pids)


def _creator(name: str) -> int | None:
    try:
        with (SHM / name).open("rb") as file:
            found: int = struct.unpack_from("=I", file.read(CREATOR + 4), CREATOR)[0]
    except (OSError, struct.error):
        return None
    return found
