"""Which audit rows name whom: kept beside the rows, so that a student's are found without reading all of them.

Filled behind them, in portions, so that entering a read costs nothing more; what is not in it yet is looked through.
"""

from __future__ import annotations

from functools import partial

import orjson

from homeroom import Connection, Services, Transaction

AT_ONCE = 500
_PAIRS_AT_ONCE = 400
_SEALED = "SELECT last_audit FROM ferpa_log_checkpoints ORDER BY number DESC LIMIT 1"
_LAST = "SELECT COALESCE(MAX(last_id), 0) FROM ferpa_audit_found WHERE name = 'students'"
_REACHED = """
INSERT INTO ferpa_audit_found (name, last_id) VALUES ('students', ?)
ON CONFLICT (name) DO UPDATE SET last_id = excluded.last_id WHERE ferpa_audit_found.last_id < excluded.last_id
"""


def found_upto(connection: Connection) -> int:
    """The id of the last audit row whose students are kept here."""
    return int(connection.sql(_LAST)[0][0])


async def keep_up(services: Services, *, portions: int = 4, least: int = AT_ONCE) -> None:
    """Take in some portions of what is sealed, if there are `least` rows of it: few writes, and a short tail."""
    for _ in range(portions):
        last, upto = await services.store.read(_waiting)
        if upto - last < least:
            return
        await services.store.submit(partial(_take, upto=upto))


def forget(tx: Transaction, purged: list[tuple[int, str]]) -> None:
    """Let go of audit rows that were deleted, given their ids and `student_ids`."""
    pairs = [(student, row_id) for row_id, students in purged for student in orjson.loads(students)]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        marks = ", ".join(["(?, ?)"] * len(some))
        tx.write_sql(
            f"DELETE FROM ferpa_audit_students WHERE (student_id, entry_id) IN (VALUES {marks})",  # noqa: S608 - marks only
            [value for pair in some for value in pair],
        )


def _waiting(connection: Connection) -> tuple[int, int]:
    """After which row taking in goes on, and the last that is sealed: before it no row can come any more."""
    rows = connection.sql(_SEALED)
    return found_upto(connection), int(rows[0][0]) if rows else 0


def _take(tx: Transaction, upto: int) -> None:
    last = found_upto(tx)
    rows = tx.sql(
        "SELECT id, student_ids FROM ferpa_audit WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", (last, upto, AT_ONCE)
    )
    pairs = [(student, row_id) for row_id, students in rows for student in orjson.loads(students)]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        marks = ", ".join(["(?, ?)"] * len(some))
        tx.write_sql(
            f"INSERT INTO ferpa_audit_students (student_id, entry_id) VALUES {marks} ON CONFLICT DO NOTHING",  # noqa: S608 - marks only
            [value for pair in some for value in pair],
        )
    reached = rows[-1][0] if len(rows) == AT_ONCE else upto
    tx.write_sql(_REACHED, (reached,))
