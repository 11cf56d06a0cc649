"""School days: which date it is at a school, when that day begins and ends, and whether school is held on it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from homeroom.store import Connection, Refused, Transaction
from homeroom.store.models import AcademicSession, CalendarDay, Org

WEEKDAYS = frozenset(range(5))
"""Monday (0) to Friday: the days of a school that says nothing else."""

_TEACHING_KINDS = ("schoolYear", "semester", "term")
_ONE_DAY = timedelta(days=1)


@cache
def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises ValueError for a name that there is not."""
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone; use an IANA name such as America/New_York")
    return ZoneInfo(name)


def zone_of(connection: Connection, school_id: str, default: str) -> ZoneInfo:
    """The school's own time zone, else that of the district above it, else `default`."""
    for org in _org_and_above(connection, school_id):
        if org.time_zone:
            return zone(org.time_zone)
    return zone(default)


def school_day(moment: datetime, where: ZoneInfo) -> date:
    """The date that a wall calendar at the school shows at `moment` (aware)."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone belongs to no school day")
    return moment.astimezone(where).date()


def midnight(day: date, where: ZoneInfo) -> datetime:
    """The first moment of `day` at the school, in UTC; where clocks skip midnight, the moment they skip from."""
    return datetime.combine(day, time(), where).astimezone(UTC)


def bounds(day: date, where: ZoneInfo) -> tuple[datetime, datetime]:
    """The first moment of `day` and that of the next one, in UTC: 23, 24 or 25 hours apart."""
    return midnight(day, where), midnight(day + _ONE_DAY, where)


def days_between(first: date, end: date) -> Iterator[date]:
    """Every date from `first` to before `end`."""
    for offset in range((end - first).days):
        yield first + timedelta(days=offset)


def is_school_day(connection: Connection, school_id: str, day: date, *, weekdays: Collection[int] = WEEKDAYS) -> bool:
    """Whether school is held on `day`: see `school_days`."""
    return bool(school_days(connection, school_id, day, day + _ONE_DAY, weekdays=weekdays))


def school_days(
    connection: Connection, school_id: str, first: date, end: date, *, weekdays: Collection[int] = WEEKDAYS
) -> list[date]:
    """The days from `first` to before `end` on which school is held.

    A calendar entry of the school decides; without one a day counts on the school's weekdays (its own setting
    `school_days`, else the district's, else `weekdays`), inside a term or school year if any is known.
    """
    calendar = CalendarDay.select(CalendarDay.day, CalendarDay.in_session).where(
        CalendarDay.school_id == school_id, CalendarDay.day >= first, CalendarDay.day < end
    )
    entries: dict[date, bool] = dict(connection.tuples(calendar))
    week = _week_of(connection, school_id, weekdays)
    terms = connection.tuples(
        AcademicSession.select(AcademicSession.begins_on, AcademicSession.ends_on).where(
            AcademicSession.kind.in_(_TEACHING_KINDS),
            AcademicSession.ended == False,  # noqa: E712 - an SQL expression
        )
    )

    def held(day: date) -> bool:
        if day in entries:
            return bool(entries[day])
        return day.weekday() in week and (not terms or any(begin <= day < after for begin, after in terms))

    return [day for day in days_between(first, end) if held(day)]


def set_calendar_day(tx: Transaction, school_id: str, day: date, *, in_session: bool, title: str = "") -> None:
    """Make `day` a holiday or an extra day of one school, whatever its pattern says."""
    values = {"in_session": in_session, "title": title}
    tx.run(
        CalendarDay.insert(school_id=school_id, day=day, **values).on_conflict(
            conflict_target=[CalendarDay.school_id, CalendarDay.day], update=values
        )
    )
    tx.journal("calendar.changed", subject_id=school_id, data={"day": day.isoformat(), "in_session": in_session})


def clear_calendar_day(tx: Transaction, school_id: str, day: date) -> None:
    """Let `day` follow the school's pattern again."""
    gone = tx.run(CalendarDay.delete().where(CalendarDay.school_id == school_id, CalendarDay.day == day))
    if gone:
        tx.journal("calendar.changed", subject_id=school_id, data={"day": day.isoformat()})


def set_time_zone(tx: Transaction, org_id: str, name: str) -> None:
    """Give a school or district its time zone. Raises Refused 422 for a name that there is not."""
    try:
        zone(name)
    except ValueError as exc:
        raise Refused(422, "invalid", str(exc)) from None
    tx.run(Org.update(time_zone=name, changed_at=tx.now).where(Org.id == org_id))
    tx.journal("org.changed", subject_id=org_id, data={"fields": ["time_zone"]})


def _week_of(connection: Connection, school_id: str, default: Collection[int]) -> Collection[int]:
    for org in _org_and_above(connection, school_id):
        week = (org.settings or {}).get("school_days")
        if week is not None:
            return frozenset(week)
    return default


def _org_and_above(connection: Connection, org_id: str | None) -> Iterator[Org]:
    """The org and those above it, nearest first; a circle in the data ends."""
    seen: set[str] = set()
    while org_id and org_id not in seen:
        seen.add(org_id)
        org = connection.get(Org, org_id)
        if org is None:
            return
        yield org
        org_id = org.parent_id
