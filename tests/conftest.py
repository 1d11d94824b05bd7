"""Every test leaves /dev/shm as it found it; tests that run side by side have one each."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import pytest

from procshare.backends import native_built
from procshare.testing._room import NotAllowed, private_shm
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
    _OF_MOMENTS = "refused_handles owners reentry threads damage_told fuzz_seeds docstrings messages"
    _OF_LOCKS = "sync_deaths sync_holders sync_waits"
    _ALL = f"{_OF_THE_CORE} {_OF_CONTAINERS} {_OF_SPACE} {_OF_QUEUES} {_OF_LOCKS} {_OF_MOMENTS}"
    collect_ignore = ["integration", *(f"test_{topic}.py" for topic in _ALL.split())]

QUICK = os.environ.get("PROCSHARE_TESTS") == "quick"
if QUICK:
    # CI has 15 minutes. Left to a whole run, `make test`: what `make demo` and `make types` do as well, the tests of
    # the tests, random damage, the conformance of the stdlib backend (below), and the short forms of the programs that
    # docs/reliability.md is about, whose parts the other tests try one by one.
    _LONG = "bench demo demo_channels mutation types bad_bytes channel_bytes container_bytes container_memory"
    _PROGRAMS = "chaos exits pressure scale steps sweep threads"
    collect_ignore = [
        *globals().get("collect_ignore", []),
        *(f"test_{topic}.py" for topic in f"{_LONG} {_PROGRAMS}".split()),
    ]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Started in the background of a shell: the programs that the tests interrupt would inherit that they ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: a worker for each processor where each can have a /dev/shm of its own, else none."""
    if os.geteuid() != 0:
        return 0  # in a user namespace, the tests of other users' files would be about nobody
    child = os.fork()
    if child == 0:
        try:
            private_shm()
        except NotAllowed:
            os._exit(1)
        os._exit(0)
    return (os.cpu_count() or 1) if os.waitpid(child, 0)[1] == 0 else 0


def pytest_configure(config: pytest.Config) -> None:
    """In one of several workers: mount a /dev/shm that the others do not see, for tests count what is in it."""
    if hasattr(config, "workerinput"):
        private_shm("size=50%")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Quickly: the conformance tests with the default backend alone."""
    if QUICK:
        left_out = [item for item in items if "conformance/" in item.nodeid and "[stdlib" in item.nodeid]
        config.hook.pytest_deselected(items=left_out)
        kept = set(items).difference(left_out)
        items[:] = [item for item in items if item in kept]


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
