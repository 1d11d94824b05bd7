"""What exists in shared memory, how it is used, and clearing away: `segments()`, `stats()` and `prune()`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, overload

from procshare.backends import serve

if TYPE_CHECKING:
    from collections.abc import Callable


class SegmentInfo(NamedTuple):
    """One shared object, as its segment tells it without attaching.

    >>> with SharedCounter(name="hits"):
    ...     [info.kind for info in segments() if info.name == "hits"]
    ['counter']
    """

    name: str
    """What `attach()` takes."""
    segment: str
    """The POSIX shared-memory name; small objects share one."""
    kind: str
    """The `kind` of its class ("counter", "dict", "queue", "lock", ...), or "slab" for a segment of small objects of
    which none is exported."""
    size: int
    """Bytes of the segment, or of the object in a segment that it shares."""
    owner: int | None
    """Process id of the creator, or None once the object belongs to whoever has it open, or to a container."""
    attached: tuple[int, ...]
    """Process ids of the living processes attached to the segment, by the kernel's word."""
    holder: int | None
    """Process id of the living process that holds the object's lock, or None."""
    persist: bool
    """Whether it stays when nobody is attached."""
    type: str
    """What it holds, where the kind leaves that open: of an array element type and shape, as "int64 (3, 4)"; of a value
    with a type code the type, as "float64"; of any other value "object"; else empty."""
    user: int
    """Id of the user whose file it is."""
    age: float | None
    """Seconds since it was created, by the clock of the system; None if that cannot be read."""
    holder_for: float | None
    """Seconds since the holder's block began; None if nobody holds the lock, or since when is not known: `SharedLock`
    and `SharedRLock` write down no time."""


class SegmentStats(NamedTuple):
    """How one shared object has been used since it was created, by all processes together.

    Only what had to wait, or to be repaired, is counted: taking a free lock and adding to a counter count nothing.

    >>> with SharedDict(name="prices"):
    ...     [each.kind for each in stats() if each.name == "prices"]
    ['dict']
    """

    name: str
    """What `attach()` takes."""
    kind: str
    """The `kind` of its class, as in `SegmentInfo`."""
    changes: int | None
    """Commits to a value, an array or a container; items ever put into a queue; None where changes are not counted: a
    counter's increments are not, since that would take as long as they do."""
    length: int | None
    """Items in a dict, list, set, namespace or queue; None for what has no length."""
    waits: int
    """How many times somebody went to sleep for it: for its lock, an item, room, a permit, a change."""
    timeouts: int
    """How many waits were in vain: they ended in `LockTimeout`, `WaitTimeout`, `Full`, `Empty` or False. A call that
    does not wait, with a timeout of 0, is not counted."""
    owner_deaths: int
    """How many times a lock was taken over from a holder that had died, or had ended without releasing it."""
    waiting: bool
    """Whether somebody seems to wait now. It may stay set for a while after a waiter was killed."""


def segments(all_users: bool = False) -> list[SegmentInfo]:
    """List the shared objects of this user that can be attached by name, sorted by name.

    An object that was never exported has no name that another process could know, and is not listed. Nobody is
    disturbed: it is read without attaching or waiting.

    Args:
        all_users: List those of other users too, as far as file permissions allow: root reads them all. What
            cannot be read is listed by what the file system tells of it, with the kind "unknown".

    >>> with SharedDict(name="prices") as prices, prices.locked():
    ...     import os
    ...     [info.holder == os.getpid() for info in segments() if info.name == "prices"]
    [True]
    """
    found: Callable[[bool], list[SegmentInfo]] = serve("segments", "shm")
    return found(all_users)


@overload
def stats(name: None = None) -> list[SegmentStats]: ...
@overload
def stats(name: str) -> SegmentStats: ...
def stats(name: str | None = None) -> list[SegmentStats] | SegmentStats:
    """Tell how much the shared objects of this user were waited for, and how often their holders died.

    It attaches to nothing and waits for nobody, so it can look at an object that is stuck.

    Args:
        name: An object's `name`. Default: all that `segments()` lists and that can be read, sorted by name.

    Raises:
        NotFound: No object has this name.

    >>> with SharedCounter(name="hits"):
    ...     stats("hits").owner_deaths
    0
    """
    found: Callable[[str | None], list[SegmentStats] | SegmentStats] = serve("stats", "shm")
    return found(name)


def prune(dry_run: bool = False) -> list[SegmentInfo]:
    """Remove this user's segments to which no living process is attached, `persist=True` ones excepted.

    An object that was handed over, but that its receiver has not attached yet, counts as unused once its giver is gone.

    Args:
        dry_run: Only list what would be removed.

    Returns:
        What was removed.

    >>> unused = prune(dry_run=True)
    >>> any(info.attached for info in unused)
    False
    """
    swept: Callable[[bool], list[SegmentInfo]] = serve("prune", "shm")
    return swept(dry_run)
