"""When a message may go: not in quiet hours, not after its hour, always by the school's own clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

_ONE_DAY = timedelta(days=1)
_DAWN, _MORNING, _NOON = time(4, 0), time(7, 0), time(12, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Hours of the day in which nothing is sent; equal ends mean that there are none."""

    begins: time
    ends: time

    def covers(self, at: time) -> bool:
        """Whether this hour is quiet; the span may go over midnight."""
        if self.begins <= self.ends:
            return self.begins <= at < self.ends
        return at >= self.begins or at < self.ends

    @property
    def morning(self) -> time:
        """When a day's messages begin: as the quiet hours end, where they end in the morning, else at seven."""
        return self.ends if _DAWN <= self.ends < _NOON else _MORNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When a message is due, and when it is of no use any more; both in UTC."""

    due_at: datetime
    expires_at: datetime


def at(day: date, hour: time, zone: ZoneInfo, *, fold: Literal[0, 1] = 0) -> datetime:
    """That hour of that day at the school, in UTC; one that the clocks skip is the hour after.

    Of an hour that the clocks repeat it is the first one, with `fold` 1 the second.
    """
    return datetime.combine(day, hour.replace(fold=fold), zone).astimezone(UTC)


def after_quiet(moment: datetime, quiet: Quiet, zone: ZoneInfo) -> datetime:
    """`moment`, or the end of the quiet hours in which it lies."""
    if not quiet.covers(_hour(moment, zone)):
        return moment
    today = moment.astimezone(zone).date()
    days = (today + days * _ONE_DAY for days in range(4))  # more than one, where clocks skip that hour or that day
    ends = (at(day, quiet.ends, zone, fold=fold) for day in days for fold in (0, 1))
    return next(end for end in ends if end > moment and not quiet.covers(_hour(end, zone)))


def window(moment: datetime, until: time, quiet: Quiet, zone: ZoneInfo) -> Window:
    """When something decided at `moment` is sent: at once, or as soon as hours and quiet allow; nothing is dropped.

    What is decided after `until` goes in the next morning, and is of no use after `until` of that day. An `until`
    before the morning is of the night that follows the day: midnight is the end of the day, not its begin.
    """
    due = after_quiet(moment, quiet, zone)
    if moment >= _end(moment, until, quiet, zone) or due >= _end(due, until, quiet, zone):
        tomorrow = moment.astimezone(zone).date() + _ONE_DAY
        due = after_quiet(at(tomorrow, quiet.morning, zone), quiet, zone)
    end = _end(due, until, quiet, zone)
    # Where its hour lies within the quiet ones, the whole day after them is given.
    return Window(due_at=due, expires_at=end if due < end else due + _ONE_DAY)


def _end(due: datetime, until: time, quiet: Quiet, zone: ZoneInfo) -> datetime:
    day = due.astimezone(zone).date()
    end = at(day, until, zone)
    return at(day + _ONE_DAY, until, zone) if until <= quiet.morning and end <= due else end


def _hour(moment: datetime, zone: ZoneInfo) -> time:
    return moment.astimezone(zone).time()
