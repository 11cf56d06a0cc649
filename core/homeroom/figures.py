"""The service of those who count: a school's days, students and rolls, in the terms of `homeroom.types`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial

from homeroom.attendance import counting, day_status
from homeroom.hand_outs import HostOf, hand_out
from homeroom.roster import calendar
from homeroom.roster.names import display_name
from homeroom.store import Connection, Store
from homeroom.store import models as m
from homeroom.types import CheckIns, DayCounts, DayTotals, Roll, School, StudentDays

STATUS = "attendance.status"
NAMES = frozenset({"student.given_name", "student.family_name", "student.preferred_name"})
_YEAR_BEGINS = (7, 1)
_SOME = 500


class StoredFigures:
    """What a plugin with these scopes may count. `time_zone` and `weekdays` are the district's defaults."""

    def __init__(
        self,
        store: Store,
        plugin: str,
        scopes: frozenset[str],
        *,
        time_zone: str,
        weekdays: Collection[int],
        host: HostOf = lambda: None,
    ) -> None:
        self._store = store
        self._plugin = plugin
        self._host = host
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

    def totals(self, connection: Connection, school: School, days: Sequence[date]) -> list[DayTotals]:
        """How many students of each grade had which days there, of all enrolled on any of these days (in order)."""
        self._check({STATUS})
        return _totals(connection, _days_of_students(connection, school, days))

    async def student_days(
        self, wanted: Sequence[tuple[School, Sequence[date]]], *, enrolled: int = 1, missed: float = 0.0
    ) -> list[tuple[list[DayTotals], list[StudentDays]]]:
        """Of each school its totals, and by id the students with that many enrolled days and that share missed."""
        self._check({STATUS})
        found = await self._store.read(partial(_both, wanted=wanted, enrolled=enrolled, missed=missed))
        await self._hand_out({one.student_id for _, students in found for one in students}, {STATUS})
        return found

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

    async def names(self, student_ids: Collection[str]) -> Mapping[str, str]:
        """The name that each of these people wants to be called by."""
        self._check(NAMES)
        found = await self._store.read(partial(_names, ids=sorted(set(student_ids))))
        await self._hand_out(found, NAMES)
        return found

    async def _hand_out(self, student_ids: Collection[str], scopes: Collection[str]) -> None:
        """Ask and enter once, before anything of single students is handed out. Raises Refused."""
        if student_ids:
            fields = {scope.rpartition(".")[2] for scope in scopes}
            await hand_out(self._store, self._host(), self._plugin, student_ids, fields)

    def _check(self, scopes: Collection[str]) -> None:
        missing = sorted(set(scopes) - self._scopes)
        if missing:
            raise PermissionError(f"this needs the scope {missing[0]}")


def _both(
    connection: Connection, wanted: Sequence[tuple[School, Sequence[date]]], enrolled: int, missed: float
) -> list[tuple[list[DayTotals], list[StudentDays]]]:
    found = []
    for school, days in wanted:
        students = _days_of_students(connection, school, days)
        over = [one for one in students if one.enrolled >= enrolled and one.missed / one.enrolled >= missed]
        found.append((_totals(connection, students), over))
    return found


def _days_of_students(connection: Connection, school: School, days: Sequence[date]) -> list[StudentDays]:
    rule = day_status.parse_rule(school.day_rule)
    return counting.student_days(connection, school.id, rule, days, calendar.zone(school.time_zone))


def _totals(connection: Connection, students: Sequence[StudentDays]) -> list[DayTotals]:
    grades = _grades(connection, [one.student_id for one in students])
    alike = Counter(
        (grades.get(one.student_id), one.enrolled, one.attended, one.absent, one.excused, one.outside)
        for one in students
    )
    return [
        DayTotals(
            students=count,
            grade=grade,
            enrolled=enrolled,
            attended=attended,
            absent=absent,
            excused=excused,
            outside=outside,
        )
        for (grade, enrolled, attended, absent, excused, outside), count in alike.items()
    ]


def _grades(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """The first grade of each student who has one."""
    found: dict[str, str] = {}
    for start in range(0, len(ids), _SOME):
        query = m.User.select(m.User.id, m.User.grades).where(m.User.id.in_(ids[start : start + _SOME]))
        found |= {person: grades[0] for person, grades in connection.tuples(query) if grades}
    return found


def _names(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(ids), _SOME):
        query = m.User.select().where(m.User.id.in_(ids[start : start + _SOME]))
        found |= {person.id: display_name(person) for person in connection.all(query)}
    return found
