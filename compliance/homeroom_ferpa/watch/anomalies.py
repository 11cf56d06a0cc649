"""Flags as people see and settle them: each is explained, with the reason, or becomes part of an incident."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from homeroom import Connection, Refused, Transaction
from homeroom_ferpa.rights.common import Row, incomplete, iso, missing
from homeroom_ferpa.watch.sightings import EXPORTS, NIGHT, PLACES, Watched, rows_between

_COLUMNS = (
    *("id", "kind", "who", "credential", "span", "state", "found_at", "began_at", "last_at", "rows", "students"),
    *("first_id", "last_id", "entries", "reason", "settled_by", "settled_at", "incident_id", "act"),
)
_SHOWN = 500
_OPEN_EVIDENCE = """
SELECT f.first_id, f.last_id FROM ferpa_anomalies f LEFT JOIN ferpa_incidents i ON i.id = f.incident_id
WHERE f.kind <> ? AND (f.state = 'open' OR (f.state = 'incident' AND (i.state IS NULL OR i.state = 'open')))
"""
SAYS = {
    NIGHT: "Many students' records were read by one person outside school hours.",
    "bulk_reading": "Many students' records were read by or handed to one party in a short time.",
    EXPORTS: "The whole district was exported many times in a short time.",
    PLACES: "One API key or sign-in was used from two places.",
}
"""What each kind of anomaly means, in plain words."""


def found(connection: Connection, *, state: str | None = None) -> list[Row]:
    """The flags of one state ("open", "explained", "incident") or of all, the newest first, with the reasons given."""
    return _read(connection, "(state = ? OR CAST(? AS TEXT) IS NULL)", (state, state))


def read(connection: Connection, anomaly_id: str) -> Row:
    """One flag with its evidence. Raises Refused 404."""
    rows = _read(connection, "id = ?", (anomaly_id,))
    if not rows:
        raise missing()
    return rows[0]


def of_incident(connection: Connection, incident_id: str) -> list[Row]:
    """The flags that an incident came from."""
    return _read(connection, "incident_id = ?", (incident_id,))


def explain(tx: Transaction, *, anomaly_id: str, reason: str, act: str) -> Row:
    """Settle a flag as harmless, with the reason. Raises Refused 404, 409 (it is settled already) or 422.

    What was judged stays as it was: whatever the party does from now on is counted from nothing.
    """
    if not reason.strip():
        raise incomplete(["reason"])
    row = read(tx, anomaly_id)
    if row["act"] == act:
        return row
    if row["state"] != "open":
        raise Refused(409, "settled-already", f"This was settled already: it is {row['state']}.")
    _settle(tx, row, "explained", act, reason=tx.cipher.seal(reason, _context(anomaly_id)))
    return read(tx, anomaly_id)


def attach(tx: Transaction, anomaly_id: str, *, incident_id: str, act: str) -> None:
    """Make a flag part of an incident, also one that was explained. Raises Refused 404 or 409."""
    row = read(tx, anomaly_id)
    if row["incident_id"] == incident_id:
        return
    if row["state"] == "incident":
        raise Refused(409, "settled-already", "This is part of an incident already.")
    _settle(tx, row, "incident", act, incident_id=incident_id)


def students_of(connection: Connection, watched: Watched, row: Row) -> set[str]:
    """Whose records the entries behind a flag are of. Nobody by name for exports of the whole district."""
    if row["kind"] == EXPORTS:
        return set()
    kind, _, name = row["who"].partition(":")
    students: set[str] = set()
    actor = None if kind == "plugin" else name
    for entry in rows_between(connection, row["first_id"], row["last_id"], actor=actor):
        one = watched.of_row(entry)
        if one is None or one.who != row["who"]:
            continue
        if row["kind"] == NIGHT and (NIGHT, row["span"]) not in one.spans:
            continue
        if row["kind"] != PLACES or one.credential == row["credential"]:
            students.update(one.student_ids)
    return students


def evidence(connection: Connection) -> list[tuple[int, int]]:
    """The first and last audit row behind each flag that is not settled for good: retention passes by what is there."""
    return [(first, last) for first, last in connection.sql(_OPEN_EVIDENCE, (EXPORTS,))]


def _settle(
    tx: Transaction, row: Row, state: str, act: str, *, reason: str | None = None, incident_id: str | None = None
) -> None:
    tx.write_sql(
        "UPDATE ferpa_anomalies SET state = ?, reason = COALESCE(?, reason), incident_id = ?, settled_by = ?, "
        "settled_at = ?, act = ? WHERE id = ?",
        (state, reason, incident_id, tx.origin.actor_id, iso(tx.now), act, row["id"]),
    )
    tx.write_sql("DELETE FROM ferpa_watch_tallies WHERE kind = ? AND who = ?", (row["kind"], row["who"]))
    tx.write_sql("DELETE FROM ferpa_watch_places WHERE credential = ?", (row["credential"] or "",))
    data = {"kind": row["kind"], "who": row["who"], "state": state, "rows": row["rows"], "students": row["students"]}
    data |= {"first_entry": row["first_id"], "last_entry": row["last_id"], "incident": incident_id}
    tx.journal("compliance.anomaly_settled", subject_id=row["id"], data=data)


def _read(connection: Connection, where: str, params: Sequence[Any]) -> list[Row]:
    text = f"SELECT {', '.join(_COLUMNS)} FROM ferpa_anomalies WHERE {where} ORDER BY found_at DESC, id LIMIT {_SHOWN}"  # noqa: S608 - constants
    rows = [dict(zip(_COLUMNS, row, strict=True)) for row in connection.sql(text, params)]
    for row in rows:
        row["says"], row["entries"] = SAYS[row["kind"]], json.loads(row["entries"])
        if row["reason"] is not None:
            row["reason"] = connection.cipher.unseal(row["reason"], _context(row["id"]))
    return rows


def _context(anomaly_id: str) -> str:
    return f"ferpa_anomalies.{anomaly_id}"
