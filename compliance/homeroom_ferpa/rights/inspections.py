"""Requests to inspect and review a student's records (34 CFR 99.10): due in 45 days at most, with explanations."""

from __future__ import annotations

from datetime import date

from homeroom import Connection, Refused, Transaction
from homeroom_ferpa.rights import letters
from homeroom_ferpa.rights.common import Row, fetch, iso, later, missing, put

_COLUMNS = (
    *("id", "student_id", "asked_by", "entered_by", "received_on", "due_on", "wish", "state"),
    *("alerted_at", "violated_at", "ended_at", "ended_by", "act"),
)
_QUESTIONS = (
    *("id", "inspection_id", "student_id", "asked_by", "asked_at", "question"),
    *("answer", "answered_by", "answered_at", "act"),
)
_READY = (
    "The records that you asked to inspect are ready. You can read or download them in Homeroom as one file, or "
    "see them "
    "at the office. There is no fee for finding or getting them. You may ask for an explanation of anything in "
    "them, and "
    "you may ask for a record to be changed that you think is wrong, misleading or against the student's privacy."
)


def ask(
    tx: Transaction,
    *,
    inspection_id: str,
    student_id: str,
    asked_by: str,
    received_on: date,
    days: int,
    wish: str | None,
) -> Row:
    """Keep a request from the day it was received."""
    received = received_on.isoformat()
    row = {
        "id": inspection_id,
        "student_id": student_id,
        "asked_by": asked_by,
        "entered_by": tx.origin.actor_id,
        "received_on": received,
        "due_on": later(received, days),
        "wish": tx.seal_for(student_id, wish) if wish else None,
        "state": "open",
    }
    if put(tx, "inspections", row):
        data = {"received_on": received, "due_on": row["due_on"], "asked_by": asked_by}
        tx.journal("compliance.inspection_asked", student_id=student_id, subject_id=inspection_id, data=data)
    return read(tx, student_id, inspection_id)


def read(connection: Connection, student_id: str, inspection_id: str) -> Row:
    """One request of a student. Raises Refused 404."""
    where = "id = ? AND student_id = ?"
    found = fetch(connection, "inspections", _COLUMNS, where, (inspection_id, student_id), sealed=("wish",))
    if not found:
        raise missing()
    return found[0] | {"explanations": explanations(connection, inspection_id)}


def of_student(connection: Connection, student_id: str) -> list[Row]:
    """A student's requests, the oldest first, with their explanations."""
    found = fetch(
        connection, "inspections", _COLUMNS, "student_id = ?", (student_id,), sealed=("wish",), order="received_on, id"
    )
    return [row | {"explanations": explanations(connection, row["id"])} for row in found]


def end(tx: Transaction, *, student_id: str, inspection_id: str, state: str, act: str) -> Row:
    """Fulfil a request, or take it back ("withdrawn"). Raises Refused 409 when it has ended by another's doing."""
    text = (
        "UPDATE ferpa_inspections SET state = ?, ended_at = ?, ended_by = ?, act = ? "
        "WHERE id = ? AND student_id = ? AND state = 'open' RETURNING asked_by"
    )
    done = tx.write_sql(text, (state, iso(tx.now), tx.origin.actor_id, act, inspection_id, student_id))
    row = read(tx, student_id, inspection_id)
    if not done and row["act"] != act:
        raise Refused(409, "ended-already", f"This request has ended already: it is {row['state']}.")
    if done:
        data = {"state": state, "due_on": row["due_on"]}
        tx.journal("compliance.inspection_ended", student_id=student_id, subject_id=inspection_id, data=data)
        if state == "fulfilled":
            about = {"student_id": student_id, "recipient_id": row["asked_by"], "subject_id": inspection_id}
            letters.write(tx, kind="inspection_ready", text=_READY, **about)
    return row


def explanations(connection: Connection, inspection_id: str) -> list[Row]:
    """What was asked about the records of one request, and what was answered."""
    return fetch(
        connection,
        "explanations",
        _QUESTIONS,
        "inspection_id = ?",
        (inspection_id,),
        sealed=("question", "answer"),
        order="asked_at, id",
    )


def ask_explanation(
    tx: Transaction, *, explanation_id: str, student_id: str, inspection_id: str, asked_by: str, question: str
) -> Row:
    """Attach a question to a request, an open one or one that is fulfilled. Raises Refused 404."""
    read(tx, student_id, inspection_id)
    row = {
        "id": explanation_id,
        "inspection_id": inspection_id,
        "student_id": student_id,
        "asked_by": asked_by,
        "asked_at": iso(tx.now),
        "question": tx.seal_for(student_id, question),
    }
    if put(tx, "explanations", row):
        data = {"explanation": explanation_id}
        tx.journal("compliance.explanation_asked", student_id=student_id, subject_id=inspection_id, data=data)
    return read(tx, student_id, inspection_id)


def answer(tx: Transaction, *, student_id: str, inspection_id: str, explanation_id: str, words: str, act: str) -> Row:
    """Answer a question, once, and write to who asked. Raises Refused 404, or 409 when it was answered by another."""
    text = (
        "UPDATE ferpa_explanations SET answer = ?, answered_by = ?, answered_at = ?, act = ? "
        "WHERE id = ? AND inspection_id = ? AND student_id = ? AND answer IS NULL RETURNING asked_by"
    )
    sealed = tx.seal_for(student_id, words)
    params = (sealed, tx.origin.actor_id, iso(tx.now), act, explanation_id, inspection_id, student_id)
    done = tx.write_sql(text, params)
    row = read(tx, student_id, inspection_id)
    one = next((each for each in row["explanations"] if each["id"] == explanation_id), None)
    if one is None:
        raise missing()
    if not done and one["act"] != act:
        raise Refused(409, "answered-already", "Somebody has answered this question already.")
    if done:
        about = {"student_id": student_id, "recipient_id": one["asked_by"], "subject_id": explanation_id}
        letters.write(tx, kind="explanation_answered", text=words, **about)
        data = {"explanation": explanation_id}
        tx.journal("compliance.explanation_answered", student_id=student_id, subject_id=inspection_id, data=data)
    return row
