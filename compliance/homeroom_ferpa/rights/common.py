"""What all parts of the rights have in common: reading rows, deciding once, keeping what was refused."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from homeroom import Connection, Refused, Services, Transaction

T = TypeVar("T")
Row = dict[str, Any]

SHOWN = 500
"""How many rows `fetch` gives at most."""


def fresh_id() -> str:
    """A new opaque id."""
    return secrets.token_hex(14)


def iso(at: datetime) -> str:
    """A moment as the core keeps it: RFC 3339 in UTC."""
    return f"{at.astimezone(UTC).isoformat(timespec='microseconds')[:-6]}Z"


def later(day: str, days: int) -> str:
    """The ISO date so many days after another."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def days_between(first: str, last: str) -> int:
    """How many days after `first` the day `last` is."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days


def fetch(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    where: str = "1 = 1",
    params: Sequence[Any] = (),
    *,
    sealed: Sequence[str] = (),
    order: str = "id",
) -> list[Row]:
    """Rows of one of the part's tables, SHOWN at most, with what is sealed under the student's key in clear.

    A text of a student who was erased is None: the key is gone.
    """
    text = f"SELECT {', '.join(columns)} FROM ferpa_{table} WHERE {where} ORDER BY {order} LIMIT {SHOWN}"  # noqa: S608 - constants
    found = [dict(zip(columns, row, strict=True)) for row in connection.sql(text, params)]
    for row in found:
        for name in sealed:
            row[name] = connection.unseal_for(row["student_id"], row[name])
    return found


def put(tx: Transaction, table: str, row: Row) -> bool:
    """Insert a row unless one of its keys is taken; whether it was inserted."""
    names = ", ".join(row)
    text = (
        f"INSERT INTO ferpa_{table} ({names}) VALUES ({', '.join('?' * len(row))}) ON CONFLICT DO NOTHING RETURNING 1"  # noqa: S608 - constants
    )
    return bool(tx.write_sql(text, list(row.values())))


def missing() -> Refused:
    """The refusal of what does not exist, or is another student's."""
    return Refused(404, "not-found", "There is no such thing, or you may not see it.")


def incomplete(names: Sequence[str]) -> Refused:
    """The refusal of a record that lacks what the law asks for."""
    return Refused(422, "incomplete", f"This must be complete to be kept; it lacks: {', '.join(names)}.")


async def decided(
    services: Services, unit: Callable[[Transaction], T], *, student_id: str | None, subject_id: str | None
) -> T:
    """What `unit` gives, once committed. A refusal is kept in the journal with its reason, and raised."""
    try:
        return await services.store.submit(unit)
    except Refused as refusal:
        await refused(services, refusal, student_id=student_id, subject_id=subject_id)
        raise


async def refused(services: Services, refusal: Refused, *, student_id: str | None, subject_id: str | None) -> None:
    """Keep in the journal that something was refused, and why."""
    data = {"problem": refusal.problem}
    await services.store.submit(
        lambda tx: tx.journal("compliance.refused", student_id=student_id, subject_id=subject_id, data=data)
    )
