"""A backup says itself whether it is intact, and restores into either database."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path

import pytest

from homeroom.store import Store, new_id
from homeroom.store import models as m
from homeroom.store.backup import BackupError, back_up, restore, verify
from homeroom.store.cipher import Cipher
from homeroom.store.connection import Connection, Transaction
from homeroom.store.errors import StoreError
from homeroom.store.migrate import status

PLUGIN = """
from peewee import BooleanField, BlobField, Model, TextField

def up(migrator, db):
    class Note(Model):
        id = TextField(primary_key=True)
        done = BooleanField(default=False)
        body = BlobField(null=True)
        class Meta:
            database = db
            table_name = "notes_notes"
    db.create_tables([Note])
"""


@pytest.fixture
def plugins(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "notes_migrations"
    folder.mkdir()
    (folder / "0001_initial.py").write_text(PLUGIN)
    return {"notes": folder}


def fill(store: Store) -> None:
    def unit(tx: Transaction) -> None:
        for number in range(2500):
            tx.insert(m.Org, id=f"school-{number}", name=f"École № {number} 学校", kind="school", changed_at=tx.now)
            tx.journal("org.created", subject_id=f"school-{number}", data={"n": number})
        tx.insert(
            m.User, id="amina", given_name="Amina", family_name="Ó Súilleabháin", sort_name="x", changed_at=tx.now
        )
        tx.insert(
            m.Contact,
            id=new_id(),
            user_id="amina",
            kind="email",
            value=tx.seal_for("amina", "amina@family.example"),
            lookup="l",
        )
        tx.insert(m.CalendarDay, school_id="school-1", day="2026-11-26", in_session=False, title="Thanksgiving")

    store.write_now(unit)


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    def query(c: Connection) -> dict[str, list[tuple[object, ...]]]:
        return {t._meta.table_name: sorted(c.tuples(t.select()), key=repr) for t in m.TABLES}

    return store.read_now(query)


def test_a_restored_backup_holds_every_row_on_either_database(
    store: Store, empty_url: str, tmp_path: Path, cipher: Cipher
) -> None:
    fill(store)
    path = tmp_path / "district.backup"

    made = back_up(store.url, path)
    restored = restore(empty_url, path)

    assert restored == made
    with Store(empty_url, cipher=cipher) as other:
        assert contents(other) == contents(store)
        contact = other.read_now(lambda c: c.one(m.Contact.select()))
        assert contact is not None
        assert other.read_now(lambda c: c.unseal_for("amina", contact.value)) == "amina@family.example"
        # and life goes on: the journal is numbered after what was restored
        other.write_now(lambda tx: tx.journal("after.restore"))
        newest = other.read_now(lambda c: c.one(m.Journal.select().order_by(m.Journal.id.desc())))
        assert newest is not None
        assert newest.kind == "after.restore"
    assert all(entry.applied for entry in status(empty_url))


def test_only_its_owner_may_read_a_backup(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "district.backup"
    back_up(sqlite_store.url, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [other.name for other in tmp_path.iterdir() if "unfinished" in other.name] == []


def test_only_its_owner_may_read_what_was_restored(sqlite_store: Store, tmp_path: Path) -> None:
    path, new = tmp_path / "district.backup", tmp_path / "new.db"
    back_up(sqlite_store.url, path)

    restore(f"sqlite:///{new}", path)

    assert stat.S_IMODE(new.stat().st_mode) == 0o600


def test_a_backup_overwrites_nothing(sqlite_store: Store, tmp_path: Path) -> None:
    path = tmp_path / "district.backup"
    path.write_text("precious")
    with pytest.raises(BackupError, match="exists already"):
        back_up(sqlite_store.url, path)
    assert path.read_text() == "precious"


def test_a_backup_of_a_database_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="db upgrade"):
        back_up(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_changed_row_is_noticed_and_nothing_is_restored(sqlite_store: Store, tmp_path: Path) -> None:
    fill(sqlite_store)
    path, forged = tmp_path / "district.backup", tmp_path / "forged.backup"
    back_up(sqlite_store.url, path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(forged, "w") as out:
        for name in archive.namelist():
            data = archive.read(name)
            out.writestr(name, data.replace(b"Amina", b"Anima") if name == "tables/users.jsonl" else data)
    target = tmp_path / "new.db"
    with pytest.raises(BackupError, match="users is not what it was"):
        restore(f"sqlite:///{target}", forged)
    assert not target.exists()


@pytest.mark.parametrize("keep", [0.3, 0.7, 0.99])
def test_a_torn_file_is_noticed(sqlite_store: Store, tmp_path: Path, keep: float) -> None:
    fill(sqlite_store)
    path = tmp_path / "district.backup"
    back_up(sqlite_store.url, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(BackupError):
        verify(path)


def test_a_flipped_bit_is_noticed(sqlite_store: Store, tmp_path: Path) -> None:
    fill(sqlite_store)
    path = tmp_path / "district.backup"
    back_up(sqlite_store.url, path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        where = archive.getinfo("tables/orgs.jsonl").header_offset + 200
    data[where] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(BackupError):
        verify(path)


def test_something_else_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no file"):
        verify(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BackupError, match="not a backup"):
        verify(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("hello", "hello")
    with pytest.raises(BackupError, match="not a backup"):
        verify(tmp_path / "zip")


def test_a_backup_of_another_format_is_refused(sqlite_store: Store, tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    back_up(sqlite_store.url, path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as out:
        out.writestr("manifest.json", json.dumps({**json.loads(archive.read("manifest.json")), "format": 2}))
    with pytest.raises(BackupError, match="format 2"):
        verify(other)


def test_a_database_with_rows_is_never_restored_into(store: Store, sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "district.backup"
    back_up(sqlite_url, path)
    fill(store)
    before = contents(store)
    with pytest.raises(BackupError, match="not empty"):
        restore(store.url, path)
    assert contents(store) == before


def test_another_programs_database_is_left_alone(sqlite_url: str, empty_url: str, tmp_path: Path) -> None:
    from homeroom.store.database import connect

    path = tmp_path / "district.backup"
    back_up(sqlite_url, path)
    database = connect(empty_url)
    database.connect()
    database.execute_sql("CREATE TABLE theirs (id INTEGER)")
    with pytest.raises(BackupError, match="another program"):
        restore(empty_url, path)
    assert database.get_tables() == ["theirs"]
    database.close()


def test_a_migrated_but_empty_database_may_be_restored_into(store: Store, sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "district.backup"
    back_up(sqlite_url, path)
    store.close()
    assert restore(store.url, path).tables


def test_plugins_tables_come_along(empty_url: str, tmp_path: Path, plugins: dict[str, Path]) -> None:
    from homeroom.store.database import connect
    from homeroom.store.migrate import upgrade

    source = f"sqlite:///{tmp_path / 'source.db'}"
    upgrade(source, plugins)
    database = connect(source)
    database.connect()
    database.execute_sql("INSERT INTO notes_notes VALUES ('n', 1, ?)", (b"\x00\xff",))
    database.close()
    path = tmp_path / "district.backup"
    back_up(source, path)

    with pytest.raises(BackupError, match="notes: install and enable"):
        restore(empty_url, path)
    restore(empty_url, path, plugins=plugins)

    database = connect(empty_url)
    database.connect()
    row = database.execute_sql("SELECT id, done, body FROM notes_notes").fetchone()
    assert (row[0], bool(row[1]), bytes(row[2])) == ("n", True, b"\x00\xff")
    database.close()


def test_an_older_backup_is_brought_up_to_date(tmp_path: Path, plugins: dict[str, Path]) -> None:
    from homeroom.store.database import connect
    from homeroom.store.migrate import upgrade

    source = f"sqlite:///{tmp_path / 'source.db'}"
    upgrade(source, plugins)
    database = connect(source)
    database.connect()
    database.execute_sql("INSERT INTO notes_notes VALUES ('n', 1, NULL)")
    database.close()
    path = tmp_path / "district.backup"
    back_up(source, path)
    (plugins["notes"] / "0002_colour.py").write_text(
        "from peewee import TextField\n"
        "def up(migrator, db):\n"
        "    migrator.migrate(migrator.add_column('notes_notes', 'colour', TextField(default='red')))\n"
    )

    target = f"sqlite:///{tmp_path / 'target.db'}"
    restore(target, path, plugins=plugins)

    database = connect(target)
    database.connect()
    assert database.execute_sql("SELECT id, colour FROM notes_notes").fetchall() == [("n", "red")]
    database.close()


def test_a_backup_newer_than_the_code_is_refused(tmp_path: Path, plugins: dict[str, Path]) -> None:
    from homeroom.store.migrate import upgrade

    source, path = f"sqlite:///{tmp_path / 'source.db'}", tmp_path / "district.backup"
    upgrade(source, plugins)
    back_up(source, path)
    (plugins["notes"] / "0001_initial.py").rename(plugins["notes"] / "0001_other.py")
    with pytest.raises(StoreError, match="newer than this code"):
        restore(f"sqlite:///{tmp_path / 'target.db'}", path, plugins=plugins)
