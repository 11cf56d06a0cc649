"""Consents (§99.30): complete or not at all, signed by whoever holds the rights, revocable at any moment."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from homeroom import Connection, Transaction
from homeroom_ferpa.access.records import end, missing, text_of

_COLUMNS = (
    "id, student_id, party, records, purpose, signed_by, signed_on, authenticated, text, text_hash, ends_on, "
    "recorded_by, recorded_at, revoked_at, version"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One consent. `text` is what was approved, word for word; `authenticated` says how the signer was known."""

    id: str
    student_id: str
    party: str
    records: tuple[str, ...]
    purpose: str
    signed_by: str
    signed_on: date
    authenticated: str
    text: str = field(repr=False)
    text_hash: str = ""
    ends_on: date | None = None
    recorded_by: str | None = None
    recorded_at: str = ""
    revoked_at: str | None = None
    version: int = 1


def hash_of(text: str) -> str:
    """What stands for the approved text in the record."""
    return hashlib.sha256(text.encode()).hexdigest()


def add(tx: Transaction, one: Signed) -> None:
    """Put it on file."""
    tx.write_sql(
        f"INSERT INTO ferpa_consents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 1)",  # noqa: S608 - constants
        (
            *(one.id, one.student_id, one.party, json.dumps(one.records), one.purpose, one.signed_by),
            *(one.signed_on.isoformat(), one.authenticated, tx.seal_for(one.student_id, one.text), hash_of(one.text)),
            *(one.ends_on.isoformat() if one.ends_on else None, one.recorded_by, text_of(tx.now)),
        ),
    )
    data = {"consent": one.id, "party": one.party, "records": list(one.records), "text_hash": hash_of(one.text)}
    tx.journal("compliance.consent_given", student_id=one.student_id, subject_id=one.signed_by, data=data)


def revoke(tx: Transaction, key: str, student_id: str, version: int, *, by: str) -> None:
    """Let it hold no more: the next decision does not find it. Raises Refused 404 or 412."""
    rows = tx.sql("SELECT party FROM ferpa_consents WHERE id = ? AND student_id = ?", (key, student_id))
    if not rows:
        raise missing()
    end(tx, "ferpa_consents", key, version, by=by, word="revoked")
    data = {"consent": key, "party": rows[0][0]}
    tx.journal("compliance.consent_revoked", student_id=student_id, subject_id=by, data=data)


def of_student(connection: Connection, student_id: str) -> list[Signed]:
    """Every consent that was ever given for a student, the newest first."""
    rows = connection.sql(
        f"SELECT {_COLUMNS} FROM ferpa_consents WHERE student_id = ? ORDER BY recorded_at DESC, id",  # noqa: S608 - constants
        (student_id,),
    )
    texts = connection.unseal_many([(row[1], row[8]) for row in rows])
    return [_signed(row, text) for row, text in zip(rows, texts, strict=True)]


def _signed(row: tuple[Any, ...], text: str | None) -> Signed:
    return Signed(
        id=row[0],
        student_id=row[1],
        party=row[2],
        records=tuple(json.loads(row[3])),
        purpose=row[4],
        signed_by=row[5],
        signed_on=date.fromisoformat(row[6]),
        authenticated=row[7],
        text=text or "",
        text_hash=row[9],
        ends_on=date.fromisoformat(row[10]) if row[10] else None,
        recorded_by=row[11],
        recorded_at=row[12],
        revoked_at=row[13],
        version=row[14],
    )
