"""What is left after each way to end, what strangers can destroy, and what the standard library does in their place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from death_support import check, forked
from procshare import SharedCounter, SharedLock, SharedValue, segments
from procshare.backends import native_built
from procshare.testing.exit_table import WAYS
from procshare.testing.exits import survive
from procshare.testing.kinds import KINDS
from scripts import run

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not native_built(), reason="the compiled core is not installed")


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_and_nobody_is_hurt(way: str) -> None:
    """All types, in all sorts of life; whoever is attached goes on."""
    assert survive(WAYS[way], list(KINDS)).problems == []


@pytest.mark.parametrize("make", [SharedLock, SharedCounter, lambda: SharedValue("x")])
def test_a_forked_child_is_seated_in_what_its_parent_gave_away(make: Callable[[], Any]) -> None:
    """Also in a slab that holds nothing else: else its parent's exit would take it from under the child."""
    given = make()
    given.hand_over()
    assert forked(lambda: check(seated(given.name) == {os.getpid(), os.getppid()})) == 0
    given.close()


def seated(name: str) -> set[int]:
    """Who is attached, by the kernel's word."""
    return {pid for info in segments() if info.name == name for pid in info.attached}


def test_the_tracker_is_told_also_when_nothing_can_be_imported_any_more() -> None:
    """The last one out may be a handle that goes with the interpreter, after all modules."""
    source = """
from multiprocessing import util
from procshare.backends.shm import segment
def late():
    sys.modules.clear()
    sys.meta_path = None
    say(segment.tracker_id() > 0)
kept = SharedCounter()
kept.name
util.Finalize(None, late, exitpriority=-200)
"""
    ended = run(source)
    assert ended.out == "True\n", ended.err
