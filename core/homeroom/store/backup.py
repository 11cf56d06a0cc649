"""A whole database in one file, the same for SQLite and PostgreSQL, that says itself whether it is intact.

The file is a zip: `manifest.json` (format, migrations, and for each table its columns, rows and SHA-256) and
`tables/NAME.jsonl`, one row to a line. A backup may be restored into the other kind of database. It holds everything,
sealed values as they are sealed: it is worth nothing without ENCRYPTION_KEY, and must be guarded like the database.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any

import orjson
from peewee import Database, PostgresqlDatabase
from pydantic import BaseModel, ConfigDict, ValidationError

from homeroom.store import migrate
from homeroom.store.connection import now_utc
from homeroom.store.errors import StoreError
from homeroom.store.fields import iso
from homeroom.store.reach import connected, create_private
from homeroom.store.snapshot import BATCH, batches, snapshot

Progress = Callable[[str, int, int | None], None]
"""Called with a table's name, the rows done and how many there are."""

FORMAT = 1
_MANIFEST = "manifest.json"
_HISTORY = "migrations_"


class BackupError(StoreError):
    """A backup that cannot be made, is damaged, or does not fit this installation."""


class TableBackup(BaseModel):
    """What the manifest says of one table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    columns: list[str]
    rows: int
    sha256: str


class Manifest(BaseModel):
    """What a backup says of itself. `migrations` has for each owner those that were applied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    made_at: str
    made_from: str
    migrations: dict[str, list[str]]
    tables: list[TableBackup]

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    name: str
    kind: str


def _silent(_table: str, _done: int, _total: int | None) -> None:
    return


def back_up(url: str, path: Path, *, progress: Progress = _silent) -> Manifest:
    """Write the database at `url` to `path`, as it is at one moment, while others go on writing.

    Raises BackupError when `path` exists already or the database has no tables yet.
    """
    if path.exists():
        raise BackupError(f"{path} exists already; a backup never overwrites anything")
    # Readable by nobody else from the first byte on, and under its own name only once it is whole.
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            manifest = _write(url, archive, progress)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return manifest


def verify(path: Path, *, progress: Progress = _silent) -> Manifest:
    """The backup's manifest, once every table was read and found to be what it was. Raises BackupError."""
    with _opened(path) as archive:
        return _verified(archive, progress)


def restore(
    url: str,
    path: Path,
    *,
    plugins: Mapping[str, Path] | None = None,
    progress: Progress = _silent,
    check: Callable[[Database], None] | None = None,
) -> Manifest:
    """Fill the empty database at `url` from a backup that was verified first, and bring it up to date.

    `plugins` are the migration folders of the enabled plugins. All of it is one transaction for the rows: a failure
    leaves no half of them. `check` sees them before that is committed, and undoes it with what it raises. Raises
    BackupError when the backup is damaged or does not fit, or the database is not empty.
    """
    with _opened(path) as archive:
        manifest = _verified(archive, progress)
        _check_owners(manifest, plugins or {})
        create_private(url)  # before anything opens it, and so makes it
        _check_empty(url)
        # First the tables as they were when the backup was made, then its rows, then what has changed since.
        migrate.upgrade(url, plugins, only=manifest.migrations)
        with connected(url) as database, database.atomic():
            for table in manifest.tables:
                _fill(database, archive, table, progress)
            _restart_numbering(database, manifest)
            if check is not None:
                check(database)
    migrate.upgrade(url, plugins)
    return manifest


def _write(url: str, archive: zipfile.ZipFile, progress: Progress) -> Manifest:
    with snapshot(url) as database:
        names = sorted(_tables(database))
        if f"{_HISTORY}core" not in names:
            raise BackupError("this database has no tables yet; run: homeroom db upgrade")
        manifest = Manifest(
            format=FORMAT,
            made_at=iso(now_utc()),
            made_from="postgresql" if isinstance(database, PostgresqlDatabase) else "sqlite",
            migrations={
                name.removeprefix(_HISTORY): [
                    row[0]
                    for row in database.execute_sql(f'SELECT name FROM "{name}" ORDER BY name')  # noqa: S608 - a table's own name
                ]
                for name in names
                if name.startswith(_HISTORY)
            },
            tables=[_write_table(database, archive, name, progress) for name in names if not name.startswith(_HISTORY)],
        )
        archive.writestr(_MANIFEST, manifest.model_dump_json(indent=1))
    return manifest


