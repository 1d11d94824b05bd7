"""What the interfaces of containers have in common: reading arguments."""

from __future__ import annotations

from typing import Any

from procshare._shared import Shared


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "..."


MISSING: Any = _Missing()
"""The default of an argument where None is a value like any other."""


def to_dict(data: Any) -> dict[Any, Any]:
    """Whatever `dict()` takes, as a plain dict, not to be changed; of a shared container, one snapshot of it."""
    plain: Any = data.value if is_a(Shared, data) else data
    found: dict[Any, Any] = plain if is_a(dict, plain) else dict(plain)
    return found


def to_pairs(data: Any) -> list[tuple[Any, Any]]:
    """The keys and values of whatever `dict()` takes; of a shared container, one snapshot of it."""
    if is_a(Shared, data) or hasattr(data, "keys"):
        return list(to_dict(data).items())
    pairs: list[tuple[Any, Any]] = []
    for each in data:  # not by way of dict(), for which 1 and True are one key
        pair = tuple(each)
        if len(pair) != 2:
            raise ValueError(f"element #{len(pairs)} has length {len(pair)}; a pair of key and value is required")
        pairs.append(pair)
    return pairs


def is_a(kind: Any, thing: object) -> bool:
    """`isinstance`, for operators that take objects of a kind and answer NotImplemented to others."""
    return isinstance(thing, kind)
