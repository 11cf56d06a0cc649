"""What teachers and the office mark, and how a record is corrected: always a new version, never a lost one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from homeroom.attendance.codes import Code, codes_at
from homeroom.attendance.records import (
    Change,
    Record,
    add,
    amend,
    next_version,
    of_session,
    read,
    refuse_stale,
    take_back,
)
from homeroom.attendance.sessions import SessionState, read_session, record_id, seated
from homeroom.store import Refused, Transaction, conflict, iso, not_found
from homeroom.types import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMark:
    """One student's mark. Either `status` or `code` is enough; both must agree. An empty `note` removes one."""

    student_id: str
    status: Status | None = None
    code: str | None = None
    minutes_late: int | None = None
    note: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a record should say instead, and why. `version` is the one that was read; None takes any."""

    status: Status | None = None
    code: str | None = None
    minutes_late: int | None = None
    note: str | None = field(default=None, repr=False)
    reason: str = field(repr=False)
    version: int | None
    origin: str = "teacher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """What became of marks that were to be taken back: the ids of those that were, and of those that stay."""

    withdrawn: Sequence[str]
    kept: Sequence[str]


class MarksInvalid(Exception):
    """Some of the marks cannot be taken, so none was; `errors` pairs a place (`marks.3.code`) with what is wrong."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        super().__init__("some marks are not valid")
        self.errors = tuple(errors)


def mark(
    tx: Transaction,
    session_id: str,
    marks: Sequence[NewMark],
    *,
    origin: str = "teacher",
    only_unmarked: bool = False,
) -> list[Record]:
    """Mark students of an open session, all or nothing; gives their records in the order of `marks`.

    A mark that says what is known already changes nothing; another one becomes a new version, so several people can
    take one roll at once and every step can be seen. `only_unmarked` passes by whoever has a mark by now, and gives the
    new records alone. Raises MarksInvalid, or Refused 409 once the session is closed.
    """
    session = read_session(tx, session_id)
    if session.state != "open":
        raise conflict(
            "session-closed", "This session is closed. Correct single records instead, each with its reason."
        )
    codes = {code.code: code for code in codes_at(tx, session.school_id)}
    statuses = _checked(tx, session, marks, codes)
    known = of_session(tx, session_id)
    records = [
        _mark_one(tx, session, replace(wanted, status=status), known.get(wanted.student_id), origin=origin)
        for wanted, status in zip(marks, statuses, strict=True)
        if not (only_unmarked and wanted.student_id in known)
    ]
    tx.write_sql(
        "UPDATE class_sessions SET roll_taken_at = ? WHERE id = ? AND roll_taken_at IS NULL", (iso(tx.now), session_id)
    )
    return records


def withdraw(tx: Transaction, session_id: str, records: Mapping[str, int]) -> Withdrawn:
    """Take back marks of an open session that the caller made; `records` says which version of each.

    Only a mark that is still as it was first made is taken back: one that somebody has touched since stays, and so does
    one that is somebody else's. Raises Refused 409 once the session is closed.
    """
    session = read_session(tx, session_id)
    if session.state != "open":
        raise conflict("session-closed", "This session is closed, so its marks can only be corrected, one by one.")
    now = {record.id: record for record in of_session(tx, session_id).values()}
    withdrawn: list[str] = []
    for key, version in sorted(records.items()):
        record = now.get(key)
        if record is None:
            if _is_withdrawn(tx, session_id, key, version):
                withdrawn.append(key)  # the same unit run again
        elif record.version == version and _is_own_first(record, tx.origin.actor_id):
            take_back(tx, record)
            withdrawn.append(key)
    return Withdrawn(withdrawn=withdrawn, kept=sorted(records.keys() - set(withdrawn)))


def correct(tx: Transaction, record_key: str, correction: Correction) -> Record:
    """Correct a record and keep what it was; gives it as it is now. A correction also settles a review.

    Raises Refused: 404 for no such record, 412 when somebody changed it meanwhile, 422 for a code that the school has
    not or that contradicts the status.
    """
    record = read(tx, record_key)
    if record is None:
        raise not_found()
    codes = {code.code: code for code in codes_at(tx, record.school_id)}
    status, error = _status(correction.status, correction.code, codes, otherwise=record.status)
    if error is not None:
        raise Refused(422, "unknown-code", error)
    change = Change(
        status=status,
        code=correction.code,
        minutes_late=correction.minutes_late,
        note=correction.note,
        reason=correction.reason,
        origin=correction.origin,
        by=tx.origin.actor_id,
    )
    if _is_done(record, change, correction.version):
        return record
    refuse_stale(record, correction.version)
    return amend(tx, record, change)