def _write_table(database: Database, archive: zipfile.ZipFile, name: str, progress: Progress) -> TableBackup:
    columns = _columns(database, name)
    total = database.execute_sql(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - a table's own name
    sha, rows = hashlib.sha256(), 0
    with archive.open(f"tables/{name}.jsonl", "w", force_zip64=True) as out:
        for batch in batches(database, f'SELECT {_names(columns)} FROM "{name}"'):  # noqa: S608 - a table's own names
            data = b"".join(
                orjson.dumps([_portable(c, v) for c, v in zip(columns, row, strict=True)]) + b"\n" for row in batch
            )
            sha.update(data)
            out.write(data)
            rows += len(batch)
            progress(name, rows, total)
    return TableBackup(name=name, columns=[column.name for column in columns], rows=rows, sha256=sha.hexdigest())


def _verified(archive: zipfile.ZipFile, progress: Progress) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(archive.read(_MANIFEST))
    except (KeyError, ValidationError, zipfile.BadZipFile):
        raise BackupError("this is not a backup of Homeroom's, or its manifest is damaged") from None
    if manifest.format != FORMAT:
        raise BackupError(f"the backup has format {manifest.format}; this version of Homeroom reads {FORMAT}")
    for table in manifest.tables:
        sha, rows = hashlib.sha256(), 0
        try:
            with archive.open(f"tables/{table.name}.jsonl") as file:
                for line in file:
                    sha.update(line)
                    rows += 1
                    if rows % BATCH == 0:
                        progress(table.name, rows, table.rows)
        except (KeyError, zipfile.BadZipFile, EOFError, OSError, zlib.error):
            raise BackupError(f"the backup is damaged: {table.name} cannot be read") from None
        if sha.hexdigest() != table.sha256 or rows != table.rows:
            raise BackupError(f"the backup is damaged: {table.name} is not what it was when it was made")
    return manifest


def _check_owners(manifest: Manifest, plugins: Mapping[str, Path]) -> None:
    missing = sorted(set(manifest.migrations) - {"core"} - set(plugins))
    if missing:
        raise BackupError(
            f"the backup holds tables of {', '.join(missing)}: install and enable that first, then restore again"
        )


def _check_empty(url: str) -> None:
    with connected(url) as database:
        names = _tables(database)
        if names and f"{_HISTORY}core" not in names:
            raise BackupError("the database holds another program's tables; restore into a new one")
        filled = [
            name
            for name in names
            if not name.startswith(_HISTORY) and database.execute_sql(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608 - a table's own name
        ]
        if filled:
            raise BackupError("the database is not empty; restore into a new one (set DATABASE_URL to it)")
        for name in names:
            database.execute_sql(f'DROP TABLE "{name}"')


def _fill(database: Database, archive: zipfile.ZipFile, table: TableBackup, progress: Progress) -> None:
    there = {column.name: column for column in _columns(database, table.name)}
    if set(there) != set(table.columns):
        raise BackupError(f"the backup's table {table.name} has other columns than this version of Homeroom makes")
    columns = [there[name] for name in table.columns]
    mark = "%s" if isinstance(database, PostgresqlDatabase) else "?"
    text = f'INSERT INTO "{table.name}" ({_names(columns)}) VALUES ({", ".join([mark] * len(columns))})'  # noqa: S608 - a table's own names
    done = 0
    with archive.open(f"tables/{table.name}.jsonl") as file:
        while lines := list(_take(file)):
            rows = [[_native(c, v) for c, v in zip(columns, orjson.loads(line), strict=True)] for line in lines]
            cursor = database.cursor()
            cursor.executemany(text, rows)
            done += len(rows)
            progress(table.name, done, table.rows)
    found = database.execute_sql(f'SELECT count(*) FROM "{table.name}"').fetchone()[0]  # noqa: S608 - a table's own name
    if found != table.rows:
        raise BackupError(f"{table.name} has {found} rows after the restore, but {table.rows} were backed up")


def _take(file: IO[bytes]) -> Iterator[bytes]:
    for _, line in zip(range(BATCH), file, strict=False):
        yield line


def _restart_numbering(database: Database, manifest: Manifest) -> None:
    """Have PostgreSQL number new rows after the restored ones; SQLite does so by itself."""
    if not isinstance(database, PostgresqlDatabase):
        return
    for table in manifest.tables:
        for column in table.columns:
            found = database.execute_sql(
                "SELECT pg_get_serial_sequence(%s, %s)", (f'"{table.name}"', column)
            ).fetchone()
            if found[0]:
                newest = f'SELECT max("{column}") FROM "{table.name}"'  # noqa: S608 - a table's own names
                database.execute_sql(f"SELECT setval(%s, coalesce(({newest}), 0) + 1, false)", (found[0],))


def _portable(column: _Column, value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, datetime | date):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    if value is not None and column.kind == "boolean":
        return bool(value)
    return value


def _native(column: _Column, value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    if value is not None and column.kind == "boolean":
        return bool(value)
    return value


def _columns(database: Database, table: str) -> list[_Column]:
    found = [_Column(name=column.name, kind=column.data_type.lower()) for column in database.get_columns(table)]
    return [_Column(name=c.name, kind="boolean" if c.kind in ("boolean", "bool") else c.kind) for c in found]


def _names(columns: Sequence[_Column]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def _tables(database: Database) -> list[str]:
    return [name for name in database.get_tables() if not name.startswith("sqlite_")]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    if not path.is_file():
        raise BackupError(f"there is no file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except zipfile.BadZipFile:
        raise BackupError(f"{path} is not a backup, or it is damaged") from None
