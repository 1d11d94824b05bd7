"""What was measured, in words: amounts, ratios, verdicts; as Markdown, and as plain data for `--json`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from procshare.bench.catalogue import Results
    from procshare.bench.measure import Figure, Row


def amount(value: float, unit: str) -> str:
    """A figure as people write it."""
    if unit == "%":
        return f"{value:.3f} %"
    if unit == "B":
        return f"{value:,.0f} B"
    for name, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {name}" if value < 1000 * size else f"{value / size:,.0f} {name}"
    return f"{value * 1e9:.3g} ns"


def times(ratio: float) -> str:
    """How many times as much something is."""
    return f"{ratio:,.0f}" if ratio >= 20 else f"{ratio:.2g}" if ratio >= 0.1 else f"{ratio:.1g}"


def spread(figure: Figure) -> str:
    """Half of what lies between the quartiles, in parts of the median."""
    return f"{(figure.high - figure.low) / 2 / figure.median:.0%}" if figure.median else ""


def compared(figure: Figure, unit: str) -> str:
    """How procshare compares with another way: "21 times as fast", "even", "2.3 times as slow"."""
    less, more = ("as fast", "as slow") if unit == "s" else ("as little", "as much")
    if figure.verdict == "even":
        return f"even ({figure.ratio:.2f})"
    if figure.verdict == "behind":
        return f"{times(1 / figure.ratio)} times {more}" if figure.ratio < 0.995 else "slightly behind"
    return f"{times(figure.ratio)} times {less}" if figure.ratio > 1.005 else "slightly ahead"


def summary(rows: Sequence[Row]) -> list[str]:
    """In how many rows procshare is first; and each row in which it is not, with what is better there."""
    count = [sum(row.verdict == verdict for row in rows) for verdict in ("ahead", "even", "behind")]
    lines = [f"procshare is ahead of every other way in {count[0]} of {len(rows)} rows, even in {count[1]}, behind in"]
    lines[0] += f" {count[2]}."
    lines += [f"Behind: {row.what}: {_better(row)}." for row in rows if row.verdict == "behind"]
    return lines


def _better(row: Row) -> str:
    better = (figure for figure in row.others if figure.verdict == "behind")
    return ", ".join(f"{compared(figure, row.unit)} as {figure.way}" for figure in better)


def about(results: Results, command: str) -> str:
    """How a run came to be, in a sentence for a document."""
    return (
        f"`{command}`, {results.machine}; {results.seconds:g} s a row, {results.rounds} rounds, processes by"
        f" {results.start_method}.\n"
    )


def markdown(rows: Iterable[Row]) -> str:
    """A line for each way, under one for each row."""
    lines = ["| | median | ± | procshare is |", "| --- | --: | --: | --- |"]
    for row in rows:
        how = f": {_escaped(row.how)}" if row.how else ""
        lines.append(f"| **{_escaped(row.what)}**{how} | | | |")
        for figure in [row.ours, *row.others]:
            verdict = "" if figure is row.ours else compared(figure, row.unit)
            verdict = f"**{verdict}**" if figure.verdict == "behind" else verdict
            lines.append(f"| {figure.way} | {amount(figure.median, row.unit)} | {spread(figure)} | {verdict} |")
    return "\n".join(lines) + "\n"


def short_markdown(rows: Iterable[Row], places: bool = False) -> str:
    """A line for each row: procshare's figure, and the others from the best one on.

    Args:
        rows: What was measured.
        places: Whether to say which place procshare takes.
    """
    head = ["", "procshare", "others (times procshare's)", *(["place"] if places else [])]
    lines = [f"| {' | '.join(head)} |", f"| --- | --: | --- |{' --: |' if places else ''}"]
    for row in rows:
        others = ", ".join(_other(figure, row.unit) for figure in row.others)
        cells = [_escaped(row.what), amount(row.ours.median, row.unit), others, *([place(row)] if places else [])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _other(figure: Figure, unit: str) -> str:
    text = f"{figure.way} {amount(figure.median, unit)} ({times(figure.ratio)})"
    return f"**{text}**" if figure.verdict == "behind" else text


def place(row: Row) -> str:
    """Which one procshare is: "1", or after whom."""
    before = [figure.way for figure in row.others if figure.verdict == "behind"]
    even = [figure.way for figure in row.others if figure.verdict == "even"]
    if before:
        return f"**{len(before) + 1}**, after {', '.join(before)}"
    return f"1, with {', '.join(even)}" if even else "1"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")


def as_data(results: Results) -> dict[str, Any]:
    """The whole run as one JSON object. Figures are medians and quartiles, in seconds, bytes, or percents of a core."""
    return {
        "ok": True,
        "machine": asdict(results.machine),
        "start_method": results.start_method,
        "seconds": results.seconds,
        "rounds": results.rounds,
        "rows": [
            {
                "row": row.key,
                "what": row.what,
                "how": row.how,
                "unit": row.unit,
                "verdict": row.verdict,
                "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in row.figures],
            }
            for row in results.rows
        ],
    }