def _is_own_first(record: Record, actor_id: str | None) -> bool:
    """Whether the record says still what this person marked, and before that the student had no mark."""
    return (
        record.valid_from == record.recorded_at
        and record.recorded_by == actor_id
        and record.origin in ("teacher", "office")
    )


def _is_withdrawn(tx: Transaction, session_id: str, key: str, version: int) -> bool:
    text = "SELECT recorded_by FROM attendance_versions WHERE record_id = ? AND version = ? AND session_id = ?"
    return [row[0] for row in tx.sql(text, (key, version, session_id))] == [tx.origin.actor_id]


def _is_done(record: Record, change: Change, version: int | None) -> bool:
    """Whether this very correction is what made the record: a unit may be run again after its commit was in doubt."""
    return (
        version is not None
        and record.version == version + 1
        and (record.recorded_by, record.reason, record.status) == (change.by, change.reason, change.status)
        and change.note in (None, record.note or "")
        and change.code in (None, record.code)
    )


def _checked(
    tx: Transaction, session: SessionState, marks: Sequence[NewMark], codes: Mapping[str, Code]
) -> list[Status]:
    """The status of every mark. Raises MarksInvalid with everything that is wrong."""
    students = seated(tx, session.class_id, session.school_day)
    errors: list[tuple[str, str]] = []
    statuses: list[Status] = []
    seen: set[str] = set()
    for position, wanted in enumerate(marks):
        if wanted.student_id not in students:
            errors.append((f"marks.{position}.student_id", "is not a student of this class on that day"))
        elif wanted.student_id in seen:
            errors.append((f"marks.{position}.student_id", "is marked twice"))
        seen.add(wanted.student_id)
        status, error = _status(wanted.status, wanted.code, codes, otherwise=None)
        if error is not None:
            errors.append((f"marks.{position}.{'code' if wanted.code else 'status'}", error))
        if status is not None:
            statuses.append(status)
    if errors:
        raise MarksInvalid(errors)
    return statuses


def _status(
    status: Status | None, code: str | None, codes: Mapping[str, Code], *, otherwise: Status | None
) -> tuple[Status | None, str | None]:
    """The status that `status` and `code` mean together, or what is wrong with them."""
    if code is None:
        found = status or otherwise
        return found, None if found else "say a status or a code"
    known = codes.get(code)
    if known is None:
        return None, f"this school has no code {code!r}"
    if status is not None and status != known.status:
        return None, f"the code {code!r} means {known.status}, not {status}"
    return known.status, None


def _mark_one(tx: Transaction, session: SessionState, wanted: NewMark, old: Record | None, *, origin: str) -> Record:
    """Write one mark, whose status is known by now."""
    assert wanted.status is not None  # noqa: S101 - `_checked` has found it
    status = wanted.status
    now = iso(tx.now)
    if old is None:
        key = record_id(session.id, wanted.student_id)
        record = Record(
            id=key,
            session_id=session.id,
            class_id=session.class_id,
            school_id=session.school_id,
            student_id=wanted.student_id,
            school_day=session.school_day,
            status=status,
            code=wanted.code,
            minutes_late=wanted.minutes_late if status == "tardy" else None,
            origin=origin,
            recorded_at=now,
            recorded_by=tx.origin.actor_id,
            note=wanted.note or None,
            version=next_version(tx, key),
            valid_from=now,
        )
        add(tx, record)
        return record
    if _says(old, wanted):
        return old
    change = Change(
        status=status,
        code=wanted.code,
        minutes_late=wanted.minutes_late,
        note=wanted.note,
        origin=origin,
        by=tx.origin.actor_id,
    )
    return amend(tx, old, change)


def _says(old: Record, wanted: NewMark) -> bool:
    """Whether the record says all that is wanted already, and nobody need look at it."""
    return (
        old.status == wanted.status
        and wanted.code in (None, old.code)
        and (wanted.status != "tardy" or wanted.minutes_late in (None, old.minutes_late))
        and wanted.note in (None, old.note or "")
        and not old.needs_review
    )
