"""What a class board shows, and to whom: read in one moment, so that its cursor is exact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import orjson

from homeroom.attendance.sessions import seated
from homeroom.auth.access import Place, check
from homeroom.live.tail import COLUMNS, event_of, newest
from homeroom.roster.people import names_of
from homeroom.store import Connection, Refused, iso, now_utc
from homeroom.store.models import Class
from homeroom.types import Event, Identity

SHOWN = (
    *("attendance.recorded", "attendance.corrected", "attendance.withdrawn"),
    *("session.opened", "session.closed"),
)
"""The kinds of change that a board shows."""

_STAFF = ("teacher", "substitute", "school_admin", "district_admin", "service")
_GOOD_FOR = timedelta(hours=48)  # the contract promises 24
_MISSED_AT_MOST = 5000  # beyond that a fresh hello is the shorter way

_MISSED = f"SELECT {COLUMNS} FROM journal WHERE class_id = ? AND id > ? AND kind IN (?, ?, ?, ?, ?) ORDER BY id LIMIT ?"  # noqa: S608 - constants
_OPEN = (
    "SELECT id, school_day, starts_at, late_after_minutes, methods, require, state FROM class_sessions "
    "WHERE class_id = ? AND state = 'open' {}ORDER BY starts_at DESC, id DESC LIMIT 1"
)
_MARKS = (
    "SELECT student_id, status, recorded_at, id, needs_review FROM attendance_records WHERE session_id = ? "
    "ORDER BY recorded_at, id"
)
_FAMILY = (
    "SELECT user_id FROM enrollments WHERE class_id = ? AND role = 'student' AND NOT ended "
    "AND (begins_on IS NULL OR begins_on <= ?) AND (ends_on IS NULL OR ends_on > ?) "
    "AND (user_id = ? OR user_id IN (SELECT student_id FROM guardianships WHERE guardian_id = ? AND NOT ended "
    "AND NOT blocked AND data_access))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a listener is sent first: a hello's parts, or (`missed` not None) the changes since its cursor.

    `students` None means all of the class. `shown` is whom the listener may be shown from now on, as far as is known.
    """

    position: int
    students: frozenset[str] | None
    shown: frozenset[str]
    names: Mapping[str, str]
    session: Mapping[str, Any] | None = None
    marks: Sequence[Mapping[str, Any]] = ()
    missed: Sequence[Event] | None = None


def cursor_of(position: int) -> str:
    """A position in the journal as clients know it."""
    return f"j{position:x}"


def position_of(cursor: str) -> int | None:
    """The position that a client's cursor names, None for anything that is not one."""
    digits = cursor.removeprefix("j")
    if not cursor.startswith("j") or not digits or len(digits) > 16 or not set(digits) <= set("0123456789abcdef"):  # noqa: PLR2004 - 64 bits
        return None
    return int(digits, 16)


def students_seen(connection: Connection, identity: Identity, class_id: str, today: date) -> frozenset[str] | None:
    """Whose attendance in this class `identity` may watch; None means everybody's.

    Raises Refused 404 where there is no such class, 403 for whoever may not watch it.
    """
    place = Place(class_id=class_id)
    staff = replace(identity, roles=tuple(held for held in identity.roles if held.role in _STAFF))
    try:
        check(connection, staff, "class.watch", place, today=today)
    except Refused:
        pass
    else:
        return None
    try:
        check(connection, identity, "class.watch", place, today=today)
    except Refused as refusal:
        if connection.get(Class, class_id) is not None:
            raise Refused(403, "not-allowed", "You may not watch this class.") from refusal
        raise
    day = today.isoformat()
    person = identity.subject if identity.has("student") else ""
    guardian = identity.subject if identity.has("guardian") else ""
    seen = frozenset(row[0] for row in connection.sql(_FAMILY, (class_id, day, day, person, guardian)))
    return seen - identity.without


def shown_of(
    connection: Connection, class_id: str, students: frozenset[str] | None, today: date, others: Iterable[str]
) -> frozenset[str]:
    """Of whom a listener who sees `students` may be told: those, or whoever sits in the class and `others`.

    `others` are those whom the messages at hand name.
    """
    if students is not None:
        return students
    return seated(connection, class_id, today.isoformat()).union(others)


def day_seen(identity: Identity, today: date) -> str | None:
    """The one school day of which somebody who stands in for a teacher is shown anything; None for everybody else."""
    return today.isoformat() if {held.role for held in identity.roles} == {"substitute"} else None


def begin(connection: Connection, identity: Identity, class_id: str, today: date, after: int | None) -> Beginning:
    """What `identity` is shown of a class as of one moment, after the position `after` where that is still good."""
    with connection.snapshot():
        students = students_seen(connection, identity, class_id, today)
        day = day_seen(identity, today)
        position = newest(connection)
        missed = _missed(connection, class_id, after, position) if after is not None else None
        if missed is not None:
            missed = [event for event in missed if is_of(event, day)]
            seen = {event.student_id for event in missed if event.student_id}
            names, shown = names_of(connection, seen), shown_of(connection, class_id, students, today, seen)
            return Beginning(position=position, students=students, shown=shown, names=names, missed=missed)
        session, marks = _now(connection, class_id, students, day)
        seen = {str(mark["student_id"]) for mark in marks}
        names, shown = names_of(connection, seen), shown_of(connection, class_id, students, today, seen)
        for mark in marks:
            mark["name"] = names.get(mark["student_id"], "")
        return Beginning(position=position, students=students, shown=shown, names=names, session=session, marks=marks)


def is_of(event: Event, day: str | None) -> bool:
    """Whether a change may be shown to whoever sees only `day` (None: every day)."""
    return day is None or event.student_id is None or event.data.get("school_day") == day


def _missed(connection: Connection, class_id: str, after: int, position: int) -> list[Event] | None:
    """The changes after a cursor; None when it is too old, or was never ours."""
    if after > position:
        return None
    old = connection.sql("SELECT at FROM journal WHERE id = ?", (after,)) if after else []
    if after and (not old or old[0][0] < iso(now_utc() - _GOOD_FOR)):
        return None
    rows = connection.sql(_MISSED, (class_id, after, *SHOWN, _MISSED_AT_MOST + 1))
    return None if len(rows) > _MISSED_AT_MOST else [event_of(row) for row in rows]


def _now(
    connection: Connection, class_id: str, students: frozenset[str] | None, only: str | None
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    on, params = ("", (class_id,)) if only is None else ("AND school_day = ? ", (class_id, only))
    rows = connection.sql(_OPEN.format(on), params)
    if not rows:
        return None, []
    session_id, day, starts_at, late, methods, require, state = rows[0]
    session = {
        "id": session_id,
        "class_id": class_id,
        "school_day": str(day),
        "starts_at": starts_at,
        "late_after_minutes": late,
        "methods": orjson.loads(methods) if isinstance(methods, str) else methods,
        "require": require,
        "state": state,
    }
    return session, [
        {
            "student_id": student,
            "name": "",
            "status": status,
            "recorded_at": recorded_at,
            "record_id": record,
            "needs_review": bool(review),
        }
        for student, status, recorded_at, record, review in connection.sql(_MARKS, (session_id,))
        if students is None or student in students
    ]
