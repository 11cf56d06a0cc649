"""The life of a check-in: the verifiers' answers, a status, and one unit of work that writes all of it or nothing.

This is the busiest path, so its statements are plain SQL: at most one read besides the access check, one write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import orjson

from homeroom.attendance.policy import Answered, Judgement, Moment, judge, lateness, moment
from homeroom.attendance.records import ONE_OF, Change, Record, amend, count, entered, find
from homeroom.attendance.sessions import ENROLLED, Database, KnownSessions
from homeroom.store import Connection, Refused, Transaction, conflict, iso, new_id, not_found, now_utc
from homeroom.types import Attempt, ClassSession, Status


class Verifiers(Protocol):
    """The plugin host, as far as a check-in needs it."""

    async def ask_all(self, hook: str, **arguments: Any) -> Sequence[Answered]:
        """Every plugin's answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckIn:
    """What a student sent. `client_id` is the device's own name for this check-in, kept with the record.

    `seen_at` is when an entrance of the school saw the student: the moment that counts, which no device has told.
    """

    session_id: str
    student_id: str
    proof: Mapping[str, Any] = field(default_factory=dict, repr=False)
    client_id: str | None = None
    occurred_at: datetime | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accepted:
    """A check-in that may be written; `id` is made here, so that the unit gives the same when it is run again."""

    id: str
    session: ClassSession
    sent: CheckIn
    at: datetime
    offline: bool
    status: Status
    minutes_late: int | None
    judgement: Judgement


_INSERT = f"""
INSERT INTO attendance_records (id, session_id, class_id, school_id, student_id, school_day, status, minutes_late,
  needs_review, evidence, origin, client_id, occurred_at, recorded_at, recorded_by, version, valid_from)
SELECT ?, s.id, s.class_id, s.school_id, ?, s.school_day, ?, ?, ?, ?, 'check_in', ?, ?, ?, ?, 1, ?
FROM class_sessions s WHERE s.id = ? AND s.state = 'open' AND EXISTS (
  SELECT 1 FROM enrollments e WHERE e.class_id = s.class_id AND e.user_id = ? AND {ENROLLED.format(day="s.school_day")})
ON CONFLICT (session_id, student_id) DO NOTHING RETURNING id
"""  # noqa: S608 - constants
_STANDING = f"""
SELECT s.state, s.closed_at, EXISTS (
  SELECT 1 FROM enrollments e WHERE e.class_id = s.class_id AND e.user_id = ? AND {ENROLLED.format(day="s.school_day")})
FROM class_sessions s WHERE s.id = ?
"""  # noqa: S608 - constants


async def check_in(
    store: Database, verifiers: Verifiers, sessions: KnownSessions, sent: CheckIn, *, offline_hours: int
) -> tuple[Record, bool]:
    """The student's record in the session, and whether this check-in made it; committed when this returns.

    Whoever has a record already gets that one, whatever the proof: a repeated request is answered alike, and a mark
    that a teacher made stays. Raises Refused, and then nothing is recorded: 404 for no such session or no seat in it,
    409 `session-closed`, 422 or 429 by the proof (see `policy.judge`), 422 for an impossible `occurred_at`.
    """
    session = await sessions.get(store, sent.session_id)
    if sent.seen_at is not None:
        when = Moment(at=sent.seen_at, offline=False)
    else:
        when = moment(now_utc(), sent.occurred_at, offline_hours=offline_hours)
    try:
        if session.state == "closed" and not when.offline:
            raise _closed()
        judgement = await _judged(verifiers, session, sent, when.at, offline=when.offline)
    except Refused:
        # Slow path: a closed session, a missing seat and a record that is there already come before the proof.
        record = await store.read(lambda c: _settled(c, sent))
        if record is not None:
            return record, False
        raise
    status, minutes_late = lateness(session, when.at)
    accepted = _Accepted(
        id=new_id(),
        session=session,
        sent=sent,
        at=when.at,
        offline=when.offline,
        status=status,
        minutes_late=minutes_late,
        judgement=judgement,
    )
    try:
        return await store.write(lambda tx: _write(tx, accepted))
    except Refused:
        sessions.forget(session.id)
        raise


