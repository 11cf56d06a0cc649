"""Bringing a database to what the code expects: numbered migrations, one history for the core and one per plugin."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peewee import Database, PostgresqlDatabase
from playhouse.migrations import Runner

from homeroom.store.engine import WRITE_LOCK
from homeroom.store.errors import StoreError
from homeroom.store.faults import Fault, fault_of, plain
from homeroom.store.reach import Unreachable, connected, create_private, explained

CORE = Path(__file__).parent / "migrations"
_NOT_ALLOWED = "42501"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One migration: whose it is, its name, and whether it was applied."""

    owner: str
    name: str
    applied: bool


class NewerDatabase(StoreError):
    """The database has seen migrations that this code does not know."""


class MigrationFailed(StoreError):
    """A migration did not go through and was undone; the text says which, why, and what to do."""


def status(url: str, plugins: Mapping[str, Path] | None = None) -> list[Pending]:
    """Every migration, in order. Raises NewerDatabase when one was applied that this code does not have."""
    with connected(url) as database:
        return [entry for owner, folder in _owners(plugins) for entry in _entries(database, owner, folder)]


def upgrade(
    url: str, plugins: Mapping[str, Path] | None = None, *, only: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Apply what is pending, each in its own transaction, alone among all processes; gives what was applied.

    Raises MigrationFailed when one does not go through: it is undone then, and those after it were not begun.

    `only` names the last ones to apply for each owner (a backup's): nothing is done for other owners, or beyond them.
    """
    done: list[str] = []
    create_private(url)
    with connected(url) as database, explained(url), _alone(database):
        for owner, folder in _owners(plugins):
            entries = _entries(database, owner, folder)
            known = {entry.name for entry in entries}
            wanted = only.get(owner, []) if only is not None else []
            if unknown := [name for name in wanted if name not in known]:
                raise NewerDatabase(f"the backup is newer than this code: it has seen {owner} migration {unknown[-1]}")
            if only is None or wanted:
                last = max(wanted) if wanted else max(known, default="")
                done += [
                    _apply(database, owner, folder, entry.name)
                    for entry in entries
                    if not entry.applied and entry.name <= last
                ]
    return done


def _apply(database: Database, owner: str, folder: Path, name: str) -> str:
    try:
        _runner(database, owner, folder).up(name)
    except Exception as exc:
        if getattr(getattr(exc, "orig", exc), "sqlstate", None) == _NOT_ALLOWED:
            problem = "the user of DATABASE_URL may not create tables there"
            raise Unreachable(problem, "Let it own the database: ALTER DATABASE … OWNER TO …") from None
        whose = "Update Homeroom" if owner == "core" else f"Update the plugin {owner}, or disable it in homeroom.toml"
        raise MigrationFailed(
            f"the {owner} migration {name} failed ({_cause(exc)}) and was undone; the database is as it was before it. "
            f"{whose}, or go back to the version that ran before, and tell the maintainers of this line"
        ) from exc
    return f"{owner}/{name}"


def _cause(exc: Exception) -> str:
    """What went wrong, with no data in it: PostgreSQL's texts may quote rows, SQLite's only name tables and columns."""
    raw = getattr(exc, "orig", exc)
    if fault_of(exc) is not Fault.UNIT:
        return plain(exc)
    return str(raw) if isinstance(raw, sqlite3.Error) else type(raw).__name__


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
