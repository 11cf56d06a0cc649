"""What changes a parent's rights to one student: court orders, recorded exceptions, postsecondary enrolment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from homeroom import Connection, Refused, Transaction
from homeroom_ferpa.access.records import end, missing, text_of

Kind = Literal["order", "dependent", "emergency", "postsecondary"]

_COLUMNS = (
    "id, kind, student_id, party_id, reference, threat, begins_on, ends_on, recorded_by, recorded_at, ended_at, version"
)

_SAME = "kind = ? AND student_id = ? AND party_id = ? AND ended_at IS NULL"
_ON_FILE = "The same is on file already. End that entry first, if it is wrong."
_TO_COME = "The same is on file already and holds from {}. End that entry first, if this one is to hold sooner."


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One entry. `party_id` "" means either parent; `reference` names the document, `threat` an emergency's danger."""

    id: str
    kind: Kind
    student_id: str
    party_id: str = ""
    reference: str = field(repr=False)
    threat: str | None = field(default=None, repr=False)
    begins_on: date
    ends_on: date | None = None
    recorded_by: str | None = None
    recorded_at: str = ""
    ended_at: str | None = None
    version: int = 1


def add(tx: Transaction, one: Standing, *, today: date) -> None:
    """Put it on file; one that has run out by `today` gives way to it.

    Raises Refused 409 when the same is on file already and holds, or is yet to hold.
    """
    _close_run_out(tx, one, today)
    again = tx.sql(f"SELECT begins_on FROM ferpa_standings WHERE {_SAME}", (one.kind, one.student_id, one.party_id))  # noqa: S608 - a constant
    if again:
        begins_on = date.fromisoformat(again[0][0])
        raise Refused(409, "already-on-file", _ON_FILE if begins_on <= today else _TO_COME.format(begins_on))
    threat = tx.seal_for(one.student_id, one.threat) if one.threat is not None else None
    tx.write_sql(
        f"INSERT INTO ferpa_standings ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 1)",  # noqa: S608 - constants
        (
            *(one.id, one.kind, one.student_id, one.party_id, tx.seal_for(one.student_id, one.reference), threat),
            *(one.begins_on.isoformat(), one.ends_on.isoformat() if one.ends_on else None),
            *(one.recorded_by, text_of(tx.now)),
        ),
    )
    data = {"kind": one.kind, "standing": one.id}
    tx.journal(f"compliance.{one.kind}_added", student_id=one.student_id, subject_id=one.party_id or None, data=data)


def _close_run_out(tx: Transaction, one: Standing, today: date) -> None:
    rows = tx.write_sql(
        "UPDATE ferpa_standings SET ended_at = ?, ended_by = ?, version = version + 1 "  # noqa: S608 - a constant
        f"WHERE {_SAME} AND ends_on <= ? RETURNING id",
        (text_of(tx.now), one.recorded_by, one.kind, one.student_id, one.party_id, today.isoformat()),
    )
    for (key,) in rows:
        data = {"kind": one.kind, "standing": key}
        tx.journal(
            f"compliance.{one.kind}_ended", student_id=one.student_id, subject_id=one.party_id or None, data=data
        )


def lift(tx: Transaction, key: str, student_id: str, version: int, *, kinds: Sequence[Kind], by: str) -> None:
    """End an entry of one of `kinds`, as of now. Raises Refused 404 or 412."""
    rows = tx.sql("SELECT kind, party_id FROM ferpa_standings WHERE id = ? AND student_id = ?", (key, student_id))
    if not rows or rows[0][0] not in kinds:
        raise missing()
    end(tx, "ferpa_standings", key, version, by=by)
    data = {"kind": rows[0][0], "standing": key}
    tx.journal(f"compliance.{rows[0][0]}_ended", student_id=student_id, subject_id=rows[0][1] or None, data=data)


def of_student(connection: Connection, student_id: str, kinds: Sequence[Kind]) -> list[Standing]:
    """Everything of `kinds` that is or was on file of a student, the newest first."""
    marks = ", ".join("?" * len(kinds))
    rows = connection.sql(
        f"SELECT {_COLUMNS} FROM ferpa_standings WHERE student_id = ? AND kind IN ({marks}) "  # noqa: S608 - marks only
        "ORDER BY recorded_at DESC, id",
        (student_id, *kinds),
    )
    sealed = [(row[2], text) for row in rows for text in (row[4], row[5])]
    opened = connection.unseal_many(sealed)
    return [_standing(row, opened[2 * place], opened[2 * place + 1]) for place, row in enumerate(rows)]


def _standing(row: tuple[Any, ...], reference: str | None, threat: str | None) -> Standing:
    return Standing(
        id=row[0],
        kind=row[1],
        student_id=row[2],
        party_id=row[3],
        reference=reference or "",
        threat=threat,
        begins_on=date.fromisoformat(row[6]),
        ends_on=date.fromisoformat(row[7]) if row[7] else None,
        recorded_by=row[8],
        recorded_at=row[9],
        ended_at=row[10],
        version=row[11],
    )
