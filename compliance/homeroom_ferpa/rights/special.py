"""The record of access to special education records (34 CFR 300.614): name, date and purpose."""

from __future__ import annotations

from datetime import date

from homeroom import Connection, Transaction
from homeroom_ferpa.rights.common import Row, fetch, iso, put

_COLUMNS = ("id", "student_id", "party", "accessed_on", "purpose", "recorded_by", "recorded_at")
_SEALED = ("party", "purpose")


def enter(tx: Transaction, *, access_id: str, student_id: str, party: str, accessed_on: date, purpose: str) -> Row:
    """Keep that somebody beside the authorised staff saw a child's record."""
    row = {
        "id": access_id,
        "student_id": student_id,
        "party": tx.seal_for(student_id, party),
        "accessed_on": accessed_on.isoformat(),
        "purpose": tx.seal_for(student_id, purpose),
        "recorded_by": tx.origin.actor_id,
        "recorded_at": iso(tx.now),
    }
    if put(tx, "special_access", row):
        data = {"accessed_on": row["accessed_on"]}
        tx.journal("compliance.special_access", student_id=student_id, subject_id=access_id, data=data)
    return fetch(tx, "special_access", _COLUMNS, "id = ?", (access_id,), sealed=_SEALED)[0]


def of_student(connection: Connection, student_id: str) -> list[Row]:
    """Who saw a child's record, the latest first."""
    where, order = "student_id = ?", "accessed_on DESC, id"
    return fetch(connection, "special_access", _COLUMNS, where, (student_id,), sealed=_SEALED, order=order)
