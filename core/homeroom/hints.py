"""Vendors' hints that something has changed at their side; `homeroom.runs.due` says when a run follows one."""

from __future__ import annotations

from homeroom.store import Store
from homeroom.store.models import SyncHint


async def hint(store: Store, connector: str) -> None:
    """Ask for a run of what has changed, soon: a vendor said that something has. Several hints are one."""
    await store.write(lambda tx: tx.insert_new(SyncHint, connector=connector, hinted_at=tx.now))
