"""On which school days each student belonged to a school, from the enrolments in its classes.

An enrolment that its source took away tells no last day: it counts until the day on which that became known, and so do
those of a class or a person that was ended, or of a class that was put away.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from homeroom.roster.calendar import school_day
from homeroom.store import Connection

_SEATS = """
SELECT e.user_id, e.class_id, e.begins_on, e.ends_on, e.ended, e.changed_at, c.ended OR c.archived, c.changed_at,
  u.ended, u.changed_at
FROM classes c JOIN enrollments e ON e.class_id = c.id JOIN users u ON u.id = e.user_id
WHERE c.school_id = ? AND e.role = 'student'
"""

Span = tuple[int, int]
"""From the index of the first day to before the index of a day, in a list of school days."""


def spans_of_students(
    connection: Connection, school_id: str, days: Sequence[date], where: ZoneInfo
) -> dict[str, list[Span]]:
    """When each student was enrolled at the school, as spans of `days` (in order) that do not touch one another."""
    found: dict[str, list[Span]] = {}
    for student_id, _, span in _seats(connection, school_id, days, where):
        found.setdefault(student_id, []).append(span)
    return {student_id: _joined(spans) for student_id, spans in found.items()}


def spans_of_classes(
    connection: Connection, school_id: str, days: Sequence[date], where: ZoneInfo
) -> dict[str, list[Span]]:
    """When each class of the school had any student, as spans of `days`."""
    found: dict[str, list[Span]] = {}
    for _, class_id, span in _seats(connection, school_id, days, where):
        found.setdefault(class_id, []).append(span)
    return {class_id: _joined(spans) for class_id, spans in found.items()}


def _seats(
    connection: Connection, school_id: str, days: Sequence[date], where: ZoneInfo
) -> list[tuple[str, str, Span]]:
    seats: list[tuple[str, str, Span]] = []
    for user_id, class_id, begins_on, ends_on, *ends in connection.sql(_SEATS, (school_id,)):
        first = 0 if begins_on is None else bisect_left(days, _date(begins_on))
        last = len(days) if ends_on is None else bisect_left(days, _date(ends_on))
        for gone, since in zip(ends[::2], ends[1::2], strict=True):
            if gone:
                last = min(last, bisect_left(days, school_day(datetime.fromisoformat(since), where)))
        if first < last:
            seats.append((user_id, class_id, (first, last)))
    return seats


def _joined(spans: list[Span]) -> list[Span]:
    """The same days in as few spans as can be."""
    joined: list[Span] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined


def _date(value: date | str) -> date:
    return date.fromisoformat(value) if isinstance(value, str) else value