async def _judged(
    verifiers: Verifiers, session: ClassSession, sent: CheckIn, at: datetime, *, offline: bool
) -> Judgement:
    answers: Sequence[Answered] = ()
    if session.methods:
        attempt = Attempt(session=session, student_id=sent.student_id, at=at, offline=offline, proof=sent.proof)
        answers = await verifiers.ask_all("verify_check_in", attempt=attempt)
    return judge(session, answers, offline=offline)


def _write(tx: Transaction, accepted: _Accepted) -> tuple[Record, bool]:
    sent, session, status = accepted.sent, accepted.session, accepted.status
    now = iso(tx.now)
    day = session.school_day.isoformat()
    evidence = accepted.judgement.evidence
    review = accepted.judgement.needs_review
    occurred = iso(sent.occurred_at) if sent.occurred_at else None
    inserted = tx.sql(
        _INSERT,
        (
            *(accepted.id, sent.student_id, status, accepted.minutes_late, review, orjson.dumps(evidence).decode()),
            *(sent.client_id, occurred, now, sent.student_id, now, session.id, sent.student_id),
        ),
    )
    if not inserted:  # nothing was written, so a refusal now costs the other units of the batch nothing
        return _not_inserted(tx, accepted)
    tx.wrote = True
    record = Record(
        id=accepted.id,
        session_id=session.id,
        class_id=session.class_id,
        school_id=session.school_id,
        student_id=sent.student_id,
        school_day=day,
        status=status,
        minutes_late=accepted.minutes_late,
        needs_review=review,
        evidence=evidence,
        origin="check_in",
        client_id=sent.client_id,
        occurred_at=occurred,
        recorded_at=now,
        recorded_by=sent.student_id,
        valid_from=now,
    )
    count(tx, record, ONE_OF[status])
    entered(tx, record)
    return record, True


def _not_inserted(tx: Transaction, accepted: _Accepted) -> tuple[Record, bool]:
    """The record that is there already, or the reason why there is none."""
    sent = accepted.sent
    late_since = accepted.at if accepted.offline else None
    record = _settled(tx, sent, late_since=late_since)
    assert record is not None  # noqa: S101 - an open session and a seat without a record would have been written
    if record.id == accepted.id:
        return record, True  # the same unit run again after its commit was in doubt
    if record.origin == "close" and accepted.offline:
        return _arrived_late(tx, record, accepted), False
    return record, False


def _arrived_late(tx: Transaction, record: Record, accepted: _Accepted) -> Record:
    """The absence that closing entered, corrected by a check-in made before that without a network."""
    return amend(
        tx,
        record,
        Change(
            status=accepted.status,
            minutes_late=accepted.minutes_late,
            origin="check_in",
            by=accepted.sent.student_id,
            needs_review=True,
            evidence=accepted.judgement.evidence,
            client_id=accepted.sent.client_id,
            occurred_at=iso(accepted.at),
        ),
    )


def _settled(connection: Connection, sent: CheckIn, *, late_since: datetime | None = None) -> Record | None:
    """The student's record where the proof no longer matters; None when a proof would be judged.

    `late_since` is when a check-in was made whose proof was good and that arrives late: a session that was still open
    then takes it. Raises Refused 404 or 409.
    """
    rows = connection.sql(_STANDING, (sent.student_id, sent.session_id))
    if not rows:
        raise not_found("There is no such session, or you are not enrolled in its class.")
    state, closed_at, enrolled = rows[0]
    record = find(connection, sent.session_id, sent.student_id)
    if record is not None and (state == "open" or record.origin == "check_in"):
        return record
    if state == "open":
        if enrolled:
            return None
        raise not_found("There is no such session, or you are not enrolled in its class.")
    if record is not None and record.origin == "close" and late_since is not None and iso(late_since) < closed_at:
        return record
    raise _closed()


def _closed() -> Refused:
    return conflict("session-closed", "This session is closed. Please ask your teacher to mark you.")
