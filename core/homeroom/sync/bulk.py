"""Many rows in one statement: what peewee would spend most of a sync's time on building."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from homeroom.store import Connection, Transaction

_T = TypeVar("_T")

_PARAMETERS = 30_000  # SQLite takes 32,766 in one statement, PostgreSQL 65,535


def upsert(
    tx: Transaction, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, on_conflict: str = ""
) -> None:
    """Insert `rows`; `on_conflict` is the clause for those whose key is taken ("" fails on them)."""
    row = f"({', '.join('?' * len(columns))})"
    for some in chunks(rows, _PARAMETERS // len(columns)):
        text = f"INSERT INTO {table} ({_quoted(columns)}) VALUES {', '.join([row] * len(some))} {on_conflict}"  # noqa: S608 - names are ours
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
    """Rows of a query that holds `{}` where the list of `values` goes."""
    if not values:
        return []
    marks = ", ".join("?" * len(values))
    return connection.sql(text.replace("{}", marks), [*before, *values, *after])


def chunks(rows: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """`rows` in pieces of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
