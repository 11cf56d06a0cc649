"""What dry runs in the background have found, row by row: kept sealed for a day, to be read page by page."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import orjson

from homeroom.store import Connection, Store, StoreError, Transaction, places
from homeroom.store.models import SyncDiff, SyncRun
from homeroom.sync import DiffRow

KEPT = timedelta(hours=24)
_PART = 100  # rows sealed together


class DiffKeeper:
    """Keeps the rows of one dry run as they come: `take` never waits, `finish` says when all of them are kept."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._rows: list[DiffRow] = []
        self._parts = 0
        self._writing: asyncio.Task[None] | None = None

    def take(self, row: DiffRow) -> None:
        """Keep one row; it is written beside the run, whose own writing keeps the rows that wait few."""
        self._rows.append(row)
        if len(self._rows) >= _PART and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write_whole_parts())

    async def finish(self) -> None:
        """Write what is left. Where anything could not be written nothing is kept, rather than half of it."""
        try:
            if self._writing is not None:
                await self._writing
            await self._write_whole_parts()
            if self._rows:
                await self._write()
        except StoreError:
            with contextlib.suppress(StoreError):
                await self._store.write(lambda tx: forget(tx, self._run_id))

    async def _write_whole_parts(self) -> None:
        while len(self._rows) >= _PART:
            await self._write()

    async def _write(self) -> None:
        rows, self._rows[:] = self._rows[:_PART], self._rows[_PART:]
        part, self._parts = self._parts, self._parts + 1
        text = orjson.dumps([row.as_json() for row in rows], default=str).decode()
        content = self._store.cipher.seal(text, places.diff(self._run_id, part))
        await self._store.write(lambda tx: tx.insert(SyncDiff, run_id=self._run_id, part=part, content=content))


def rows_after(connection: Connection, run_id: str, after: int, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """Up to `limit` rows of a dry run from number `after` on, and whether there are more."""
    first, skip = divmod(after, _PART)
    last = (after + limit) // _PART
    query = SyncDiff.select().where(SyncDiff.run_id == run_id, SyncDiff.part.between(first, last))
    found: list[dict[str, Any]] = []
    for row in connection.all(query.order_by(SyncDiff.part)):
        found += orjson.loads(connection.cipher.unseal(row.content, places.diff(run_id, row.part)))
    rest = found[skip:]
    return rest[:limit], len(rest) > limit


def is_kept(connection: Connection, run_id: str) -> bool:
    """Whether there is a row to be read."""
    return connection.one(SyncDiff.select(SyncDiff.part).where(SyncDiff.run_id == run_id).limit(1)) is not None


def forget(tx: Transaction, run_id: str) -> int:
    """Delete what one run has found."""
    return tx.run(SyncDiff.delete().where(SyncDiff.run_id == run_id))


def tidy(tx: Transaction) -> int:
    """Delete what was found more than a day ago; gives how many parts that were."""
    old = SyncRun.select(SyncRun.id).where(SyncRun.finished_at < tx.now - KEPT)
    return tx.run(SyncDiff.delete().where(SyncDiff.run_id.in_(old)))
