"""Attendance records: reading them, the first version, every later one, and the counters kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import orjson

from homeroom.store import Connection, Refused, Sums, Transaction, iso
from homeroom.types import Status

STATUSES: tuple[Status, ...] = ("present", "tardy", "absent", "excused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One student's attendance in one session. Times are RFC 3339 in UTC and days ISO dates, as stored and as sent.

    `origin` is "check_in", "teacher", "office", "absence_report" or "close". `valid_from` is when this version became
    known; `valid_to` is set on versions that were replaced. `note` and `reason` are in clear once `read` here.
    """

    id: str
    session_id: str
    class_id: str
    school_id: str
    student_id: str
    school_day: str
    status: Status
    code: str | None = None
    minutes_late: int | None = None
    needs_review: bool = False
    evidence: Sequence[dict[str, Any]] = field(default_factory=list)
    origin: str
    client_id: str | None = None
    occurred_at: str | None = None
    recorded_at: str
    recorded_by: str | None = None
    note: str | None = field(default=None, repr=False)
    reason: str | None = field(default=None, repr=False)
    version: int = 1
    valid_from: str
    valid_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a new version of a record says; what is None stays as it was, and an empty note removes it.

    `by` is who decided it; `note` and `reason` are in clear. `evidence`, `client_id` and `occurred_at` come only from a
    check-in that was sent late.
    """

    status: Status | None = None
    code: str | None = None
    minutes_late: int | None = None
    note: str | None = field(default=None, repr=False)
    reason: str | None = field(default=None, repr=False)
    origin: str
    by: str | None
    needs_review: bool = False
    evidence: Sequence[dict[str, Any]] | None = None
    client_id: str | None = None
    occurred_at: str | None = None


COLUMNS = (
    "id",
    "session_id",
    "class_id",
    "school_id",
    "student_id",
    "school_day",
    "status",
    "code",
    "minutes_late",
    "needs_review",
    "evidence",
    "origin",
    "client_id",
    "occurred_at",
    "recorded_at",
    "recorded_by",
    "note",
    "reason",
    "version",
    "valid_from",
)
_NAMES = ", ".join(COLUMNS)
_FIND = f"SELECT {_NAMES} FROM attendance_records WHERE session_id = ? AND student_id = ?"  # noqa: S608 - constants
_READ = f"SELECT {_NAMES} FROM attendance_records WHERE id = ?"  # noqa: S608 - constants
_OF_SESSION = f"SELECT {_NAMES} FROM attendance_records WHERE session_id = ?"  # noqa: S608 - constants
_ADD = (
    f"INSERT INTO attendance_records ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))}) "  # noqa: S608 - constants
    "ON CONFLICT (session_id, student_id) DO NOTHING RETURNING id"
)
_KEEP = """
INSERT INTO attendance_versions (record_id, version, session_id, class_id, student_id, school_day, status, code,
  minutes_late, needs_review, origin, recorded_by, note, reason, valid_from, valid_to)
SELECT id, version, session_id, class_id, student_id, school_day, status, code, minutes_late, needs_review, origin,
  recorded_by, note, reason, valid_from, ? FROM attendance_records WHERE id = ?
"""
_AMEND = """
UPDATE attendance_records SET status = ?, code = ?, minutes_late = ?, needs_review = ?, evidence = ?, origin = ?,
  client_id = ?, occurred_at = ?, recorded_by = ?, note = ?, reason = ?, version = ?, valid_from = ? WHERE id = ?
"""
COUNTS = Sums(table="attendance_counts", key=("class_id", "school_day"), given=("school_id",), amounts=STATUSES)
ONE_OF = {status: tuple(int(status == other) for other in STATUSES) for status in STATUSES}
"""What one record of a status adds to the four counters."""


def day_text(value: date | str) -> str:
    """An ISO date, whichever way the database gives it."""
    return value if isinstance(value, str) else value.isoformat()


def of_row(row: Sequence[Any]) -> Record:
    """The record in a row of COLUMNS; its note and reason are still sealed."""
    values = dict(zip(COLUMNS, row, strict=True))
    values["school_day"] = day_text(values["school_day"])
    values["needs_review"] = bool(values["needs_review"])
    values["evidence"] = orjson.loads(values["evidence"])
    return Record(**values)


def read(connection: Connection, record_id: str) -> Record | None:
    """The record as it is known now, its note and reason in clear."""
    rows = connection.sql(_READ, (record_id,))
    return unsealed(connection, of_row(rows[0])) if rows else None


def find(connection: Connection, session_id: str, student_id: str) -> Record | None:
    """The student's record in a session, its note and reason in clear."""
    rows = connection.sql(_FIND, (session_id, student_id))
    return unsealed(connection, of_row(rows[0])) if rows else None


def of_session(connection: Connection, session_id: str) -> dict[str, Record]:
    """The records of a session by student, their notes and reasons in clear."""
    found = (of_row(row) for row in connection.sql(_OF_SESSION, (session_id,)))
    return {record.student_id: unsealed(connection, record) for record in found}


def unsealed(connection: Connection, record: Record) -> Record:
    """The record with its note and reason in clear; None where the student's key was destroyed."""
    if record.note is None and record.reason is None:
        return record
    student = record.student_id
    note, reason = connection.unseal_for(student, record.note), connection.unseal_for(student, record.reason)
    return replace(record, note=note, reason=reason)


