"""Chronic absence, and the averages of attendance and membership: both count each student's days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from homeroom import Connection, School, Services, StudentDays
from homeroom_reports.answers import AbsenceTotals, MembershipTotals, SchoolAbsence, SchoolMembership
from homeroom_reports.asked import Whose, mean, over, share
from homeroom_reports.settings import ReportsSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One school: its days in session that are over, how many of them have no mark at all, and its students' days."""

    school: School
    days: Sequence[date]
    without_marks: int
    students: Sequence[StudentDays]


def count(services: Services, connection: Connection, wanted: Whose, since: date, until: date) -> list[Counted]:
    """Every school."""
    figures = services.figures
    found = []
    for school in wanted.schools:
        days = over(figures.school_days(connection, school, since, until), school)
        found.append(
            Counted(
                school=school,
                days=days,
                without_marks=_without_marks(services, connection, school, days),
                students=figures.student_days(connection, school, days),
            )
        )
    return found


def _without_marks(services: Services, connection: Connection, school: School, days: Sequence[date]) -> int:
    marked = services.figures.marked_days(connection, school, days[0], days[-1]) if days else frozenset[date]()
    return sum(day not in marked for day in days)


def is_judged(student: StudentDays, settings: ReportsSettings) -> bool:
    """Whether a student was enrolled long enough."""
    return student.enrolled >= settings.minimum_days


def is_chronic(student: StudentDays, settings: ReportsSettings) -> bool:
    """Whether a student who was enrolled long enough missed too many of these days."""
    return is_judged(student, settings) and student.missed / student.enrolled >= settings.chronic_at


def chronic(counted: Sequence[Counted], settings: ReportsSettings) -> list[tuple[School, StudentDays]]:
    """The students who are chronically absent, each with the school, the highest share first."""
    found = [(one.school, student) for one in counted for student in one.students if is_chronic(student, settings)]
    return sorted(found, key=lambda pair: (-pair[1].missed / pair[1].enrolled, -pair[1].missed, pair[1].student_id))


def absence_of_schools(counted: Sequence[Counted], settings: ReportsSettings) -> list[SchoolAbsence]:
    """Each school's figures."""
    found = []
    for one in counted:
        judged = sum(is_judged(student, settings) for student in one.students)
        missing = sum(is_chronic(student, settings) for student in one.students)
        found.append(
            SchoolAbsence(
                school_id=one.school.id,
                school=one.school.name,
                students=judged,
                chronically_absent=missing,
                share=share(missing, judged),
                too_short=len(one.students) - judged,
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
        enrolled = sum(student.enrolled for student in one.students)
        attended = sum(student.attended for student in one.students)
        found.append(
            SchoolMembership(
                school_id=one.school.id,
                school=one.school.name,
                days_in_session=len(one.days),
                days_without_marks=one.without_marks,
                membership_days=enrolled,
                attendance_days=attended,
                absence_days=sum(student.missed for student in one.students),
                unknown_days=sum(student.unknown for student in one.students),
                outside_days=sum(student.outside for student in one.students),
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
