"""Leaving nothing of what was deleted in the database's own files."""

from __future__ import annotations

import contextlib
import time

import structlog
from peewee import Database, OperationalError, PostgresqlDatabase

from homeroom.store.reach import connected

log = structlog.get_logger("homeroom.store")

_TRIES = 20
_PAUSE = 0.25


def scrub(url: str) -> bool:
    """Rewrite SQLite's file without what was deleted, and empty its WAL; whether that could be done now.

    `secure_delete` overwrites a deleted row where it lay, but a page that was rearranged may keep an older copy of a
    row: only VACUUM is sure. PostgreSQL's VACUUM frees the space of deleted rows and overwrites it in its own time; its
    WAL and archives are out of reach. Others wait meanwhile, as long as the file takes to be written once.
    """
    with connected(url) as database:
        if isinstance(database, PostgresqlDatabase):
            database.execute_sql("VACUUM")
            return True
        # The copy holds everything and must not fill the memory; it lies in the temporary folder for that time only.
        database.execute_sql("PRAGMA temp_store = FILE")
        done = _truncated(database) and _vacuumed(database) and _truncated(database)
    if not done:
        log.warning("not_scrubbed", reason="others were using the database all the time")
    return done


def _vacuumed(database: Database) -> bool:
    for _ in range(_TRIES):
        with contextlib.suppress(OperationalError):
            database.execute_sql("VACUUM")
            return True
        time.sleep(_PAUSE)  # another connection writes: nothing to wait on but time
    return False


def _truncated(database: Database) -> bool:
    """Move the WAL into the file and empty it."""
    for _ in range(_TRIES):
        busy = database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if not busy:
            return True
        time.sleep(_PAUSE)  # a reader still needs it
    return False
