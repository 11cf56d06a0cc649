"""When a connector's runs are due: what `[sync.schedules]` says, read and reckoned with; no database and no clock here.

    parse("daily 02:30 America/Denver full").is_due(last, now, "America/New_York")

A time of day is one of the district's wall clock (or of the zone that the schedule names), and it comes once a day: a
time that the clocks skip in spring runs when they have skipped it, one that they show twice in autumn runs the first
time. However many times were missed while nothing ran, one run makes up for all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

_EVERY = re.compile(r"every (?:(\d{1,4}) )?(minute|hour)s?", re.IGNORECASE)
_DAILY = re.compile(r"daily (\d{1,2}):(\d{2})(?: (\S+))?", re.IGNORECASE)
_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
_ONE_DAY = timedelta(days=1)
_FORMS = '"hourly", "every 15 minutes", "daily 02:30" (each may end in " full") or "off"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One line of a connector's schedule: `every` so long, or once a day `at` a time; neither means off.

    `text` is how it was written, and tells it apart from the connector's others. `zone` is an IANA name, None for the
    district's own. With `full` everything is asked for, else what changed since the last success.
    """

    text: str
    every: timedelta | None = None
    at: time | None = None
    zone: str | None = None
    full: bool = False

    @property
    def off(self) -> bool:
        """Whether nothing runs by itself, not even after a vendor's event."""
        return self.every is None and self.at is None

    def is_due(self, served: datetime | None, now: datetime, zone: str) -> bool:
        """Whether a run should have begun since `served`, the last time one did; `zone` is the district's.

        Never served, an interval is due at once; a time of day is not, for nobody missed it.
        """
        if self.every is not None:
            return served is None or now >= served + self.every
        return served is not None and self.at is not None and self._last(now, zone) > served

    def next_start(self, served: datetime | None, now: datetime, zone: str) -> datetime | None:
        """When the next run is due, in UTC: `now` when one is already; None when it is off."""
        if self.off:
            return None
        if self.is_due(served, now, zone):
            return now
        if self.every is not None:
            return now if served is None else served + self.every
        day = now.astimezone(ZoneInfo(self.zone or zone)).date() - _ONE_DAY
        while (moment := self._on(day, zone)) <= now:
            day += _ONE_DAY
        return moment

    def words(self, zone: str) -> str:
        """The schedule for a person to read."""
        if self.off:
            return "only when somebody asks for it"
        end = ", in full" if self.full else ""
        if self.at is not None:
            return f"daily at {self.at:%H:%M} ({self.zone or zone}){end}"
        minutes = round((self.every or _ONE_DAY) / _UNITS["minute"])
        length = f"{minutes // 60} hours" if minutes % 60 == 0 else f"{minutes} minutes"
        return f"every {_SHORT.get(length, length)}{end}"

    def _last(self, now: datetime, zone: str) -> datetime:
        """The latest time at or before `now` at which it was due."""
        day = now.astimezone(ZoneInfo(self.zone or zone)).date() + _ONE_DAY
        while (moment := self._on(day, zone)) > now:
            day -= _ONE_DAY
        return moment

    def _on(self, day: date, zone: str) -> datetime:
        # fold=0: the first of two; and a time that there is not by the clock of before, so just after it was skipped.
        return datetime.combine(day, self.at or time(), ZoneInfo(self.zone or zone)).astimezone(UTC)


_SHORT = {"1 hours": "hour", "1 minutes": "minute"}


def parse(text: str) -> Schedule:
    """The schedule that a line of `[sync.schedules]` describes. Raises ValueError, with the forms that there are."""
    said = " ".join(text.split())
    words, full = (said[:-5], True) if said.lower().endswith(" full") else (said, False)
    if words.lower() == "off" and not full:
        return Schedule(text="off")
    if words.lower() == "hourly":
        return Schedule(text=said, every=_UNITS["hour"], full=full)
    if match := _EVERY.fullmatch(words):
        every = int(match[1] or 1) * _UNITS[match[2].lower()]
        if not every:
            raise ValueError("a schedule of no minutes would never rest; write for example every 15 minutes")
        return Schedule(text=said, every=every, full=full)
    if match := _DAILY.fullmatch(words):
        return Schedule(text=said, at=_time(match[1], match[2]), zone=_zone(match[3]), full=full)
    raise ValueError(f'"{said}" is no schedule; write {_FORMS}')


def parse_all(value: Any) -> Any:
    """The schedules of one connector, written as one line, as several with commas, or as a list."""
    lines = value.split(",") if isinstance(value, str) else value
    if not isinstance(lines, list | tuple):
        return value
    found = tuple(line if isinstance(line, Schedule) else parse(str(line)) for line in lines)
    if len(found) > 1 and any(one.off for one in found):
        raise ValueError('"off" stands alone; remove it, or the other schedules of this connector')
    return found


def _time(hour: str, minute: str) -> time:
    try:
        return time(int(hour), int(minute))
    except ValueError:
        raise ValueError(f"{hour}:{minute} is no time of day; write it from 00:00 to 23:59") from None


def _zone(name: str | None) -> str | None:
    if name is not None and name not in available_timezones():
        raise ValueError(f"{name} is no time zone; use an IANA name such as America/New_York, or leave it out")
    return name
