"""Shared memory: how large it is, how full, and with what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import procshare
from procshare.cli.doctor.finding import Finding, State
from procshare.cli.text import size, things

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPIC = "shared memory"
SHM = Path("/dev/shm")
DOCKER = 64 << 20  # what Docker and Kubernetes give a container
LITTLE = 16 << 20  # free bytes with which an array or a busy container soon has no room to grow
NOTHING = 64 << 10  # free bytes with which hardly anything can be made
_LARGER = (
    "docker run --shm-size=1g; in Kubernetes an emptyDir with medium: Memory; else mount -o remount,size=4g /dev/shm"
)


class Files(NamedTuple):
    """How many files, and how much memory they take."""

    names: tuple[str, ...]
    size: int


def look_at_memory() -> Iterator[Finding]:
    """/dev/shm, our files, those of others."""
    try:
        room = os.statvfs(SHM)
    except OSError as error:
        state: State = "fail" if procshare.default_backend() == "shm" else "note"
        hint = "mount it: mount -t tmpfs shm /dev/shm"
        yield Finding(TOPIC, "/dev/shm", state, f"is not there: {error.strerror}", hint)
        return
    yield _space(room)
    yield _inodes(room)
    yield from _contents()


def _space(room: os.statvfs_result) -> Finding:
    total, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
    used = total - room.f_bfree * room.f_frsize
    kind = file_system(SHM)
    told = f"{size(total)}, {size(used)} used, {size(free)} free"
    data = {"size": total, "used": used, "free": free, "file_system": kind}
    if kind not in (None, "tmpfs"):
        hint = "it should be a tmpfs: on a disk each change is written out, and what a crash leaves stays"
        return Finding(TOPIC, "/dev/shm", "warn", f"{told}; a {kind}", hint, data)
    if total and free < NOTHING:
        return Finding(TOPIC, "/dev/shm", "fail", told, f"free some (procshare prune), or enlarge it: {_LARGER}", data)
    if 0 < total <= DOCKER:
        return Finding(TOPIC, "/dev/shm", "warn", told, f"as containers have it; for more: {_LARGER}", data)
    if total and free < LITTLE:
        return Finding(TOPIC, "/dev/shm", "warn", told, f"free some (procshare prune), or enlarge it: {_LARGER}", data)
    return Finding(TOPIC, "/dev/shm", "ok", told, data=data)


def file_system(where: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """The kind of file system that is mounted there, or None where that is not known."""
    found = None
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split(" ")
        if len(fields) > 2 and fields[1] == str(where):
            found = fields[2]  # of several, the last one covers the others
    return found


def _inodes(room: os.statvfs_result) -> Finding:
    if not room.f_files:
        return Finding(TOPIC, "inodes", "ok", "unlimited")
    data = {"total": room.f_files, "free": room.f_favail}
    told = f"{room.f_favail:,} of {room.f_files:,} free"
    if room.f_favail < 100:
        state: State = "warn" if room.f_favail else "fail"
        return Finding(
            TOPIC, "inodes", state, told, "free some (procshare prune), or mount it with more (nr_inodes)", data
        )
    return Finding(TOPIC, "inodes", "ok", told, data=data)


def _contents() -> Iterator[Finding]:
    try:
        objects = procshare.segments()
        unused = procshare.prune(dry_run=True)
    except ImportError:
        objects, unused = [], []
    readable = {info.segment for info in objects} | {info.segment for info in unused}
    ours, others, damaged = _files(readable)
    told = f"{things(len(objects), 'object')} in {things(len(ours.names), 'segment')}, {size(ours.size)}"
    data = {"objects": len(objects), "segments": len(ours.names), "bytes": ours.size}
    yield Finding(TOPIC, "procshare's", "ok", told, data=data)
    if unused:
        told = things(len(unused), "segment") + " that nobody uses"
        yield Finding(
            TOPIC, "left over", "warn", told, "procshare prune removes them", [each.segment for each in unused]
        )
    if damaged.names:
        told = f"{things(len(damaged.names), 'segment')} that cannot be read: {', '.join(damaged.names[:3])}"
        hint = "damaged, or of another version of procshare; procshare rm NAME removes one"
        yield Finding(TOPIC, "damaged", "warn", told, hint, list(damaged.names))
    told = f"{things(len(others.names), 'file')}, {size(others.size)}"
    yield Finding(TOPIC, "of others", "ok", told, data={"files": len(others.names), "bytes": others.size})


def _files(readable: set[str]) -> tuple[Files, Files, Files]:
    """Ours that can be read, others', and ours that cannot."""
    ours, others, damaged = _Pile(), _Pile(), _Pile()
    prefixes = "procshare-", f"procshare.{os.geteuid()}."
    for path in sorted(SHM.iterdir()):
        try:
            status = path.lstat()
        except OSError:
            continue  # gone meanwhile
        mine = path.name.startswith(prefixes) and status.st_uid == os.geteuid()
        pile = others if not mine else ours if path.name in readable else damaged
        pile.add(path.name, status.st_blocks * 512)
    return ours.files(), others.files(), damaged.files()


class _Pile:
    """Files of one sort."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._size = 0

    def add(self, name: str, size: int) -> None:
        self._names.append(name)
        self._size += size

    def files(self) -> Files:
        return Files(tuple(self._names), self._size)
