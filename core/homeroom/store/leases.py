"""What only one process may do at a time: whoever holds the lease, until it runs out or is given back."""

from __future__ import annotations

from datetime import timedelta

from homeroom.store.connection import Connection, Transaction
from homeroom.store.fields import iso

_TAKE = """
INSERT INTO leases (name, holder, until) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE leases.holder = excluded.holder OR leases.until < ? RETURNING holder
"""


def take_lease(tx: Transaction, name: str, holder: str, seconds: float) -> bool:
    """Whether `holder` has the lease `name` now: taken when it was free, for `seconds` more when it was theirs."""
    until = iso(tx.now + timedelta(seconds=seconds))
    return bool(tx.write_sql(_TAKE, (name, holder, until, iso(tx.now))))


def give_back(tx: Transaction, holder: str, name: str | None = None) -> None:
    """Free a lease of `holder` (None: every one), so that another process need not wait until it runs out."""
    tx.write_sql("DELETE FROM leases WHERE holder = ? AND name = COALESCE(?, name)", (holder, name))


def is_leased(connection: Connection, kind: str, now: str) -> bool:
    """Whether anybody holds a lease whose name begins with `kind` at the moment `now` (as stored)."""
    return bool(connection.sql("SELECT 1 FROM leases WHERE name LIKE ? AND until >= ? LIMIT 1", (f"{kind}%", now)))
