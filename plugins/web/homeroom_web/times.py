"""Days and moments as people write them: by a school's clock, in the browser's language."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time

NOTHING = "\N{EN DASH}"
"""What stands where there is nothing to tell."""


def day(told: date | str | None, language: str) -> str:
    """A day in short, as a date or as a route has told it."""
    if not told:
        return NOTHING
    return format_date(date.fromisoformat(told) if isinstance(told, str) else told, "medium", locale=language)


def clock(told: str, zone: str, language: str) -> str:
    """What a clock in a zone showed at a moment that a route has told."""
    return format_time(datetime.fromisoformat(told).astimezone(ZoneInfo(zone)), "short", locale=language)


def moment(told: str | None, zone: str, language: str) -> str:
    """A moment that a route has told, with its day."""
    if not told:
        return NOTHING
    local = datetime.fromisoformat(told).astimezone(ZoneInfo(zone))
    return f"{day(local.date(), language)}, {format_time(local, 'short', locale=language)}"
