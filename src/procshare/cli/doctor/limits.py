"""What this process may have: descriptors, address space, long files, locked memory."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

from procshare.cli.doctor.finding import Finding, State
from procshare.cli.text import size

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPIC = "limits"
FEW_FILES = 512
SMALL_SPACE = 2 << 30


def look_at_limits() -> Iterator[Finding]:
    """Those that `ulimit` shows."""
    yield _files()
    yield _bytes("address space", resource.RLIMIT_AS, "ulimit -v", SMALL_SPACE, "each segment is mapped")
    yield _bytes("file size", resource.RLIMIT_FSIZE, "ulimit -f", resource.RLIM_INFINITY, "no segment can be longer")
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    yield Finding(TOPIC, "locked memory", "ok", f"{_told(soft)}; procshare locks none", data=_data(soft))


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError:
        used = 0
    limit = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft:,}"
    ceiling = "unlimited" if hard == resource.RLIM_INFINITY else f"{hard:,}"
    few = soft != resource.RLIM_INFINITY and soft - used < FEW_FILES
    hint = "each segment that a process has open takes one: ulimit -n 4096, or LimitNOFILE= of a systemd unit"
    data = {"soft": _data(soft), "hard": _data(hard), "used": used}
    state: State = "warn" if few else "ok"
    return Finding(TOPIC, "open files", state, f"{limit}, which may be raised to {ceiling}", hint if few else "", data)


def _bytes(name: str, which: int, command: str, least: int, why: str) -> Finding:
    soft, _ = resource.getrlimit(which)
    bounded = soft != resource.RLIM_INFINITY
    small = bounded and (least == resource.RLIM_INFINITY or soft < least)
    return Finding(
        TOPIC, name, "warn" if small else "ok", _told(soft), f"{why}; {command}" if small else "", _data(soft)
    )


def _told(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else size(limit)


def _data(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit
