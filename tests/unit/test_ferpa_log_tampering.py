"""Tampering: whatever somebody with the database's password changes in a sealed log, a verification finds it."""

# ruff: noqa: S608 - an attacker writes the SQL that he likes

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from homeroom.store import Store
from homeroom.store.cipher import Cipher
from homeroom.store.connection import Connection
from homeroom.store.database import connect
from homeroom_ferpa.log import table
from homeroom_ferpa.log.notes import LogKey, checkpoint
from homeroom_ferpa.log.report import Report
from homeroom_ferpa.log.rows import SOURCES, purge
from homeroom_ferpa.log.verify import verify
from tests.services.sealed import ORIGIN, fill, sealing, with_tables

KEY = bytes(range(32))
TABLES = {
    "journal": ("id", [name for name in SOURCES[1].columns if name != "id"]),
    "ferpa_audit": ("id", [name for name in SOURCES[2].columns if name != "id"]),
    "ferpa_log_tiles": ("level * 1000 + number", ["number", "level", "hashes", "refs", "last_audit", "last_journal"]),
    "ferpa_log_checkpoints": ("number", ["number", "size", "root", "at", "last_audit", "last_journal", "note"]),
    "ferpa_log_keys": ("since", ["since", "key_id", "name", "public", "sealed"]),
}
MUTATIONS = 1000


