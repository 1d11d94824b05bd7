"""What exists in /dev/shm, told without attaching to it, and clearing away what nobody uses."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from procshare._errors import CorruptSegment, NotFound, NotOwned, VersionMismatch
from procshare._segments import SegmentInfo, SegmentStats
from procshare.backends.shm import notices
from procshare.backends.shm.core import native
from procshare.backends.shm.looking import ABROAD, PERSIST, Found, Look, look, value_type
from procshare.backends.shm.names import locate, mine, public_name

SHM = "/dev/shm"
FORGOTTEN = 3600  # seconds after which a handed-over object that nobody attached is cleared away unasked
SLOT_SIZE = 128
UNREADABLE = NotFound, NotOwned, CorruptSegment, VersionMismatch


# ---- segments() ----


def segments(all_users: bool) -> list[SegmentInfo]:
    """Every exported object of this user, or of all."""
    if all_users:
        return sorted(info for name in _names() for info in _describe(name, foreign=True) or _outline(name))
    return sorted(info for name in _mine() for info in _describe(name, foreign=False))


def _names() -> list[str]:
    try:
        return [name for name in os.listdir(SHM) if name.startswith(("procshare-", "procshare."))]
    except OSError:
        return []


def _mine() -> list[str]:
    return [name for name in _names() if name.startswith(mine()) and _user(name) in (None, os.geteuid())]


def _user(name: str) -> int | None:
    """Whose file it is, by number; None: it is gone."""
    try:
        return os.stat(f"{SHM}/{name}", follow_symlinks=False).st_uid
    except OSError:
        return None


def _describe(name: str, foreign: bool) -> list[SegmentInfo]:
    try:
        seen = look(name, foreign)
    except (*UNREADABLE, OSError):
        return []  # gone meanwhile, or none of ours
    return [_info(name, seen, each) for each in _objects(seen)] or [_whole(name, seen)]


def _objects(seen: Look) -> list[Found]:
    return [each for each in seen.objects if each.kind]


def _shown(name: str, found: Found) -> str:
    return f"{name}#{found.slot}.{found.generation}" if found.slot else public_name(name)


def _info(name: str, seen: Look, found: Found) -> SegmentInfo:
    kind = found.kind if seen.kind == "slab" else seen.kind
    return _whole(name, seen)._replace(
        name=_shown(name, found),
        kind=kind,
        size=SLOT_SIZE if found.slot else seen.size,
        holder=found.holder or None,
        type=value_type(found.code) if kind == "value" else seen.type,
        age=_age(found.created),
        holder_for=max(time.monotonic_ns() - found.since, 0) / 1e9 if found.holder and found.since else None,
    )


def _whole(name: str, seen: Look) -> SegmentInfo:
    attached = tuple(sorted(set(seen.pids)))
    persist = bool(seen.flags & PERSIST)
    age = _age(seen.created)
    shown = public_name(name)
    return SegmentInfo(shown, name, seen.kind, seen.size, seen.owner, attached, None, persist, "", seen.user, age, None)


def _age(created: int) -> float | None:
    return max(time.time_ns() - created, 0) / 1e9 if created else None


def _outline(name: str) -> list[SegmentInfo]:
    """What the file system tells of what cannot be read, or is no segment."""
    try:
        seen = os.stat(f"{SHM}/{name}", follow_symlinks=False)
    except OSError:
        return []
    shown = public_name(name)
    return [SegmentInfo(shown, name, "unknown", seen.st_size, None, (), None, False, "", seen.st_uid, None, None)]


# ---- stats() ----


def stats(name: str | None) -> list[SegmentStats] | SegmentStats:
    """The counts of every object of this user, or of one."""
    if name is None:
        return sorted(found for segment in _mine() for found in _stats_in(segment))
    segment, index, generation = locate(name)
    for found in look(segment).objects:
        if found.slot == index and found.kind and (index == 0 or found.generation == generation):
            return _stats_of(segment, found)
    raise NotFound(name)


def _stats_in(segment: str) -> list[SegmentStats]:
    try:
        return [_stats_of(segment, found) for found in _objects(look(segment))]
    except (*UNREADABLE, OSError):
        return []


def _stats_of(segment: str, found: Found) -> SegmentStats:
    return SegmentStats(_shown(segment, found), found.kind, found.changes, found.length, *found.counts, found.waiting)


# ---- prune(), and the same unasked ----


def prune(dry_run: bool) -> list[SegmentInfo]:
    """Unlink every segment that nobody is attached to and nothing keeps."""
    return sweep(dry_run, forgotten=0)


def sweep(dry_run: bool, forgotten: float) -> list[SegmentInfo]:
    """Unlink what nobody is attached to and nothing keeps; what was handed over only after so many seconds."""
    gone: list[SegmentInfo] = []
    while found := _sweep_once(dry_run, forgotten):
        gone += found
        if dry_run:
            break
    return gone  # again while anything went: what that had claimed may go now


def _sweep_once(dry_run: bool, forgotten: float) -> list[SegmentInfo]:
    try:
        found = _looked_at()
        idle = {name: seen for name, seen in found.items() if _may_go(seen, forgotten)}
        ids = _ids(found)
        if any(seen.claims and not ids.intersection(seen.claims) for seen in idle.values()):
            ids |= _ids(_looked_at())  # a container was made meanwhile, perhaps: a SIGSTOP makes that last
    except OSError:
        return []  # no descriptor is left, say: what cannot be looked at may keep others
    abroad = any(seen.flags & ABROAD for seen in found.values())
    strangers = abroad and not all(_user(name) in (None, os.geteuid()) for name in _names())
    gone: list[SegmentInfo] = []
    for name, seen in idle.items():
        if ids.intersection(seen.claims):  # a container keeps it, and takes it along when it goes
            continue
        if seen.claims and seen.flags & ABROAD and strangers:  # or another user's does, which cannot be looked at
            continue
        info = _whole(name, seen)
        if dry_run or native.reap(name, seen.claims, seen.in_flight):
            gone.append(info)
            if not dry_run:
                notices.removed(info, seen)
    return gone


def _may_go(seen: Look, forgotten: float) -> bool:
    if seen.pids or seen.flags & PERSIST:
        return False
    return not seen.in_flight or time.time() - seen.handed >= forgotten


def _looked_at() -> dict[str, Look]:
    found: dict[str, Look] = {}
    for name in _mine():
        with suppress(*UNREADABLE):
            found[name] = look(name)
    return found


def _ids(found: dict[str, Look]) -> set[int]:
    return {seen.id for seen in found.values()}
