"""Every second, what is new in the journal and in the audit rows goes into the tree, under a signed checkpoint.

Any process may do it and none needs to be chosen: rows are read and hashed beside the writer, and one short unit of
work then keeps tiles and checkpoint together, but only if no other process has sealed meanwhile. So the tree is never
larger than the last checkpoint says.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from homeroom import Connection, Services, Transaction
from homeroom_ferpa.log import table
from homeroom_ferpa.log.notes import LogKey, checkpoint
from homeroom_ferpa.log.rows import AUDIT, JOURNAL, SOURCES, text_of
from homeroom_ferpa.log.table import LeafTile, Sealed
from homeroom_ferpa.log.tree import HASH, WIDTH, Growing, leaf_hash

AT_ONCE = 4096  # rows of each source in one checkpoint
CLOCK_BACK = "compliance.clock_backwards"
_SLACK = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What one unit of work will keep."""

    before: int
    sealed: Sealed
    leaves: list[LeafTile]
    above: dict[tuple[int, int], bytes]
    more: bool
    behind: str | None = None  # the time that the clock showed, where it is before the last checkpoint's


class Sealer:
    """Seals, on behalf of one process. `last` is the newest checkpoint that this process knows of."""

    def __init__(self, services: Services, origin: str | None, *, at_once: int = AT_ONCE) -> None:
        self.last = Sealed()
        self._services = services
        self._origin = origin
        self._at_once = at_once
        self._turn = asyncio.Lock()
        self._has_key = False
        self._told_behind: str | None = None

    async def seal(self) -> Sealed:
        """The newest checkpoint once everything that was committed before is under it. Raises TreeDamaged."""
        while await self._step():
            pass
        return self.last

    async def seal_to(self, event_id: int) -> None:
        """Return when the journal is sealed up to an event."""
        while self.last.last_journal < event_id and await self._step():
            pass

    async def rotate(self) -> LogKey:
        """A fresh key that signs from now on; one checkpoint, signed by both, hands the log on to it."""
        await self.seal()
        secret = Ed25519PrivateKey.generate().private_bytes_raw()
        return await self._services.store.submit(partial(_rotate, secret=secret, now=self._services.clock.now()))

    async def _step(self) -> bool:
        """Seal one portion; whether there may be more."""
        async with self._turn:
            if not self._has_key:
                await self._services.store.submit(self._make_key())
                self._has_key = True
            now = self._services.clock.now()
            prepared = await self._services.store.read(partial(_prepare, now=now, at_once=self._at_once))
            if isinstance(prepared, Sealed):
                self.last = prepared
                return False
            tell = prepared.behind is not None and self._told_behind is None
            if not await self._services.store.submit(partial(_keep, prepared=prepared, tell=tell)):
                return True  # another process was first; look again
            self.last = prepared.sealed
            self._told_behind = prepared.behind
            return prepared.more or tell

    def _make_key(self) -> partial[None]:
        host = urlsplit(self._services.public_url or "").hostname or "homeroom"
        name = self._origin or f"{host}/{secrets.token_hex(4)}"
        secret = Ed25519PrivateKey.generate()
        public = secret.public_key().public_bytes_raw()
        return partial(_first_key, key=LogKey(name=name, public=public, since=1, secret=secret.private_bytes_raw()))


def _first_key(tx: Transaction, key: LogKey) -> None:
    if not tx.sql("SELECT 1 FROM ferpa_log_keys LIMIT 1"):
        table.add_key(tx, key)


