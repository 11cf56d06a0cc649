"""Hearings on a refused amendment (34 CFR 99.21, 99.22), and the statement that a family may add after a lost one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from homeroom import Connection, Refused, Services, Status, Transaction
from homeroom_ferpa.rights import amendments, letters
from homeroom_ferpa.rights.common import Row, fetch, incomplete, iso, later, missing, put

_COLUMNS = (
    *("id", "amendment_id", "student_id", "record_id", "asked_by", "asked_on", "due_on", "state"),
    *("held_on", "place", "notice_on", "officer", "officer_id", "disinterested", "evidence", "reasons"),
    *("decision", "outcome", "decided_by", "decided_at", "act"),
)
_SEALED = ("place", "officer", "evidence", "reasons", "decision")
_STATEMENTS = ("id", "hearing_id", "student_id", "record_id", "made_by", "made_at", "text")
_MARKED = """
SELECT recorded_by FROM attendance_records WHERE id = ?
UNION SELECT recorded_by FROM attendance_versions WHERE record_id = ?
"""
_MARK = "[Statement under 34 CFR 99.21]"
STATEMENT_RIGHT = (
    "You may add a statement that comments on the contested record or says why you disagree (34 CFR "
    "99.21(b)(2)). It is "
    "kept for as long as the record, and goes with it whenever the record is disclosed."
)
RECORD = ("held_on", "place", "notice_on", "officer", "disinterested", "evidence", "reasons", "decision", "outcome")
"""What the record of a hearing holds (34 CFR 99.22); one that lacks any of it is not kept."""


def ask(
    tx: Transaction,
    *,
    hearing_id: str,
    student_id: str,
    amendment_id: str,
    asked_by: str,
    asked_on: date,
    days: int,
) -> Row:
    """Ask for a hearing on a refused amendment. Raises Refused 404, or 409 when it was not refused or is asked for."""
    row = amendments.read(tx, student_id, amendment_id)
    if row["state"] != "refused":
        raise Refused(409, "not-refused", "A hearing is on a request that was refused.")
    asked = asked_on.isoformat()
    new = {
        "id": hearing_id,
        "amendment_id": amendment_id,
        "student_id": student_id,
        "record_id": row["record_id"],
        "asked_by": asked_by,
        "asked_on": asked,
        "due_on": later(asked, days),
        "state": "asked",
    }
    if put(tx, "hearings", new):
        data = {"amendment": amendment_id, "record": row["record_id"], "due_on": new["due_on"]}
        tx.journal("compliance.hearing_asked", student_id=student_id, subject_id=hearing_id, data=data)
    elif not tx.sql("SELECT 1 FROM ferpa_hearings WHERE id = ?", (hearing_id,)):
        raise Refused(409, "asked-already", "A hearing on this was asked for already.")
    return read(tx, student_id, hearing_id)


def read(connection: Connection, student_id: str, hearing_id: str) -> Row:
    """One hearing of a student. Raises Refused 404."""
    where = "id = ? AND student_id = ?"
    found = fetch(connection, "hearings", _COLUMNS, where, (hearing_id, student_id), sealed=_SEALED)
    if not found:
        raise missing()
    return found[0] | {"disinterested": _flag(found[0]["disinterested"])}


def of_student(connection: Connection, student_id: str) -> list[Row]:
    """A student's hearings, the oldest first."""
    found = fetch(
        connection, "hearings", _COLUMNS, "student_id = ?", (student_id,), sealed=_SEALED, order="asked_on, id"
    )
    return [row | {"disinterested": _flag(row["disinterested"])} for row in found]


