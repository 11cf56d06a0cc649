"""Attendance by day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

from homeroom import Connection, DayCounts, School, Services
from homeroom_reports.answers import Day, SchoolStatuses, Statuses
from homeroom_reports.asked import Whose, share


@dataclass(slots=True, kw_only=True)
class Counted:
    """One school: its days in session up to today, and of these the ones with marks."""

    school: School
    in_session: Sequence[date]
    days: list[DayCounts] = field(default_factory=list)
    left_out: int = 0


def count(services: Services, connection: Connection, wanted: Whose, since: date, until: date) -> list[Counted]:
    """Every school by day."""
    found = []
    for school in wanted.schools:
        held = services.figures.school_days(connection, school, since, min(until, school.today))
        one = Counted(school=school, in_session=held)
        days = frozenset(held)
        for day in services.figures.days(connection, school, since, until, class_ids=wanted.class_ids):
            if day.school_day in days:
                one.days.append(day)
            else:
                one.left_out += day.present + day.tardy + day.absent + day.excused
        found.append(one)
    return found


def by_day(counted: Sequence[Counted]) -> list[Day]:
    """All schools together, each day on which any of them was in session."""
    every = sorted({day for one in counted for day in one.in_session})
    marks: dict[date, list[DayCounts]] = {day: [] for day in every}
    held: dict[date, int] = dict.fromkeys(every, 0)
    for one in counted:
        for day in one.in_session:
            held[day] += 1
        for found in one.days:
            marks[found.school_day].append(found)
    return [
        Day(day=day, in_session=held[day], with_marks=len(marks[day]), **statuses(marks[day]).model_dump())
        for day in every
    ]


def by_school(counted: Sequence[Counted]) -> list[SchoolStatuses]:
    """Each school over all days."""
    return [
        SchoolStatuses(school_id=one.school.id, school=one.school.name, **statuses(one.days).model_dump())
        for one in counted
    ]


def statuses(days: Iterable[DayCounts]) -> Statuses:
    """The sums of some days."""
    present = tardy = absent = excused = 0
    for day in days:
        present, tardy = present + day.present, tardy + day.tardy
        absent, excused = absent + day.absent, excused + day.excused
    rate = share(present + tardy, present + tardy + absent + excused)
    return Statuses(present=present, tardy=tardy, absent=absent, excused=excused, rate=rate)


COLUMNS = ("day", "school_id", "school", "present", "tardy", "absent", "excused", "rate")


def rows(counted: Sequence[Counted]) -> list[tuple[object, ...]]:
    """Each school's days in session; without marks they are empty."""
    found: list[tuple[object, ...]] = []
    for one in counted:
        marks = {day.school_day: day for day in one.days}
        for day in one.in_session:
            told = statuses([marks[day]] if day in marks else [])
            figures = (told.present, told.tardy, told.absent, told.excused, told.rate)
            found.append((day.isoformat(), one.school.id, one.school.name, *figures))
    return sorted(found, key=lambda row: (str(row[0]), str(row[2]), str(row[1])))