def _prepare(connection: Connection, now: datetime, at_once: int) -> _Prepared | Sealed:
    """What there is to seal, hashed and signed; the last checkpoint when there is nothing."""
    with connection.snapshot():
        last = table.newest(connection)
        found = {source: SOURCES[source].after(connection, last.last(source), at_once) for source in (AUDIT, JOURNAL)}
        if not any(found.values()):
            return last
        growing = Growing(last.size, lambda level, number: table.hashes(connection, level, number))
        tail = table.leaf_tiles(connection, last.size // WIDTH, 1)
        keys = table.keys(connection, secret=True)
    refs = [table.ref_of(source, row[0]) for source, rows in found.items() for row in rows]
    growing.add(leaf_hash(SOURCES[source].leaf(row)) for source, rows in found.items() for row in rows)
    key = keys[-1]
    at, behind = _time(last, now)
    number, root = last.number + 1, growing.root()
    sealed = Sealed(
        number=number,
        size=growing.size,
        root=base64.b64encode(root).decode(),
        at=at,
        last_audit=found[AUDIT][-1][0] if found[AUDIT] else last.last_audit,
        last_journal=found[JOURNAL][-1][0] if found[JOURNAL] else last.last_journal,
        note=checkpoint(origin=keys[0].name, size=growing.size, root=root, number=number, at=at, keys=[key]),
    )
    return _Prepared(
        before=last.number,
        sealed=sealed,
        leaves=_leaf_tiles(growing, last, tail, refs),
        above={place: joined for place, joined in growing.changed.items() if place[0] > 0},
        more=any(len(rows) == at_once for rows in found.values()),
        behind=behind,
    )


def _leaf_tiles(growing: Growing, last: Sealed, tail: list[LeafTile], refs: list[bytes]) -> list[LeafTile]:
    """The tiles of leaves that have changed, each with the ids up to which it holds both sources."""
    kept = tail[0].refs if tail else b""
    seen = {AUDIT: last.last_audit, JOURNAL: last.last_journal}
    tiles: list[LeafTile] = []
    at = 0
    for number, joined in sorted((place[1], joined) for place, joined in growing.changed.items() if place[0] == 0):
        wanted = len(joined) // HASH - len(kept) // len(refs[0])
        some = refs[at : at + wanted]
        for ref in some:
            seen[ref[0]] = int.from_bytes(ref[1:], "big", signed=True)
        tiles.append(
            LeafTile(
                number=number,
                hashes=joined,
                refs=kept + b"".join(some),
                last_audit=seen[AUDIT],
                last_journal=seen[JOURNAL],
            )
        )
        kept, at = b"", at + wanted
    return tiles


def _time(last: Sealed, now: datetime) -> tuple[str, str | None]:
    """The time of the next checkpoint, which is never before the last one's, and the clock's own where it went back."""
    shown = text_of(now)
    if shown >= last.at:
        return shown, None
    behind = now < datetime.fromisoformat(last.at) - _SLACK
    return last.at, shown if behind else None


def _keep(tx: Transaction, prepared: _Prepared, *, tell: bool) -> bool:
    """Keep tiles and checkpoint, if the log is still as it was read; whether it was."""
    if table.newest(tx).number != prepared.before:
        return False
    table.put_tiles(tx, prepared.leaves, prepared.above)
    table.add_checkpoint(tx, prepared.sealed)
    if tell:
        tx.journal(CLOCK_BACK, data={"last_checkpoint": prepared.sealed.at, "clock": prepared.behind})
    return True


def _rotate(tx: Transaction, secret: bytes, now: datetime) -> LogKey:
    last, keys = table.newest(tx), table.keys(tx, secret=True)
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    if keys[-1].public == public:  # the unit was run before
        return LogKey(name=keys[-1].name, public=public, since=keys[-1].since)
    number, origin, (at, _) = last.number + 1, keys[0].name, _time(last, now)
    fresh = LogKey(name=origin, public=public, since=number, secret=secret)
    root = table.tree(tx, last.size).root()
    note = checkpoint(
        origin=origin, size=last.size, root=root, number=number, at=at, keys=[keys[-1], fresh], following=fresh
    )
    table.add_key(tx, fresh)
    kept = replace(last, number=number, root=base64.b64encode(root).decode(), at=at, note=note)
    table.add_checkpoint(tx, kept)
    tx.journal("compliance.log_key_changed", data={"key": fresh.key_id.hex(), "checkpoint": number})
    return LogKey(name=origin, public=public, since=number)
