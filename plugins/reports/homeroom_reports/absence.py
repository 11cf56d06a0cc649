"""Chronic absence, and the averages of attendance and membership: both count students' days.

Only who is chronically absent is known singly; of all others there are counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from homeroom import Connection, Days, DayTotals, School, Services, StudentDays
from homeroom_reports.answers import AbsenceTotals, MembershipTotals, SchoolAbsence, SchoolMembership
from homeroom_reports.asked import Whose, mean, over, share
from homeroom_reports.settings import ReportsSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One school: its days in session that are over, how many of them have no mark at all, and its students' days.

    `chronic` are those who are chronically absent, where that was asked for.
    """

    school: School
    days: Sequence[date]
    without_marks: int = 0
    totals: Sequence[DayTotals]
    chronic: Sequence[StudentDays] = ()


def held(
    services: Services, connection: Connection, wanted: Whose, since: date, until: date
) -> list[tuple[School, Sequence[date]]]:
    """Every school, with its days in session that are over."""
    days = services.figures.school_days
    return [(school, over(days(connection, school, since, until), school)) for school in wanted.schools]


def count(services: Services, connection: Connection, wanted: Whose, since: date, until: date) -> list[Counted]:
    """Every school in figures alone."""
    return [
        Counted(
            school=school,
            days=days,
            without_marks=_without_marks(services, connection, school, days),
            totals=services.figures.totals(connection, school, days),
        )
        for school, days in held(services, connection, wanted, since, until)
    ]


async def count_chronic(
    services: Services, schools: Sequence[tuple[School, Sequence[date]]], settings: ReportsSettings
) -> list[Counted]:
    """Every school, with who is chronically absent: a hand-out. Raises Refused."""
    found = await services.figures.student_days(schools, enrolled=settings.minimum_days, missed=settings.chronic_at)
    return [
        Counted(school=school, days=days, totals=totals, chronic=students)
        for (school, days), (totals, students) in zip(schools, found, strict=True)
    ]


def _without_marks(services: Services, connection: Connection, school: School, days: Sequence[date]) -> int:
    marked = services.figures.marked_days(connection, school, days[0], days[-1]) if days else frozenset[date]()
    return sum(day not in marked for day in days)


def is_judged(student: Days, settings: ReportsSettings) -> bool:
    """Whether a student was enrolled long enough."""
    return student.enrolled >= settings.minimum_days


def is_chronic(student: Days, settings: ReportsSettings) -> bool:
    """Whether a student who was enrolled long enough missed too many of these days."""
    return is_judged(student, settings) and student.missed / student.enrolled >= settings.chronic_at


def chronic(counted: Sequence[Counted]) -> list[tuple[School, StudentDays]]:
    """The students who are chronically absent, each with the school, the highest share first."""
    found = [(one.school, student) for one in counted for student in one.chronic]
    return sorted(found, key=lambda pair: (-pair[1].missed / pair[1].enrolled, -pair[1].missed, pair[1].student_id))


def absence_of_schools(counted: Sequence[Counted], settings: ReportsSettings) -> list[SchoolAbsence]:
    """Each school's figures."""
    found = []
    for one in counted:
        judged = sum(alike.students for alike in one.totals if is_judged(alike, settings))
        missing = sum(alike.students for alike in one.totals if is_chronic(alike, settings))
        found.append(
            SchoolAbsence(
                school_id=one.school.id,
                school=one.school.name,
                students=judged,
                chronically_absent=missing,
                share=share(missing, judged),
                too_short=sum(alike.students for alike in one.totals) - judged,
                days_in_session=len(one.days),
                day_rule=dict(one.school.day_rule),
            )
        )
    return found


def absence_totals(schools: Sequence[SchoolAbsence]) -> AbsenceTotals:
    """All schools together."""
    judged, missing = sum(one.students for one in schools), sum(one.chronically_absent for one in schools)
    return AbsenceTotals(
        students=judged,
        chronically_absent=missing,
        share=share(missing, judged),
        too_short=sum(one.too_short for one in schools),
    )


def membership_of_schools(counted: Sequence[Counted]) -> list[SchoolMembership]:
    """Each school's averages."""
    found = []
    for one in counted:
        enrolled = sum(alike.students * alike.enrolled for alike in one.totals)
        attended = sum(alike.students * alike.attended for alike in one.totals)
        found.append(
            SchoolMembership(
                school_id=one.school.id,
                school=one.school.name,
                days_in_session=len(one.days),
                days_without_marks=one.without_marks,
                membership_days=enrolled,
                attendance_days=attended,
                absence_days=sum(alike.students * alike.missed for alike in one.totals),
                unknown_days=sum(alike.students * alike.unknown for alike in one.totals),
                outside_days=sum(alike.students * alike.outside for alike in one.totals),
                ada=mean(attended, len(one.days)),
                adm=mean(enrolled, len(one.days)),
                rate=share(attended, enrolled),
            )
        )
    return found


def membership_totals(schools: Sequence[SchoolMembership]) -> MembershipTotals:
    """All schools together: schools have calendars of their own, so their averages are added up."""
    enrolled, attended = sum(one.membership_days for one in schools), sum(one.attendance_days for one in schools)
    held = [one for one in schools if one.days_in_session]
    return MembershipTotals(
        membership_days=enrolled,
        attendance_days=attended,
        absence_days=sum(one.absence_days for one in schools),
        unknown_days=sum(one.unknown_days for one in schools),
        ada=round(sum(one.attendance_days / one.days_in_session for one in held), 2),
        adm=round(sum(one.membership_days / one.days_in_session for one in held), 2),
        rate=share(attended, enrolled),
    )


STUDENT_COLUMNS = (
    *("school_id", "school", "student_id", "name", "days_enrolled", "days_missed", "days_excused", "days_unknown"),
    "share",
)
SCHOOL_COLUMNS = tuple(SchoolMembership.model_fields)
