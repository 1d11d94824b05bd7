"""What a test left behind: shared objects that were not there before it, and locks that are still held.

Only what this process and its children made or hold is looked for: another test run on the same machine, or another
worker of pytest-xdist, has segments of its own. Whose a segment is, is its creator's process id while the creator
lives; when it is dead, the processes that are attached, or the resource tracker that answers for the segment, which a
process shares with its children.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from procshare.testing._processes import entries, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procshare import SegmentInfo

PATIENCE = 3.0  # seconds that processes which are about to end get for it


class Left(NamedTuple):
    """One thing that was left behind."""

    told: str
    """What it is, whose, and what to do."""
    final: bool
    """Only this process could still change it, so there is nothing to wait for."""


class Watch:
    """What there is now, to be compared with what there is later."""

    def __init__(self) -> None:
        self._entries = entries()
        self._looked = _core() is not None
        seen = _segments() if self._looked and self._entries else []
        own: set[str] = _core().objects() if self._looked else set()
        self._names = own | {info.name for info in seen}
        self._held = {(info.name, info.holder) for info in seen if info.holder} | {(name, None) for name in _holds()}

    def new(self) -> list[SegmentInfo]:
        """The objects of this process and its children that were made since, and are still there."""
        there = entries()
        if not there or (_core() is None and there <= self._entries):
            return []
        tree = _Tree()
        return [info for info in _segments() if self._made_since(info) and tree.made(info)]

    def left(self) -> list[Left]:
        """The same, as what should have been removed; and the locks that were not held before."""
        tree = _Tree()
        made = [_leaked(info, tree) for info in self.new()]
        return [*made, *self._locks(tree)]

    def settled(self) -> list[Left]:
        """The same, after garbage was collected, and after what other processes needed to end."""
        if not self.left():
            return []
        gc.collect()
        found: list[Left] = []

        def nothing_changes() -> bool:
            found[:] = self.left()
            return all(each.final for each in found)

        until(nothing_changes, PATIENCE)
        return found

    def _made_since(self, info: SegmentInfo) -> bool:
        if info.segment in self._entries and not self._looked:
            return False
        return info.name not in self._names

    def _locks(self, tree: _Tree) -> Iterator[Left]:
        for name, how in _holds().items():
            if (name, None) not in self._held:
                yield Left(f"{how} {name!r} is held by this process; leave its block or release() it", True)
        if not entries() or _core() is None:
            return
        for info in _segments():
            pid = info.holder
            if pid and pid != os.getpid() and (info.name, pid) not in self._held and tree.has(pid):
                yield Left(
                    f"{_locked(info.kind)} {info.name!r} is held by {_named(pid)}; end that or let it release", False
                )


class _Tree:
    """This process and its descendants, as they are at one moment."""

    def __init__(self) -> None:
        self._known = {os.getpid(): True, 0: False, 1: os.getpid() == 1}

    def has(self, pid: int) -> bool:
        """Whether a process is one of them; a dead one is none."""
        if pid not in self._known:
            self._known[pid] = False  # whatever happens to it meanwhile
            self._known[pid] = self.has(_parent(pid))
        return self._known[pid]

    def made(self, info: SegmentInfo) -> bool:
        """Whether an object is theirs."""
        creator = info.owner or _creator(info.segment)
        attached = any(map(self.has, info.attached))
        if _alive(creator):
            if info.kind == "slab":
                return False  # nothing in it is left; it goes with its last unexported object
            return self.has(creator) or (info.owner is None and attached)
        return attached or (not info.attached and _answered_for_here(info.segment))


def _leaked(info: SegmentInfo, tree: _Tree) -> Left:
    creator = info.owner or _creator(info.segment)
    final = creator == os.getpid() and set(info.attached) <= {os.getpid()}
    others = sorted(set(info.attached) - {creator})
    attached = f", attached in {', '.join(map(_named, others))}" if others else ""
    held = ", and its lock is held" if info.holder is not None and tree.has(info.holder) else ""
    what = f"{info.kind} {info.name!r} is left{held}; leave its `with` block or unlink() it"
    facts = f"made by {_named(creator)}{attached}; {info.size:,} bytes of segment {info.segment}"
    return Left(f"{what} ({facts})", final)


def _named(pid: int) -> str:
    if pid == os.getpid():
        return "this process"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"process {pid}, which is gone" if pid else "a process that is gone"
    shown = b" ".join(words).decode(errors="replace").strip()
    return f"process {pid} ({shown[:57]}...)" if len(shown) > 60 else f"process {pid} ({shown})"


def has_core() -> bool:
    """Whether there can be segments at all: the compiled core was installed."""
    spec = find_spec("procshare._native")
    return spec is not None and spec.origin is not None  # else it is only the folder of its sources


# ---- the core, where it is loaded or something is there to look at ----


def _core() -> Any:
    module: Any = sys.modules.get("procshare.backends.shm.core")
    return None if module is None else module.native


def _segments() -> list[SegmentInfo]:
    from procshare import segments

    return segments()


def _holds() -> dict[str, str]:
    core = _core()
    if core is None:
        return {}
    from procshare.backends.shm.looking import KINDS

    found: dict[str, str] = {}
    for name, number, only_read in core.holds():
        what = _locked(KINDS[number])
        found[name] = f"{what}, for reading," if only_read else what
    return found


def _locked(kind: str) -> str:
    return kind if "lock" in kind else f"the lock of {kind}"


def _creator(segment: str) -> int:
    from procshare.backends.shm.core import native

    try:
        return native.inspect(segment)[3]
    except (OSError, ValueError, TypeError):
        return 0  # gone meanwhile


def _answered_for_here(segment: str) -> bool:
    from procshare.backends.shm.core import native
    from procshare.backends.shm.segment import tracker_id

    with suppress(OSError, ValueError, TypeError):
        return native.tracker_of(segment) == tracker_id() != 0
    return False


def _alive(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()


def _parent(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(status.rpartition(")")[2].split()[1])
