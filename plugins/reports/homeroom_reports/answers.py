"""What the reports are asked and what they answer."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from homeroom import Answer, Query


class Days(Query):
    """Which school (without one, all that the caller reaches), which days, both included, and in which form."""

    school_id: str | None = Field(default=None, min_length=1, max_length=64)
    since: date | None = Field(default=None, alias="from")
    until: date | None = Field(default=None, alias="to")
    format: Literal["json", "csv"] | None = Field(default=None, description="Else the header Accept decides.")


class ClassDays(Days):
    """The same, or one class. Teachers who name neither are given their own classes."""

    class_id: str | None = Field(default=None, min_length=1, max_length=64)


class Page(Days):
    """The same, with a list that is read page by page; as CSV it is whole."""

    limit: int = Field(default=100, ge=1, le=500)
    cursor: str | None = Field(default=None, pattern=r"^[0-9]{1,9}$", description="`next` of the page before.")


class ClassPage(ClassDays, Page):
    """The same, or one class."""


class Source(Answer):
    """Where a rule comes from."""

    name: str
    url: str | None = None


class Explanation(Answer):
    """What a figure counts, by which rule, whose rule that is, and what to know before relying on it."""

    counts: str
    rule: str
    sources: list[Source]
    notes: list[str]


class Report(Answer):
    """What every report says of itself; `as_of` is when it was counted."""

    report: str
    since: date
    until: date
    school_id: str | None = None
    class_id: str | None = None
    as_of: AwareDatetime
    explanation: Explanation


class Statuses(Answer):
    """How many of each status; `rate` = (present + tardy) / all four, null when there are none."""

    present: int
    tardy: int
    absent: int
    excused: int
    rate: float | None = Field(examples=[0.9583])


class Day(Statuses):
    """One day: how many schools were in session, and how many of these have any mark."""

    day: date
    in_session: int
    with_marks: int


class OfSchool(Answer):
    """The school that a row is about."""

    school_id: str
    school: str


class Overview(Answer):
    """The reports that the caller is given, the schools whose figures they reach, and when the school year began."""

    reports: list[str] = Field(examples=[["daily", "rolls-not-taken", "check-in-patterns"]])
    schools: list[OfSchool]
    year_began: date


class SchoolStatuses(OfSchool, Statuses):
    """One school over all days."""


class Daily(Report):
    """Attendance by day. A student counts once on each day; the totals are student-days."""

    totals: Statuses
    days: list[Day]
    schools: list[SchoolStatuses]
    left_out: int = Field(description="Student-days with marks on days on which the school was not in session.")


class SchoolAbsence(OfSchool):
    """A school's students who were judged, those of them who are chronically absent, and the share."""

    students: int
    chronically_absent: int
    share: float | None
    too_short: int = Field(description="Students enrolled on fewer days than the minimum; they are not judged.")
    days_in_session: int
    day_rule: dict[str, Any] = Field(examples=[{"kind": "any_period"}])


class AbsentStudent(OfSchool):
    """A chronically absent student; `share` is of the enrolled days."""

    student_id: str
    name: str
    days_enrolled: int
    days_missed: int
    days_excused: int = Field(description="How many of the days missed were excused.")
    days_unknown: int = Field(description="Enrolled days without a mark; they do not count as missed.")
    share: float


class AbsenceTotals(Answer):
    """All schools together. A student at two schools counts at each."""

    students: int
    chronically_absent: int
    share: float | None
    too_short: int


class ChronicAbsence(Report):
    """Students who missed too many of their days, the highest share first."""

    chronic_at: float
    minimum_days: int
    totals: AbsenceTotals
    schools: list[SchoolAbsence]
    items: list[AbsentStudent]
    next: str | None = None


class SchoolMembership(OfSchool):
    """A school's averages: `ada` = attendance_days / days_in_session, `adm` = membership_days / days_in_session."""

    days_in_session: int
    days_without_marks: int
    membership_days: int
    attendance_days: int
    absence_days: int
    unknown_days: int
    outside_days: int = Field(description="Student-days with marks of students who were not enrolled; not counted.")
    ada: float | None = Field(examples=[412.37])
    adm: float | None = Field(examples=[438.9])
    rate: float | None = Field(examples=[0.9396], description="ada / adm")


class MembershipTotals(Answer):
    """All schools together: the sums of their averages."""

    membership_days: int
    attendance_days: int
    absence_days: int
    unknown_days: int
    ada: float
    adm: float
    rate: float | None


class Membership(Report):
    """Average daily attendance and membership."""

    totals: MembershipTotals
    schools: list[SchoolMembership]


class RollDay(Answer):
    """A day's rolls: how many classes were to take one, and what became of them."""

    day: date
    expected: int
    taken: int
    under_way: int
    left_open: int
    none: int


class MissingRoll(OfSchool):
    """A class whose roll was not taken, or whose session was left open."""

    day: date
    class_id: str
    title: str
    state: Literal["open", "none"]
    session_id: str | None = None
    starts_at: AwareDatetime | None = None


class RollsNotTaken(Report):
    """Rolls that were not taken, the newest day first."""

    homerooms: bool
    left_open_hours: float
    days: list[RollDay]
    items: list[MissingRoll]
    next: str | None = None


class Hour(Answer):
    """An hour of the schools' own day."""

    hour: int = Field(ge=0, le=23)
    check_ins: int


class Method(Answer):
    """What accepted check-ins; none of them where a person was to look."""

    methods: list[str]
    check_ins: int


class Pattern(OfSchool):
    """The check-ins of one school in one hour by one method."""

    hour: int
    methods: list[str]
    check_ins: int


class CheckInPatterns(Report):
    """When, where and how students check in."""

    total: int
    hours: list[Hour]
    methods: list[Method]
    schools: list[Pattern]
