"""How a handle shows itself in a notebook: a small table. Everything in it that is not ours is escaped.

It says what the repr says, under the same rules (`_display`): it waits for nobody, reads nothing large, never raises.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from procshare._display import MOST, short, title, told

if TYPE_CHECKING:
    from collections.abc import Iterable

CORNER = 8  # rows and columns of an array that are shown


def page(handle: Any) -> str:
    """What `_repr_html_` returns."""
    rows: list[list[str]] = []
    heads: list[str] = []

    def look() -> str:
        facts, found_heads, found = _LOOKS[handle.kind](handle)
        heads[:], rows[:] = found_heads, found
        return facts

    name, facts, state = told(handle, look)
    line = " · ".join(escape(each) for each in (name, facts, state) if each)
    head = f"<tr>{''.join(f'<th>{escape(each)}</th>' for each in heads)}</tr>" if heads else ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(each)}</td>' for each in row)}</tr>" for row in rows)
    table = f"<table>{head}{body}</table>" if rows else ""
    return f"<div><strong>{escape(title(handle))}</strong> {line}{table}</div>"


def _count(total: int, what: str, shown: int) -> str:
    one = f"{total:,} {what}{'' if total == 1 else 's'}"
    return one if shown == total else f"{one}, the first {shown} shown" if shown else one


def _pairs(handle: Any) -> tuple[str, list[str], list[list[str]]]:
    what = "attribute" if handle.kind == "namespace" else "key"
    seen, total = handle._seen(MOST), len(handle)
    label = str if what == "attribute" else short
    rows = [[label(key)[:200], short(value)] for key, value in list(seen.items())[:MOST]]
    return _count(total, "item", min(len(rows), total)), [what, "value"], rows


def _items(handle: Any) -> tuple[str, list[str], list[list[str]]]:
    seen, total = handle._seen(MOST), len(handle)
    rows = [[str(number), short(item)] for number, item in enumerate(seen[:MOST])]
    return _count(total, "item", min(len(rows), total)), ["", "item"], rows


def _elements(handle: Any) -> tuple[str, list[str], list[list[str]]]:
    seen, total = handle._seen(MOST), len(handle)
    rows = [[each] for each in sorted(short(each) for each in seen)[:MOST]]
    return _count(total, "element", min(len(rows), total)), [], rows


def _array(handle: Any) -> tuple[str, list[str], list[list[str]]]:
    live = handle.array
    facts = f"shape {live.shape} · dtype {str(live.dtype)[:200]} · {live.nbytes:,} bytes"
    if live.ndim == 2:
        width = live.shape[1]
        return facts, [], [_row(line[:CORNER].tolist(), width) for line in live[:CORNER]] + _more(live.shape[0])
    flat = live.flat[: CORNER + 1].tolist()
    return facts, [], [_row(flat[:CORNER], live.size)] if flat else []


def _row(cells: Iterable[Any], width: int) -> list[str]:
    return [*(short(each) for each in cells), *["…"] * (width > CORNER)]


def _more(length: int) -> list[list[str]]:
    return [["…"]] if length > CORNER else []


def _queue(handle: Any) -> tuple[str, list[str], list[list[str]]]:
    items = f"{handle.maxsize:,}" if handle.maxsize > 0 else "no limit"
    rows = [["waiting items", f"{handle.qsize():,}"], ["most items", items], ["most bytes", f"{handle.capacity:,}"]]
    return "", [], rows


_LOOKS = {
    "array": _array,
    "dict": _pairs,
    "namespace": _pairs,
    "list": _items,
    "set": _elements,
    "queue": _queue,
}
