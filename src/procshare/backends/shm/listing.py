"""What exists in /dev/shm, told without attaching to it, and clearing away what nobody uses."""

from __future__ import annotations

import os
import time
from typing import Any

from procshare._errors import CorruptSegment, NotFound, NotOwned, VersionMismatch
from procshare._segments import SegmentInfo, SegmentStats
from procshare.backends.shm.core import native

SHM = "/dev/shm"
_STATE = "slab", "counter", "value", "array", "dict", "list", "set", "namespace"
_CHANNELS = "queue", "lock", "rlock", "semaphore", "bounded_semaphore", "event", "condition", "barrier", "rwlock"
KINDS = dict(enumerate((*_STATE, *_CHANNELS), start=1))  # enum kind in _native/layout.h
SHARED, PERSIST = 2, 4  # header flags, see _native/layout.h
FORGOTTEN = 3600  # seconds after which a handed-over object that nobody attached is cleared away unasked
SLOT_SIZE = 128


def segments(all_users: bool) -> list[SegmentInfo]:
    """Every exported object of this user, or of all."""
    found = [info for name in _mine() for info in _describe(name)]
    if all_users:
        listed = {info.segment for info in found}
        found += [info for name in _names() if name not in listed for info in _outline(name)]
    return sorted(found)


def stats(name: str | None) -> list[SegmentStats] | SegmentStats:
    """The counts of every object of this user, or of one."""
    found = [SegmentStats(each.name, each.kind, None, None, 0, 0, 0, False) for each in segments(all_users=False)]
    if name is None:
        return found
    for each in found:
        if each.name == name:
            return each
    raise NotFound(name)


def prune(dry_run: bool) -> list[SegmentInfo]:
    """Unlink every segment that nobody is attached to and nothing keeps."""
    return sweep(dry_run, forgotten=0)


def _names() -> list[str]:
    try:
        return [name for name in os.listdir(SHM) if name.startswith(("procshare-", "procshare."))]
    except OSError:
        return []


def _mine() -> list[str]:
    return [name for name in _names() if name.startswith(("procshare-", f"procshare.{os.geteuid()}."))]


def _public(name: str) -> str:
    """What the handles of an object in a segment of its own call it."""
    return name if name.startswith("procshare-") else name.split(".", 2)[-1]


def _describe(name: str) -> list[SegmentInfo]:
    try:
        number, size, flags, creator, pids, _handed, _in_flight, _id, claims, objects = native.inspect(name)
    except (NotFound, NotOwned, CorruptSegment, VersionMismatch, OSError):
        return []  # gone meanwhile, or none of ours
    owner = None if flags & SHARED or (claims and KINDS[number] != "slab") else creator
    persist = bool(flags & PERSIST)
    attached = tuple(sorted(set(pids)))

    def info(shown: str, kind: str, size: int, holder: int) -> SegmentInfo:
        return SegmentInfo(
            shown, name, kind, size, owner, attached, holder or None, persist, "", os.geteuid(), None, None
        )

    if KINDS[number] != "slab":
        return [info(_public(name), KINDS[number], size, objects[0][3] if objects else 0)]
    listed = [
        info(f"{name}#{slot}.{generation}", KINDS[kind], SLOT_SIZE, holder)
        for slot, generation, kind, holder in objects
        if kind in KINDS
    ]
    return listed or [info(name, "slab", size, 0)]


def _outline(name: str) -> list[SegmentInfo]:
    """What is known of a segment that cannot be read, or of none."""
    try:
        seen = os.stat(f"{SHM}/{name}", follow_symlinks=False)
    except OSError:
        return []
    return [
        SegmentInfo(_public(name), name, "unknown", seen.st_size, None, (), None, False, "", seen.st_uid, None, None)
    ]


def sweep(dry_run: bool, forgotten: float) -> list[SegmentInfo]:
    """Unlink what nobody is attached to and nothing keeps; what was handed over only after so many seconds."""
    gone: list[SegmentInfo] = []
    while found := _sweep_once(dry_run, forgotten):
        gone += found
        if dry_run:
            break
    return gone  # again while anything went: what that had claimed may go now


def _sweep_once(dry_run: bool, forgotten: float) -> list[SegmentInfo]:
    found: dict[str, Any] = {}
    for name in _mine():
        try:
            found[name] = native.inspect(name)
        except (NotFound, NotOwned, CorruptSegment, VersionMismatch):
            pass
        except OSError:
            return []  # no descriptor is left, say: what cannot be looked at may keep others
    ids = {seen[7] for seen in found.values()}
    gone: list[SegmentInfo] = []
    for name, (number, size, flags, creator, pids, handed, in_flight, _id, claims, _objects) in found.items():
        if pids or flags & PERSIST or (in_flight and time.time() - handed < forgotten):
            continue
        if ids.intersection(claims):  # a container keeps it, and takes it along when it goes
            continue
        owner = None if flags & SHARED else creator
        info = SegmentInfo(name, name, KINDS[number], size, owner, (), None, False, "", os.geteuid(), None, None)
        if dry_run or native.reap(name):
            gone.append(info)
    return gone
