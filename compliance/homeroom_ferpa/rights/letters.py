"""What families are told in writing: each letter is kept from the moment of the decision and listed until it is sent.

A letter can be read by its recipient here at once; the office prints or mails it and says so.
"""

from __future__ import annotations

from homeroom import Connection, Transaction
from homeroom_ferpa.rights.common import Row, fetch, iso, missing, put

_COLUMNS = (
    *("id", "student_id", "recipient_id", "kind", "subject_id", "text"),
    *("written_at", "sent_at", "sent_by", "sent_how"),
)


def write(tx: Transaction, *, student_id: str, recipient_id: str, kind: str, subject_id: str, text: str) -> None:
    """Write one letter; a second of the same kind about the same thing is not written."""
    letter_id = f"{kind}-{subject_id}"
    if tx.sql("SELECT 1 FROM ferpa_letters WHERE id = ?", (letter_id,)):
        return
    row = {
        "id": letter_id,
        "student_id": student_id,
        "recipient_id": recipient_id,
        "kind": kind,
        "subject_id": subject_id,
        "text": tx.seal_for(student_id, text),
        "written_at": iso(tx.now),
    }
    put(tx, "letters", row)
    tx.journal("compliance.letter_written", student_id=student_id, subject_id=subject_id, data={"kind": kind})


def written(connection: Connection, student_id: str, kind: str, begins: str) -> int:
    """How many letters of a kind a student's family has about what has an id that begins so."""
    text = "SELECT count(*) FROM ferpa_letters WHERE student_id = ? AND kind = ? AND substr(subject_id, 1, ?) = ?"
    return int(connection.sql(text, (student_id, kind, len(begins), begins))[0][0])


def sent(tx: Transaction, student_id: str, letter_id: str, how: str) -> Row:
    """Keep that a letter went out, and how ("mail", …); a second time changes nothing. Raises Refused 404."""
    text = (
        "UPDATE ferpa_letters SET sent_at = ?, sent_by = ?, sent_how = ? "
        "WHERE id = ? AND student_id = ? AND sent_at IS NULL RETURNING kind"
    )
    done = tx.write_sql(text, (iso(tx.now), tx.origin.actor_id, how, letter_id, student_id))
    found = letters_of(tx, student_id, letter_id=letter_id)
    if not found:
        raise missing()
    if done:
        data = {"letter": letter_id, "how": how}
        tx.journal("compliance.letter_sent", student_id=student_id, subject_id=found[0]["subject_id"], data=data)
    return found[0]


def letters_of(
    connection: Connection, student_id: str, *, recipient_id: str | None = None, letter_id: str | None = None
) -> list[Row]:
    """A student's letters, to one recipient where named, in clear."""
    where, params = "student_id = ?", [student_id]
    if recipient_id is not None:
        where, params = f"{where} AND recipient_id = ?", [*params, recipient_id]
    if letter_id is not None:
        where, params = f"{where} AND id = ?", [*params, letter_id]
    return fetch(connection, "letters", _COLUMNS, where, params, sealed=("text",), order="written_at, id")
