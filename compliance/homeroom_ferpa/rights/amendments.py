"""Requests to amend one attendance record (34 CFR 99.20): a reason, a deadline, a decision in writing."""

from __future__ import annotations

from datetime import date
from typing import Any

from homeroom import Connection, Refused, Services, Status, Transaction
from homeroom_ferpa.rights import letters
from homeroom_ferpa.rights.common import Row, fetch, incomplete, iso, later, missing, put

_COLUMNS = (
    *("id", "student_id", "record_id", "record_version", "asked_by", "received_on", "due_on", "why"),
    *("wanted_status", "wanted_code", "state", "decision", "decided_by", "decided_at", "new_version", "act"),
)
_SEALED = ("why", "decision")
HEARING_RIGHT = (
    "You have the right to a hearing on this (34 CFR 99.21). Ask for it in Homeroom or at the office. It is held "
    "within a "
    "reasonable time, you are told the date, time and place beforehand, it is led by somebody with no direct "
    "interest in "
    "the outcome, and you may bring evidence and be helped or represented by people of your choice, an attorney "
    "included, "
    "at your own expense."
)


def ask(
    tx: Transaction,
    *,
    amendment_id: str,
    student_id: str,
    record_id: str | None,
    why: str | None,
    asked_by: str,
    received_on: date,
    days: int,
    status: Status | None,
    code: str | None,
) -> Row:
    """Keep a request that names one record and says why it is wrong. Raises Refused 404, 409 (asked already) or 422."""
    lacking = [name for name, given in (("record_id", record_id), ("why", (why or "").strip())) if not given]
    if lacking:
        raise incomplete(lacking)
    rows = tx.sql("SELECT version FROM attendance_records WHERE id = ? AND student_id = ?", (record_id, student_id))
    if not rows:
        raise missing()
    received = received_on.isoformat()
    row = {
        "id": amendment_id,
        "student_id": student_id,
        "record_id": record_id,
        "record_version": rows[0][0],
        "asked_by": asked_by,
        "received_on": received,
        "due_on": later(received, days),
        "why": tx.seal_for(student_id, why or ""),
        "wanted_status": status,
        "wanted_code": code,
        "state": "open",
    }
    if put(tx, "amendments", row):
        data = {"record": record_id, "due_on": row["due_on"], "asked_by": asked_by}
        tx.journal("compliance.amendment_asked", student_id=student_id, subject_id=amendment_id, data=data)
    elif not tx.sql("SELECT 1 FROM ferpa_amendments WHERE id = ?", (amendment_id,)):
        raise Refused(
            409, "asked-already", "You have asked for a change of this record already; it is being looked at."
        )
    return read(tx, student_id, amendment_id)


def read(connection: Connection, student_id: str, amendment_id: str) -> Row:
    """One request of a student. Raises Refused 404."""
    where = "id = ? AND student_id = ?"
    found = fetch(connection, "amendments", _COLUMNS, where, (amendment_id, student_id), sealed=_SEALED)
    if not found:
        raise missing()
    return found[0]


def of_student(connection: Connection, student_id: str) -> list[Row]:
    """A student's requests, the oldest first."""
    order = "received_on, id"
    return fetch(connection, "amendments", _COLUMNS, "student_id = ?", (student_id,), sealed=_SEALED, order=order)


def decide(
    tx: Transaction,
    services: Services,
    *,
    student_id: str,
    amendment_id: str,
    accept: bool,
    words: str | None,
    status: Status | None,
    code: str | None,
    act: str,
) -> Row:
    """Accept, which writes a new version of the record, or refuse, which opens the way to a hearing.

    All of it is one transaction: the decision, the new version and the letter. Raises Refused: 409 when another has
    decided, 422 when the decision is not in writing, or does not say what the record shall be.
    """
    if not (words or "").strip():
        raise incomplete(["decision"])
    row = read(tx, student_id, amendment_id)
    if row["state"] != "open":
        if row["act"] == act:
            return row
        raise Refused(409, "decided-already", f"This request was decided already: it is {row['state']}.")
    version = amended(tx, services, row, words or "", status=status, code=code) if accept else None
    state = "accepted" if accept else "refused"
    text = (
        "UPDATE ferpa_amendments SET state = ?, decision = ?, decided_by = ?, decided_at = ?, new_version = ?, act = ? "
        "WHERE id = ? AND state = 'open'"
    )
    sealed = tx.seal_for(student_id, words or "")
    tx.write_sql(text, (state, sealed, tx.origin.actor_id, iso(tx.now), version, act, amendment_id))
    data = {"record": row["record_id"], "state": state, "new_version": version}
    tx.journal("compliance.amendment_decided", student_id=student_id, subject_id=amendment_id, data=data)
    told = f"{words}\n\n{HEARING_RIGHT}" if not accept else f"{words}\n\nThe record was amended; the old entry is kept."
    about = {"student_id": student_id, "recipient_id": row["asked_by"], "subject_id": amendment_id}
    letters.write(tx, kind=f"amendment_{state}", text=told, **about)
    return read(tx, student_id, amendment_id)


def amended(
    tx: Transaction, services: Services, row: Row, reason: str, *, status: Status | None, code: str | None
) -> int:
    """The number of the new version, which says what the decision says, or what was asked for."""
    wanted: dict[str, Any] = {"status": status, "code": code}
    if status is None and code is None:
        wanted = {"status": row["wanted_status"], "code": row["wanted_code"]}
        if wanted == {"status": None, "code": None}:
            raise incomplete(["status or code: what the record shall say"])
    return services.custody.correct(
        tx, row["record_id"], version=_version(tx, row["record_id"]), reason=reason, **wanted
    )


def _version(tx: Transaction, record_id: str) -> int:
    rows = tx.sql("SELECT version FROM attendance_records WHERE id = ?", (record_id,))
    if not rows:
        raise missing()
    return int(rows[0][0])
