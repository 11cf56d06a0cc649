"""The routes: each counts in one read, one report at a time in each process, and gives JSON or CSV."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from quart import Blueprint, Response

from homeroom import Call, Connection, Services, StudentDays, Target, operation
from homeroom_reports import absence, daily, explanations, patterns, rolls
from homeroom_reports import answers as a
from homeroom_reports.asked import ONE_DAY, Whose, days_of, page_of, whose
from homeroom_reports.settings import ReportsSettings
from homeroom_reports.tables import as_csv, wants_csv

T = TypeVar("T")

YEAR, QUARTER, MONTH = 400, 100, 35
_OF_CLASSES = ("daily", "rolls-not-taken", "check-in-patterns")
_NAMES = ("daily", "chronic-absence", "ada-adm", "rolls-not-taken", "check-in-patterns")
_SCHOOL = Target(school_id="query.school_id")
_CLASS = Target(school_id="query.school_id", class_id="query.class_id")


def add_routes(pages: Blueprint, services: Services, settings: ReportsSettings) -> None:
    """Hang them below the plugin's prefix."""
    reader = _Reader(services)
    _add_of_classes(pages, services, settings, reader)
    _add_of_schools(pages, services, settings, reader)


def _add_of_classes(pages: Blueprint, services: Services, settings: ReportsSettings, reader: _Reader) -> None:
    """Those that teachers are given of their classes, too."""

    @pages.get("/")
    @operation("reports.read", answers=a.Overview)
    async def read_overview(call: Call) -> a.Overview:
        """Which reports there are, and of which schools."""

        def read(connection: Connection) -> a.Overview:
            wanted = whose(call, services, connection, services.clock.now())
            return a.Overview(
                reports=list(_NAMES if wanted.class_ids is None else _OF_CLASSES),
                schools=[a.OfSchool(school_id=one.id, school=one.name) for one in wanted.schools],
                year_began=services.figures.year_began(connection, call.today()),
            )

        return await call.read(read)

    @pages.get("/daily")
    @operation("reports.read", of=_CLASS, query=a.ClassDays, answers=a.Daily)
    async def read_daily(call: Call, query: a.ClassDays) -> a.Daily | Response:
        """Attendance by day: students by the status of their day, and the rate; the last 30 days by default."""
        since, until = days_of(query, call.today(), back=29, most=YEAR)
        now, (wanted, found) = await reader.read(
            call, lambda c, wanted, _: (wanted, daily.count(services, c, wanted, since, until))
        )
        if wants_csv(query):
            return as_csv(_name("daily", since, until), daily.COLUMNS, daily.rows(found))
        return a.Daily(
            **_about("daily", call, since, until, now),
            explanation=explanations.daily(of_classes=wanted.class_ids is not None),
            totals=daily.statuses(day for one in found for day in one.days),
            days=daily.by_day(found),
            schools=daily.by_school(found),
            left_out=sum(one.left_out for one in found),
        )

    @pages.get("/rolls-not-taken")
    @operation("reports.read", of=_CLASS, query=a.ClassPage, answers=a.RollsNotTaken)
    async def read_rolls(call: Call, query: a.ClassPage) -> a.RollsNotTaken | Response:
        """Classes that had no session, or left one open. The last 7 days when none are named."""
        since, until = days_of(query, call.today(), back=6, most=MONTH)
        now, found = await reader.read(
            call,
            lambda c, wanted, now: rolls.find(services, c, wanted, settings, since=since, until=until, now=now),
        )
        items = rolls.missing(found)
        if wants_csv(query):
            rows = [[getattr(one, name) for name in rolls.COLUMNS] for one in items]
            return as_csv(_name("rolls-not-taken", since, until), rolls.COLUMNS, rows)
        page, onward = page_of(query, items)
        return a.RollsNotTaken(
            **_about("rolls-not-taken", call, since, until, now),
            explanation=explanations.rolls(settings),
            homerooms=settings.rolls_of_homerooms,
            left_open_hours=settings.left_open_hours,
            days=rolls.by_day(found),
            items=list(page),
            next=onward,
        )

    @pages.get("/check-in-patterns")
    @operation("reports.read", of=_CLASS, query=a.ClassDays, answers=a.CheckInPatterns)
    async def read_check_ins(call: Call, query: a.ClassDays) -> a.CheckInPatterns | Response:
        """When, where and how students check in. The last 30 days when none are named."""
        since, until = days_of(query, call.today(), back=29, most=QUARTER)
        now, found = await reader.read(call, lambda c, wanted, _: patterns.count(services, c, wanted, since, until))
        if wants_csv(query):
            rows = [(one.school_id, one.school, one.hour, "+".join(one.methods), one.check_ins) for one in found]
            return as_csv(_name("check-in-patterns", since, until), patterns.COLUMNS, rows)
        return a.CheckInPatterns(
            **_about("check-in-patterns", call, since, until, now),
            explanation=explanations.check_ins(),
            total=sum(one.check_ins for one in found),
            hours=patterns.by_hour(found),
            methods=patterns.by_method(found),
            schools=found,
        )


