"""PowerSchool's four kinds of numbers, as types of their own: mixing two of them writes to another child.

Every record has a DCID (what the REST API calls `id`) and an ID (what tables refer to each other by); students, staff
and schools have a number that people know. The engine sees DCIDs only, with the kind before them: `student-4711`.
"""

from __future__ import annotations

from typing import NewType

SchoolDcid = NewType("SchoolDcid", int)
SchoolNumber = NewType("SchoolNumber", int)
"""SCHOOLS.SCHOOL_NUMBER, which tables call SCHOOLID."""
TermDcid = NewType("TermDcid", int)
YearId = NewType("YearId", int)
"""The first calendar year of a school year, less 1990."""
CourseDcid = NewType("CourseDcid", int)
SectionDcid = NewType("SectionDcid", int)
StudentDcid = NewType("StudentDcid", int)
StudentId = NewType("StudentId", int)
StudentNumber = NewType("StudentNumber", str)
UserDcid = NewType("UserDcid", int)
"""USERS.DCID: one person on the staff, at however many schools."""
StaffDcid = NewType("StaffDcid", int)
"""SCHOOLSTAFF.DCID: one person at one school."""
PersonId = NewType("PersonId", int)
EnrollmentDcid = NewType("EnrollmentDcid", int)
"""CC.DCID: one student in one section."""
EnrollmentId = NewType("EnrollmentId", int)
"""CC.ID, by which attendance refers to it."""
CodeId = NewType("CodeId", int)
CalendarDayId = NewType("CalendarDayId", int)
PeriodId = NewType("PeriodId", int)

DISTRICT = "district"
OFFICE = SchoolDcid(0)
"""The district office, where staff may belong without there being such a school."""

FIRST_YEAR = 1990


class Unplaceable(Exception):
    """One mark that has no place in PowerSchool, while others may have: the text is for the administrator."""


def school(dcid: SchoolDcid) -> str:
    """The sourced id of a school; the district's own for the district office."""
    return DISTRICT if dcid == OFFICE else f"school-{dcid}"


def term(dcid: TermDcid) -> str:
    """The sourced id of a term or school year."""
    return f"term-{dcid}"


def course(dcid: CourseDcid) -> str:
    """The sourced id of a course."""
    return f"course-{dcid}"


def section(dcid: SectionDcid) -> str:
    """The sourced id of a class."""
    return f"section-{dcid}"


def student(dcid: StudentDcid) -> str:
    """The sourced id of a student."""
    return f"student-{dcid}"


def staff(dcid: UserDcid) -> str:
    """The sourced id of somebody on the staff."""
    return f"staff-{dcid}"


def contact(person: PersonId) -> str:
    """The sourced id of a student's contact."""
    return f"contact-{person}"


def enrollment(dcid: EnrollmentDcid) -> str:
    """The sourced id of a student's enrolment in a class."""
    return f"cc-{dcid}"


def school_of(sourced_id: str) -> SchoolDcid:
    """The school with this sourced id. Raises Unplaceable for an id of another kind."""
    return SchoolDcid(_number(sourced_id, "school"))


def section_of(sourced_id: str) -> SectionDcid:
    """The section with this sourced id. Raises Unplaceable for an id of another kind."""
    return SectionDcid(_number(sourced_id, "section"))


def student_of(sourced_id: str) -> StudentDcid:
    """The student with this sourced id. Raises Unplaceable for an id of another kind."""
    return StudentDcid(_number(sourced_id, "student"))


def _number(sourced_id: str, kind: str) -> int:
    before, _, number = sourced_id.partition("-")
    if before != kind or not number.isdecimal():
        raise Unplaceable(f"the record is not known to PowerSchool as a {kind}; run a full sync, then send it again")
    return int(number)
