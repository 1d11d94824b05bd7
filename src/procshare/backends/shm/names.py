"""What objects are called: by users, by their handles, and in /dev/shm."""

from __future__ import annotations

import os
import re

from procshare._errors import NotFound

_FULL = re.compile(r"procshare\.\d+\.", re.ASCII)  # how the segment of a given name begins, whoever's it is


def segment_name(name: object) -> str:
    """The segment for a name that a user chose; `ValueError` if it cannot be one."""
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, not {type(name).__name__}")
    bad = {"/", "\0", "#"} & set(name)
    reserved = name.startswith((".", "procshare-")) or _FULL.match(name)
    if not name or bad or reserved or len(name.encode()) > 180:
        raise ValueError(
            f"{name!r} cannot be a name: give 1 to 180 bytes without '/', '#' or NUL, "
            "not beginning with '.', 'procshare-' or 'procshare.<number>.'"
        )
    return f"procshare.{os.geteuid()}.{name}"


def locate(name: object) -> tuple[str, int, int]:
    """Segment, slot and generation of what a handle calls its `name` (or its `segment`)."""
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, not {type(name).__name__}")
    segment, _, place = name.partition("#")
    if place:
        index, _, generation = place.partition(".")
        if not (index.isdecimal() and generation.isdecimal() and len(place) < 22):
            raise NotFound(name)
        if max(int(index), int(generation)) >> 32:
            raise NotFound(name)
        return segment, int(index), int(generation)
    if name.startswith("procshare-") or _FULL.match(name):
        return name, 0, 0
    return segment_name(name), 0, 0


def mine() -> tuple[str, str]:
    """How the names of this user's segments begin; those with a random name may be another's."""
    return "procshare-", f"procshare.{os.geteuid()}."


def public_name(segment: str) -> str:
    """What the handles of an object call it that has the segment to itself."""
    return segment.removeprefix(mine()[1])