class Tampered(Connection):
    """A connection in whose open transaction the database was tampered with; it sees all of that already."""

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """The transaction that is open."""
        yield


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a log of some six hundred entries, some purged by the book, under two keys."""
    url = with_database(tmp_path_factory.mktemp("tampering") / "homeroom.db")
    asyncio.run(fill_log(url))
    return url


async def fill_log(url: str) -> None:
    with Store(url, cipher=Cipher([KEY])) as store:
        place = sealing(store)
        await fill(place, rounds=11)
        place.store.write_now(lambda tx: purge(tx, [3, 4, 40]))
        await place.log.sealer.rotate()
        await fill(place, rounds=11, seed=2)
        last = place.log.sealer.last
        report = await place.verify()
        assert report.problems == []
        assert (report.size, report.checkpoints, report.purged) == (last.size, last.number, 3)
        assert last.size > 512


def with_database(path: Any) -> str:
    from homeroom.store.migrate import upgrade

    upgrade(f"sqlite:///{path}")
    return with_tables(f"sqlite:///{path}")


class Attack:
    """One tampering, by a seeded hand; what it did is undone afterwards."""

    def __init__(self, url: str) -> None:
        self.database = connect(url)
        self.database.connect()
        self.connection = Tampered(self.database, Cipher([KEY]))

    def sql(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run a statement."""
        return self.connection.sql(text, params)

    async def verdict(self, tamper: Callable[[], object], *witnessed: str) -> Report:
        """What a verification says after the tampering."""

        async def read(query: Callable[[Connection], Any]) -> Any:
            return query(self.connection)

        self.database.execute_sql("BEGIN IMMEDIATE")
        try:
            tamper()
            return await verify(read, witnessed=[("witness", witnessed)] if witnessed else [])
        finally:
            self.database.execute_sql("ROLLBACK")

    def keys(self, name: str) -> list[Any]:
        """Which rows a table has."""
        return [row[0] for row in self.sql(f"SELECT rowid FROM {name} ORDER BY {TABLES[name][0]}")]

    def change(self, dice: random.Random) -> str:
        """Another value in one column of one row."""
        name = dice.choice(list(TABLES))
        key = dice.choice(self.keys(name))
        column = dice.choice(TABLES[name][1])
        if name == "ferpa_log_tiles" and self.sql("SELECT level FROM ferpa_log_tiles WHERE rowid = ?", key)[0][0] > 0:
            column = dice.choice(["number", "level", "hashes"])  # the others are not used above the leaves
        old = self.sql(f"SELECT {column} FROM {name} WHERE rowid = ?", key)[0][0]
        new = other_than(old, dice)
        self.sql(f"UPDATE OR REPLACE {name} SET {column} = ? WHERE rowid = ?", new, key)
        return f"{name}.{column} of {key}: {old!r} to {new!r}"

    def delete(self, dice: random.Random) -> str:
        """Some rows less."""
        name = dice.choice(list(TABLES))
        rows = self.keys(name)
        gone = dice.sample(rows, min(len(rows), dice.choice([1, 1, 2, 5])))
        for key in gone:
            self.sql(f"DELETE FROM {name} WHERE rowid = ?", key)
        return f"{name} without {gone}"

    def truncate(self, dice: random.Random) -> str:
        """The last rows of a table cut off, perhaps of several."""
        names = dice.sample(list(TABLES), dice.choice([1, 1, 2]))
        for name in names:
            rows = self.keys(name)
            for key in rows[-dice.randrange(1, min(len(rows), 8) + 1) :]:
                self.sql(f"DELETE FROM {name} WHERE rowid = ?", key)
        return f"the ends of {names}"

    def reorder(self, dice: random.Random) -> str:
        """Two rows, or two hashes, in each other's place."""
        name = dice.choice(["journal", "ferpa_audit", "ferpa_log_tiles", "ferpa_log_checkpoints", "hashes", "refs"])
        if name in ("hashes", "refs"):
            return self.swap_inside(name, dice)
        one, other = dice.sample(self.keys(name), 2)
        columns = [column for column in TABLES[name][1] if column not in ("number", "level")]
        rows = [self.sql(f"SELECT {', '.join(columns)} FROM {name} WHERE rowid = ?", key)[0] for key in (one, other)]
        if name == "ferpa_audit":
            self.sql("UPDATE ferpa_audit SET key = 'elsewhere' WHERE rowid = ?", other)
        assert rows[0] != rows[1]
        given = ", ".join(f"{column} = ?" for column in columns)
        self.sql(f"UPDATE {name} SET {given} WHERE rowid = ?", *rows[1], one)
        self.sql(f"UPDATE {name} SET {given} WHERE rowid = ?", *rows[0], other)
        return f"{name}: {one} and {other}"

    def swap_inside(self, column: str, dice: random.Random) -> str:
        """Two leaves of a tile, or what they refer to, in each other's place."""
        width = {"hashes": 32, "refs": 9}[column]
        number, joined = dice.choice(self.sql(f"SELECT number, {column} FROM ferpa_log_tiles WHERE level = 0"))
        parts = [joined[at : at + width] for at in range(0, len(joined), width)]
        one, other = dice.sample(range(len(parts)), 2)
        parts[one], parts[other] = parts[other], parts[one]
        self.sql(f"UPDATE ferpa_log_tiles SET {column} = ? WHERE level = 0 AND number = ?", b"".join(parts), number)
        return f"{column} {one} and {other} of tile {number}"

    def insert(self, dice: random.Random) -> str:
        """A row more, where others are already."""
        name = dice.choice(["journal", "ferpa_audit", "ferpa_log_tiles", "ferpa_log_checkpoints"])
        key = dice.choice(self.keys(name))
        columns = TABLES[name][1]
        row = dict(
            zip(columns, self.sql(f"SELECT {', '.join(columns)} FROM {name} WHERE rowid = ?", key)[0], strict=True)
        )
        if name in ("journal", "ferpa_audit"):
            row["id"] = dice.choice([0, -1, -dice.randrange(2, 2**40)])
            if name == "ferpa_audit":
                row |= {"id": dice.choice([row["id"], 3, 40]), "key": "slipped in"}  # 3 and 40 were let go
        elif name == "ferpa_log_tiles":
            row["number"] += dice.choice([-1, 1]) * dice.randrange(1000, 2000)
        else:
            row["number"] = dice.choice([0, -5, max(self.keys(name)) + 1, 10**9])
        marks = ", ".join("?" * len(row))
        self.sql(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", *row.values())
        return f"{name}: {row}"


def other_than(old: Any, dice: random.Random) -> Any:
    """Another value of the same kind."""
    if old is None:
        return "added"
    if isinstance(old, int):
        return old + dice.choice([-7, -1, 1, 2, 1000])
    if not old:
        return type(old)() + (b"\1" if isinstance(old, bytes) else "x")
    at = dice.randrange(len(old))
    way = dice.randrange(4)
    put: Any
    if isinstance(old, bytes):
        put = bytes([old[at] ^ 1 << dice.randrange(8)])
        return [old[:at] + put + old[at + 1 :], old[:at] + old[at + 1 :], old[:at] + put + old[at:], old + old[-32:]][
            way
        ]
    put = chr((ord(old[at]) + dice.randrange(1, 20)) % 0x7F or 0x30)
    return [old[:at] + put + old[at + 1 :], old[:at] + old[at + 1 :], old[:at] + put + old[at:], old + "x"][way]


@pytest.fixture(scope="module")
def attack(url: str) -> Iterator[Attack]:
    attack = Attack(url)
    yield attack
    attack.database.close()


@pytest.mark.parametrize("kind", ["change", "delete", "truncate", "reorder", "insert"])
async def test_every_tampering_by_a_random_hand_is_found(attack: Attack, kind: str) -> None:
    for seed in range(MUTATIONS // 5):
        did: list[str] = []
        dice = random.Random(f"{kind} {seed}")
        report = await attack.verdict(lambda dice=dice, did=did: did.append(getattr(attack, kind)(dice)))  # type: ignore[misc]
        assert report.problems, f"{kind} {seed}: {did} was not found"


async def test_a_log_that_was_not_touched_holds_beside_every_checkpoint_kept_elsewhere(attack: Attack) -> None:
    notes = [row[0] for row in attack.sql("SELECT note FROM ferpa_log_checkpoints ORDER BY number")]
    assert (await attack.verdict(lambda: None, *notes)).problems == []
    assert (await attack.verdict(lambda: None, notes[3])).problems == []  # stale, and fine


async def test_rows_let_go_are_missed_when_nothing_says_so_any_more(attack: Attack) -> None:
    def forget() -> None:
        attack.sql("UPDATE journal SET data = '{\"entries\":[3,40]}' WHERE kind = 'compliance.audit_purged'")

    problems = (await attack.verdict(forget)).problems
    assert any("audit row 4 is gone" in problem for problem in problems)


def cut(attack: Attack, number: int) -> None:
    """Take the whole log back to one checkpoint, so that it holds in itself."""
    ((size, audit, journal),) = attack.sql(
        "SELECT size, last_audit, last_journal FROM ferpa_log_checkpoints WHERE number = ?", number
    )
    attack.sql("DELETE FROM ferpa_audit WHERE id > ?", audit)
    attack.sql("DELETE FROM journal WHERE id > ?", journal)
    attack.sql("DELETE FROM ferpa_log_checkpoints WHERE number > ?", number)
    attack.sql("DELETE FROM ferpa_log_keys WHERE since > ?", number)
    attack.sql("DELETE FROM ferpa_log_tiles WHERE level = 0 AND number > ?", size // 256)
    attack.sql(
        "UPDATE ferpa_log_tiles SET hashes = substr(hashes, 1, ?), refs = substr(refs, 1, ?), last_audit = ?, "
        "last_journal = ? WHERE level = 0 AND number = ?",
        size % 256 * 32,
        size % 256 * 9,
        audit,
        journal,
        size // 256,
    )
    attack.sql("DELETE FROM ferpa_log_tiles WHERE level = 0 AND hashes = x''")
    attack.sql("UPDATE ferpa_log_tiles SET hashes = substr(hashes, 1, ?) WHERE level = 1", size // 256 * 32)
    attack.sql("DELETE FROM ferpa_log_tiles WHERE level = 1 AND hashes = x''")


async def test_a_log_cut_back_as_a_whole_holds_in_itself_and_is_given_away_by_what_a_witness_kept(
    attack: Attack,
) -> None:
    notes = [row[0] for row in attack.sql("SELECT note FROM ferpa_log_checkpoints ORDER BY number")]
    for number in (len(notes) - 1, 15):
        assert (await attack.verdict(lambda number=number: cut(attack, number))).problems == []  # type: ignore[misc]
        report = await attack.verdict(lambda number=number: cut(attack, number), notes[-1])  # type: ignore[misc]
        assert len(report.problems) == 1


async def test_a_log_cut_back_is_larger_elsewhere(attack: Attack) -> None:
    early = attack.sql("SELECT note FROM ferpa_log_checkpoints WHERE number = 17")[0][0]
    (problem,) = (await attack.verdict(lambda: cut(attack, 15), early)).problems
    assert "entries were taken away" in problem


def rewrite(attack: Attack, secret: bytes) -> None:
    """Change a row, and make everything anew that follows from it, under a key of one's own."""
    attack.sql('UPDATE journal SET data = \'{"status":"absent"}\' WHERE id = 5')
    connection = attack.connection
    last = table.newest(connection)
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    key = LogKey(name=ORIGIN, public=public, since=1, secret=secret)
    attack.sql("DELETE FROM ferpa_log_checkpoints")
    attack.sql("DELETE FROM ferpa_log_keys")
    sealed = connection.cipher.seal(base64.b64encode(secret).decode(), "ferpa_log_keys.1")
    attack.sql(
        "INSERT INTO ferpa_log_keys (since, key_id, name, public, sealed) VALUES (1, ?, ?, ?, ?)",
        key.key_id.hex(),
        ORIGIN,
        base64.b64encode(public).decode(),
        sealed,
    )
    reseal(attack, last, key)


def reseal(attack: Attack, last: table.Sealed, key: LogKey) -> None:
    from homeroom_ferpa.log.tree import Growing, leaf_hash

    connection = attack.connection
    leaves: list[bytes] = []
    for tile in table.leaf_tiles(connection, 0, 100):
        for offset in range(tile.width):
            source, row_id = tile.ref(offset)
            rows = SOURCES[source].after(connection, row_id - 1, 1, row_id)
            kept = tile.hashes[offset * 32 : offset * 32 + 32]
            leaves.append(leaf_hash(SOURCES[source].leaf(rows[0])) if rows else kept)
    growing = Growing(0, lambda _level, _number: b"")
    growing.add(leaves)
    for (level, number), joined in growing.changed.items():
        attack.sql("UPDATE ferpa_log_tiles SET hashes = ? WHERE level = ? AND number = ?", joined, level, number)
    root = growing.root()
    note = checkpoint(origin=ORIGIN, size=last.size, root=root, number=1, at=last.at, keys=[key])
    attack.sql(
        "INSERT INTO ferpa_log_checkpoints (number, size, root, at, last_audit, last_journal, note) "
        "VALUES (1, ?, ?, ?, ?, ?, ?)",
        last.size,
        base64.b64encode(root).decode(),
        last.at,
        last.last_audit,
        last.last_journal,
        note,
    )


async def test_a_log_made_anew_under_another_key_holds_in_itself_and_not_beside_a_witness(attack: Attack) -> None:
    secret = bytes(range(1, 33))
    notes = [row[0] for row in attack.sql("SELECT note FROM ferpa_log_checkpoints ORDER BY number")]
    assert (await attack.verdict(lambda: rewrite(attack, secret))).problems == []
    (problem,) = (await attack.verdict(lambda: rewrite(attack, secret), notes[2])).problems
    assert "not signed by the key" in problem


async def test_checkpoints_that_are_forged_foreign_or_not_ones_at_all_are_named(attack: Attack) -> None:
    key = Ed25519PrivateKey.generate()
    stranger = LogKey(name=ORIGIN, public=key.public_key().public_bytes_raw(), since=1, secret=key.private_bytes_raw())
    notes = [row[0] for row in attack.sql("SELECT note FROM ferpa_log_checkpoints ORDER BY number")]
    good = notes[4]
    last = table.newest(attack.connection)
    forged = good.replace("number 5", "number 6")
    foreign = checkpoint(origin=ORIGIN, size=3, root=bytes(32), number=1, at=last.at, keys=[stranger])
    elsewhere = good.replace(ORIGIN, "other.example/log")
    signed = table.keys(attack.connection, secret=True)[-1]
    larger = checkpoint(origin=ORIGIN, size=last.size + 1, root=bytes(32), number=99, at=last.at, keys=[signed])
    split = checkpoint(origin=ORIGIN, size=3, root=bytes(32), number=1, at=last.at, keys=[signed])
    for note, word in (
        (forged, "forged"),
        (foreign, "not signed by the key"),
        (elsewhere, "another log"),
        (larger, "taken away"),
        (split, "not those that it was signed for"),
        ("", "no checkpoint"),
        ("\x00" * 50, "no checkpoint"),
        (good[:-20], "end is missing"),
    ):
        (problem,) = (await attack.verdict(lambda: None, note)).problems
        assert word in problem, (note, problem)
