"""What is logged: the rows of the journal and of `ferpa_audit`, and the exact bytes that stand for each in the log.

An entry's bytes are a JSON array in UTF-8 without spaces or line ends: the word for its kind, then the row's columns in
the order below, each as it is stored (numbers as numbers, texts as strings with only what JSON demands escaped, an
empty column as null; columns that hold JSON themselves stay one string). So no byte of a row can change unseen.
A row in which one of its `later` columns is filled has a word of its own and these columns at its end, so that rows
from before there were such columns keep their bytes.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from homeroom import AccessRequest, Connection, Identity, Outcome, Transaction
from homeroom_ferpa.log import finding

JOURNAL, AUDIT = 1, 2
"""The byte that says of which table an entry's row is."""

_LONGEST_REASON = 500
_PURGED_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table that is logged: the word before its entries, and its columns in their order."""

    table: str
    word: str
    columns: tuple[str, ...]
    later: tuple[str, ...] = ()
    later_word: str = ""

    def after(self, connection: Connection, row_id: int, limit: int, upto: int | None = None) -> list[tuple[Any, ...]]:
        """The rows with ids above `row_id` (and not above `upto`), in order, at most `limit`."""
        text = f"SELECT {', '.join((*self.columns, *self.later))} FROM {self.table} WHERE id > ?"  # noqa: S608 - constants
        if upto is None:
            return connection.sql(f"{text} ORDER BY id LIMIT ?", (row_id, limit))
        return connection.sql(f"{text} AND id <= ? ORDER BY id LIMIT ?", (row_id, upto, limit))

    def leaf(self, row: tuple[Any, ...]) -> bytes:
        """The bytes that stand for a row."""
        width = len(self.columns)
        if any(value is not None for value in row[width:]):
            return orjson.dumps((self.later_word, *row))
        return orjson.dumps((self.word, *row[:width]))


SOURCES: Mapping[int, Source] = {
    JOURNAL: Source(
        table="journal",
        word="homeroom.journal.1",
        columns=(
            *("id", "at", "kind", "actor_id", "class_id", "session_id", "student_id", "subject_id"),
            *("purpose", "basis", "request_id", "data"),
        ),
    ),
    AUDIT: Source(
        table="ferpa_audit",
        word="homeroom.audit.1",
        columns=(
            *("id", "key", "at", "actor", "kind", "action", "purpose", "basis", "student_ids", "class_id", "fields"),
            *("rows", "request_id", "recipient", "reason"),
        ),
        later=("credential", "place"),
        later_word="homeroom.audit.2",
    ),
}

_ENTRY = tuple(name for name in (*SOURCES[AUDIT].columns, *SOURCES[AUDIT].later) if name != "id")
_INSERT = (
    f"INSERT INTO ferpa_audit ({', '.join(_ENTRY)}) VALUES ({', '.join('?' * len(_ENTRY))}) "  # noqa: S608 - constants
    "ON CONFLICT (key) DO NOTHING"
)


def entry_of(request: AccessRequest, outcome: Outcome) -> dict[str, Any]:
    """The audit row of a read, a hand-out or a denial, but for its time: ids and names of fields, no values."""
    shown = "read" if request.recipient is None else "hand_out"
    students = outcome.student_ids or request.student_ids
    return {
        "key": f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}",
        "actor": request.identity.subject if request.identity is not None else None,
        "kind": shown if outcome.allowed else "denied",
        "action": request.action,
        "purpose": request.purpose,
        "basis": outcome.basis,
        "student_ids": orjson.dumps(sorted(students)).decode(),
        "class_id": request.class_id,
        "fields": orjson.dumps(sorted(set(outcome.fields))).decode(),
        "rows": outcome.rows,
        "request_id": request.request_id,
        "recipient": request.recipient,
        "reason": outcome.reason[:_LONGEST_REASON] or None,
        "credential": _credential(request.identity),
        "place": request.network,
    }


def _credential(identity: Identity | None) -> str | None:
    """What was shown to get in: "key:…" or "session:…" with its id, which opens nothing."""
    if identity is None:
        return None
    if identity.kind == "service":
        return f"key:{identity.subject}"
    return None if identity.session_id is None else f"session:{identity.session_id}"


def enter(tx: Transaction, entry: Mapping[str, Any]) -> None:
    """Write an audit row; the same one again changes nothing."""
    given = {**entry, "at": text_of(tx.now)}
    tx.write_sql(_INSERT, [given[name] for name in _ENTRY])


def purge(tx: Transaction, ids: list[int]) -> int:
    """Delete audit rows whose time is over, and say so in the journal; gives how many there were.

    What was logged of them stays logged: without the journal's word for it, a missing row counts as tampering.
    """
    gone: list[int] = []
    for start in range(0, len(ids), _PURGED_AT_ONCE):
        some = ids[start : start + _PURGED_AT_ONCE]
        marks = ", ".join("?" * len(some))
        found = tx.write_sql(f"DELETE FROM ferpa_audit WHERE id IN ({marks}) RETURNING id, student_ids", some)  # noqa: S608 - marks only
        if found:
            finding.forget(tx, found)
            tx.journal(PURGED, data={"entries": sorted(row[0] for row in found)})
            gone += [row[0] for row in found]
    return len(gone)


PURGED = "compliance.audit_purged"


def text_of(moment: datetime) -> str:
    """A moment as it is stored: RFC 3339 in UTC with microseconds."""
    return f"{moment.astimezone(UTC).isoformat(timespec='microseconds')[:-6]}Z"
