"""What a student has missed over a term or year: days in a row, their number, and their share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from homeroom.attendance.day_status import DayRule, Homeroom, came_enough
from homeroom.attendance.records import day_text
from homeroom.roster.calendar import school_days
from homeroom.store import Connection
from homeroom.store import models as m
from homeroom.store.bulk import select_in
from homeroom.types import Status

Within = Literal["term", "year"]

_TERMS = ("term", "semester")
_YEAR = ("schoolYear",)
_JULY = 7  # a school year that nobody has told begins with August

_DAYS = """
SELECT r.student_id, r.school_day,
  SUM(CASE WHEN r.status IN ('present', 'tardy') THEN 1 ELSE 0 END), COUNT(*),
  SUM(CASE WHEN r.status = 'absent' THEN 1 ELSE 0 END)
FROM attendance_records r {join}
WHERE r.school_id = ? AND r.school_day >= ? AND r.school_day <= ? AND r.student_id IN ({{}})
GROUP BY r.student_id, r.school_day
"""
_MISSED = """
SELECT r.student_id, r.school_day, r.status, r.code, r.class_id FROM attendance_records r {join}
WHERE r.school_id = ? AND r.school_day >= ? AND r.school_day <= ? AND r.status IN ('absent', 'excused')
  AND r.student_id IN ({{}})
"""
_HOMEROOMS = "JOIN classes c ON c.id = r.class_id AND c.kind = 'homeroom'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A term or school year, from its first day to before `ends`."""

    begins: date
    ends: date


@dataclass(slots=True, kw_only=True)
class Record:
    """One student's school days with marks in a span: those missed without and with an excuse, and all of them."""

    absent: set[str] = field(default_factory=set)
    excused: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)

    def missed(self, statuses: Collection[str]) -> set[str]:
        """The days that a rule with these statuses counts."""
        return (self.absent if "absent" in statuses else set()) | (self.excused if "excused" in statuses else set())


def span_of(connection: Connection, day: date, within: Within) -> Span:
    """The shortest term, or the school year, in which a day lies; a year from August where none is known."""
    table = m.AcademicSession
    kinds = (*_TERMS, *_YEAR) if within == "term" else _YEAR
    rows = connection.tuples(
        table.select(table.begins_on, table.ends_on, table.kind).where(
            table.kind.in_(kinds), ~table.ended, table.begins_on <= day, table.ends_on > day
        )
    )
    spans = [(kind in _YEAR, Span(begins=begins, ends=ends)) for begins, ends, kind in rows]
    if spans:
        return min(spans, key=lambda one: (one[0], one[1].ends - one[1].begins))[1]
    year = day.year if day.month > _JULY else day.year - 1
    return Span(begins=date(year, _JULY + 1, 1), ends=date(year + 1, _JULY + 1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whose days: these students' at a school, on these days, which are in order."""

    school_id: str
    students: Collection[str]
    days: Sequence[str]


def records(
    connection: Connection, wanted: Wanted, rule: DayRule, *, counts: Callable[[Status, str | None, str], bool] | None
) -> dict[str, Record]:
    """What the students have missed, by the school's rule.

    With `counts`, a function of a mark's status, code and class, only days with such a mark are missed.
    """
    days = frozenset(wanted.days)
    found: dict[str, Record] = defaultdict(Record)
    for student_id, on, came, marks, absent in _rows(connection, _DAYS, wanted, rule):
        day = day_text(on)
        if day not in days:
            continue
        record = found[student_id]
        record.days.add(day)
        if not came_enough(rule, int(came), int(marks)):
            (record.absent if absent else record.excused).add(day)
    if counts is not None:
        kept: dict[str, set[str]] = defaultdict(set)
        for student_id, on, status, code, class_id in _rows(connection, _MISSED, wanted, rule):
            if counts(status, code, class_id):
                kept[student_id].add(day_text(on))
        for student_id, record in found.items():
            record.absent &= kept[student_id]
            record.excused &= kept[student_id]
    return found


def run_around(missed: Collection[str], present: Collection[str], day: str, held: Sequence[str]) -> list[str]:
    """The days missed in a row around `day`, in order; a school day without any mark neither counts nor breaks."""
    if day not in missed:
        return []
    at = held.index(day) if day in held else None
    if at is None:
        return [day]
    before = _until_present(reversed(held[:at]), missed, present)
    after = _until_present(held[at + 1 :], missed, present)
    return [*reversed(before), day, *after]


def held_days(connection: Connection, school_id: str, span: Span, until: date, weekdays: Collection[int]) -> list[str]:
    """The days of the span, to `until`, on which school was held."""
    end = min(until + timedelta(days=1), span.ends)
    return [day.isoformat() for day in school_days(connection, school_id, span.begins, end, weekdays=weekdays)]


def crossed(value: float, thresholds: Iterable[float]) -> float | None:
    """The largest of the thresholds that `value` has reached."""
    return max((one for one in thresholds if one <= value), default=None)


def _rows(connection: Connection, text: str, wanted: Wanted, rule: DayRule) -> list[tuple[Any, ...]]:
    if not wanted.days:
        return []
    text = text.format(join=_HOMEROOMS if isinstance(rule, Homeroom) else "")
    before, ordered = (wanted.school_id, wanted.days[0], wanted.days[-1]), sorted(wanted.students)
    return select_in(connection, text, before, ordered)


def _until_present(days: Iterable[str], missed: Collection[str], present: Collection[str]) -> list[str]:
    found = []
    for day in days:
        if day in missed:
            found.append(day)
        elif day in present:
            break
    return found