def give_notice(
    tx: Transaction, *, student_id: str, hearing_id: str, held_on: date, place: str, notice_on: date
) -> Row:
    """Set the day and place, and tell who asked, again whenever either has changed.

    Raises Refused 409 once it is decided, 422 for a late notice.
    """
    row = read(tx, student_id, hearing_id)
    if row["state"] == "decided":
        raise Refused(409, "decided-already", "This hearing has been decided.")
    if held_on < notice_on:
        raise Refused(422, "notice-too-late", "Notice of a hearing is given before it is held.")
    tx.write_sql(
        "UPDATE ferpa_hearings SET state = 'set', held_on = ?, place = ?, notice_on = ? WHERE id = ?",
        (held_on.isoformat(), tx.seal_for(student_id, place), notice_on.isoformat(), hearing_id),
    )
    data = {"held_on": held_on.isoformat(), "notice_on": notice_on.isoformat()}
    tx.journal("compliance.hearing_set", student_id=student_id, subject_id=hearing_id, data=data)
    if (row["held_on"], row["place"]) != (held_on.isoformat(), place):
        text = f"The hearing that you asked for is on {held_on.isoformat()}: {place}. {amendments.HEARING_RIGHT}"
        _tell(tx, row, text)
    return read(tx, student_id, hearing_id)


def _tell(tx: Transaction, row: Row, text: str) -> None:
    """Write the next notice of a hearing; one after the first says that it takes the place of those before."""
    before = letters.written(tx, row["student_id"], "hearing_notice", f"{row['id']}-")
    again = "This takes the place of what you were told before. " if before else ""
    about = {"student_id": row["student_id"], "recipient_id": row["asked_by"]}
    subject_id = f"{row['id']}-{before + 1}"
    letters.write(tx, kind="hearing_notice", subject_id=subject_id, text=f"{again}{text}", **about)


def decide(
    tx: Transaction,
    services: Services,
    *,
    student_id: str,
    hearing_id: str,
    record: Mapping[str, Any],
    officer_id: str | None,
    status: Status | None,
    code: str | None,
    act: str,
) -> Row:
    """Keep the whole record of a hearing and what was decided: "amend" or "keep".

    Raises Refused: 422 when anything of the record is missing, the hearing is yet to be held or the officer has an
    interest, 409 when it is decided.
    """
    row = read(tx, student_id, hearing_id)
    if row["state"] == "decided":
        if row["act"] == act:
            return row
        raise Refused(409, "decided-already", "Somebody has decided this hearing already.")
    kept = {name: record.get(name) if record.get(name) is not None else row[name] for name in RECORD}
    if lacking := [name for name in RECORD if kept[name] is None or not str(kept[name]).strip()]:
        raise incomplete(lacking)
    if str(kept["held_on"]) > services.today().isoformat():
        raise Refused(422, "held-on", "A hearing is decided once it was held: today, or earlier.")
    _check_officer(tx, row, kept, officer_id)
    if kept["outcome"] == "amend":
        request = amendments.read(tx, student_id, row["amendment_id"])
        amendments.amended(tx, services, request, str(kept["decision"]), status=status, code=code)
    sealed = {name: tx.seal_for(student_id, str(kept[name])) for name in _SEALED}
    values = {
        **sealed,
        "held_on": str(kept["held_on"]),
        "notice_on": str(kept["notice_on"]),
        "disinterested": 1,
        "officer_id": officer_id,
        "outcome": kept["outcome"],
        "state": "decided",
        "decided_by": tx.origin.actor_id,
        "decided_at": iso(tx.now),
        "act": act,
    }
    given = ", ".join(f"{name} = ?" for name in values)
    tx.write_sql(f"UPDATE ferpa_hearings SET {given} WHERE id = ?", (*values.values(), hearing_id))  # noqa: S608 - constants
    data = {"record": row["record_id"], "outcome": kept["outcome"]}
    tx.journal("compliance.hearing_decided", student_id=student_id, subject_id=hearing_id, data=data)
    more = STATEMENT_RIGHT if kept["outcome"] == "keep" else "The record was amended; the old entry is kept."
    text = f"{kept['decision']}\n\nThe evidence: {kept['evidence']}\n\nThe reasons: {kept['reasons']}\n\n{more}"
    about = {"student_id": student_id, "recipient_id": row["asked_by"], "subject_id": hearing_id}
    letters.write(tx, kind="hearing_decision", text=text, **about)
    return read(tx, student_id, hearing_id)


