"""Many rows in one statement: what peewee would spend most of a sync's time on building.

PostgreSQL gets the rows as one parameter, in JSON: thousands of them cost its driver more than the rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import orjson

from homeroom.store.connection import Connection, Transaction

_T = TypeVar("_T")

# Statements come in a few sizes only: each connection keeps every text that it has prepared.
_ROWS = (500, 250, 125, 62, 31, 15, 7, 3, 1)
_VALUES = (1, 10, 50, 250, 500)


def upsert(
    tx: Transaction,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    same: Mapping[str, Any] | None = None,
    on_conflict: str = "",
) -> None:
    """Insert `rows`, each with the `same` values in further columns.

    `on_conflict` is the clause for those whose key is taken ("" fails on them).
    """
    same = same or {}
    if rows and not tx.is_sqlite:
        names = _quoted([*same, *columns])
        told = f"SELECT {names} FROM json_populate_recordset(NULL::{table}, ?::json)"  # noqa: S608 - names are ours
        text = f"INSERT INTO {table} ({names}) {told} {on_conflict}"
        tx.write_sql(text, [orjson.dumps([{**same, **dict(zip(columns, row, strict=True))} for row in rows]).decode()])
        return
    for some in _pieces(rows):
        text = _insert(table, (tuple(same), tuple(columns)), len(some), on_conflict)
        tx.write_sql(text, [*same.values(), *chain.from_iterable(some)])


@cache
def _insert(table: str, columns: tuple[tuple[str, ...], tuple[str, ...]], rows: int, on_conflict: str) -> str:
    """The statement for so many rows, made once: it is long. The first of `columns` are the same for all."""
    same, own = columns
    row = f"({', '.join('?' * len(own))})"
    told = ", ".join([*"?" * len(same), "*"])
    values = f"SELECT {told} FROM (VALUES {', '.join([row] * rows)}) WHERE true"  # noqa: S608 - marks only
    return f"INSERT INTO {table} ({_quoted([*same, *own])}) {values} {on_conflict}"


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


def select_given(
    connection: Connection, text: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> list[tuple[Any, ...]]:
    """Rows of a query that holds `FROM {}` where a table of these `rows` goes; `columns` are their names and types."""
    if rows and not connection.is_sqlite:
        table = f"json_to_recordset(?::json) AS given({', '.join(map(' '.join, columns.items()))})"
        told = [dict(zip(columns, row, strict=True)) for row in rows]
        return connection.sql(text.replace("{}", table), [orjson.dumps(told).decode()])
    found: list[tuple[Any, ...]] = []
    names = ", ".join(f"column{position} AS {name}" for position, name in enumerate(columns, start=1))
    for some in _pieces(rows):
        values = ", ".join([f"({', '.join('?' * len(columns))})"] * len(some))
        table = f"(SELECT {names} FROM (VALUES {values}))"  # noqa: S608 - names are ours
        found += connection.sql(text.replace("{}", table), list(chain.from_iterable(some)))
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
