"""A fresh database is what the models say, an old one becomes it, and a newer one is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playhouse.schema_diff import diff_models

from homeroom.store import Store, StoreError
from homeroom.store.cipher import Cipher
from homeroom.store.database import connect, sqlite_path
from homeroom.store.migrate import CORE, MigrationFailed, NewerDatabase, status, upgrade
from homeroom.store.models import TABLES

NAMES = sorted(path.stem for path in CORE.glob("[0-9]*.py"))
ALL = [f"core/{name}" for name in NAMES]

PLUGIN_UP = """
from peewee import Model, TextField

def up(migrator, db):
    class Thing(Model):
        name = TextField()
        class Meta:
            table_name = "acme_things"
    with db.bind_ctx([Thing]):
        db.create_tables([Thing], safe=False)
"""


def test_a_fresh_database_is_what_the_models_say(database_url: str) -> None:
    database = connect(database_url)
    database.connect()
    try:
        with database.bind_ctx(TABLES):
            differences = diff_models(database, list(TABLES))
        assert str(differences) == "" or not differences, str(differences)
    finally:
        database.close()


def test_upgrading_twice_changes_nothing(empty_url: str) -> None:
    assert upgrade(empty_url) == ALL
    assert upgrade(empty_url) == []
    assert [(entry.name, entry.applied) for entry in status(empty_url)] == [(name, True) for name in NAMES]


def test_pending_migrations_are_told_before_they_are_applied(empty_url: str) -> None:
    assert [(entry.owner, entry.applied) for entry in status(empty_url)] == [("core", False) for _ in NAMES]


def test_a_plugin_has_a_history_of_its_own(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "0001_things.py").write_text(PLUGIN_UP)
    assert upgrade(database_url, {"acme": tmp_path}) == ["acme/0001_things"]
    assert upgrade(database_url, {"acme": tmp_path}) == []
    assert upgrade(database_url) == []  # switched off, its tables stay
    assert [(entry.owner, entry.applied) for entry in status(database_url, {"acme": tmp_path})] == [
        *(("core", True) for _ in NAMES),
        ("acme", True),
    ]


def test_a_migration_that_fails_leaves_nothing_half_done(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "0001_things.py").write_text(PLUGIN_UP + "\n    db.execute_sql('DROP TABLE nowhere')\n")
    with pytest.raises(MigrationFailed, match=r"the acme migration 0001_things failed .* and was undone"):
        upgrade(database_url, {"acme": tmp_path})
    (tmp_path / "0001_things.py").write_text(PLUGIN_UP)
    assert upgrade(database_url, {"acme": tmp_path}) == ["acme/0001_things"]


def test_a_newer_database_is_refused_in_plain_words(database_url: str, tmp_path: Path) -> None:
    newer = tmp_path / "0002_later.py"
    newer.write_text("def up(migrator, db):\n    pass\n")
    upgrade(database_url, {"acme": tmp_path})
    newer.unlink()
    with pytest.raises(NewerDatabase, match="newer than this code: it has seen acme migration 0002_later"):
        status(database_url, {"acme": tmp_path})
    with pytest.raises(NewerDatabase):
        upgrade(database_url, {"acme": tmp_path})


def test_two_processes_that_upgrade_at_once_both_succeed(empty_url: str) -> None:
    code = f"from homeroom.store.migrate import upgrade; print(upgrade({empty_url!r}))"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outcomes = [(process.communicate(timeout=60), process.returncode) for process in running]
    assert [code for _, code in outcomes] == [0, 0], outcomes
    assert sorted(out.strip() for (out, _), _ in outcomes) == [str(ALL), "[]"]


@pytest.mark.parametrize("url", ["mysql://localhost/x", "homeroom.db", ""])
def test_a_url_of_another_kind_is_refused_with_the_right_ones(url: str, cipher: Cipher) -> None:
    with pytest.raises(StoreError, match="must begin with sqlite:/// or postgresql://"):
        Store(url, cipher=cipher)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///./homeroom.db", "homeroom.db"),
        ("sqlite:////var/lib/homeroom.db", "/var/lib/homeroom.db"),
        ("sqlite:///a%20school.db", "a school.db"),
    ],
)
def test_a_sqlite_url_names_a_relative_or_absolute_file(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)
