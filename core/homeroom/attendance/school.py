"""A whole school's day for its office: which rolls are taken, and the marks with the names of those they are about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import orjson

from homeroom.attendance.records import day_text
from homeroom.attendance.sessions import ENROLLED
from homeroom.roster.names import display_name
from homeroom.store import Connection

RollState = Literal["taken", "open", "not_taken"]

_CLASSES = """
SELECT c.id, c.title, c.kind, c.periods FROM classes c WHERE c.school_id = ? AND NOT c.ended AND NOT c.archived
AND (NOT EXISTS (SELECT 1 FROM class_terms t WHERE t.class_id = c.id)
  OR EXISTS (SELECT 1 FROM class_terms t JOIN academic_sessions a ON a.id = t.term_id
    WHERE t.class_id = c.id AND NOT a.ended AND a.begins_on <= ? AND a.ends_on > ?))
ORDER BY c.title, c.id
"""
_SEATS = f"""
SELECT e.class_id, COUNT(DISTINCT e.user_id) FROM enrollments e JOIN classes c ON c.id = e.class_id
WHERE c.school_id = ? AND {ENROLLED.format(day="?")} GROUP BY e.class_id
"""  # noqa: S608 - constants
_TEACHERS = f"""
SELECT e.class_id, u.id, u.given_name, u.family_name, u.preferred_given_name, u.preferred_family_name
FROM enrollments e JOIN classes c ON c.id = e.class_id JOIN users u ON u.id = e.user_id
WHERE c.school_id = ? AND NOT u.ended AND {ENROLLED.replace("'student'", "'teacher'").format(day="?")}
ORDER BY e."primary" DESC, u.sort_name, u.id
"""  # noqa: S608 - constants
_SESSIONS = f"""
SELECT s.id, s.class_id, s.period, s.starts_at, s.state, s.roll_taken_at,
  (SELECT COUNT(*) FROM attendance_records r WHERE r.session_id = s.id AND EXISTS (SELECT 1 FROM enrollments e
    WHERE e.class_id = s.class_id AND e.user_id = r.student_id AND {ENROLLED.format(day="?")}))
FROM class_sessions s WHERE s.school_id = ? AND s.school_day = ? ORDER BY s.starts_at, s.id
"""  # noqa: S608 - constants
_RECORDS = """
SELECT r.id, r.session_id, r.class_id, r.student_id, r.school_day, r.status, r.code, r.minutes_late, r.needs_review,
  r.origin, r.recorded_at, r.note, r.version, s.period, s.starts_at, s.state, c.title, u.identifier, u.grades,
  u.sort_name, u.given_name, u.family_name, u.preferred_given_name, u.preferred_family_name
FROM class_sessions s JOIN attendance_records r ON r.session_id = s.id JOIN users u ON u.id = r.student_id
JOIN classes c ON c.id = r.class_id
WHERE s.school_id = ? AND s.school_day >= ? AND s.school_day <= ?
"""
_SEATED = """
SELECT c.title, c.id, u.sort_name, u.id, u.identifier, u.grades, e.begins_on, e.ends_on,
  u.given_name, u.family_name, u.preferred_given_name, u.preferred_family_name
FROM enrollments e JOIN classes c ON c.id = e.class_id JOIN users u ON u.id = e.user_id
WHERE c.school_id = ? AND NOT c.ended AND NOT c.archived AND NOT u.ended
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with the name they want to be called."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One session of the day, and how many of those who sit in the class are marked in it."""

    id: str
    period: str | None
    starts_at: str
    state: str
    roll_taken_at: str | None
    marked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Roll:
    """One class in one period of a day, and how far its roll is."""

    class_id: str
    title: str
    kind: str
    period: str | None
    teachers: Sequence[Person]
    students: int
    state: RollState
    sessions: Sequence[Held] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of a school's records: days are included on both ends; `after` is the key of the last one before."""

    school_id: str
    since: date
    until: date
    class_id: str | None = None
    statuses: Sequence[str] = ()
    after: Sequence[str] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A record with the words that an office reads it by; `version` is what a correction names."""

    id: str
    session_id: str
    class_id: str
    class_title: str
    period: str | None
    session_state: str
    student_id: str
    name: str
    given_name: str
    family_name: str
    identifier: str | None
    grades: Sequence[str]
    school_day: str
    status: str
    code: str | None
    minutes_late: int | None
    needs_review: bool
    origin: str
    recorded_at: str
    note: str | None = field(repr=False)
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One student's place in one class, with what a spreadsheet of the roster shows."""

    class_id: str
    class_title: str
    student_id: str
    name: str
    given_name: str
    family_name: str
    identifier: str | None
    grades: Sequence[str]
    begins_on: date | None
    ends_on: date | None


@dataclass(frozen=True, slots=True)
class _Named:
    given_name: str
    family_name: str
    preferred_given_name: str | None
    preferred_family_name: str | None


