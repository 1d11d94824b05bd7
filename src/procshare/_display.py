"""How a handle shows itself: a repr that is short, waits for nobody and never raises, and the same for rich.

    <SharedDict 'prices' {'a': 1, 'b': 2} locked by pid 4711>

The class, the name (if others can know it: to look at a handle exports nothing), what it holds, its state. What is
large is not read: of a container the first items only, and `...` in place of a value of more than 64 KiB.
"""

from __future__ import annotations

import threading
from itertools import islice
from reprlib import Repr
from typing import TYPE_CHECKING, Any

from procshare._errors import Closed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEEPEST = 3  # handles inside handles that a repr shows: one may hold itself
MOST = 20  # items that are shown
LARGE = 128 << 10  # bytes of a value that is not read to be shown
AFAR = 1000  # items that the stdlib backend fetches at once to show some: it cannot fetch some


class _Brief(Repr):
    """Contents cut short; a dict in its own order."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = MOST
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

    def repr_ellipsis(self, _x: object, _level: int) -> str:
        return "..."

    def pairs(self, contents: dict[Any, Any], between: str, level: int) -> Iterable[str]:
        """The first few keys and values, as text."""
        for key, value in islice(contents.items(), self.maxdict):
            name = key if between == "=" else self.repr1(key, level - 1)
            yield f"{name}{between}{self.repr1(value, level - 1)}"
        if len(contents) > self.maxdict:
            yield "..."


_brief = _Brief()


class _Depth(threading.local):
    """How many reprs this thread is in. No ContextVar: a finalizer's repr within its set() can make CPython crash."""

    now = 0


_depth = _Depth()


def short(contents: object) -> str:
    """The repr of plain contents, cut short."""
    return _brief.repr(contents)


def short_items(handle: Any) -> str:
    """The first items of a container, and how many there are if those are not all."""
    seen, total = handle._seen(MOST + 1), len(handle)
    shown = "..." if total and not seen else short(seen)
    return shown if total <= MOST else f"{shown} len={total}"


def short_attributes(handle: Any) -> str:
    """The first attributes of a namespace, and how many there are if those are not all."""
    seen, total = handle._seen(MOST + 1), len(handle)
    shown = "..." if total and not seen else " ".join(_brief.pairs(seen, "=", _brief.maxlevel))
    return shown if total <= MOST else f"{shown} len={total}"


def holder_state(handle: Any) -> str:
    """Who has the lock, of what has one."""
    holder: int = handle._holder()
    return f"locked by pid {holder}" if holder > 0 else "locked" if holder else ""


def title(handle: Any) -> str:
    """The class as its user knows it."""
    name: str = (handle._implements or type(handle)).__name__
    return name


def told(handle: Any, show: Callable[[], str]) -> tuple[str, str, str]:
    """Name, contents and state; `closed` or what went wrong in place of the contents. Never raises."""
    name = state = ""
    depth = _depth.now
    _depth.now = depth + 1
    try:
        if handle.closed:
            return "", "closed", ""
        known = handle._known_as()
        name = "" if known is None else repr(known)
        state = handle._repr_state()
        shown = "..." if depth == DEEPEST else show()
    except Closed:  # meanwhile
        name, shown, state = "", "closed", ""
    except Exception as error:  # noqa: BLE001 - a value that cannot be unpickled here, say; a repr tells, and does not raise
        shown = f"unreadable, {type(error).__name__}"
    finally:
        _depth.now = depth
    return name, shown, state


def describe(handle: Any, show: Callable[[], str], what: str = "") -> str:
    """The repr of a handle, or of a part of it, from what *show* makes of its contents."""
    name, shown, state = told(handle, show)
    return f"<{' '.join(word for word in (title(handle), name, what, shown, state) if word)}>"


# ---- rich, which is not imported: it asks for the parts ----


class _Text:
    """What stands in a display as it is."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _flat(value: Any) -> Any:
    plain = (isinstance(value, bool | int | float | None) and not isinstance(value, int)) or type(value) is int
    return value if plain and abs(value or 0) < 1 << 64 else _Text(short(value))


def rich_parts(handle: Any) -> list[Any]:
    """What `__rich_repr__` yields: name, contents, state. Never raises."""
    contents: list[Any] = []

    def look() -> str:
        seen: Any = handle._seen(MOST + 1) if hasattr(handle, "_seen") else None
        keyed = hasattr(seen, "items")
        first: Any = list(islice(seen.items() if keyed else seen or (), MOST))
        if seen is None or len(seen) < min(len(handle), MOST):
            return str(handle._repr_contents())
        if keyed:
            pairs: Any = {_key(key): _flat(value) for key, value in first}
            contents.extend(pairs.items() if handle.kind == "namespace" else [pairs])
        else:
            contents.append(type(seen)(_flat(each) for each in first))
        return "" if len(handle) <= MOST else f"len={len(handle)}"

    name, shown, state = told(handle, look)
    return [*[_Text(name)] * bool(name), *contents, *(_Text(each) for each in (shown, state) if each)]


def _key(key: Any) -> Any:
    return key if isinstance(key, str) and len(key) <= 100 else _Text(short(key))
