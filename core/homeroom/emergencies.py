"""An emergency or a drill at a school: who is accounted for now, who said so, and where everybody was seen last.

A mark accounts for nobody: it says where somebody was. Only a person's word does, and every word is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import orjson

from homeroom.attendance.records import day_text
from homeroom.attendance.sessions import ENROLLED
from homeroom.roster.names import display_name
from homeroom.store import Connection, Refused, Transaction, conflict, iso, not_found
from homeroom.store import models as m

Kind = Literal["emergency", "drill"]
State = Literal["here", "safe", "with_guardian", "not_accounted"]
Standing = Literal["accounted", "not_accounted", "absent"]

_COLUMNS = "id, school_id, school_day, kind, begun_at, begun_by, ended_at, ended_by"
_EXPECTED = f"""
SELECT u.id, u.grades, u.given_name, u.family_name, u.preferred_given_name, u.preferred_family_name FROM users u
WHERE u.id IN (
  SELECT e.user_id FROM enrollments e JOIN classes c ON c.id = e.class_id
  WHERE c.school_id = ? AND NOT c.ended AND NOT c.archived AND {ENROLLED.format(day="?")}
  UNION SELECT r.user_id FROM role_assignments r WHERE r.org_id = ? AND r.role = 'student'
    AND (r.begins_on IS NULL OR r.begins_on <= ?) AND (r.ends_on IS NULL OR r.ends_on > ?)
  UNION SELECT r.student_id FROM attendance_records r JOIN class_sessions s ON s.id = r.session_id
    WHERE s.school_id = ? AND s.school_day = ?
  UNION SELECT w.student_id FROM emergency_words w WHERE w.emergency_id = ?)
AND (NOT u.ended OR u.id IN (SELECT w.student_id FROM emergency_words w WHERE w.emergency_id = ?))
ORDER BY u.sort_name, u.id
"""  # noqa: S608 - constants
_SEEN = """
SELECT r.student_id, r.status, COALESCE(r.occurred_at, r.recorded_at), r.class_id, c.title, s.period, r.origin
FROM class_sessions s JOIN attendance_records r ON r.session_id = s.id JOIN classes c ON c.id = r.class_id
WHERE s.school_id = ? AND s.school_day = ? ORDER BY s.starts_at, 3, r.id
"""
_EXCUSED = """
SELECT a.student_id FROM absence_reports a WHERE a.state = 'approved' AND a.first_day <= ? AND a.last_day >= ?
"""
_WORDS = """
SELECT w.number, w.student_id, w.state, w.at, w.by, u.given_name, u.family_name, u.preferred_given_name,
  u.preferred_family_name
FROM emergency_words w LEFT JOIN users u ON u.id = w.by WHERE w.emergency_id = ? ORDER BY w.number
"""
_NEWS = """
SELECT MAX(j.id) FROM journal j WHERE j.id > ? AND (j.subject_id = ? OR j.kind = 'absence.decided'
  OR j.class_id IN (SELECT id FROM classes WHERE school_id = ?))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One emergency or drill. Times are RFC 3339 in UTC."""

    id: str
    school_id: str
    school_day: str
    kind: Kind
    begun_at: str
    begun_by: str | None
    ended_at: str | None
    ended_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What somebody said of a student, when, and what they are called."""

    number: int
    student_id: str
    state: State
    at: str
    by: str | None
    by_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Where a student was last recorded as being: the class, its period, and when."""

    class_id: str
    class_title: str
    period: str | None
    at: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One student on the roll. "absent": nothing of the day says that they came, and a mark or the office says no."""

    student_id: str
    name: str
    grades: Sequence[str]
    standing: Standing
    word: Word | None = None
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class _Named:
    given_name: str
    family_name: str
    preferred_given_name: str | None
    preferred_family_name: str | None


def begin(tx: Transaction, emergency_id: str, school_id: str, day: date, kind: Kind) -> Happening:
    """Begin one. Raises Refused 409 while another one of the school has not ended."""
    if tx.sql("SELECT 1 FROM emergencies WHERE id = ?", (emergency_id,)):
        return read(tx, school_id, emergency_id)  # the same unit run again
    if tx.sql("SELECT 1 FROM emergencies WHERE school_id = ? AND ended_at IS NULL", (school_id,)):
        raise conflict("emergency-open", "An emergency roll of this school is open already. Open it, or end it first.")
    actor = tx.origin.actor_id
    values = {"school_id": school_id, "school_day": day, "kind": kind, "begun_at": tx.now, "begun_by": actor}
    tx.insert(m.Emergency, id=emergency_id, **values)
    data = {"school_id": school_id, "school_day": day.isoformat(), "kind": kind}
    tx.journal("emergency.begun", subject_id=emergency_id, data=data)
    return read(tx, school_id, emergency_id)


def end(tx: Transaction, school_id: str, emergency_id: str) -> Happening:
    """End one; again, it changes nothing. Raises Refused 404."""
    found = read(tx, school_id, emergency_id)
    if found.ended_at is not None:
        return found
    text = "UPDATE emergencies SET ended_at = ?, ended_by = ? WHERE id = ?"
    tx.write_sql(text, (iso(tx.now), tx.origin.actor_id, emergency_id))
    tx.journal("emergency.ended", subject_id=emergency_id, data={"school_id": school_id})
    return read(tx, school_id, emergency_id)


