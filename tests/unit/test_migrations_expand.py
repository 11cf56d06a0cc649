"""No migration takes away or tightens what the version before relies on, for that goes on running meanwhile."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from homeroom.store.database import connect
from homeroom.store.migrate import CORE, upgrade

BEFORE_THE_FIRST_RELEASE = {
    "0002_sync_safety",
    "0006_notify",
    "0010_documents",
}
"""Each adds a column that must have a value but has none by itself; nobody had installed a version before."""

HARMLESS = (
    'migrator.migrate(migrator.add_column("orgs", "x", TextField(null=True)), migrator.add_index("orgs", ("x",)))'
)
WITH_DEFAULT = "db.execute_sql(\"ALTER TABLE orgs ADD COLUMN x TEXT NOT NULL DEFAULT ''\")"


def shape(url: str) -> dict[str, dict[str, tuple[str, bool, bool]]]:
    """Each table's columns: their types, whether they must have a value, and whether they have one by themselves."""
    with closing(connect(url)) as database:
        database.connect()
        return {
            table: {
                str(name): (str(kind), bool(needed), default is not None)
                for _, name, kind, needed, default, _ in database.execute_sql(f'PRAGMA table_info("{table}")')
            }
            for table in database.get_tables()
        }


def uniques(url: str) -> set[tuple[str, tuple[str, ...]]]:
    """Each table's unique indexes."""
    with closing(connect(url)) as database:
        database.connect()
        found = ((table, index) for table in database.get_tables() for index in database.get_indexes(table))
        return {(table, tuple(index.columns)) for table, index in found if index.unique}


def breaks(url: str, folder: Path, name: str) -> list[str]:
    """What of a migration would make the version before fail."""
    before, unique = shape(url), uniques(url)
    upgrade(url, only={"core": [name]}) if folder == CORE else upgrade(url, {"trial": folder})
    after = shape(url)
    found = [f"{table} is gone" for table in before if table not in after]
    for table, columns in before.items():
        now = after.get(table, columns)
        found += [f"{table}.{column} is gone" for column in columns if column not in now]
        found += [
            f"{table}.{column} is another"
            for column in columns
            if now.get(column, columns[column])[:2] != columns[column][:2]
        ]
        found += [
            f"{table}.{column} has no value of its own"
            for column in now
            if column not in columns and now[column][1:] == (True, False)
        ]
    return found + [f"{table} has a new rule" for table, _ in uniques(url) - unique if table in before]


def test_what_was_there_is_only_added_to(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'grows.db'}"
    first, *others = sorted(path.stem for path in CORE.glob("[0-9]*.py"))
    upgrade(url, only={"core": [first]})
    assert {name for name in others if breaks(url, CORE, name)} == BEFORE_THE_FIRST_RELEASE


@pytest.mark.parametrize(
    ("does", "told"),
    [
        (HARMLESS, []),
        (WITH_DEFAULT, []),
        ('db.execute_sql("DROP TABLE cursors")', ["cursors is gone"]),
        ('migrator.migrate(migrator.drop_column("orgs", "time_zone"))', ["orgs.time_zone is gone"]),
        (
            'migrator.migrate(migrator.rename_column("orgs", "time_zone", "tz"))',
            ["orgs.time_zone is gone"],
        ),
        (
            'migrator.migrate(migrator.add_column("orgs", "x", TextField(default="")))',
            ["orgs.x has no value of its own"],
        ),
        ('migrator.migrate(migrator.add_not_null("orgs", "time_zone"))', ["orgs.time_zone is another"]),
        ('migrator.migrate(migrator.add_index("orgs", ("name",), True))', ["orgs has a new rule"]),
    ],
)
def test_what_would_break_the_version_before_is_found(
    sqlite_url: str, tmp_path: Path, does: str, told: list[str]
) -> None:
    folder = tmp_path / "trial"
    folder.mkdir()
    (folder / "0001_trial.py").write_text(f"from peewee import TextField\n\n\ndef up(migrator, db):\n    {does}\n")
    found: Any = breaks(sqlite_url, folder, "0001_trial")
    assert found == told
