"""Figures as people read them."""

from __future__ import annotations

NONE = "-"
_UNITS = "KiB", "MiB", "GiB", "TiB", "PiB"


def size(count: int | None) -> str:
    """Bytes, with a unit of 1024s where there are many."""
    if count is None:
        return NONE
    if count < 1024:
        return f"{count} B"
    scaled, units = count / 1024, iter(_UNITS)
    unit = next(units)
    while scaled >= 999.5 and unit != _UNITS[-1]:
        scaled, unit = scaled / 1024, next(units)
    return f"{scaled:.3g} {unit}" if scaled < 999.5 else f"{scaled:,.0f} {unit}"


def duration(seconds: float | None) -> str:
    """A time in its most telling unit: 350 ms, 4.2 s, 12 min, 3.5 h, 9 d."""
    if seconds is None:
        return NONE
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms"
    for unit, length in (("s", 60.0), ("min", 60.0), ("h", 24.0)):
        if seconds < length - 0.5:
            return f"{seconds:.1f} {unit}" if seconds < 9.95 else f"{seconds:.0f} {unit}"
        seconds /= length
    return f"{seconds:.1f} d" if seconds < 9.95 else f"{seconds:,.0f} d"


def exact(seconds: float | None) -> str:
    """A time in seconds, for programs."""
    return NONE if seconds is None else f"{seconds:.3f}"


def milliseconds(seconds: float) -> str:
    """A time as the demo tells it."""
    return f"{seconds * 1e3:,.0f} ms" if seconds >= 0.1 else f"{seconds * 1e3:,.1f} ms"


def count(number: int | None) -> str:
    """A whole number, its thousands apart."""
    return NONE if number is None else f"{number:,}"


def rate(per_second: float | None) -> str:
    """So many a second: 3 digits are enough."""
    if per_second is None:
        return NONE
    if per_second == 0:
        return "0"
    for unit, scale in (("", 1.0), ("k", 1e3), ("M", 1e6)):
        if per_second < scale * 999.5:
            return f"{per_second / scale:.3g}{unit}"
    return f"{per_second / 1e9:,.3g}G"


def things(number: int, one: str, many: str = "") -> str:
    """A number and what it counts."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
