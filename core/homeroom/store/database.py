"""From a DATABASE_URL to a peewee database whose connections are as safe as they must be."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from peewee import Database, PostgresqlDatabase, SqliteDatabase

from homeroom.store.errors import StoreError

_SQLITE_PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",  # an answered check-in survives a power cut
    "foreign_keys": 1,
    "busy_timeout": 5000,
    "cache_size": -16000,
    "secure_delete": 1,
    "temp_store": "memory",
}


def connect(url: str) -> Database:
    """The database that `url` names, not connected yet. Raises StoreError for a URL of another kind."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        path = sqlite_path(url)
        return SqliteDatabase(str(path), pragmas=_SQLITE_PRAGMAS, autoconnect=False, cached_statements=512)
    if parts.scheme in ("postgresql", "postgres"):
        return PostgresqlDatabase(
            url.replace("postgres://", "postgresql://", 1),
            prefer_psycopg3=True,
            autoconnect=False,
            connect_timeout=5,
            keepalives_idle=10,  # a host that vanished is noticed in half a minute, not in two hours
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,  # the same while something sent is not acknowledged: no probe goes out then
        )
    raise StoreError(f"DATABASE_URL must begin with sqlite:/// or postgresql://, not {parts.scheme or 'nothing'}://")


def sqlite_path(url: str) -> Path:
    """The file behind `sqlite:///PATH` (relative) or `sqlite:////PATH` (absolute)."""
    path = unquote(urlsplit(url).path)
    return Path(path.removeprefix("/"))
