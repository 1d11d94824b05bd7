"""A look at a segment without attaching to it: what `native.inspect` tells, with names."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

from procshare._codes import CODES
from procshare.backends.shm.core import native

_STATE = "slab", "counter", "value", "array", "dict", "list", "set", "namespace"
_CHANNELS = "queue", "lock", "rlock", "semaphore", "bounded_semaphore", "event", "condition", "barrier", "rwlock"
KINDS = dict(enumerate((*_STATE, *_CHANNELS), start=1))  # enum kind in _native/layout.h
SHARED, PERSIST, ABROAD = 2, 4, 16  # header flags, see _native/layout.h
NAMED = {"\0": "object", "?": "bool", "c": "S1"}  # type codes that are not named by their size
LETTERS = {"i": "int", "u": "uint", "f": "float", "c": "complex"}  # of NumPy's kinds of numbers
LONGEST_TYPE = 60  # characters; a longer list of fields is cut


class Found(NamedTuple):
    """One object in it."""

    slot: int
    generation: int
    kind: str
    """Empty if there is no such kind."""
    code: str
    """A value's type code; NUL if it has none."""
    holder: int
    """Process id; 0: nobody."""
    since: int
    """When the holder's block began, in ns as `time.monotonic_ns` counts them; 0: unknown."""
    created: int
    """In ns as `time.time_ns` counts them; 0: unknown."""
    counts: tuple[int, int, int]
    """Waits, timeouts, owner deaths."""
    changes: int | None
    length: int | None
    waiting: bool


class Look(NamedTuple):
    """A segment."""

    kind: str
    size: int
    flags: int
    creator: int
    pids: list[int]
    handed: int
    """When it was handed over, in seconds as `time.time` counts them; 0: never."""
    in_flight: bool
    """Whether something in it was handed over and waits for somebody to attach."""
    id: int
    claims: list[int]
    """Ids of the containers that keep it, or something in it."""
    user: int
    created: int
    type: str
    """Of an array."""
    objects: list[Found]

    @property
    def owner(self) -> int | None:
        """Its creator's pid, unless it was given away."""
        return None if self.flags & SHARED or (self.claims and self.kind != "slab") else self.creator


def look(segment: str, foreign: bool = False) -> Look:
    """Look at a segment; at another user's only if *foreign*.

    Raises:
        NotFound, NotOwned, CorruptSegment, VersionMismatch: There is none that could be read.
    """
    kind, *seen, description, objects = native.inspect(segment, foreign)
    found = [Found._make((*each[:2], KINDS.get(each[2], ""), chr(each[3]), *each[4:])) for each in objects]
    return Look._make((KINDS[kind], *seen, array_type(description), found))


def value_type(code: str) -> str:
    """What a value with this type code holds, as NumPy calls it."""
    if code in NAMED:
        return NAMED[code]
    if code not in CODES:
        return ""  # it is damaged
    kind = "float" if code in "fd" else "int" if code.islower() else "uint"
    return f"{kind}{8 * struct.calcsize(code)}"


def array_type(description: bytes | None) -> str:
    """Element type and shape of an array, as NumPy writes them; empty if that makes no sense."""
    if description is None:
        return ""
    try:
        meta = json.loads(description)
        return f"{_dtype(meta['dtype'])} {tuple(int(n) for n in meta['shape'])}"
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return ""


def _dtype(described: Any) -> str:
    """See `describe` in array.py. NumPy is not imported for this: it takes longer than all the rest."""
    kind: type = described.__class__
    if kind is dict:
        each = zip(described["names"], described["formats"], strict=True)
        text = f"{{{', '.join(f'{name}: {_dtype(form)}' for name, form in each)}}}"
        return text if len(text) <= LONGEST_TYPE else f"{text[: LONGEST_TYPE - 2]}…}}"
    if kind is list:
        return f"({_dtype(described[0])}, {tuple(described[1])})"
    order, letter, size = str(described)[:1], str(described)[1:2], str(described)[2:]
    if order in "<|=" and letter in LETTERS and size.isdecimal():
        return f"{LETTERS[letter]}{8 * int(size)}"
    if described == "|b1":
        return "bool"
    return str(described)[order in "<|=" :]
