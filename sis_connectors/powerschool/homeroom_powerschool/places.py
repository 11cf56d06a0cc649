"""From rows and objects to schools, terms, courses, classes and enrolments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from homeroom import AcademicSession, Class, Course, Enrollment, Org
from homeroom_powerschool import ids, quirks
from homeroom_powerschool.quirks import Row, Unreadable, as_day, as_number, as_text

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """One school under both its numbers."""

    dcid: ids.SchoolDcid
    number: ids.SchoolNumber
    name: str

    def org(self, time_zone: str | None) -> Org:
        """The school as a record."""
        return Org(
            sourced_id=ids.school(self.dcid),
            name=self.name,
            kind="school",
            identifier=str(self.number),
            parent=ids.DISTRICT,
            time_zone=time_zone,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One term of one school; `ends_on` is the day after its last one. The whole year has `portion` 1."""

    dcid: ids.TermDcid
    school: ids.SchoolDcid
    year: ids.YearId
    name: str
    begins_on: date
    ends_on: date
    portion: int

    def session(self, parent: ids.TermDcid | None) -> AcademicSession:
        """The term as a record below its school year."""
        return AcademicSession(
            sourced_id=ids.term(self.dcid),
            title=self.name,
            kind="schoolYear" if self.portion == 1 else "term",
            begins_on=self.begins_on,
            ends_on=self.ends_on,
            school_year=self.year + ids.FIRST_YEAR + 1,
            parent=None if parent is None else ids.term(parent),
        )


def school(item: Mapping[str, Any]) -> School:
    """A school of the REST list. Raises Unreadable."""
    return School(
        dcid=ids.SchoolDcid(as_number(item, "id")),
        number=ids.SchoolNumber(as_number(item, "school_number")),
        name=as_text(item.get("name")) or "",
    )


def district(item: Mapping[str, Any], time_zone: str | None) -> Org:
    """The district itself."""
    return Org(
        sourced_id=ids.DISTRICT,
        name=as_text(item.get("name")) or "District",
        kind="district",
        identifier=as_text(item.get("district_number")),
        time_zone=time_zone,
    )


def term(item: Mapping[str, Any]) -> Term:
    """A term of the REST list, whose end date is its last day. Raises Unreadable."""
    begins_on, last_day = as_day(item, "start_date"), as_day(item, "end_date")
    if begins_on is None or last_day is None:
        raise Unreadable("end_date" if begins_on else "start_date", "this is empty")
    return Term(
        dcid=ids.TermDcid(as_number(item, "id")),
        school=ids.SchoolDcid(as_number(item, "school_id")),
        year=ids.YearId(as_number(item, "start_year") - ids.FIRST_YEAR),
        name=as_text(item.get("name")) or as_text(item.get("abbreviation")) or "",
        begins_on=begins_on,
        ends_on=last_day + _DAY,
        portion=as_number(item, "portion"),
    )


def course(row: Row) -> Course:
    """A row of COURSES. Raises Unreadable."""
    return Course(
        sourced_id=ids.course(ids.CourseDcid(as_number(row, "dcid"))),
        title=as_text(row.get("course_name")) or "",
        code=as_text(row.get("course_number")),
    )


def section(row: Row) -> Class:
    """A class, named after its course and its number. Raises Unreadable."""
    number = as_text(row.get("section_number"))
    name = as_text(row.get("course_name")) or "Class"
    return Class(
        sourced_id=ids.section(ids.SectionDcid(as_number(row, "dcid"))),
        title=f"{name}, section {number}" if number else name,
        school=ids.school(ids.SchoolDcid(as_number(row, "school_dcid"))),
        course=ids.course(ids.CourseDcid(as_number(row, "course_dcid"))),
        terms=(ids.term(ids.TermDcid(as_number(row, "term_dcid"))),),
        code=number,
        periods=periods(as_text(row.get("expression"))),
    )


def periods(expression: str | None) -> tuple[str, ...]:
    """The parts of a section's expression: "1(A) 3-4(B)" are "1(A)" and "3-4(B)"."""
    return tuple(re.findall(r"[^\s()]+(?:\([^)]*\))?", expression or ""))


def enrollment(row: Row) -> Enrollment:
    """A student in a class, from the entry date to before the exit date. Raises Unreadable.

    Somebody who dropped the class keeps the days until then; one who dropped it before it began was never in it.
    """
    sourced_id = ids.enrollment(ids.EnrollmentDcid(as_number(row, "dcid")))
    begins_on, ends_on = as_day(row, "entry_date"), as_day(row, "exit_date")
    never = begins_on is not None and ends_on is not None and ends_on <= begins_on
    if never or (quirks.as_flag(row.get("dropped")) and ends_on is None):
        return Enrollment(sourced_id=sourced_id, user="", class_="", role="student", status="tobedeleted")
    return Enrollment(
        sourced_id=sourced_id,
        user=ids.student(ids.StudentDcid(as_number(row, "student_dcid"))),
        class_=ids.section(ids.SectionDcid(as_number(row, "section_dcid"))),
        school=ids.school(ids.SchoolDcid(as_number(row, "school_dcid"))),
        role="student",
        begins_on=begins_on,
        ends_on=ends_on,
    )


def teaching(row: Row) -> Enrollment:
    """A teacher of a class, until and with the last day. Raises Unreadable."""
    last_day = as_day(row, "end_date")
    return Enrollment(
        sourced_id=f"teaching-{as_text(row.get('id'))}",
        user=ids.staff(ids.UserDcid(as_number(row, "user_dcid"))),
        class_=ids.section(ids.SectionDcid(as_number(row, "section_dcid"))),
        school=ids.school(ids.SchoolDcid(as_number(row, "school_dcid"))),
        role="teacher",
        primary=quirks.as_flag(row.get("lead")),
        begins_on=as_day(row, "start_date"),
        ends_on=None if last_day is None else last_day + _DAY,
    )
