"""Every test leaves /dev/shm as it found it."""

from __future__ import annotations

import gc
import signal
from typing import TYPE_CHECKING

import pytest

from procshare.backends import native_built
from scripts import entries, left_since

if TYPE_CHECKING:
    from collections.abc import Iterator


pytest_plugins = ["procshare.testing.plugin"]

if not native_built():  # what is left are the tests of the standard library's backend, and of all that needs no backend
    _OF_CONTAINERS = "containers_concurrent containers_deaths containers_histories container_bytes container_lifetimes"
    _OF_SPACE = "container_memory container_order container_space container_trees"
    _OF_THE_CORE = (
        "bad_bytes chaos deaths docs examples forks full_memory leaks lifetimes locks mutation names plugin properties"
    )
    _OF_QUEUES = "channel_bytes queue_deaths queue_exits queue_handles queue_items queue_leases queue_model queue_plans"
    _OF_MOMENTS = "owners reentry threads damage_told fuzz_seeds docstrings"
    _OF_LOCKS = "sync_deaths sync_holders sync_waits"
    _ALL = f"{_OF_THE_CORE} {_OF_CONTAINERS} {_OF_SPACE} {_OF_QUEUES} {_OF_LOCKS} {_OF_MOMENTS}"
    collect_ignore = ["integration", *(f"test_{topic}.py" for topic in _ALL.split())]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Started in the background of a shell: the programs that the tests interrupt would inherit that they ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _nothing_left(procshare_clean: None) -> Iterator[None]:
    """Fail a test after which something of procshare's is left in /dev/shm, or a lock is held.

    `procshare_clean` looks at objects and locks of this process and its children. Here nothing may be left by
    programs that were no children either, and are dead.
    """
    if not native_built():
        yield
        return
    before = entries()
    yield
    if entries() <= before:
        return
    gc.collect()
    left = left_since(before)
    assert not left, f"left in /dev/shm: {sorted(left)}"
