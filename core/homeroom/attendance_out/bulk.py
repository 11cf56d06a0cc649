"""Many rows changed in one statement, each to values of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homeroom.store import Transaction

_ROWS = (1, 10, 50, 200)  # a few sizes only: each connection keeps every text that it has prepared


def update_each(tx: Transaction, table: str, key: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Give each row its values for `columns`; the first value of each of `rows` is the text in `key`."""
    most = _ROWS[-1]
    names = [f"{name} = v.column{position}" for position, name in enumerate(columns, start=2)]
    for start in range(0, len(rows), most):
        some = list(rows[start : start + most])
        size = next(size for size in _ROWS if size >= len(some))
        some += [some[-1]] * (size - len(some))
        row = f"({', '.join('?' * (len(columns) + 1))})"
        text = (
            f"UPDATE {table} SET {', '.join(names)} FROM (VALUES {', '.join([row] * size)}) AS v "  # noqa: S608 - names are ours
            f"WHERE {table}.{key} = v.column1"
        )
        tx.write_sql(text, [value for values in some for value in values])
