"""What a SIS should hold after changes in the journal: a wish for each student and class meeting, or school day."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

import orjson

from homeroom.attendance.day_status import DayRule, Homeroom, PeriodMark, day_status, rule_of
from homeroom.attendance_out.marks import Known, Mark, enrollment_on, known_ids, marks_of
from homeroom.roster.calendar import is_school_day
from homeroom.store import Connection
from homeroom.types import Event, Status

Level = Literal["class", "day"]

_RECORDED = "attendance.recorded"
_WITHDRAWN = "attendance.withdrawn"
_MARKED = (_RECORDED, "attendance.corrected", _WITHDRAWN)
_CALENDAR = "calendar.changed"
KINDS = (*_MARKED, _CALENDAR)
"""The changes that can alter what a SIS should hold."""

_ON_THAT_DAY = """
SELECT DISTINCT r.student_id FROM class_sessions s JOIN attendance_records r ON r.session_id = s.id
WHERE s.school_id = ? AND s.school_day = ?
"""
_MEETING = """
SELECT s.period, s.starts_at, c.periods FROM class_sessions s LEFT JOIN classes c ON c.id = s.class_id WHERE s.id = ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a SIS should hold; sourced ids are the connector's. `status` None: nothing any more."""

    student_id: str
    school_id: str
    class_id: str | None = None
    session_id: str | None = None
    school_day: str
    meeting: str = ""
    student: str
    school: str
    class_: str | None = None
    enrollment: str | None = None
    periods: Sequence[str] = ()
    starts_at: str | None = None
    status: Status | None
    code: str | None = None
    minutes_late: int | None = None
    recorded_at: str

    def row_id(self, connector: str) -> str:
        """The id of the one row that this and every later wish for the same meeting or day has."""
        parts = (connector, self.student_id, self.school_id, self.class_id, self.meeting, self.school_day)
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]

    @property
    def text(self) -> str:
        """Equal for two wishes that ask for the same."""
        return orjson.dumps((self.status, self.code, self.minutes_late)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The wishes that changes led to, and how many new records are of students or classes unknown to the SIS."""

    wishes: Sequence[Wish] = ()
    left_out: int = 0


def wishes_of(
    connection: Connection, source: str, level: Level, events: Sequence[Event], *, weekdays: Collection[int]
) -> Wishes:
    """What `events` lead to for the SIS whose rows carry `source`, as everything stands now.

    `weekdays` are the school days of a school that names none of its own.
    """
    touched = _touched(connection, level, events)
    found: list[Wish] = []
    gone = list(_withdrawn(connection, level, events))
    places = {(wish.student_id, str(wish.class_id), wish.meeting) for wish in gone}
    for day in sorted(touched):
        marks = marks_of(connection, day, {student for student, _, _ in touched[day]})
        known = known_ids(connection, source, marks, with_enrollments=level == "class")
        if level == "class":
            found += _of_classes(marks, touched[day], places, known, day)
        else:
            found += _of_days(connection, marks, touched[day], known, day, weekdays=weekdays)
    wanted = {
        (wish.student_id, wish.class_id if level == "class" else wish.school_id, wish.school_day) for wish in found
    }
    still = {wish.row_id("") for wish in found}
    found += {wish.row_id(""): wish for wish in gone if wish.row_id("") not in still}.values()
    left_out = sum(event.kind == _RECORDED and _place(event, level) not in wanted for event in events)
    return Wishes(wishes=found, left_out=left_out)


def _place(event: Event, level: Level) -> tuple[str | None, str | None, str]:
    where = event.class_id if level == "class" else event.data["school_id"]
    return event.student_id, where, event.data["school_day"]


def _touched(connection: Connection, level: Level, events: Iterable[Event]) -> dict[str, set[tuple[str, str, str]]]:
    """By day: the student, session and school of each change; the session is "" where the whole day is meant."""
    found: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for event in events:
        if event.kind in _MARKED and event.student_id and event.session_id:
            session_id = event.session_id if level == "class" else ""
            found[event.data["school_day"]].add((event.student_id, session_id, event.data["school_id"]))
        elif event.kind == _CALENDAR and level == "day" and event.subject_id:
            day = event.data["day"]
            for (student_id,) in connection.sql(_ON_THAT_DAY, (event.subject_id, day)):
                found[day].add((student_id, "", event.subject_id))
    return found


def _of_classes(
    marks: Sequence[Mark],
    touched: Collection[tuple[str, str, str]],
    places: Collection[tuple[str, str, str]],
    known: Known,
    day: str,
) -> Iterator[Wish]:
    changed = {(student, session_id) for student, session_id, _ in touched}
    wanted: set[tuple[str, str, str]] = set()
    latest: dict[tuple[str, str, str], Mark] = {}  # a session that was opened twice counts as the later one has it
    for mark in marks:
        place = (mark.student_id, mark.class_id, mark.meeting)
        latest[place] = mark
        if (mark.student_id, mark.session_id) in changed or place in places:
            wanted.add(place)
    for mark in (latest[place] for place in sorted(wanted)):
        student, school = known.students.get(mark.student_id), known.schools.get(mark.school_id)
        if student is None or school is None or mark.source != known.source or mark.class_sourced_id is None:
            continue
        yield Wish(
            student_id=mark.student_id,
            school_id=mark.school_id,
            class_id=mark.class_id,
            session_id=mark.session_id,
            school_day=day,
            meeting=mark.meeting,
            student=student,
            school=school,
            class_=mark.class_sourced_id,
            enrollment=enrollment_on(known.enrollments.get((mark.student_id, mark.class_id), ()), day),
            periods=(mark.period,) if mark.period else mark.class_periods,
            starts_at=mark.starts_at,
            status=mark.status,
            code=mark.code,
            minutes_late=mark.minutes_late,
            recorded_at=mark.known_since,
        )


def _of_days(
    connection: Connection,
    marks: Sequence[Mark],
    touched: Collection[tuple[str, str, str]],
    known: Known,
    day: str,
    *,
    weekdays: Collection[int],
) -> Iterator[Wish]:
    schools = {school_id for _, _, school_id in touched}
    rules = {school_id: rule_of(connection, school_id) for school_id in schools}
    on = date.fromisoformat(day)
    held = {one for one in schools if is_school_day(connection, one, on, weekdays=weekdays)}
    at: dict[tuple[str, str], list[Mark]] = defaultdict(list)
    for mark in marks:
        at[mark.student_id, mark.school_id].append(mark)
    for student_id, _, school_id in sorted(touched):
        student, school = known.students.get(student_id), known.schools.get(school_id)
        of_day = at[student_id, school_id]
        if student is None or school is None or not of_day:
            continue
        status, code, minutes = _status_of(rules[school_id], of_day if school_id in held else ())
        yield Wish(
            student_id=student_id,
            school_id=school_id,
            school_day=day,
            student=student,
            school=school,
            status=status,
            code=code,
            minutes_late=minutes,
            recorded_at=max(mark.known_since for mark in of_day),
        )


def _withdrawn(connection: Connection, level: Level, events: Iterable[Event]) -> Iterator[Wish]:
    """A wish for nothing at each place of which a mark was taken back; whatever is marked there still goes before."""
    for event in events:
        if event.kind != _WITHDRAWN or event.student_id is None or event.session_id is None:
            continue
        wish = Wish(
            student_id=event.student_id,
            school_id=event.data["school_id"],
            school_day=event.data["school_day"],
            student="",  # only a row that is there already is changed, and that one knows its student
            school="",
            status=None,
            recorded_at=event.data["recorded_at"],
        )
        for period, starts_at, told in connection.sql(_MEETING, (event.session_id,)) if level == "class" else ():
            periods = orjson.loads(told) if told else ()
            wish = replace(
                wish,
                class_id=event.class_id,
                session_id=event.session_id,
                meeting=period or (starts_at if len(periods) > 1 else ""),
                periods=(period,) if period else periods,
                starts_at=starts_at,
            )
        yield wish


def _status_of(rule: DayRule, marks: Sequence[Mark]) -> tuple[Status | None, str | None, int | None]:
    """The day's status, with the code and the minutes of the first of its marks that say so."""
    counted = [mark for mark in marks if mark.homeroom] if isinstance(rule, Homeroom) else marks
    periods = [
        PeriodMark(
            record_id=mark.record_id,
            school_id=mark.school_id,
            school_day="",
            starts_at=mark.starts_at,
            status=mark.status,
            homeroom=mark.homeroom,
        )
        for mark in counted
    ]
    status = day_status(rule, periods)
    alike = [mark for mark in counted if mark.status == status]
    code = next((mark.code for mark in alike if mark.code), None)
    return status, code, alike[0].minutes_late if alike else None
