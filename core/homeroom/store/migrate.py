"""Bringing a database to what the code expects: numbered migrations, one history for the core and one per plugin."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peewee import Database, PostgresqlDatabase
from playhouse.migrations import Runner

from homeroom.store.database import connect, sqlite_path
from homeroom.store.engine import WRITE_LOCK
from homeroom.store.errors import StoreError

CORE = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One migration: whose it is, its name, and whether it was applied."""

    owner: str
    name: str
    applied: bool


class NewerDatabase(StoreError):
    """The database has seen migrations that this code does not know."""


def status(url: str, plugins: Mapping[str, Path] | None = None) -> list[Pending]:
    """Every migration, in order. Raises NewerDatabase when one was applied that this code does not have."""
    with _connected(url) as database:
        return [entry for owner, folder in _owners(plugins) for entry in _entries(database, owner, folder)]


def upgrade(
    url: str, plugins: Mapping[str, Path] | None = None, *, only: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Apply what is pending, each in its own transaction, alone among all processes; gives what was applied.

    `only` names the last ones to apply for each owner (a backup's): nothing is done for other owners, or beyond them.
    """
    done: list[str] = []
    _create_private(url)
    with _connected(url) as database, _alone(database):
        for owner, folder in _owners(plugins):
            known = {entry.name for entry in _entries(database, owner, folder)}
            wanted = only.get(owner, []) if only is not None else []
            if unknown := [name for name in wanted if name not in known]:
                raise NewerDatabase(f"the backup is newer than this code: it has seen {owner} migration {unknown[-1]}")
            if only is None or wanted:
                target = max(wanted) if wanted else None
                done += [f"{owner}/{name}" for name in _runner(database, owner, folder).up(target)]
    return done


def _create_private(url: str) -> None:
    """Create SQLite's file for its owner alone; left to itself, SQLite would let everybody on the machine read it."""
    if url.startswith("sqlite") and not sqlite_path(url).exists():
        os.close(os.open(sqlite_path(url), os.O_WRONLY | os.O_CREAT, 0o600))


def _owners(plugins: Mapping[str, Path] | None) -> list[tuple[str, Path]]:
    return [("core", CORE), *(plugins or {}).items()]


def _runner(database: Database, owner: str, folder: Path) -> Runner:
    return Runner(database, str(folder), table_name=f"migrations_{owner}")


def _entries(database: Database, owner: str, folder: Path) -> list[Pending]:
    rows = _runner(database, owner, folder).status()
    unknown = [row.name for row in rows if row.path is None]
    if unknown:
        raise NewerDatabase(
            f"the database is newer than this code: it has seen {owner} migration {unknown[-1]}. "
            "Install the version of Homeroom that made it, or restore an older backup."
        )
    return [Pending(owner=owner, name=row.name, applied=bool(row.applied)) for row in rows]


@contextlib.contextmanager
def _connected(url: str) -> Iterator[Database]:
    database = connect(url)
    database.connect()
    try:
        yield database
    finally:
        database.close()


@contextlib.contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Keep other processes from migrating at the same time."""
    if not isinstance(database, PostgresqlDatabase):
        with database.atomic("IMMEDIATE"):
            yield
        return
    database.execute_sql("SELECT pg_advisory_lock(%s)", (WRITE_LOCK + 1,))
    try:
        yield
    finally:
        database.execute_sql("SELECT pg_advisory_unlock(%s)", (WRITE_LOCK + 1,))
