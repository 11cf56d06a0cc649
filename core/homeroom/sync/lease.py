"""One run per connector at a time, across processes: a row that its holder keeps renewing."""

from __future__ import annotations

from datetime import datetime, timedelta

from homeroom.store import Connection, Transaction
from homeroom.store.models import Lease

SECONDS = 30


def take(tx: Transaction, name: str, holder: str) -> bool:
    """Take or renew the lease for half a minute; False when somebody else holds it."""
    row = tx.get(Lease, name)
    if row is not None and row.holder != holder and row.until > tx.now:
        return False
    values = {"holder": holder, "until": tx.now + timedelta(seconds=SECONDS)}
    tx.run(Lease.insert(name=name, **values).on_conflict(conflict_target=[Lease.name], update=values))
    return True


def give_back(tx: Transaction, name: str, holder: str) -> None:
    """Let others have it at once."""
    tx.run(Lease.delete().where(Lease.name == name, Lease.holder == holder))


def is_held(connection: Connection, name: str, holder: str) -> bool:
    """Whether `holder` still has the lease (an expired one is kept until somebody takes it)."""
    rows = connection.sql("SELECT holder FROM leases WHERE name = ?", (name,))  # asked in every unit: plain SQL
    return bool(rows) and rows[0][0] == holder


def until(connection: Connection, name: str) -> datetime | None:
    """Until when somebody holds the lease; None when nobody ever took it or it was given back."""
    row = connection.get(Lease, name)
    return None if row is None else row.until