def _add_of_schools(pages: Blueprint, services: Services, settings: ReportsSettings, reader: _Reader) -> None:
    """Those of whole schools."""

    @pages.get("/chronic-absence")
    @operation("reports.school", of=_SCHOOL, query=a.Page, answers=a.ChronicAbsence)
    async def read_chronic_absence(call: Call, query: a.Page) -> a.ChronicAbsence | Response:
        """Students who missed too many of their days this school year, or of the days that are named."""
        since, until = await _year(services, call, query)
        now, found = await reader.chronic(call, settings, since, until)
        items = absence.chronic(found)
        page, onward = (items, None) if wants_csv(query) else page_of(query, items)
        names = await services.figures.names({student.student_id for _, student in page})
        call.discloses(names, fields=("name", "status"), rows=len(page))
        shown = [_student(school, student, names.get(student.student_id, "")) for school, student in page]
        if wants_csv(query):
            rows = [[getattr(one, name) for name in absence.STUDENT_COLUMNS] for one in shown]
            return as_csv(_name("chronic-absence", since, until), absence.STUDENT_COLUMNS, rows)
        schools = absence.absence_of_schools(found, settings)
        return a.ChronicAbsence(
            **_about("chronic-absence", call, since, until, now),
            explanation=explanations.chronic_absence(settings),
            chronic_at=settings.chronic_at,
            minimum_days=settings.minimum_days,
            totals=absence.absence_totals(schools),
            schools=schools,
            items=shown,
            next=onward,
        )

    @pages.get("/ada-adm")
    @operation("reports.school", of=_SCHOOL, query=a.Days, answers=a.Membership)
    async def read_membership(call: Call, query: a.Days) -> a.Membership | Response:
        """Average daily attendance and membership of this school year, or of the days that are named."""
        since, until = await _year(services, call, query)
        now, found = await reader.read(call, lambda c, wanted, _: absence.count(services, c, wanted, since, until))
        schools = absence.membership_of_schools(found)
        if wants_csv(query):
            rows = [[getattr(one, name) for name in absence.SCHOOL_COLUMNS] for one in schools]
            return as_csv(_name("ada-adm", since, until), absence.SCHOOL_COLUMNS, rows)
        return a.Membership(
            **_about("ada-adm", call, since, until, now),
            explanation=explanations.membership(),
            totals=absence.membership_totals(schools),
            schools=schools,
        )


class _Reader:
    """Lets one report at a time use the database, so that check-ins find readers free."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._turn = asyncio.Semaphore(1)

    async def read(self, call: Call, count: Callable[[Connection, Whose, datetime], T]) -> tuple[datetime, T]:
        """When it was counted, and what `count` gives of what the caller asks for and reaches."""
        async with self._turn:
            return await self._read(call, count)

    async def chronic(
        self, call: Call, settings: ReportsSettings, since: date, until: date
    ) -> tuple[datetime, list[absence.Counted]]:
        """When it was counted, and every school that the caller reaches, with who is chronically absent."""
        async with self._turn:
            now, schools = await self._read(
                call, lambda c, wanted, _: absence.held(self._services, c, wanted, since, until)
            )
            return now, await absence.count_chronic(self._services, schools, settings)

    async def _read(self, call: Call, count: Callable[[Connection, Whose, datetime], T]) -> tuple[datetime, T]:
        now = self._services.clock.now()
        return now, await call.read(lambda c: count(c, whose(call, self._services, c, now), now))


async def _year(services: Services, call: Call, query: a.Days) -> tuple[date, date]:
    """The first and the last day that are counted: of the school year or as they are named, up to yesterday."""
    yesterday = call.today() - ONE_DAY
    last = query.until or yesterday
    if query.since is None:
        began = await call.read(lambda c: services.figures.year_began(c, last))
        query = query.model_copy(update={"since": began})
    return days_of(query, yesterday, back=0, most=YEAR)


def _student(school: Any, student: StudentDays, name: str) -> a.AbsentStudent:
    return a.AbsentStudent(
        school_id=school.id,
        school=school.name,
        student_id=student.student_id,
        name=name,
        days_enrolled=student.enrolled,
        days_missed=student.missed,
        days_excused=student.excused,
        days_unknown=student.unknown,
        share=round(student.missed / student.enrolled, 4),
    )


def _about(report: str, call: Call, since: date, until: date, now: datetime) -> dict[str, Any]:
    place = call.place
    return {
        "report": report,
        "since": since,
        "until": until,
        "school_id": place.school_id,
        "class_id": place.class_id,
        "as_of": now - timedelta(microseconds=now.microsecond),
    }


def _name(report: str, since: date, until: date) -> str:
    return f"{report}-{since}-{until}"
