"""Removing an object by its name, also one that cannot be attached: what is damaged has no header to be trusted."""

from __future__ import annotations

import os

from procshare._errors import CorruptSegment, NotFound, NotOwned, VersionMismatch
from procshare.backends.shm.names import locate
from procshare.backends.shm.segment import attach

SHM = "/dev/shm"


def unlink(name: str) -> None:
    """Destroy the object called *name* for everyone; see `procshare.unlink`."""
    segment, slot, generation = locate(name)
    path = f"{SHM}/{segment}"
    try:
        handle = attach(name)
    except (CorruptSegment, VersionMismatch, NotFound):
        if slot or generation or not os.path.lexists(path):  # an object in a segment that it shares is not the segment
            raise
        _remove_file(name, path)
    else:
        handle.unlink()
        handle.close()


def _remove_file(name: str, path: str) -> None:
    try:
        owner = os.lstat(path).st_uid
        if owner != os.geteuid():
            raise NotOwned(name, f"it belongs to user {owner}; it was not removed")
        os.unlink(path)
    except FileNotFoundError:
        raise NotFound(name) from None
