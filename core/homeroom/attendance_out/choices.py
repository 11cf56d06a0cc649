"""What people decide about marks that could not go out by themselves; every decision is kept with who and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from homeroom.attendance_out.pauses import go_on
from homeroom.store import Refused, Transaction, conflict, iso, not_found
from homeroom.store import models as m

Choice = Literal["overwrite", "keep"]

_OVERWRITE = """
UPDATE outgoing_marks SET state = 'waiting', overwrite = ?, held = theirs, theirs = NULL, error = NULL,
  tries = 0, retry_at = NULL, waiting_since = ?, version = version + 1 WHERE id = ?
"""
_KEEP = """
UPDATE outgoing_marks SET held = CASE state WHEN 'differs' THEN theirs ELSE held END, state = 'kept', sent_wish = NULL,
  error = NULL WHERE id = ?
"""
_RETRY = """
UPDATE outgoing_marks SET state = 'waiting', tries = 0, retry_at = NULL, error = NULL, waiting_since = ?
WHERE connector = ? AND (state = 'failed' OR state = 'waiting' AND retry_at IS NOT NULL)
"""


def choose(
    tx: Transaction, row_id: str, choice: Choice, *, why: str, by: str | None, version: int | None = None
) -> None:
    """Settle a mark that differs in the SIS: write ours over it, or let theirs stand until it changes here again.

    "keep" also takes a failed mark off the list. `version` is the Problem's that was looked at; None takes any. `why`
    is sealed under the student's key. Raises Refused: 404 for no such mark, 409 when there is nothing to choose, 412
    when it was changed here meanwhile, 422 without a reason.
    """
    if not why.strip():
        raise Refused(422, "reason-missing", "Say why, so that others can follow the decision.")
    row = tx.get(m.OutgoingMark, row_id)
    if row is None:
        raise not_found()
    if version is not None and row.version != version:
        raise Refused(412, "changed-meanwhile", "This mark has changed meanwhile. Please look again.")
    if row.state not in (("differs",) if choice == "overwrite" else ("differs", "failed")):
        raise conflict("nothing-to-choose", "There is nothing to choose for this mark any more. Please look again.")
    tx.insert(
        m.OutgoingChoice,
        mark_id=row_id,
        version=row.version,
        choice=choice,
        theirs=row.theirs,
        why=tx.seal_for(row.student_id, why),
        chosen_by=by,
        chosen_at=tx.now,
    )
    if choice == "overwrite":
        tx.write_sql(_OVERWRITE, (True, iso(tx.now), row_id))
    else:
        tx.write_sql(_KEEP, (row_id,))
    tx.journal(
        "attendance_out.chosen",
        class_id=row.class_id,
        student_id=row.student_id,
        subject_id=row_id,
        data={"connector": row.connector, "choice": choice, "school_day": row.school_day.isoformat()},
    )


def retry(tx: Transaction, connector: str, row_ids: Sequence[str] | None = None) -> int:
    """Try failed marks again now (None: all of the connector's), and end a pause; gives how many marks that are."""
    text, params = _RETRY, [iso(tx.now), connector]
    if row_ids is not None:
        text += f" AND id IN ({', '.join('?' * len(row_ids))})" if row_ids else " AND FALSE"
        params += row_ids
    marks = tx.write_sql(f"{text} RETURNING id", params)
    go_on(tx, connector)
    tx.journal("attendance_out.retried", subject_id=connector, data={"marks": len(marks)})
    return len(marks)
