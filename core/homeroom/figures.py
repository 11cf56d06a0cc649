"""The service of those who count: a school's days, students and rolls, in the terms of `homeroom.types`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta

from homeroom.attendance import counting, day_status
from homeroom.roster import calendar
from homeroom.roster.names import display_name
from homeroom.store import Connection
from homeroom.store import models as m
from homeroom.types import CheckIns, DayCounts, Roll, School, StudentDays

STATUS, NAMES = "attendance.status", frozenset({"student.given_name", "student.family_name"})
_YEAR_BEGINS = (7, 1)
_SOME = 500


class StoredFigures:
    """What a plugin with these scopes may count. `time_zone` and `weekdays` are the district's defaults."""

    def __init__(self, scopes: frozenset[str], *, time_zone: str, weekdays: Collection[int]) -> None:
        self._scopes = scopes
        self._time_zone = time_zone
        self._weekdays = weekdays

    def schools(self, connection: Connection, ids: Collection[str] | None, *, now: datetime) -> list[School]:
        """The schools among `ids` (None: all that there are), by name."""
        query = m.Org.select().where(m.Org.kind == "school").order_by(m.Org.name, m.Org.id)
        found = []
        for org in connection.all(query):
            if ids is None or org.id in ids:
                where = calendar.zone_of(connection, org.id, self._time_zone)
                rule = day_status.rule_of(connection, org.id).model_dump()
                today = now.astimezone(where).date()
                found.append(School(id=org.id, name=org.name, time_zone=where.key, day_rule=rule, today=today))
        return found

    def school_of(self, connection: Connection, class_id: str) -> str | None:
        """The school of a class, None when there is no such class."""
        found = connection.get(m.Class, class_id)
        return found.school_id if found else None

    def year_began(self, connection: Connection, day: date) -> date:
        """The first day of the school year that `day` lies in; without one in the calendar, the first of July."""
        year = m.AcademicSession
        query = year.select(year.begins_on).where(
            year.kind == "schoolYear", ~year.ended, year.begins_on <= day, year.ends_on > day
        )
        known: date | None = connection.value(query.order_by(year.begins_on))
        return known or date(day.year - ((day.month, day.day) < _YEAR_BEGINS), *_YEAR_BEGINS)

    def school_days(self, connection: Connection, school: School, since: date, until: date) -> list[date]:
        """The days from `since` to `until`, both included, on which the school is in session by its calendar."""
        end = until + timedelta(days=1)
        return calendar.school_days(connection, school.id, since, end, weekdays=self._weekdays)

    def days(
        self,
        connection: Connection,
        school: School,
        since: date,
        until: date,
        *,
        class_ids: Collection[str] | None = None,
    ) -> list[DayCounts]:
        """The students of each day with marks, in session or not, by their status."""
        rule = day_status.parse_rule(school.day_rule)
        return counting.day_counts(connection, school.id, rule, since, until, class_ids=class_ids)

    def marked_days(self, connection: Connection, school: School, since: date, until: date) -> frozenset[date]:
        """The days from `since` to `until`, both included, on which the school has any mark."""
        return counting.marked_days(connection, school.id, since, until)

    def student_days(self, connection: Connection, school: School, days: Sequence[date]) -> list[StudentDays]:
        """Every student who was enrolled at the school on any of these school days (in order), by id."""
        self._check({STATUS})
        rule = day_status.parse_rule(school.day_rule)
        return counting.student_days(connection, school.id, rule, days, calendar.zone(school.time_zone))

    def rolls(
        self,
        connection: Connection,
        school: School,
        days: Sequence[date],
        *,
        now: datetime,
        open_for: timedelta,
        class_ids: Collection[str] | None = None,
        homerooms: bool = False,
    ) -> list[Roll]:
        """Every class that was to take a roll on each of these school days (in order)."""
        return counting.rolls(
            connection,
            school.id,
            days,
            calendar.zone(school.time_zone),
            now=now,
            open_for=open_for,
            class_ids=class_ids,
            homerooms=homerooms,
        )

    def check_ins(
        self,
        connection: Connection,
        school: School,
        since: date,
        until: date,
        *,
        class_ids: Collection[str] | None = None,
    ) -> list[CheckIns]:
        """The check-ins by hour and by what accepted them."""
        where = calendar.zone(school.time_zone)
        return counting.check_ins(connection, school.id, since, until, where, class_ids=class_ids)

    def names(self, connection: Connection, student_ids: Collection[str]) -> Mapping[str, str]:
        """The name that each of these people wants to be called by."""
        self._check(NAMES)
        ids, found = sorted(set(student_ids)), dict[str, str]()
        for start in range(0, len(ids), _SOME):
            query = m.User.select().where(m.User.id.in_(ids[start : start + _SOME]))
            found |= {person.id: display_name(person) for person in connection.all(query)}
        return found

    def _check(self, scopes: Collection[str]) -> None:
        missing = sorted(set(scopes) - self._scopes)
        if missing:
            raise PermissionError(f"this needs the scope {missing[0]}")