def add(tx: Transaction, record: Record) -> bool:
    """Write the first version of a record, its counter and its journal row; False when there is a record already."""
    values = {name: getattr(record, name) for name in COLUMNS}
    values["evidence"] = orjson.dumps(record.evidence).decode()
    values["note"] = _sealed(tx, record.student_id, record.note)
    values["reason"] = _sealed(tx, record.student_id, record.reason)
    if not tx.write_sql(_ADD, tuple(values.values())):
        return False
    count(tx, record, ONE_OF[record.status])
    entered(tx, record)
    return True


def amend(tx: Transaction, old: Record, change: Change) -> Record:
    """Write a new version of `old`, keep the old one, and move the counters; gives the record as it is now.

    `old` must have been read in this transaction, in clear.
    """
    status = change.status or old.status
    now = max(iso(tx.now), old.valid_from)  # a clock that was set back must not make a version end before it began
    new = replace(
        old,
        status=status,
        code=change.code if change.code is not None else old.code if status == old.status else None,
        minutes_late=_minutes(old, change, status),
        needs_review=change.needs_review,
        evidence=old.evidence if change.evidence is None else change.evidence,
        origin=change.origin,
        client_id=change.client_id or old.client_id,
        occurred_at=change.occurred_at or old.occurred_at,
        recorded_by=change.by,
        note=old.note if change.note is None else change.note or None,
        reason=change.reason,
        version=old.version + 1,
        valid_from=now,
    )
    tx.write_sql(_KEEP, (now, old.id))
    note, reason = _sealed(tx, old.student_id, new.note), _sealed(tx, old.student_id, new.reason)
    evidence = orjson.dumps(new.evidence).decode()
    tx.write_sql(
        _AMEND,
        (
            *(new.status, new.code, new.minutes_late, new.needs_review, evidence, new.origin),
            *(new.client_id, new.occurred_at, new.recorded_by, note, reason, new.version, new.valid_from, old.id),
        ),
    )
    if new.status != old.status:
        moved = tuple(a - b for a, b in zip(ONE_OF[new.status], ONE_OF[old.status], strict=True))
        count(tx, old, moved)
    corrected(tx, old, new)
    return new


def take_back(tx: Transaction, record: Record) -> None:
    """Take a record away, so that the student has no mark in the session; what it said stays among the versions."""
    now = max(iso(tx.now), record.valid_from)
    tx.write_sql(_KEEP, (now, record.id))
    tx.write_sql("DELETE FROM attendance_records WHERE id = ?", (record.id,))
    count(tx, record, tuple(-one for one in ONE_OF[record.status]))
    tx.journal(
        "attendance.withdrawn",
        class_id=record.class_id,
        session_id=record.session_id,
        student_id=record.student_id,
        subject_id=record.id,
        data={**_told(record), "status": None, "code": None, "was": record.status},
    )


def next_version(connection: Connection, record_id: str) -> int:
    """The number of a record's first version: above those of an earlier record of this id that was taken back."""
    rows = connection.sql("SELECT MAX(version) FROM attendance_versions WHERE record_id = ?", (record_id,))
    return (rows[0][0] or 0) + 1


def count(tx: Transaction, record: Record, by: Sequence[int]) -> None:
    """Add `by` (present, tardy, absent, excused) to the counters of the record's class and day."""
    tx.add(COUNTS, (record.class_id, record.school_day, record.school_id), by)


def entered(tx: Transaction, record: Record) -> None:
    """Enter a new record in the journal."""
    tx.journal(
        "attendance.recorded",
        class_id=record.class_id,
        session_id=record.session_id,
        student_id=record.student_id,
        subject_id=record.id,
        data=_told(record),
    )


def corrected(tx: Transaction, old: Record, new: Record) -> None:
    """Enter a new version in the journal, with the names of the fields that changed."""
    fields = ("status", "code", "minutes_late", "note", "needs_review")
    changed = [name for name in fields if getattr(old, name) != getattr(new, name)]
    tx.journal(
        "attendance.corrected",
        class_id=new.class_id,
        session_id=new.session_id,
        student_id=new.student_id,
        subject_id=new.id,
        data={**_told(new), "was": old.status, "changed": changed},
    )


def _told(record: Record) -> dict[str, Any]:
    return {
        "status": record.status,
        "code": record.code,
        "minutes_late": record.minutes_late,
        "needs_review": record.needs_review,
        "origin": record.origin,
        "version": record.version,
        "recorded_at": record.recorded_at,
        "school_id": record.school_id,
        "school_day": record.school_day,
    }


def _minutes(old: Record, change: Change, status: Status) -> int | None:
    if status != "tardy":
        return None
    return change.minutes_late if change.minutes_late is not None else old.minutes_late


def _sealed(tx: Transaction, student_id: str, text: str | None) -> str | None:
    return None if text is None else tx.seal_for(student_id, text)


def refuse_stale(record: Record, version: int | None) -> None:
    """Raises Refused 412 when `version` is not the record's; None (`If-Match: *`) takes any."""
    if version is not None and version != record.version:
        raise Refused(412, "changed-meanwhile", "Somebody has changed this record meanwhile. Please look again.")
