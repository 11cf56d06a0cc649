"""The rows that a simulated Qmlativ keeps for a synthetic district, object by object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from homeroom import Class, User
from homeroom.testing import SampleDistrict
from homeroom_skyward import tables as t
from homeroom_skyward.generic import DISTRICT, Row, Table
from homeroom_skyward.numbers import number

TYPES = ("A", "T")
REASONS = ("EX", "DR")
_WEEK = 5


class Books:
    """Makes an object's rows when they are asked for, and again when the district has changed."""

    def __init__(self, district: SampleDistrict) -> None:
        self._district = district
        self._made: dict[Table, tuple[list[list[Any]], list[Row]]] = {}

    def rows(self, table: Table) -> Sequence[Row]:
        """Every row of an object, by its key."""
        making, names = _MAKING[table]
        sources = [list(getattr(self._district, name)) for name in names]
        kept = self._made.get(table)
        if kept is None or kept[0] != sources:
            kept = sources, sorted(making(self._district), key=lambda row: int(row[table.key]))
            self._made[table] = kept
        return kept[1]


def entity_of(school: str) -> int:
    """The entity that stands for a school."""
    return number("entity", school) % 1_000_000 + DISTRICT + 1


def period_of(school: str, code: str) -> int:
    """The attendance period with this code at a school."""
    return number("period", f"{school} {code}")


def day_of(school: str, day: date) -> int:
    """The day in the school's calendar."""
    return number("day", f"{school} {day}")


def _schools(district: SampleDistrict) -> Iterator[Row]:
    for org in district.schools:
        yield {"SchoolID": number("school", org.sourced_id), "Name": org.name, "Code": org.identifier}


def _entity_schools(district: SampleDistrict) -> Iterator[Row]:
    for org in district.schools:
        yield {
            "EntitySchoolID": number("entity school", org.sourced_id),
            "EntityID": entity_of(org.sourced_id),
            "SchoolID": number("school", org.sourced_id),
            "IsDefaultSchoolForEntity": True,
        }


def _years(district: SampleDistrict) -> tuple[date, date]:
    """The first and last day of the school year."""
    [year] = [one for one in district.academic_sessions if one.kind == "schoolYear"]
    return year.begins_on, year.ends_on - timedelta(days=1)


def _calendars(district: SampleDistrict) -> Iterator[Row]:
    first, last = _years(district)
    for org in district.schools:
        yield {
            "CalendarID": number("calendar", org.sourced_id),
            "EntityID": entity_of(org.sourced_id),
            "IsDefault": True,
            "StartDate": first.isoformat(),
            "EndDate": last.isoformat(),
            "Description": f"{org.name} {first.year}",
        }


def _calendar_days(district: SampleDistrict) -> Iterator[Row]:
    first, last = _years(district)
    for org in district.schools:
        for offset in range((last - first).days + 1):
            day = first + timedelta(days=offset)
            if day.weekday() < _WEEK:
                yield {
                    "CalendarDayID": day_of(org.sourced_id, day),
                    "CalendarID": number("calendar", org.sourced_id),
                    "Date": day.isoformat(),
                }


def _courses(district: SampleDistrict) -> Iterator[Row]:
    for course in district.courses:
        yield {
            "CourseID": number("course", course.sourced_id),
            "CourseCode": course.code,
            "EntityID": entity_of(course.org or ""),
            "IsCurrentSchoolYear": True,
            "Description": course.title,
        }


def _active(classes: Sequence[Class]) -> Iterator[Class]:
    return (one for one in classes if one.status == "active")


def _sections(district: SampleDistrict) -> Iterator[Row]:
    for one in _active(district.classes):
        yield {
            "SectionID": number("section", one.sourced_id),
            "CourseID": number("course", one.course or ""),
            "EntityID": entity_of(one.school),
            "IsCurrentYear": True,
            "Code": one.code,
            "CourseCodeSectionCodeCourseDescription": one.title,
        }


def _meets(district: SampleDistrict) -> Iterator[Row]:
    for one in _active(district.classes):
        yield {"MeetID": number("meet", one.sourced_id), "SectionID": number("section", one.sourced_id)}


def _meet_summaries(district: SampleDistrict) -> Iterator[Row]:
    for one in _active(district.classes):
        yield {"MeetID": number("meet", one.sourced_id), "Period": ",".join(one.periods)}


def _is_student(user: User) -> bool:
    return any(role.role == "student" for role in user.roles)


def _is_staff(user: User) -> bool:
    return any(role.role in ("teacher", "principal", "administrator", "aide") for role in user.roles)


def _people(district: SampleDistrict, is_one: Callable[[User], bool]) -> Iterator[User]:
    return (user for user in district.users if user.status == "active" and is_one(user))


def _students(district: SampleDistrict) -> Iterator[Row]:
    for user in _people(district, _is_student):
        yield {
            "StudentID": number("student", user.sourced_id),
            "NameID": number("name", user.sourced_id),
            "HasStudentEntityYearForCurrentSchoolYear": True,
            "StudentNumber": user.identifier,
            "Grade": next(iter(user.grades), None),
        }


