"""What `homeroom audit verify` answers: does everything still say what was sealed.

One pass over the log in its order. Each entry's hash is made anew from its row; rows that are not in the log, or not in
their place, are found because the ids of each table grow with the log. Memory does not grow with the log, but for the
ids of rows that are missing.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

import orjson

from homeroom import Connection
from homeroom_ferpa.log import table
from homeroom_ferpa.log.report import Report
from homeroom_ferpa.log.rows import AUDIT, JOURNAL, PURGED, SOURCES
from homeroom_ferpa.log.signed import Signatures
from homeroom_ferpa.log.table import LeafTile, Sealed
from homeroom_ferpa.log.tree import HASH, WIDTH, Frontier, fold, leaf_hash, split

_TILES_AT_ONCE = 16
_NOTES_AT_ONCE = 1000
_NAMES = {JOURNAL: "journal row", AUDIT: "audit row"}
_LOWEST = -(2**63)
_NO_HASH = b"\0" * HASH

Rows = dict[int, dict[int, tuple[Any, ...]]]
"""Rows by source and id."""


async def verify(
    read: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
    *,
    witnessed: Iterable[tuple[str, Iterable[str]]] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """What holds and what does not. `read` runs a query; `witnessed` are files' names with the checkpoints in them.

    The log may grow meanwhile, and audit rows may be let go: what says so is then not sealed under the checkpoint that
    the look began with, which the report tells.
    """
    check = _Check()
    await read(check.begin)
    size = check.last.size
    for first in range(0, -(-size // WIDTH), _TILES_AT_ONCE):
        await read(partial(check.tiles, first=first))
        progress(min((first + _TILES_AT_ONCE) * WIDTH, size), size)
    await read(check.end)
    for name, notes in witnessed:
        rest = iter(notes)
        while portion := list(islice(rest, _NOTES_AT_ONCE)):
            await read(partial(check.signatures.witness, name=name, notes=portion))
    return check.report


class _Check:
    """One verification under way."""

    def __init__(self) -> None:
        self.report = Report()
        self.signatures = Signatures(self.report)
        self.last = Sealed()
        self._frontier = Frontier()
        self._levels: list[list[bytes]] = [[]]
        self._seen = dict.fromkeys(SOURCES, _LOWEST)
        self._missing = array("q")
        self._let_go: set[int] = set()

    def begin(self, connection: Connection) -> None:
        """Look at where the log ends, and at its keys."""
        with connection.snapshot():
            self.last = table.newest(connection)
            self.signatures.begin(connection, self.last)
            self._check_ends(connection)
        self.report.size = self.last.size

    def tiles(self, connection: Connection, first: int) -> None:
        """Check some tiles of leaves, the rows behind them, and the checkpoints that end in them."""
        found = {tile.number: tile for tile in table.leaf_tiles(connection, first, _TILES_AT_ONCE)}
        for number in range(first, min(first + _TILES_AT_ONCE, -(-self.last.size // WIDTH))):
            wanted = min(WIDTH, self.last.size - number * WIDTH)
            tile = found.get(number)
            if tile is None or not tile.is_whole or not wanted <= tile.width <= WIDTH:
                self.report.found(f"entries {number * WIDTH} to {number * WIDTH + wanted - 1}: hashes are missing")
                tile = LeafTile(number=number, hashes=_NO_HASH * wanted, refs=b"", last_audit=0, last_journal=0)
            else:
                self._check_rows(connection, tile, wanted)
            if wanted == WIDTH:
                self._rise(connection, number, fold(split(tile.hashes)))

    def end(self, connection: Connection) -> None:
        """Check what can be said only when everything was seen."""
        root = self._frontier.root()
        self.signatures.end(connection, self._frontier.size, root, self._ends())
        self.report.root = base64.b64encode(root).decode()
        count = self.last.size
        for level, hashes in enumerate(self._levels, start=1):
            count //= WIDTH
            if hashes:
                self._check_level(connection, level, count // WIDTH, hashes)
        with connection.snapshot():
            self._count_pending(connection)
            self._check_missing(_let_go_after(connection, self.last.last_journal))

    def _count_pending(self, connection: Connection) -> None:
        for of, source in SOURCES.items():
            text = f"SELECT count(*) FROM {source.table} WHERE id > ?"  # noqa: S608 - a constant
            self.report.pending += connection.sql(text, (self.last.last(of),))[0][0]

    def _check_missing(self, unsealed: set[int]) -> None:
        """See that every missing audit row was let go; `unsealed` are those that only a pending row names."""
        for row_id in self._missing:
            if row_id in self._let_go:
                self.report.purged += 1
            elif row_id in unsealed:
                self.report.purged += 1
                self.report.purged_unsealed += 1
            else:
                self.report.found(f"audit row {row_id} is gone, and nothing says that it was let go")

    def _check_ends(self, connection: Connection) -> None:
        """See that each level ends where the last checkpoint says: what lies beyond has lost its checkpoint."""
        level, count = 0, self.last.size
        while count:
            tail = len(table.hashes(connection, level, count // WIDTH))
            beyond = connection.sql(
                "SELECT count(*) FROM ferpa_log_tiles WHERE level = ? AND (number > ? OR number < 0)",
                (level, count // WIDTH),
            )[0][0]
            if tail != count % WIDTH * HASH or beyond:
                self.report.found(f"the tree's level {level} does not end where the last checkpoint does")
            level, count = level + 1, count // WIDTH
        if connection.sql("SELECT count(*) FROM ferpa_log_tiles WHERE level < 0 OR level >= ?", (level,))[0][0]:
            self.report.found("there are hashes beyond the last checkpoint")

    def _check_rows(self, connection: Connection, tile: LeafTile, wanted: int) -> None:
        """Compare the first `wanted` leaves of a tile with the rows that they stand for."""
        refs = [tile.ref(offset) for offset in range(wanted)]
        rows = {source: self._rows(connection, source, refs) for source in SOURCES}
        begins = tile.number * WIDTH
        for index, (kept, ref) in enumerate(zip(split(tile.hashes), refs, strict=False), start=begins):
            self._check_leaf(index, kept, ref, rows)
            self._frontier.add(kept)
            if self.signatures.due(connection, index + 1):
                self.signatures.upto(connection, index + 1, self._frontier.root(), self._ends())
        for source, left in rows.items():
            for row_id in left:
                self.report.found(f"{_NAMES[source]} {row_id} is not in the log: it was slipped in")
        if tile.width == wanted and (tile.last_audit, tile.last_journal) != self._ends():
            self.report.found(f"the tile at entry {begins} is filed under other rows than it holds")

    def _rows(self, connection: Connection, source: int, refs: list[tuple[int, int]]) -> dict[int, tuple[Any, ...]]:
        """The rows of a source after the last one seen, up to the last one of the tile."""
        upto = max((row_id for of, row_id in refs if of == source), default=_LOWEST)
        below, found = self._seen[source], dict[int, tuple[Any, ...]]()
        while below < upto:
            try:
                rows = SOURCES[source].after(connection, below, WIDTH * 2, upto)
            except Exception as exc:  # noqa: BLE001 - a row that the database itself cannot read is a finding
                self.report.found(f"{_NAMES[source]}s after {below} cannot be read: {type(exc).__name__}")
                break
            found |= {row[0]: row for row in rows}
            if len(rows) < WIDTH * 2:
                break
            below = rows[-1][0]
            if len(found) > WIDTH * _TILES_AT_ONCE:
                self.report.found(f"many {_NAMES[source]}s before {upto} are not in the log")
                break
        return found

    def _check_leaf(self, index: int, kept: bytes, ref: tuple[int, int], rows: Rows) -> None:
        """Check that the row of an entry is there, says what was sealed, and comes after the ones before."""
        source, row_id = ref
        if source not in SOURCES:
            self.report.found(f"entry {index} refers to no table")
            return
        row = rows[source].pop(row_id, None)
        if row_id <= self._seen[source]:
            self.report.found(f"entry {index}: {_NAMES[source]} {row_id} is out of order")
            return
        self._seen[source] = row_id
        if row is None and source == AUDIT:
            self._missing.append(row_id)
        elif row is None:
            self.report.found(f"{_NAMES[source]} {row_id} (entry {index}) is gone")
        elif _leaf_of(source, row) != kept:
            self.report.found(f"{_NAMES[source]} {row_id} (entry {index}) is not what was sealed")
        elif source == JOURNAL and row[2] == PURGED:
            self._let_go |= _entries(row[-1])

    def _ends(self) -> tuple[int, int]:
        audit, journal = ((0 if seen == _LOWEST else seen) for seen in (self._seen[AUDIT], self._seen[JOURNAL]))
        return audit, journal

    def _rise(self, connection: Connection, number: int, found: bytes) -> None:
        """Take the root of a full tile of leaves up, and compare the tiles above that are full by now."""
        self._levels[0].append(found)
        level = 0
        while len(self._levels[level]) == WIDTH:
            hashes, self._levels[level] = self._levels[level], []
            number //= WIDTH
            level += 1
            self._check_level(connection, level, number, hashes)
            if len(self._levels) == level:
                self._levels.append([])
            self._levels[level].append(fold(hashes))

    def _check_level(self, connection: Connection, level: int, number: int, wanted: list[bytes]) -> None:
        kept = table.hashes(connection, level, number)
        whole = len(wanted) == WIDTH
        if (kept if whole else kept[: len(wanted) * HASH]) != b"".join(wanted):
            self.report.found(f"the tree's hashes at level {level}, tile {number}, are not those of the entries")


def _let_go_after(connection: Connection, journal_id: int) -> set[int]:
    """The audit rows that the journal says were let go, after one of its rows."""
    rows = connection.sql("SELECT data FROM journal WHERE id > ? AND kind = ?", (journal_id, PURGED))
    return {row_id for (data,) in rows for row_id in _entries(data)}


def _entries(data: Any) -> set[int]:
    """Which audit rows a row of the journal names as let go; none where it is not as this plugin writes it."""
    try:
        entries = orjson.loads(data)["entries"]
        return {row_id for row_id in entries if isinstance(row_id, int)}
    except (ValueError, TypeError, KeyError):
        return set()


def _leaf_of(source: int, row: tuple[Any, ...]) -> bytes | None:
    try:
        return leaf_hash(SOURCES[source].leaf(row))
    except (TypeError, ValueError):  # a value of a type that no row is written with
        return None
