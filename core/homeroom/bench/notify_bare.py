"""The baseline of `homeroom bench notify`: the rows that the notifier has made, inserted with nothing around them.

Tables without any index but their key, one `executemany` for each table, one transaction for as many cases as the
notifier judges at once, and on SQLite synchronous FULL as in Homeroom.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from peewee import DateField, Field, IntegerField

from homeroom.bench.sync_bare import connected, transaction
from homeroom.notify.notifier import AT_ONCE
from homeroom.store import Connection
from homeroom.store import models as m

Rows = dict[str, list[tuple[Any, ...]]]

_CASES, _MESSAGES = "notification_cases", "notifications"
_TABLES: Mapping[str, tuple[type[m.Table], str]] = {
    _CASES: (m.NotificationCase, "student_id, school_id, school_day"),
    _MESSAGES: (m.Notification, "id"),
}
"""The model of each table, and its key."""


def rows_of(connection: Connection) -> Rows:
    """Every row of the cases and of the outbox, by table."""
    return {
        table: connection.sql(f"SELECT {', '.join(_columns(table))} FROM {table} ORDER BY student_id")  # noqa: S608 - names are ours
        for table in _TABLES
    }


def insert(url: str, rows: Rows) -> float:
    """Seconds in which they are inserted into an empty database: a SQLite file, or a PostgreSQL URL."""
    with contextlib.closing(connected(url)) as connection:
        for table, (_, key) in _TABLES.items():
            kinds = ", ".join(f"{name} {kind}" for name, kind in _columns(table).items())
            connection.execute(f"CREATE TABLE bare_{table} ({kinds}, PRIMARY KEY ({key}))")
        mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
        texts = {table: f"({', '.join([mark] * len(_columns(table)))})" for table in _TABLES}
        units = _units(rows)
        started = time.perf_counter()
        for unit in units:
            with transaction(connection):
                for table, some in unit.items():
                    connection.cursor().executemany(f"INSERT INTO bare_{table} VALUES {texts[table]}", some)  # noqa: S608 - names are ours
        return time.perf_counter() - started


def _units(rows: Rows) -> list[Rows]:
    """The cases in portions, each with the messages that came of it."""
    column = list(_columns(_MESSAGES)).index("student_id")
    of_student: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows[_MESSAGES]:
        of_student[row[column]].append(row)
    units: list[Rows] = []
    for start in range(0, len(rows[_CASES]), AT_ONCE):
        cases = rows[_CASES][start : start + AT_ONCE]
        units.append({_CASES: cases, _MESSAGES: [row for case in cases for row in of_student[case[0]]]})
    return units


def _columns(table: str) -> dict[str, str]:
    """The columns of a table, and the kind of each."""
    fields: list[Field] = _TABLES[table][0]._meta.sorted_fields  # noqa: SLF001 - peewee's documented API
    return {field.column_name: _kind(field) for field in fields}


def _kind(field: Field) -> str:
    match field:
        case DateField():
            return "date"
        case IntegerField():
            return "integer"
    return "text"
