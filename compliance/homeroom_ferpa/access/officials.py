"""Who outside the school is a school official (§99.31(a)(1)(i)(B)): vendors and systems with an agreement."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from homeroom import Connection, Refused, Transaction
from homeroom_ferpa.access.records import end, text_of

_COLUMNS = (
    "id, recipient, service, direct_control, redisclosure_limit, agreement, categories, begins_on, ends_on, "
    "recorded_by, recorded_at, ended_at, version"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """One entry. `recipient` is "plugin:NAME", "key:ID" or "party:CODE"; `categories` the kinds of record it gets."""

    id: str
    recipient: str
    service: str
    direct_control: str
    redisclosure_limit: str
    agreement: str
    categories: tuple[str, ...]
    begins_on: date
    ends_on: date | None = None
    recorded_by: str | None = None
    recorded_at: str = ""
    ended_at: str | None = None
    version: int = 1


def add(tx: Transaction, one: Official) -> None:
    """Put it on file. Raises Refused 409 when the recipient is on file already."""
    if tx.sql("SELECT 1 FROM ferpa_officials WHERE recipient = ? AND ended_at IS NULL", (one.recipient,)):
        raise Refused(409, "already-on-file", "This recipient is on file already. End that entry first.")
    tx.write_sql(
        f"INSERT INTO ferpa_officials ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, 1)",  # noqa: S608 - constants
        (
            *(one.id, one.recipient, one.service, one.direct_control, one.redisclosure_limit, one.agreement),
            *(json.dumps(one.categories), one.begins_on.isoformat()),
            *(one.ends_on.isoformat() if one.ends_on else None, one.recorded_by, text_of(tx.now)),
        ),
    )
    data = {"recipient": one.recipient, "categories": list(one.categories)}
    tx.journal("compliance.official_added", subject_id=one.id, data=data)


def remove(tx: Transaction, key: str, version: int, *, by: str) -> None:
    """End an entry, as of now. Raises Refused 404 or 412."""
    end(tx, "ferpa_officials", key, version, by=by)
    tx.journal("compliance.official_ended", subject_id=key)


def listed(connection: Connection) -> list[Official]:
    """Everybody who is or was on file."""
    rows = connection.sql(f"SELECT {_COLUMNS} FROM ferpa_officials ORDER BY recipient, recorded_at DESC, id")  # noqa: S608 - constants
    return [_official(row) for row in rows]


def _official(row: tuple[Any, ...]) -> Official:
    return Official(
        id=row[0],
        recipient=row[1],
        service=row[2],
        direct_control=row[3],
        redisclosure_limit=row[4],
        agreement=row[5],
        categories=tuple(json.loads(row[6])),
        begins_on=date.fromisoformat(row[7]),
        ends_on=date.fromisoformat(row[8]) if row[8] else None,
        recorded_by=row[9],
        recorded_at=row[10],
        ended_at=row[11],
        version=row[12],
    )
