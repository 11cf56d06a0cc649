"""What only one process may do at a time: whoever holds the lease, until it runs out or is given back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta

from homeroom.store.connection import Connection, Transaction
from homeroom.store.engine import Store
from homeroom.store.errors import StoreError
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


class KeptLease:
    """A lease that one process keeps for as long as it asks for it in time; `sure` says whether it has it now.

    It is renewed when less than `seconds - renew` are left, so most questions cost no write.
    """

    def __init__(self, store: Store, name: str, holder: str, *, seconds: float = 90.0, renew: float = 30.0) -> None:
        self.name = name
        self._store = store
        self._holder = holder
        self._seconds = seconds
        self._renew = renew
        self._until = 0.0

    @property
    def left(self) -> float:
        """For how many seconds this process surely has it still; 0 when it has not."""
        return max(0.0, self._until - time.monotonic())

    async def take(self) -> bool:
        """Whether this process has it now: taken when it was free, renewed when it was its own."""
        if self.left < self._seconds - self._renew:
            asked = time.monotonic()
            taken = await self._store.write(lambda tx: take_lease(tx, self.name, self._holder, self._seconds))
            self._until = asked + self._seconds if taken else 0.0
        return self.left > 0

    async def give_back(self) -> None:
        """Let another process have it at once."""
        self._until = 0.0
        with contextlib.suppress(StoreError):
            await self._store.write(lambda tx: give_back(tx, self._holder, self.name))

    @contextlib.asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """It goes on while what is inside takes long."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._renew)
                with contextlib.suppress(StoreError):
                    await self.take()

        task = asyncio.create_task(renew(), name=f"renew-{self.name}")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
