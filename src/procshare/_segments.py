"""What exists in shared memory, and clearing away what nobody uses: `segments()` and `prune()`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from procshare.backends import serve

if TYPE_CHECKING:
    from collections.abc import Callable


class SegmentInfo(NamedTuple):
    """One shared object, as its segment tells it without attaching."""

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


def segments() -> list[SegmentInfo]:
    """List the shared objects of this user that can be attached by name, sorted by name.

    An object that was never exported has no name that another process could know, and is not listed.
    """
    found: Callable[[], list[SegmentInfo]] = serve("segments", "shm")
    return found()


def prune(dry_run: bool = False) -> list[SegmentInfo]:
    """Remove this user's segments to which no living process is attached, `persist=True` ones excepted.

    An object that was handed over, but that its receiver has not attached yet, counts as unused once its giver is gone.

    Args:
        dry_run: Only list what would be removed.

    Returns:
        What was removed.
    """
    swept: Callable[[bool], list[SegmentInfo]] = serve("prune", "shm")
    return swept(dry_run)
