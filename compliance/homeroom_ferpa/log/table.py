"""The log's tables, and every statement on them but the audit rows' own."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeroom import Connection, Transaction
from homeroom_ferpa.log.notes import LogKey
from homeroom_ferpa.log.rows import AUDIT, JOURNAL
from homeroom_ferpa.log.tree import HASH, WIDTH, Tree

_REF = 9
_CHECKPOINT = "number, size, root, at, last_audit, last_journal, note"
_TILES_AT_ONCE = 40
_PUT = """
ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes, refs = excluded.refs,
last_audit = excluded.last_audit, last_journal = excluded.last_journal
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A checkpoint as kept: the note itself, and what it says, to be found by. Nothing sealed yet: number 0."""

    number: int = 0
    size: int = 0
    root: str = ""
    at: str = ""
    last_audit: int = 0
    last_journal: int = 0
    note: str = ""

    def last(self, source: int) -> int:
        """The id of the last row of a source that is in the log."""
        return self.last_audit if source == AUDIT else self.last_journal


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafTile:
    """Up to 256 leaves: their hashes, and which row each stands for."""

    number: int
    hashes: bytes
    refs: bytes
    last_audit: int
    last_journal: int

    def ref(self, offset: int) -> tuple[int, int]:
        """The source and the id of the row behind one leaf."""
        raw = self.refs[offset * _REF : (offset + 1) * _REF]
        return raw[0], int.from_bytes(raw[1:], "big", signed=True)

    @property
    def width(self) -> int:
        """How many leaves there are."""
        return len(self.hashes) // HASH

    @property
    def is_whole(self) -> bool:
        """Whether there is one reference to a hash."""
        return len(self.hashes) % HASH == 0 and len(self.refs) == self.width * _REF


def ref_of(source: int, row_id: int) -> bytes:
    """A leaf's reference to its row."""
    return bytes([source]) + row_id.to_bytes(8, "big", signed=True)


def newest(connection: Connection) -> Sealed:
    """The last checkpoint."""
    found = checkpoints(connection, "TRUE ORDER BY number DESC LIMIT 1")
    return found[0] if found else Sealed()


def checkpoints(connection: Connection, where: str, params: tuple[Any, ...] = ()) -> list[Sealed]:
    """The checkpoints that a condition leaves."""
    rows = connection.sql(f"SELECT {_CHECKPOINT} FROM ferpa_log_checkpoints WHERE {where}", params)  # noqa: S608 - constants
    names = _CHECKPOINT.split(", ")
    return [Sealed(**dict(zip(names, row, strict=True))) for row in rows]


def add_checkpoint(tx: Transaction, sealed: Sealed) -> None:
    """Keep a checkpoint."""
    tx.write_sql(
        f"INSERT INTO ferpa_log_checkpoints ({_CHECKPOINT}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        [getattr(sealed, name) for name in _CHECKPOINT.split(", ")],
    )


def keys(connection: Connection, *, secret: bool = False) -> list[LogKey]:
    """The log's keys, oldest first; the last one signs. With `secret` each can sign.

    Raises ValueError for a key that is damaged.
    """
    found = []
    for since, name, public, sealed in connection.sql(
        "SELECT since, name, public, sealed FROM ferpa_log_keys ORDER BY since"
    ):
        opened = base64.b64decode(connection.cipher.unseal(sealed, _place(since))) if secret else None
        found.append(LogKey(name=name, public=_raw(public), since=since, secret=opened))
    return found


def key_ids(connection: Connection) -> list[tuple[int, str]]:
    """The id of each key as it is kept, beside the number of the first checkpoint that it signs."""
    return [(row[0], row[1]) for row in connection.sql("SELECT since, key_id FROM ferpa_log_keys ORDER BY since")]


def add_key(tx: Transaction, key: LogKey) -> bool:
    """Keep a key, its secret half sealed; False when another process was first."""
    if key.secret is None:
        raise LookupError("a key is kept with its secret half")
    public, secret = (base64.b64encode(half).decode() for half in (key.public, key.secret))
    return bool(
        tx.write_sql(
            "INSERT INTO ferpa_log_keys (since, key_id, name, public, sealed) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (since) DO NOTHING RETURNING since",
            (key.since, key.key_id.hex(), key.name, public, tx.cipher.seal(secret, _place(key.since))),
        )
    )


def hashes(connection: Connection, level: int, number: int) -> bytes:
    """The hashes of a tile, joined; empty when there is none."""
    rows = connection.sql("SELECT hashes FROM ferpa_log_tiles WHERE level = ? AND number = ?", (level, number))
    return bytes(rows[0][0]) if rows else b""


def tree(connection: Connection, size: int) -> Tree:
    """The tree of the first `size` entries."""
    return Tree(size, lambda level, number: hashes(connection, level, number))


def leaf_tiles(connection: Connection, first: int, count: int) -> list[LeafTile]:
    """The tiles of leaves from number `first` on, at most `count`."""
    return _leaf_tiles(connection, "number >= ? AND number < ? AND level = 0 ORDER BY number", (first, first + count))


def place_of(connection: Connection, source: int, row_id: int) -> int | None:
    """The index in the log of a row, or None while it is not there."""
    column = {AUDIT: "last_audit", JOURNAL: "last_journal"}[source]
    where = f"level = 0 AND {column} >= ? ORDER BY {column}, number LIMIT 1"
    for tile in _leaf_tiles(connection, where, (row_id,)):
        at = -_REF
        wanted = ref_of(source, row_id)
        while (at := tile.refs.find(wanted, at + _REF)) >= 0:
            if at % _REF == 0:
                return tile.number * WIDTH + at // _REF
            at = at // _REF * _REF
    return None


def put_tiles(tx: Transaction, leaves: list[LeafTile], above: Mapping[tuple[int, int], bytes]) -> None:
    """Write tiles, whether they are there or not."""
    rows: list[tuple[Any, ...]] = [
        (0, tile.number, tile.hashes, tile.refs, tile.last_audit, tile.last_journal) for tile in leaves
    ]
    rows += [(level, number, joined, None, None, None) for (level, number), joined in above.items()]
    for start in range(0, len(rows), _TILES_AT_ONCE):
        some = rows[start : start + _TILES_AT_ONCE]
        marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(some))
        tx.write_sql(
            "INSERT INTO ferpa_log_tiles (level, number, hashes, refs, last_audit, last_journal) "  # noqa: S608 - marks only
            f"VALUES {marks} {_PUT}",
            [value for row in some for value in row],
        )


def _leaf_tiles(connection: Connection, where: str, params: tuple[Any, ...]) -> list[LeafTile]:
    rows = connection.sql(
        f"SELECT number, hashes, refs, last_audit, last_journal FROM ferpa_log_tiles WHERE {where}",  # noqa: S608 - constants
        params,
    )
    return [
        LeafTile(
            number=number,
            hashes=bytes(joined),
            refs=bytes(refs or b""),
            last_audit=last_audit if last_audit is not None else -1,
            last_journal=last_journal if last_journal is not None else -1,
        )
        for number, joined, refs, last_audit, last_journal in rows
    ]


def _raw(text: str) -> bytes:
    """What base64 text stands for; only the one text that it is written as will do."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not as it was written")
    return raw


def _place(since: int) -> str:
    return f"ferpa_log_keys.{since}"