def _entries(district: SampleDistrict) -> Iterator[Row]:
    first, _ = _years(district)
    for user in _people(district, _is_student):
        for role in user.roles:
            begins_on = role.begins_on or first
            yield {
                "EntryWithdrawalID": number("entry", f"{user.sourced_id} {role.org} {begins_on}"),
                "StudentID": number("student", user.sourced_id),
                "SchoolID": number("school", role.org),
                "IsDefaultEntity": role.primary,
                "StartDate": begins_on.isoformat(),
                "EndDate": role.ends_on and (role.ends_on - timedelta(days=1)).isoformat(),
            }


def _names(district: SampleDistrict) -> Iterator[Row]:
    for user in _people(district, lambda user: _is_student(user) or _is_staff(user)):
        yield {
            "NameID": number("name", user.sourced_id),
            "FirstName": user.preferred_given_name or user.given_name,
            "LastName": user.preferred_family_name or user.family_name,
            "FirstNameLegal": user.given_name,
            "LastNameLegal": user.family_name,
            "MiddleName": user.middle_name,
            "BirthDate": user.birth_date and f"{user.birth_date}T00:00:00",
        }


def _emails(district: SampleDistrict) -> Iterator[Row]:
    for user in _people(district, lambda user: _is_student(user) or _is_staff(user)):
        if user.email:
            yield {
                "NameEmailID": number("email", user.sourced_id),
                "NameID": number("name", user.sourced_id),
                "Rank": 1,
                "EmailAddress": user.email,
            }


def _staff(district: SampleDistrict) -> Iterator[Row]:
    for user in _people(district, _is_staff):
        yield {
            "StaffID": number("staff", user.sourced_id),
            "NameID": number("name", user.sourced_id),
            "IsActiveForDistrict": user.enabled,
            "StaffNumber": user.identifier,
        }


def _staff_years(district: SampleDistrict) -> Iterator[Row]:
    schools = {org.sourced_id for org in district.schools}
    for user in _people(district, _is_staff):
        for role in user.roles:
            if role.org in schools:
                yield {
                    "StaffEntityYearID": number("staff year", f"{user.sourced_id} {role.org}"),
                    "StaffID": number("staff", user.sourced_id),
                    "EntityID": entity_of(role.org),
                    "IsActive": True,
                    "IsTeacher": role.role == "teacher",
                }


def _student_sections(district: SampleDistrict) -> Iterator[Row]:
    for seat in district.enrollments:
        if seat.role == "student" and seat.status == "active":
            yield {
                "StudentSectionID": number("seat", seat.sourced_id),
                "StudentID": number("student", seat.user),
                "SectionID": number("section", seat.class_),
                "IsForCurrentSchoolYear": True,
                "ModifiedTime": seat.modified.strftime("%Y-%m-%dT%H:%M:%S") if seat.modified else "2026-08-01T00:00:00",
                "StartDate": seat.begins_on and seat.begins_on.isoformat(),
                "EndDate": seat.ends_on and (seat.ends_on - timedelta(days=1)).isoformat(),
            }


def _staff_meets(district: SampleDistrict) -> Iterator[Row]:
    for seat in district.enrollments:
        if seat.role == "teacher" and seat.status == "active":
            yield {
                "StaffMeetID": number("duty", seat.sourced_id),
                "SectionID": number("section", seat.class_),
                "StaffID": number("staff", seat.user),
                "IsPrimary": seat.primary,
            }


def _periods(district: SampleDistrict) -> Iterator[Row]:
    for school, code in sorted({(one.school, period) for one in district.classes for period in one.periods}):
        yield {"AttendancePeriodID": period_of(school, code), "EntityID": entity_of(school), "Code": code}


def _codes(table: Table, codes: Sequence[str]) -> Callable[[SampleDistrict], Iterator[Row]]:
    def making(district: SampleDistrict) -> Iterator[Row]:
        for org in district.schools:
            for code in codes:
                key = number(table.name, f"{org.sourced_id} {code}")
                yield {table.key: key, "EntityID": entity_of(org.sourced_id), "Code": code}

    return making


_MAKING: Mapping[Table, tuple[Callable[[SampleDistrict], Iterator[Row]], tuple[str, ...]]] = {
    t.SCHOOL: (_schools, ("orgs",)),
    t.ENTITY_SCHOOL: (_entity_schools, ("orgs",)),
    t.CALENDAR: (_calendars, ("orgs", "academic_sessions")),
    t.CALENDAR_DAY: (_calendar_days, ("orgs", "academic_sessions")),
    t.COURSE: (_courses, ("courses",)),
    t.SECTION: (_sections, ("classes",)),
    t.MEET: (_meets, ("classes",)),
    t.MEET_SUMMARY: (_meet_summaries, ("classes",)),
    t.STUDENT: (_students, ("users",)),
    t.ENTRY: (_entries, ("users", "academic_sessions")),
    t.NAME: (_names, ("users",)),
    t.EMAIL: (_emails, ("users",)),
    t.STAFF: (_staff, ("users",)),
    t.STAFF_YEAR: (_staff_years, ("users", "orgs")),
    t.STUDENT_SECTION: (_student_sections, ("enrollments",)),
    t.STAFF_MEET: (_staff_meets, ("enrollments",)),
    t.PERIOD: (_periods, ("classes",)),
    t.TYPE: (_codes(t.TYPE, TYPES), ("orgs",)),
    t.REASON: (_codes(t.REASON, REASONS), ("orgs",)),
}

OPTIONAL = ("Code", "Description", "StudentNumber", "MiddleName", "Grade", "BirthDate", "StaffNumber")
"""What a row may go without, the one that goes first last."""
