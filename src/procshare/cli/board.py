"""What `top` and `watch` show of a sample: a board of all objects, a page about one, a table for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procshare.cli import layout, listing
from procshare.cli.layout import Cell, Column, visible
from procshare.cli.text import NONE, count, duration, exact, rate, size, things
from procshare.cli.watching import METRICS, sparkline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procshare.cli.layout import Line, Tone
    from procshare.cli.watching import Look, Sample

TREND = 16  # columns of a trend beside others
_LABELS = {"changes": "changes", "waits": "waits", "timeouts": "timeouts", "owner_deaths": "owner deaths"}
_ALARMS: dict[str, Tone] = {"changes": "", "waits": "warn", "timeouts": "bad", "owner_deaths": "bad"}


def _rate_cell(look: Look, metric: str) -> Cell:
    per_second = look.rates[metric]
    return Cell(rate(per_second), _ALARMS[metric] if per_second else "dim")


def headline(sample: Sample, width: int) -> list[Line]:
    """What there is in all."""
    looks = sample.objects
    held = sum(each.info.holder is not None for each in looks)
    processes = len({pid for each in looks for pid in each.info.attached})
    memory = sum({each.info.segment: each.info.size for each in looks}.values())
    told = [
        things(len(looks), "object"),
        size(memory),
        things(processes, "process", "processes"),
        f"{things(held, 'lock')} held",
        *([f"every {duration(round(sample.interval, 2))}"] if sample.interval else []),
    ]
    return [(Cell(part.text, "dim"),) for line in layout.paragraph(" · ".join(told), width) for part in line]


def board(sample: Sample, width: int, height: int | None) -> list[Line]:
    """All objects, the busiest first, as many of them as fit.

    Args:
        sample: What to show.
        width: Columns of the screen.
        height: Lines that there is room for; None: all of them.
    """
    head = headline(sample, width)
    if not sample.objects:
        return [*head, (), (Cell("There are no shared objects."),)]
    columns, rows = _columns(sample.objects), [_row(each) for each in sample.objects]
    essential = [index for index, column in enumerate(columns) if not column.spare]
    if layout.needs([columns[i] for i in essential], [[row[i] for i in essential] for row in rows]) > width:
        lines = [line for each in sample.objects for line in _block(each, width)]
    else:
        lines = layout.table(columns, rows, width)
    room = None if height is None else max(height - len(head) - 1, 1)
    if room is not None and len(lines) > room:
        lines = [*lines[: room - 1], (Cell("… and more: make the window higher, or watch one", "dim"),)]
    return [*head, (), *lines]


def _columns(looks: Sequence[Look]) -> list[Column]:
    """The columns of the board; what does not happen at all is left out first."""
    happens = {metric: any(each.rates[metric] for each in looks) for metric in METRICS}
    return [
        Column("name"),
        Column("kind", spare=3),
        Column("length", right=True, spare=4),
        Column("changes/s", right=True),
        Column("trend", spare=5),
        Column("waits/s", right=True),
        Column("timeouts/s", right=True, spare=1 if happens["timeouts"] else 6),
        Column("deaths/s", right=True, spare=1 if happens["owner_deaths"] else 7),
        Column("waiting", spare=2),
        Column("locked by"),
    ]


def _row(look: Look) -> list[Cell | str]:
    return [
        Cell(visible(look.info.name), "name"),
        look.info.kind,
        count(look.use.length),
        _rate_cell(look, "changes"),
        Cell(
            sparkline(look.trends["changes"], TREND).rjust(TREND),
            "good" if any(look.trends["changes"][-TREND:]) else "dim",
        ),
        _rate_cell(look, "waits"),
        _rate_cell(look, "timeouts"),
        _rate_cell(look, "owner_deaths"),
        Cell("yes", "warn") if look.use.waiting else Cell("no", "dim"),
        listing.holder(look.info),
    ]


def _block(look: Look, width: int) -> list[Line]:
    """An object in a few short lines."""
    rates = [
        f"{rate(look.rates[metric])} {_LABELS[metric]}/s"
        for metric in METRICS
        if look.rates[metric] or metric == "changes"
    ]
    facts = [look.info.kind, *([] if look.use.length is None else [things(look.use.length, "item")]), *rates]
    lines = layout.facts([("", Cell(visible(look.info.name), "name"))], width, indent=-layout.GAP)
    lines += layout.facts([("", " · ".join(facts))], width)
    if look.info.holder is not None:
        held = listing.holder(look.info)
        lines += layout.facts([("", Cell(f"locked by {held.text}", held.tone))], width)
    return lines


def page(look: Look, width: int) -> list[Line]:
    """All about one object."""
    info, use = look.info, look.use
    what = f"{info.kind} of {visible(info.type)}" if info.type else info.kind
    length = "" if use.length is None else f" · {things(use.length, 'item')}"
    lines: list[Line] = [(Cell(visible(info.name), "name"), Cell(f"  {what} · {size(info.size)}{length}"))]
    lines += layout.facts(
        [
            ("attached", " ".join(map(str, info.attached)) or "nobody"),
            ("locked by", listing.holder(info)),
            ("waiting", Cell("somebody", "warn") if use.waiting else "nobody"),
        ],
        width,
        indent=2,
    )
    trend = max(min(width - 46, 60), 0)
    columns = [Column(""), Column("per second", right=True), Column("in all", right=True), Column("trend", spare=1)]
    rows: list[list[Cell | str]] = []
    for metric in METRICS:
        tone: Tone = (_ALARMS[metric] or "good") if any(look.trends[metric]) else "dim"
        bars = Cell(sparkline(look.trends[metric], trend), tone)
        rows.append([f"  {_LABELS[metric]}", _rate_cell(look, metric), count(getattr(use, metric)), bars])
    return [*lines, (), *layout.table(columns, rows, width)]


def plain(looks: Sequence[Look]) -> list[Line]:
    """For programs: names as one word, rates as decimal numbers, lengths and times in full."""
    titles = ["NAME", "KIND", "LENGTH", "CHANGES/S", "WAITS/S", "TIMEOUTS/S", "DEATHS/S", "WAITING", "HOLDER", "HELD"]
    columns = [Column(title, right=title not in ("NAME", "KIND", "WAITING")) for title in titles]
    rows = [
        [
            listing.word(each.info.name),
            each.info.kind,
            NONE if each.use.length is None else str(each.use.length),
            *(_decimal(each.rates[metric]) for metric in METRICS),
            "yes" if each.use.waiting else "no",
            NONE if each.info.holder is None else str(each.info.holder),
            exact(each.info.holder_for),
        ]
        for each in looks
    ]
    return layout.table(columns, rows, None)


def _decimal(per_second: float | None) -> str:
    return NONE if per_second is None else f"{per_second:.1f}"
