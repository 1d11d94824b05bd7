"""What the interfaces of containers have in common: reading arguments, and a repr that is short and never raises."""

from __future__ import annotations

from contextvars import ContextVar
from itertools import islice
from reprlib import Repr
from typing import TYPE_CHECKING, Any

from procshare._errors import Closed
from procshare._shared import Shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEEPEST = 3  # handles inside handles that a repr shows: one may hold itself


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


class _Brief(Repr):
    """Contents cut short; a dict in its own order."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 20
        self.maxstring = self.maxlong = self.maxother = 100

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if x and level <= 0:
            return "{...}"
        return f"{{{', '.join(self.pairs(x, ': ', level))}}}"

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # more digits than Python converts
            return f"<int of {x.bit_length()} bits>"

    def pairs(self, contents: dict[Any, Any], between: str, level: int) -> Iterable[str]:
        """The first few keys and values, as text."""
        for key, value in islice(contents.items(), self.maxdict):
            name = key if between == "=" else self.repr1(key, level - 1)
            yield f"{name}{between}{self.repr1(value, level - 1)}"
        if len(contents) > self.maxdict:
            yield "..."


_brief = _Brief()
_depth: ContextVar[int] = ContextVar("procshare-repr-depth", default=0)


def short(contents: object) -> str:
    """The repr of plain contents, cut short."""
    return _brief.repr(contents)


def short_attributes(contents: dict[str, Any]) -> str:
    """The contents of a namespace, cut short."""
    return " ".join(_brief.pairs(contents, "=", _brief.maxlevel))


def describe(handle: Any, show: Callable[[], str], what: str = "") -> str:
    """The repr of a container, or of a part of it, from what *show* makes of its contents."""
    depth = _depth.get()
    token = _depth.set(depth + 1)
    try:
        shown = "closed" if handle.closed else "..." if depth == DEEPEST else show()
    except Closed:  # meanwhile
        shown = "closed"
    except Exception as error:  # noqa: BLE001 - a value that cannot be unpickled here, say; a repr tells, and does not raise
        shown = f"unreadable, {type(error).__name__}"
    finally:
        _depth.reset(token)
    words = (handle._implements or type(handle)).__name__, what, shown
    return f"<{' '.join(word for word in words if word)}>"
