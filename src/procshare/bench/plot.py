"""The drawing of a run: how many times procshare's figure each other way takes, on a logarithmic scale.

It is SVG, written as it is rather than by a plotting library, which would be several times the size of this package for
one kind of drawing. Its colours come with a background of their own, so that it can be put on a light or dark page;
each way has a shape besides its colour. A dot to the left of the line is a row that procshare loses.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from procshare.bench.report import amount, compared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procshare.bench.catalogue import Results
    from procshare.bench.measure import Figure, Row

_WIDTH, _LABELS, _RIGHT, _LINE = 920, 400, 30, 26
_INK, _FAINT, _PAPER, _LOST = "#1f2328", "#d0d7de", "#ffffff", "#fff1e5"
_FONT = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#6f42c1", "#57606a")
"""After Okabe and Ito, who chose them for eyes that see fewer; the yellow darker, to be seen on white."""
_SHAPES = ("circle", "square", "diamond", "triangle")


def svg(rows: Sequence[Row], title: str, note: str) -> str:
    """The drawing, as the text of a file.

    Args:
        rows: What was measured.
        title: Above it.
        note: Below it: on what machine. It is broken into lines.
    """
    ways = list(dict.fromkeys(figure.way for row in rows for figure in row.others))
    legend = _legend_lines(ways)
    top, notes = 62 + 20 * len(legend), _broken(note, 140)
    bottom = top + _LINE * len(rows)
    height = bottom + 52 + 16 * len(notes)
    root = Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {height}", role="img", width=str(_WIDTH)
    )
    root.set("height", str(height))
    SubElement(root, "title").text = title
    SubElement(root, "rect", width=str(_WIDTH), height=str(height), rx="8", fill=_PAPER, stroke=_FAINT)
    page = SubElement(root, "g", {"font-family": _FONT, "font-size": "13", "fill": _INK})
    _text(page, 20, 28, title, {"font-size": "16", "font-weight": "600"})
    for number, line in enumerate(legend):
        for x, way in line:
            _mark(page, ways.index(way), x, 50 + 20 * number)
            _text(page, x + 10, 54.5 + 20 * number, way)
    scale = _Scale(rows)
    _grid(page, scale, top, bottom)
    for number, row in enumerate(rows):
        _row(page, scale, row, ways, top + _LINE * number)
    axis = "how many times procshare's figure; left of 1, procshare is behind"
    _text(page, _WIDTH - _RIGHT, bottom + 34, axis, {"text-anchor": "end", "font-size": "11", "fill": "#57606a"})
    for number, line_of_note in enumerate(notes):
        _text(page, 20, bottom + 56 + 16 * number, line_of_note, {"font-size": "11", "fill": "#57606a"})
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def drawing(results: Results, title: str) -> str:
    """A whole run, with its machine below it."""
    return svg(results.rows, title, f"{results.machine}; medians of {results.rounds} rounds, with quartiles")


class _Scale:
    """From ratios to places: decades, from the first that is needed to the last."""

    def __init__(self, rows: Sequence[Row]) -> None:
        ratios = [figure.ratio for row in rows for figure in row.others if figure.ratio > 0]
        self.low = min([math.floor(math.log10(ratio) - 0.1) for ratio in ratios] + [-1])
        self.high = max([math.ceil(math.log10(ratio) + 0.1) for ratio in ratios] + [1])

    def x(self, ratio: float) -> float:
        """Where it is."""
        part = (math.log10(max(ratio, 10.0**self.low)) - self.low) / (self.high - self.low)
        return round(_LABELS + part * (_WIDTH - _RIGHT - _LABELS), 1)


def _grid(page: Element, scale: _Scale, top: float, bottom: float) -> None:
    for decade in range(scale.low, scale.high + 1):
        x = str(scale.x(10.0**decade))
        strong = {"stroke": _INK, "stroke-width": "1.5"} if decade == 0 else {"stroke": _FAINT}
        SubElement(page, "line", {"x1": x, "x2": x, "y1": str(top), "y2": str(bottom), **strong})
        label = f"{10**decade:,}" if decade >= 0 else f"1/{10**-decade:,}"
        _text(page, float(x), bottom + 16, label, {"text-anchor": "middle", "font-size": "11"})


def _row(page: Element, scale: _Scale, row: Row, ways: list[str], top: float) -> None:
    middle = top + _LINE / 2
    if row.verdict == "behind":
        band = {"x": "8", "y": str(top + 1), "width": str(_WIDTH - 16), "height": str(_LINE - 2), "fill": _LOST}
        page.insert(0, Element("rect", {**band, "rx": "3"}))
    _text(page, 20, middle + 4.5, row.what)
    own = {"text-anchor": "end", "fill": "#57606a", "font-size": "11"}
    _text(page, _LABELS - 14, middle + 4, amount(row.ours.median, row.unit), own)
    for figure in reversed(row.others):
        _figure(page, scale, row, figure, ways.index(figure.way), middle)


def _figure(page: Element, scale: _Scale, row: Row, figure: Figure, number: int, y: float) -> None:
    group = SubElement(page, "g")
    told = f"{figure.way}: {amount(figure.median, row.unit)}; procshare is {compared(figure, row.unit)}"
    SubElement(group, "title").text = told
    ends = {"x1": str(scale.x(figure.ratio_low)), "x2": str(scale.x(figure.ratio_high)), "y1": str(y), "y2": str(y)}
    SubElement(group, "line", {**ends, "stroke": _COLOURS[number % len(_COLOURS)], "stroke-width": "2"})
    _mark(group, number, scale.x(figure.ratio), y)


def _mark(parent: Element, number: int, x: float, y: float) -> None:
    look = {"fill": _COLOURS[number % len(_COLOURS)], "stroke": _PAPER, "stroke-width": "1"}
    shape = _SHAPES[(number + number // len(_COLOURS)) % len(_SHAPES)]
    if shape == "circle":
        SubElement(parent, "circle", {"cx": str(x), "cy": str(y), "r": "5", **look})
        return
    corners = {
        "square": ((-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)),
        "diamond": ((0, -6), (6, 0), (0, 6), (-6, 0)),
        "triangle": ((0, -6), (5.5, 4.5), (-5.5, 4.5)),
    }[shape]
    points = " ".join(f"{round(x + dx, 1)},{round(y + dy, 1)}" for dx, dy in corners)
    SubElement(parent, "polygon", {"points": points, **look})


def _text(parent: Element, x: float, y: float, text: str, look: dict[str, str] | None = None) -> None:
    SubElement(parent, "text", {"x": str(x), "y": str(y), **(look or {})}).text = text


def _legend_lines(ways: list[str]) -> list[list[tuple[float, str]]]:
    """Where each way's mark goes: from left to right, in as many lines as they need."""
    lines: list[list[tuple[float, str]]] = [[]]
    x = 28.0
    for way in ways:
        width = 34 + 7.5 * len(way)
        if x + width > _WIDTH - _RIGHT:
            lines.append([])
            x = 28.0
        lines[-1].append((x, way))
        x += width
    return lines


def _broken(text: str, columns: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > columns:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
