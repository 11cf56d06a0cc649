"""The columns that Homeroom needs, and why: the only source for plugin.xml, for `check()` and for docs/powerschool.md.

PowerSchool grants access column by column. Tables are in the data dictionary of PowerSchool SIS; that a plugin needs
these for what it does is taken from other people's working plugins, not tried on a live system.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Access = Literal["ViewOnly", "FullAccess"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The columns of one table, and what they are needed for."""

    name: str
    why: str
    fields: tuple[str, ...]
    access: Access = "ViewOnly"


TABLES: tuple[Table, ...] = (
    Table(
        name="STUDENTS",
        why="names, numbers, grade, school and enrolment status of students",
        fields=(
            *("DCID", "ID", "STUDENT_NUMBER", "FIRST_NAME", "MIDDLE_NAME", "LAST_NAME", "GRADE_LEVEL"),
            *("ENROLL_STATUS", "SCHOOLID", "ENTRYDATE", "DOB", "STUDENT_WEB_ID", "PERSON_ID"),
        ),
    ),
    Table(name="SCHOOLS", why="which school a number is", fields=("DCID", "SCHOOL_NUMBER")),
    Table(name="TERMS", why="which term and school year a class is in", fields=("DCID", "ID", "SCHOOLID", "YEARID")),
    Table(name="COURSES", why="what is taught", fields=("DCID", "COURSE_NUMBER", "COURSE_NAME")),
    Table(
        name="SECTIONS",
        why="classes, and the periods they meet in",
        fields=(*("DCID", "ID", "SCHOOLID", "COURSE_NUMBER", "TERMID", "SECTION_NUMBER", "EXTERNAL_EXPRESSION"),),
    ),
    Table(
        name="CC",
        why="which student is in which class, from when until when",
        fields=("DCID", "ID", "STUDENTID", "SECTIONID", "TERMID", "SCHOOLID", "DATEENROLLED", "DATELEFT"),
    ),
    Table(
        name="USERS",
        why="names and addresses of the staff",
        fields=(
            *("DCID", "TEACHERNUMBER", "FIRST_NAME", "MIDDLE_NAME", "LAST_NAME", "EMAIL_ADDR"),
            *("TEACHERLOGINID", "TITLE"),
        ),
    ),
    Table(
        name="SCHOOLSTAFF",
        why="who works at which school, and as what",
        fields=("DCID", "ID", "USERS_DCID", "SCHOOLID", "STATUS", "STAFFSTATUS"),
    ),
    Table(
        name="SECTIONTEACHER",
        why="teachers and co-teachers of a class",
        fields=("ID", "SECTIONID", "TEACHERID", "ROLEID", "START_DATE", "END_DATE"),
    ),
    Table(name="ROLEDEF", why="which of several teachers leads a class", fields=("ID", "NAME")),
    Table(
        name="PERSON",
        why="names of guardians",
        fields=("ID", "FIRSTNAME", "MIDDLENAME", "LASTNAME", "ISACTIVE"),
    ),
    Table(
        name="STUDENTCONTACTASSOC",
        why="whose guardian somebody is",
        fields=("STUDENTCONTACTASSOCID", "STUDENTDCID", "PERSONID"),
    ),
    Table(
        name="STUDENTCONTACTDETAIL",
        why="from when until when, and with custody or not",
        fields=(
            *("STUDENTCONTACTASSOCID", "ISACTIVE", "STARTDATE", "ENDDATE", "ISCUSTODIAL"),
            *("LIVESWITHFLG", "SCHOOLPICKUPFLG"),
        ),
    ),
    Table(name="GUARDIANPERSONASSOC", why="whether a guardian has data access", fields=("PERSONID", "GUARDIANID")),
    Table(name="GUARDIANSTUDENT", why="whether a guardian has data access", fields=("GUARDIANID", "STUDENTSDCID")),
    Table(
        name="PERSONEMAILADDRESSASSOC",
        why="e-mail addresses of students and guardians",
        fields=("PERSONID", "EMAILADDRESSID", "ISPRIMARYEMAILADDRESS"),
    ),
    Table(name="EMAILADDRESS", why="e-mail addresses", fields=("EMAILADDRESSID", "EMAILADDRESS")),
    Table(
        name="PERSONPHONENUMBERASSOC",
        why="telephone numbers of guardians",
        fields=("PERSONID", "PHONENUMBERID", "PHONENUMBERPRIORITYORDER"),
    ),
    Table(name="PHONENUMBER", why="telephone numbers of guardians", fields=("PHONENUMBERID", "PHONENUMBER", "ISSMS")),
    Table(
        name="ATTENDANCE_CODE",
        why="which code means what, by school and year",
        fields=("ID", "SCHOOLID", "YEARID", "ATT_CODE", "PRESENCE_STATUS_CD"),
    ),
    Table(
        name="CALENDAR_DAY",
        why="whether a day is a school day, and which cycle day",
        fields=("ID", "SCHOOLID", "DATE_VALUE", "INSESSION", "CYCLE_DAY_ID", "BELL_SCHEDULE_ID"),
    ),
    Table(name="CYCLE_DAY", why="when a class meets", fields=("ID", "LETTER")),
    Table(
        name="SECTION_MEETING",
        why="when a class meets",
        fields=("SECTIONID", "CYCLE_DAY_LETTER", "PERIOD_NUMBER", "SCHOOLID", "YEAR_ID"),
    ),
    Table(name="PERIOD", why="when a class meets", fields=("ID", "SCHOOLID", "YEAR_ID", "PERIOD_NUMBER")),
    Table(
        name="BELL_SCHEDULE_ITEMS",
        why="when a period begins and ends",
        fields=("BELL_SCHEDULE_ID", "PERIOD_ID", "START_TIME", "END_TIME"),
    ),
    Table(
        name="ATTENDANCE",
        why="writing attendance, and reading it back",
        access="FullAccess",
        fields=(
            *("ATTENDANCE_CODEID", "CALENDAR_DAYID", "SCHOOLID", "YEARID", "STUDENTID", "ATT_MODE_CODE"),
            *("ATT_DATE", "PROGRAMID", "CCID", "PERIODID", "START_TIME", "END_TIME"),
        ),
    ),
)

_ACCESS = {(table.name, field): table.access for table in TABLES for field in table.fields}


def field_line(table: str, field: str) -> str:
    """The line of plugin.xml that grants a column."""
    key = table.upper(), field.upper()
    return f'<field table="{key[0]}" field="{key[1]}" access="{_ACCESS.get(key, "ViewOnly")}"/>'


def all_lines() -> Iterator[str]:
    """Every line of plugin.xml's access request."""
    return (field_line(table.name, field) for table in TABLES for field in table.fields)


def is_known(column: str) -> bool:
    """Whether TABLE.FIELD is among the columns."""
    table, _, field = column.partition(".")
    return (table, field) in _ACCESS


def fields_of(name: str) -> tuple[str, ...]:
    """The columns of one table."""
    return next(table.fields for table in TABLES if table.name == name)


def markdown() -> str:
    """The table for docs/powerschool.md."""
    rows: Iterable[str] = (
        f"| `{table.name}` | {', '.join(f'`{field}`' for field in table.fields)} | {table.access} | {table.why} |"
        for table in TABLES
    )
    return "\n".join(("| table | columns | access | for |", "|---|---|---|---|", *rows))
