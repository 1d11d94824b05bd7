"""Clean-up that talks to the stdlib's resource tracker, kept out of the tracker's own calls.

A handle in a reference cycle is freed whenever Python collects garbage, which can be in the middle of a call to the
tracker. Calling it again from there is a deadlock on Python 3.11 and a warning and a leak on 3.12. So what a backend
has to release is put aside while one of its own calls is at work, and done at the end of that call.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class _Busy(threading.local):
    now = False


_busy = _Busy()
_put_aside: deque[Callable[[], object]] = deque()


@contextmanager
def tracking() -> Generator[None]:
    """For a block that may call the resource tracker."""
    outermost = not _busy.now
    _busy.now = True
    try:
        yield
    finally:
        if outermost:
            _busy.now = False
            release()


def release(work: Callable[[], object] | None = None) -> None:
    """Do *work*, now or after the `tracking()` block that this call was made in the middle of."""
    if work is not None:
        _put_aside.append(work)
    if _busy.now:
        return
    _busy.now = True
    try:
        while _put_aside:
            _put_aside.popleft()()
    finally:
        _busy.now = False


def _renew() -> None:
    # In a forked child: another thread of the parent may have been in the middle of a call to the tracker, whose lock
    # would stay taken here for ever; and what was put aside is for the parent to release.
    _put_aside.clear()
    module: Any = sys.modules.get("multiprocessing.resource_tracker")
    lock: Any = getattr(getattr(module, "_resource_tracker", None), "_lock", None)
    if lock is not None and not _busy.now:  # else this very thread forked in the middle of a call, and goes on with it
        lock._at_fork_reinit()


os.register_at_fork(after_in_child=_renew)
