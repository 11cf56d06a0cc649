"""Reading much of a database as it is at one moment, a piece at a time, while others go on writing."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

from peewee import Database, PostgresqlDatabase

from homeroom.store.reach import connected

_NUMBERS = itertools.count()

BATCH = 1000
"""Rows that are in memory at a time."""


@contextlib.contextmanager
def snapshot(url: str) -> Iterator[Database]:
    """A connection on which everything that is read is of one moment."""
    with connected(url) as database:
        postgres = isinstance(database, PostgresqlDatabase)
        database.execute_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if postgres else "BEGIN")
        try:
            yield database
        finally:
            database.execute_sql("ROLLBACK")


def batches(database: Database, select: str) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a SELECT inside a snapshot, never all at once: PostgreSQL's client would fetch them all."""
    if isinstance(database, PostgresqlDatabase):
        cursor = database.connection().cursor(name=f"homeroom_batches_{next(_NUMBERS)}")
        cursor.execute(select)
    else:
        cursor = database.execute_sql(select)
    try:
        while rows := cursor.fetchmany(BATCH):
            yield rows
    finally:
        cursor.close()
