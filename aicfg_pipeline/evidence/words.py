"""Numbers, times and names as a report writes them. Nothing here knows what they are about."""

from __future__ import annotations

from datetime import UTC, datetime

_TITLES = {
    "undo_rollback": "undo",
    "drop_new_tables": "drop",
    "cut_over": "cut over",
    "copy_back": "copy back",
}


def number(value: float) -> str:
    """Return a number with thin spaces between its thousands: 1 500 000."""
    return f"{value:,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """Return a length of time in the unit that a person would use: 4.7 ms, 2.3 s, 3 min 20 s, 2 h 05 min."""
    ms = max(seconds, 0.0) * 1000
    if ms < 999.5:
        return f"{ms:.1f} ms" if 0 < ms < 9.95 else f"{ms:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes % 60 else f"{minutes // 60} h"


def when(at: datetime) -> str:
    """Return a moment to the second, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(at: datetime) -> str:
    """Return the time of day to the millisecond, in UTC."""
    return at.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def title(name: str) -> str:
    """Return the name of a step, check or state as words."""
    return _TITLES.get(name, name.replace("_", " "))


def shortened(text: str, most: int) -> str:
    """Cut a text in its middle: names differ at their ends."""
    if len(text) <= most:
        return text
    if most < 4:
        return text[:most]
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
