"""One thing that the doctor looked at, and what it makes of it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

State: TypeAlias = Literal["ok", "note", "warn", "fail"]


class Finding(NamedTuple):
    """One thing that was looked at."""

    topic: str
    """What it belongs to."""
    name: str
    """What was looked at."""
    state: State
    """"ok"; "note": good to know; "warn": it works, and could be better; "fail": it prevents procshare."""
    value: str
    """What was found, for people."""
    hint: str = ""
    """What to do about it."""
    data: Any = None
    """What was found, for programs: bytes, versions, whatever `value` tells."""
