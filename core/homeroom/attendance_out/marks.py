"""The marks of some students on a day, and the ids under which their source knows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from homeroom.attendance.records import day_text
from homeroom.store import Connection
from homeroom.store.bulk import select_in
from homeroom.types import Status

_MARKS = """
SELECT r.id, r.student_id, r.school_id, r.class_id, r.session_id, r.status, r.code, r.minutes_late, r.valid_from,
  s.period, s.starts_at, c.kind, c.periods, c.source, c.sourced_id
FROM attendance_records r JOIN class_sessions s ON s.id = r.session_id LEFT JOIN classes c ON c.id = r.class_id
WHERE r.school_day = ? AND r.student_id IN ({})
"""
_ENROLLED = """
SELECT user_id, class_id, sourced_id, begins_on, ends_on, ended FROM enrollments
WHERE source = ? AND role = 'student' AND user_id IN ({}) ORDER BY id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One record, with what its session and class say."""

    record_id: str
    student_id: str
    school_id: str
    class_id: str
    session_id: str
    status: Status
    code: str | None
    minutes_late: int | None
    known_since: str
    period: str | None
    starts_at: str
    homeroom: bool
    class_periods: Sequence[str]
    source: str | None
    class_sourced_id: str | None

    @property
    def meeting(self) -> str:
        """What tells two meetings of one class on one day apart; "" where there can be only one."""
        if self.period:
            return self.period
        return self.starts_at if len(self.class_periods) > 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The ids that one source has given to people and schools."""

    source: str
    students: Mapping[str, str]
    schools: Mapping[str, str]
    enrollments: Mapping[tuple[str, str], Sequence[tuple[Any, ...]]] = field(default_factory=dict)


def marks_of(connection: Connection, day: str, students: Collection[str]) -> list[Mark]:
    """Every mark of the students on a school day, in the order in which their sessions began."""
    rows = select_in(connection, _MARKS, (day,), sorted(students))
    return [
        Mark(
            record_id=row[0],
            student_id=row[1],
            school_id=row[2],
            class_id=row[3],
            session_id=row[4],
            status=row[5],
            code=row[6],
            minutes_late=row[7],
            known_since=row[8],
            period=row[9],
            starts_at=row[10],
            homeroom=row[11] == "homeroom",
            class_periods=orjson.loads(row[12]) if row[12] else (),
            source=row[13],
            class_sourced_id=row[14],
        )
        for row in sorted(rows, key=lambda row: (row[10], row[4], row[0]))
    ]


def known_ids(connection: Connection, source: str, marks: Sequence[Mark], *, with_enrollments: bool) -> Known:
    """The ids that `source` has given to the students and schools of `marks`, also to those who have left."""
    people = sorted({mark.student_id for mark in marks})
    ids = "SELECT id, sourced_id FROM {table} WHERE source = ? AND sourced_id IS NOT NULL AND id IN ({{}})"
    enrollments: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    students = dict(select_in(connection, ids.format(table="users"), (source,), people))
    for row in select_in(connection, _ENROLLED, (source,), people) if with_enrollments else ():
        enrollments[row[0], row[1]].append(row)
    schools = sorted({mark.school_id for mark in marks})
    known = dict(select_in(connection, ids.format(table="orgs"), (source,), schools))
    return Known(source=source, students=students, schools=known, enrollments=enrollments)


def enrollment_on(rows: Sequence[tuple[Any, ...]], day: str) -> str | None:
    """The id of the enrolment that covers `day`, else of the latest one."""

    def covers(row: tuple[Any, ...]) -> bool:
        begins, ends = (None if value is None else day_text(value) for value in row[3:5])
        return (begins is None or begins <= day) and (ends is None or day < ends)

    best = max(rows, key=lambda row: (covers(row), not row[5]), default=None)
    return None if best is None else best[2]