def _check_officer(tx: Transaction, row: Row, kept: Mapping[str, Any], officer_id: str | None) -> None:
    """Raise Refused 422 for an officer with a direct interest, and for a notice after the hearing."""
    involved = {row["asked_by"], row["student_id"]}
    decider = tx.sql("SELECT decided_by FROM ferpa_amendments WHERE id = ?", (row["amendment_id"],))
    marked = tx.sql(_MARKED, (row["record_id"],) * 2)
    involved |= {found[0] for found in (*decider, *marked)}
    if kept["disinterested"] is not True or (officer_id is not None and officer_id in involved):
        text = "The hearing is led by somebody without a direct interest in its outcome (34 CFR 99.22(c))."
        raise Refused(422, "officer-has-interest", text)
    if str(kept["held_on"]) < str(kept["notice_on"]):
        raise Refused(422, "notice-too-late", "Notice of a hearing is given before it is held.")


def add_statement(
    tx: Transaction, services: Services, *, statement_id: str, student_id: str, hearing_id: str, text: str, by: str
) -> Row:
    """Keep a family's statement with the record that a hearing has left as it was. Raises Refused 404, 409 or 422.

    It is put into the record's note as well, by a new version: so it goes wherever the core shows or hands out the
    record with its note.
    """
    if not text.strip():
        raise incomplete(["text"])
    row = read(tx, student_id, hearing_id)
    if row["outcome"] != "keep":
        raise Refused(409, "not-lost", "A statement can be added once a hearing has left the record as it was.")
    new = {
        "id": statement_id,
        "hearing_id": hearing_id,
        "student_id": student_id,
        "record_id": row["record_id"],
        "made_by": by,
        "made_at": iso(tx.now),
        "text": tx.seal_for(student_id, text),
    }
    if put(tx, "statements", new):
        data = {"record": row["record_id"], "hearing": hearing_id}
        tx.journal("compliance.statement_added", student_id=student_id, subject_id=statement_id, data=data)
    elif not tx.sql("SELECT 1 FROM ferpa_statements WHERE id = ?", (statement_id,)):
        raise Refused(409, "stated-already", "There is a statement on this hearing already.")
    attach(tx, services, row["record_id"])
    found = statements_for(tx, [row["record_id"]])
    return next(one for one in found[row["record_id"]] if one["id"] == statement_id)


def attach(tx: Transaction, services: Services, record_id: str) -> bool:
    """Put the statements on a record into its note, where they are not there; whether anything was missing."""
    rows = tx.sql("SELECT student_id, version, note FROM attendance_records WHERE id = ?", (record_id,))
    if not rows:
        return False
    student_id, version, sealed = rows[0]
    note = tx.unseal_for(student_id, sealed) or ""
    absent = [
        f"{_MARK} {one['text']}"
        for one in statements_for(tx, [record_id]).get(record_id, ())
        if one["text"] is not None and f"{_MARK} {one['text']}" not in note
    ]
    if not absent:
        return False
    whole = "\n\n".join(filter(None, (note, *absent)))
    reason = "The family's statement on a contested record goes with it (34 CFR 99.21(c))."
    services.custody.correct(tx, record_id, version=version, reason=reason, note=whole)
    return True


def statements_for(connection: Connection, record_ids: Sequence[str]) -> dict[str, list[Row]]:
    """The statements that go with these records, by record: whatever discloses a record asks here."""
    if not record_ids:
        return {}
    found: dict[str, list[Row]] = {}
    for start in range(0, len(record_ids), 500):
        some = record_ids[start : start + 500]
        where = f"record_id IN ({', '.join('?' * len(some))})"
        for row in fetch(connection, "statements", _STATEMENTS, where, some, sealed=("text",), order="made_at, id"):
            found.setdefault(row["record_id"], []).append(row)
    return found


def statements_of(connection: Connection, student_id: str) -> list[Row]:
    """The statements on a student's records."""
    order = "made_at, id"
    return fetch(connection, "statements", _STATEMENTS, "student_id = ?", (student_id,), sealed=("text",), order=order)


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value)