def account(tx: Transaction, school_id: str, emergency_id: str, student_ids: Sequence[str], state: State) -> list[Word]:
    """Say of students that they are accounted for, all or nothing; gives each one's word that holds now.

    A word that holds already stays as it is, with who said it first. Raises Refused: 404, 409 once it has ended, 422
    for somebody who is not on the roll.
    """
    found = read(tx, school_id, emergency_id)
    if found.ended_at is not None:
        raise conflict("emergency-ended", "This emergency roll has ended, so nothing can be entered any more.")
    wanted = list(dict.fromkeys(student_ids))
    if set(wanted) - {row[0] for row in _expected(tx, found)}:
        raise Refused(422, "invalid", "Somebody of these is not on the roll of this school.")
    known = words(tx, emergency_id)
    latest = {word.student_id: word for word in known}
    number = known[-1].number if known else 0
    for student_id in wanted:
        held = latest.get(student_id)
        if held is not None and held.state == state:
            continue
        number += 1
        values = {"student_id": student_id, "state": state, "at": tx.now, "by": tx.origin.actor_id}
        tx.insert(m.EmergencyWord, emergency_id=emergency_id, number=number, **values)
        data = {"school_id": school_id, "state": state, "number": number}
        tx.journal("emergency.accounted", student_id=student_id, subject_id=emergency_id, data=data)
    latest = {word.student_id: word for word in words(tx, emergency_id)}
    return [latest[student_id] for student_id in wanted if student_id in latest]


def read(connection: Connection, school_id: str, emergency_id: str) -> Happening:
    """One of a school's. Raises Refused 404."""
    text = f"SELECT {_COLUMNS} FROM emergencies WHERE id = ? AND school_id = ?"  # noqa: S608 - constants
    rows = connection.sql(text, (emergency_id, school_id))
    if not rows:
        raise not_found("This school has no such emergency roll.")
    return _happening(rows[0])


def listed(
    connection: Connection, school_id: str, *, after: Sequence[str] | None = None, limit: int = 100
) -> tuple[list[Happening], bool]:
    """A school's, the latest first, and whether there are more; `after` is the begin and id of the last one before."""
    text, params = f"SELECT {_COLUMNS} FROM emergencies WHERE school_id = ?", [school_id]  # noqa: S608 - constants
    if after is not None:
        text += " AND (begun_at < ? OR (begun_at = ? AND id < ?))"
        params += [after[0], after[0], after[1]]
    rows = connection.sql(f"{text} ORDER BY begun_at DESC, id DESC LIMIT {limit + 1:d}", params)
    return [_happening(row) for row in rows[:limit]], len(rows) > limit


def roll(connection: Connection, found: Happening) -> list[Line]:
    """Everybody who is expected at the school that day, by name: who has a seat, a role or a mark there."""
    seen, missed = _day(connection, found)
    day = found.school_day
    missed |= {row[0] for row in connection.sql(_EXCUSED, (day, day))}
    latest = {word.student_id: word for word in words(connection, found.id)}
    lines: list[Line] = []
    for student_id, grades, *names in _expected(connection, found):
        line = Line(
            student_id=student_id,
            name=display_name(_Named(*names)),
            grades=orjson.loads(grades),
            standing="not_accounted",
            word=latest.get(student_id),
            seen=seen.get(student_id),
        )
        if line.word is not None and line.word.state != "not_accounted":
            line = replace(line, standing="accounted")
        elif line.word is None and line.seen is None and student_id in missed:
            line = replace(line, standing="absent")
        lines.append(line)
    return lines


def words(connection: Connection, emergency_id: str) -> list[Word]:
    """Every word that was said in one, in order."""
    return [
        Word(
            number=row[0],
            student_id=row[1],
            state=row[2],
            at=row[3],
            by=row[4],
            by_name=display_name(_Named(*row[5:9])) if row[5] is not None else "",
        )
        for row in connection.sql(_WORDS, (emergency_id,))
    ]


def cursor(connection: Connection) -> int:
    """The place in the journal up to which a roll that is read after this is complete."""
    return int(connection.sql("SELECT COALESCE(MAX(id), 0) FROM journal")[0][0])


def news(connection: Connection, found: Happening, after: int) -> int | None:
    """The place in the journal of the latest change since `after` that the roll may show; None when there is none."""
    rows = connection.sql(_NEWS, (after, found.id, found.school_id))
    return rows[0][0] if rows else None


def _expected(connection: Connection, found: Happening) -> list[tuple[Any, ...]]:
    school, day, key = found.school_id, found.school_day, found.id
    return connection.sql(_EXPECTED, (school, day, day, school, day, day, school, day, key, key))


def _day(connection: Connection, found: Happening) -> tuple[dict[str, Seen], set[str]]:
    """Where each student was seen last that day, and who was marked as missing; what came after the end is left out."""
    seen: dict[str, Seen] = {}
    missed: set[str] = set()
    for student_id, status, at, class_id, title, period, origin in connection.sql(
        _SEEN, (found.school_id, found.school_day)
    ):
        if found.ended_at is not None and at > found.ended_at:
            continue
        if status not in ("present", "tardy"):
            missed.add(student_id)
        elif student_id not in seen or seen[student_id].at <= at:
            seen[student_id] = Seen(class_id=class_id, class_title=title, period=period, at=at, origin=origin)
    return seen, missed


def _happening(row: Sequence[Any]) -> Happening:
    return Happening(
        id=row[0],
        school_id=row[1],
        school_day=day_text(row[2]),
        kind=row[3],
        begun_at=row[4],
        begun_by=row[5],
        ended_at=row[6],
        ended_by=row[7],
    )


def counts(lines: Collection[Line]) -> dict[str, int]:
    """How many are on the roll, accounted for, not accounted for, and recorded as absent."""
    found = {"expected": len(lines), "accounted": 0, "not_accounted": 0, "absent": 0}
    for line in lines:
        found[line.standing] += 1
    return found
