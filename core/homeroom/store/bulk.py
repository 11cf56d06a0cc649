"""Many rows in one statement: what peewee would spend most of a sync's time on building.

PostgreSQL gets the rows as one parameter, in JSON: thousands of them cost its driver more than the rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import orjson

from homeroom.store.connection import Connection, Transaction

_T = TypeVar("_T")

# Statements come in a few sizes only: each connection keeps every text that it has prepared.
_ROWS = (250, 50, 10, 1)
_VALUES = (1, 10, 50, 250, 500)


def upsert(
    tx: Transaction, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, on_conflict: str = ""
) -> None:
    """Insert `rows`; `on_conflict` is the clause for those whose key is taken ("" fails on them)."""
    if rows and not tx.is_sqlite:
        names = _quoted(columns)
        told = f"SELECT {names} FROM json_populate_recordset(NULL::{table}, ?::json)"  # noqa: S608 - names are ours
        text = f"INSERT INTO {table} ({names}) {told} {on_conflict}"
        tx.write_sql(text, [orjson.dumps([dict(zip(columns, row, strict=True)) for row in rows]).decode()])
        return
    for some in _pieces(rows):
        tx.write_sql(_insert(table, tuple(columns), len(some), on_conflict), list(chain.from_iterable(some)))


@cache
def _insert(table: str, columns: tuple[str, ...], rows: int, on_conflict: str) -> str:
    """The statement for so many rows, made once: it is long."""
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({_quoted(columns)}) VALUES {', '.join([row] * rows)} {on_conflict}"  # noqa: S608 - names are ours


def update_each(tx: Transaction, table: str, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Give each row its values for `columns`; the first value of each of `rows` is the text in `key`."""
    most = _ROWS[0]
    names = [f"{name} = v.column{position}" for position, name in enumerate(columns, start=2)]
    for start in range(0, len(rows), most):
        some = list(rows[start : start + most])
        size = next(size for size in reversed(_ROWS) if size >= len(some))
        some += [some[-1]] * (size - len(some))
        row = f"({', '.join('?' * (len(columns) + 1))})"
        text = (
            f"UPDATE {table} SET {', '.join(names)} FROM (VALUES {', '.join([row] * size)}) AS v "  # noqa: S608 - names are ours
            f"WHERE {table}.{key} = v.column1"
        )
        tx.write_sql(text, [value for values in some for value in values])


def replace_on(keys: Sequence[str], columns: Sequence[str]) -> str:
    """The conflict clause that takes the new row's values for every column that is not a key."""
    values = ", ".join(f'"{column}" = excluded."{column}"' for column in columns if column not in keys)
    return f"ON CONFLICT ({_quoted(keys)}) DO UPDATE SET {values}"


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)  # one of them is called "primary"


def select_in(
    connection: Connection, text: str, before: Sequence[Any], values: Sequence[Any], after: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Rows of a query that holds `IN ({})` where the list of `values` goes, however long it is.

    SQLite is asked for some hundred values at once: what the query sorts or sums up, it does so for these alone.
    """
    if not values:
        return []
    if not connection.is_sqlite:
        return connection.sql(text.replace("IN ({})", "= ANY(?)"), [*before, list(values), *after])
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(values), _VALUES[-1]):
        some = values[start : start + _VALUES[-1]]
        size = next(size for size in _VALUES if size >= len(some))
        padded = [*some, *[some[-1]] * (size - len(some))]
        found += connection.sql(text.replace("{}", ", ".join("?" * size)), [*before, *padded, *after])
    return found


def write_in(tx: Transaction, text: str, before: Sequence[Any], values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Like `select_in`, for a statement that writes."""
    if values:
        tx.wrote = True
    return select_in(tx, text, before, values)


def _pieces(rows: Sequence[_T]) -> Iterator[Sequence[_T]]:
    start = 0
    for size in _ROWS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size