def rolls(connection: Connection, school_id: str, day: date) -> list[Roll]:
    """The rolls that a school's classes have to take on a day, by title; one for each period of a class that has some.

    A class whose terms do not hold the day, or in which nobody sits, has none.
    """
    text = day.isoformat()
    seats = dict(connection.sql(_SEATS, (school_id, text, text)))
    teachers: dict[str, list[Person]] = defaultdict(list)
    for class_id, user_id, *names in connection.sql(_TEACHERS, (school_id, text, text)):
        one = Person(id=user_id, name=display_name(_Named(*names)))
        if one not in teachers[class_id]:
            teachers[class_id].append(one)
    sessions: dict[str, list[Held]] = defaultdict(list)
    for key, class_id, period, starts_at, state, taken, marked in connection.sql(
        _SESSIONS, (text, text, school_id, text)
    ):
        held = Held(id=key, period=period, starts_at=starts_at, state=state, roll_taken_at=taken, marked=marked)
        sessions[class_id].append(held)
    found: list[Roll] = []
    for class_id, title, kind, periods in connection.sql(_CLASSES, (school_id, text, text)):
        students, mine = seats.get(class_id, 0), sessions[class_id]
        if students or mine:
            found += [
                Roll(
                    class_id=class_id,
                    title=title,
                    kind=kind,
                    period=period,
                    teachers=teachers[class_id],
                    students=students,
                    state=_state(some, students),
                    sessions=some,
                )
                for period, some in _by_period(orjson.loads(periods), mine)
            ]
    return found


def records(connection: Connection, wanted: Wanted) -> tuple[list[Marked], tuple[str, str, str] | None]:
    """A page of a school's records by day and name, notes in clear, and the key after which the next page begins."""
    text, params = _RECORDS, [wanted.school_id, wanted.since.isoformat(), wanted.until.isoformat()]
    if wanted.class_id is not None:
        text, params = f"{text} AND s.class_id = ?", [*params, wanted.class_id]
    if wanted.statuses:
        text = f"{text} AND r.status IN ({', '.join('?' * len(wanted.statuses))})"
        params += wanted.statuses
    if wanted.after is not None:
        day, name, key = wanted.after
        text += " AND (r.school_day > ? OR (r.school_day = ? AND (u.sort_name > ? OR (u.sort_name = ? AND r.id > ?))))"
        params += [day, day, name, name, key]
    rows = connection.sql(f"{text} ORDER BY r.school_day, u.sort_name, r.id LIMIT {wanted.limit + 1:d}", params)
    page = rows[: wanted.limit]
    notes = connection.unseal_many([(row[3], row[11]) for row in page])
    found = [_marked(row, note) for row, note in zip(page, notes, strict=True)]
    last = page[-1] if len(rows) > wanted.limit else None
    return found, (day_text(last[4]), last[19], last[0]) if last else None


def seats(
    connection: Connection,
    school_id: str,
    day: date,
    *,
    class_id: str | None = None,
    after: Sequence[str] | None = None,
    limit: int = 100,
) -> tuple[list[Seat], tuple[str, str, str, str] | None]:
    """A page of a school's roster on a day, by class and name, and the key after which the next page begins."""
    text, params = f"{_SEATED} AND {ENROLLED.format(day='?')}", [school_id, day.isoformat(), day.isoformat()]
    if class_id is not None:
        text, params = f"{text} AND c.id = ?", [*params, class_id]
    if after is not None:
        columns = ("c.title", "c.id", "u.sort_name", "u.id")
        later, equal = [], ""
        for column, value in zip(columns, after, strict=True):
            later.append(f"({equal}{column} > ?)")
            equal += f"{column} = ? AND "
            params += [*after[: len(later) - 1], value]
        text += f" AND ({' OR '.join(later)})"
    rows = connection.sql(f"{text} ORDER BY c.title, c.id, u.sort_name, u.id LIMIT {limit + 1:d}", params)
    page = rows[:limit]
    last = page[-1] if len(rows) > limit else None
    unique = {(row[1], row[3]): row for row in page}  # somebody enrolled twice is named once
    return [_seat(row) for row in unique.values()], (last[0], last[1], last[2], last[3]) if last else None


def _state(sessions: Sequence[Held], students: int) -> RollState:
    if not sessions:
        return "not_taken"
    return "taken" if all(one.state == "closed" or 0 < students <= one.marked for one in sessions) else "open"


def _by_period(periods: Sequence[str], sessions: Sequence[Held]) -> list[tuple[str | None, list[Held]]]:
    """The class's periods with the sessions of each; of a class that has one or none, every session is that one's."""
    if len(periods) < 2:  # noqa: PLR2004 - nothing to tell apart
        return [(periods[0] if periods else None, list(sessions))]
    found: dict[str | None, list[Held]] = {period: [] for period in periods}
    for one in sessions:
        found.setdefault(one.period, []).append(one)
    return list(found.items())


def _marked(row: Sequence[Any], note: str | None) -> Marked:
    return Marked(
        id=row[0],
        session_id=row[1],
        class_id=row[2],
        student_id=row[3],
        school_day=day_text(row[4]),
        status=row[5],
        code=row[6],
        minutes_late=row[7],
        needs_review=bool(row[8]),
        origin=row[9],
        recorded_at=row[10],
        note=note,
        version=row[12],
        period=row[13],
        session_state=row[15],
        class_title=row[16],
        identifier=row[17],
        grades=orjson.loads(row[18]),
        given_name=row[20],
        family_name=row[21],
        name=display_name(_Named(*row[20:24])),
    )


def _seat(row: Sequence[Any]) -> Seat:
    return Seat(
        class_title=row[0],
        class_id=row[1],
        student_id=row[3],
        identifier=row[4],
        grades=orjson.loads(row[5]),
        begins_on=row[6],
        ends_on=row[7],
        given_name=row[8],
        family_name=row[9],
        name=display_name(_Named(*row[8:12])),
    )
