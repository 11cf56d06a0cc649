"""A student's day as rules look at it: the marks, the day's status, and whether the roll is complete yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from homeroom.attendance.codes import Code, codes_at, edfi_category
from homeroom.attendance.day_status import DayRule, Homeroom, PeriodMark, day_status, rule_of
from homeroom.attendance.records import day_text
from homeroom.attendance.sessions import ENROLLED
from homeroom.attendance_out.marks import Mark, marks_of
from homeroom.roster.calendar import is_school_day
from homeroom.store import Connection
from homeroom.store.bulk import select_in
from homeroom.types import Status

_FEW = 5
"""In a class of fewer students, all of them may well be missing."""

_COMPLETE = f"""
SELECT s.id FROM class_sessions s WHERE s.id IN ({{}}) AND (s.state = 'closed' OR NOT EXISTS (
  SELECT 1 FROM enrollments e WHERE e.class_id = s.class_id AND {ENROLLED.format(day="s.school_day")}
  AND NOT EXISTS (SELECT 1 FROM attendance_records r WHERE r.session_id = s.id AND r.student_id = e.user_id)))
AND ({_FEW} > (SELECT COUNT(*) FROM attendance_records r WHERE r.session_id = s.id)
  OR EXISTS (SELECT 1 FROM attendance_records r WHERE r.session_id = s.id AND r.status <> 'absent'))
"""  # noqa: S608 - a constant
_REPORTED = (
    "SELECT student_id, first_day, last_day FROM absence_reports WHERE state <> 'refused' AND student_id IN ({})"
)
_TITLES = "SELECT id, title FROM classes WHERE id IN ({})"

Key = tuple[str, str, str]
"""A student, a school and a school day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One student's day at one school. `marks` are in the order in which their sessions began.

    `counted` are those from which the day's `status` comes. `complete` holds the sessions whose roll is complete:
    closed, or everybody in them has a mark; where nobody at all came, it may have been closed by mistake. `reported`
    says that the family has told the absence, and it was not refused. On a day without school there are no marks.
    """

    student_id: str
    school_id: str
    school_day: str
    marks: Sequence[Mark]
    counted: Sequence[Mark]
    status: Status | None
    categories: Mapping[str, str]
    complete: frozenset[str]
    reported: bool = False

    def of(self, *statuses: str, counted: bool = False) -> list[Mark]:
        """The marks with one of these statuses; only those that count for the day where so wanted."""
        return [mark for mark in (self.counted if counted else self.marks) if mark.status in statuses]


class Days:
    """The days of some students, read at once."""

    def __init__(self, connection: Connection, keys: Collection[Key], *, weekdays: Collection[int]) -> None:
        self._connection = connection
        self._weekdays = weekdays
        self._held: dict[tuple[str, str], bool] = {}
        self._reported = self._reports({key[0] for key in keys})
        self._rules: dict[str, DayRule] = {}
        self._codes: dict[str, list[Code]] = {}
        marks = self._marks_by(keys)
        sessions = sorted({mark.session_id for some in marks.values() for mark in some if mark.status != "present"})
        self._complete = frozenset(row[0] for row in select_in(connection, _COMPLETE, (), sessions))
        classes = sorted({mark.class_id for some in marks.values() for mark in some})
        self.titles: dict[str, str] = {row[0]: row[1] for row in select_in(connection, _TITLES, (), classes)}
        self._days = {key: self._day(key, marks.get(key, [])) for key in keys}

    def __getitem__(self, key: Key) -> Day:
        """The student's day; without marks where there are none."""
        return self._days[key]

    def category(self, school_id: str, status: Status, code: str | None) -> str:
        """The Ed-Fi category that a mark with this status and code has at the school."""
        return edfi_category(self._known(school_id), status, code)

    def day_rule(self, school_id: str) -> DayRule:
        """The rule by which a day's status at the school comes from its marks."""
        if school_id not in self._rules:
            self._rules[school_id] = rule_of(self._connection, school_id)
        return self._rules[school_id]

    def _marks_by(self, keys: Collection[Key]) -> dict[Key, list[Mark]]:
        students: dict[str, set[str]] = defaultdict(set)
        for student_id, _, day in keys:
            students[day].add(student_id)
        found: dict[Key, list[Mark]] = defaultdict(list)
        for day in sorted(students):
            for mark in marks_of(self._connection, day, students[day]):
                found[mark.student_id, mark.school_id, day].append(mark)
        return found

    def _day(self, key: Key, marks: Sequence[Mark]) -> Day:
        student_id, school_id, school_day = key
        rule = self.day_rule(school_id)
        marks = marks if self._is_held(school_id, school_day) else []
        periods = [
            PeriodMark(
                record_id=mark.record_id,
                school_id=school_id,
                school_day=school_day,
                starts_at=mark.starts_at,
                status=mark.status,
                homeroom=mark.homeroom,
            )
            for mark in marks
        ]
        return Day(
            student_id=student_id,
            school_id=school_id,
            school_day=school_day,
            marks=marks,
            counted=[mark for mark in marks if mark.homeroom] if isinstance(rule, Homeroom) else marks,
            status=day_status(rule, periods),
            categories={mark.record_id: self.category(school_id, mark.status, mark.code) for mark in marks},
            complete=self._complete,
            reported=any(first <= school_day <= last for first, last in self._reported.get(student_id, ())),
        )

    def _is_held(self, school_id: str, day: str) -> bool:
        if (school_id, day) not in self._held:
            on = date.fromisoformat(day)
            self._held[school_id, day] = is_school_day(self._connection, school_id, on, weekdays=self._weekdays)
        return self._held[school_id, day]

    def _reports(self, students: Collection[str]) -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for student_id, first, last in select_in(self._connection, _REPORTED, (), sorted(students)):
            found[student_id].append((day_text(first), day_text(last)))
        return found

    def _known(self, school_id: str) -> list[Code]:
        if school_id not in self._codes:
            self._codes[school_id] = codes_at(self._connection, school_id, retired=True)
        return self._codes[school_id]
