"""Which rows of the log name whom: kept beside the rows, so that a student's are found without reading all of them.

That goes for all audit rows, and for those of the journal that name their students in a list. Filled behind them, in
portions, so that entering a read costs nothing more; what is not in it yet is looked through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import orjson

from homeroom import Connection, Services, Transaction

AT_ONCE = 500
LISTS: Mapping[str, str] = {
    "data.handed_out": "student_ids",
    "attendance_out.handed_over": "student_ids",
    "compliance.disclosed": "students",
    "compliance.disclosure_refused": "students",
}
"""The kinds of event whose data lists students, and where in it."""

_EVENTS_AT_ONCE = 20  # some list a few hundred students
_EVENTS_FAR = 5000
_PAIRS_AT_ONCE = 400
_LAST = "SELECT COALESCE(MAX(last_id), 0) FROM ferpa_audit_found WHERE name = ?"
_REACHED = """
INSERT INTO ferpa_audit_found (name, last_id) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET last_id = excluded.last_id WHERE ferpa_audit_found.last_id < excluded.last_id
"""

Pairs = list[tuple[str, int]]
"""Students, each with the id of a row that names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One table of who is named where. `take` gives what rows after one id name, up to another, and how far it came."""

    name: str
    table: str
    column: str
    sealed: str
    take: Callable[[Connection, int, int], tuple[Pairs, int]]

    def upto(self, connection: Connection) -> int:
        """The id of the last row whose students are kept here."""
        return int(connection.sql(_LAST, (self.name,))[0][0])

    def keep(self, tx: Transaction, upto: int) -> None:
        """Take in a portion of the rows that are not in here yet."""
        pairs, reached = self.take(tx, self.upto(tx), upto)
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            some = pairs[start : start + _PAIRS_AT_ONCE]
            marks = ", ".join(["(?, ?)"] * len(some))
            tx.write_sql(
                f"INSERT INTO {self.table} (student_id, {self.column}) VALUES {marks} ON CONFLICT DO NOTHING",  # noqa: S608 - constants and marks
                [value for pair in some for value in pair],
            )
        tx.write_sql(_REACHED, (self.name, reached))

    def waiting(self, connection: Connection) -> tuple[int, int]:
        """After which row taking in goes on, and the last that is sealed: before it no row can come any more."""
        text = f"SELECT {self.sealed} FROM ferpa_log_checkpoints ORDER BY number DESC LIMIT 1"  # noqa: S608 - a constant
        rows = connection.sql(text)
        return self.upto(connection), int(rows[0][0]) if rows else 0


async def keep_up(services: Services, *, portions: int = 4, least: int = AT_ONCE) -> None:
    """Take in some portions of what is sealed, if there are `least` rows of it: few writes, and a short tail."""
    for index in (READS, EVENTS):
        for _ in range(portions):
            last, upto = await services.store.read(index.waiting)
            if upto - last < least:
                break
            await services.store.submit(partial(index.keep, upto=upto))


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


def listed(kind: str, data: str) -> tuple[str, ...]:
    """The students whom an event of the journal lists; none where its data is not what was written."""
    if kind not in LISTS:
        return ()
    try:
        found = orjson.loads(data)[LISTS[kind]]
        return tuple(one for one in found if isinstance(one, str))
    except (ValueError, TypeError, KeyError):
        return ()


def _of_reads(connection: Connection, last: int, upto: int) -> tuple[Pairs, int]:
    rows = connection.sql(
        "SELECT id, student_ids FROM ferpa_audit WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", (last, upto, AT_ONCE)
    )
    pairs = [(student, row_id) for row_id, students in rows for student in orjson.loads(students)]
    return pairs, rows[-1][0] if len(rows) == AT_ONCE else upto


def _of_events(connection: Connection, last: int, upto: int) -> tuple[Pairs, int]:
    upto = min(upto, last + _EVENTS_FAR)
    marks = ", ".join("?" * len(LISTS))
    rows = connection.sql(
        f"SELECT id, kind, student_id, data FROM journal WHERE id > ? AND id <= ? AND kind IN ({marks}) "  # noqa: S608 - marks only
        "ORDER BY id LIMIT ?",
        (last, upto, *LISTS, _EVENTS_AT_ONCE),
    )
    pairs = [(one, row_id) for row_id, kind, student, data in rows for one in listed(kind, data) if one != student]
    return pairs, rows[-1][0] if len(rows) == _EVENTS_AT_ONCE else upto


READS = Index(name="students", table="ferpa_audit_students", column="entry_id", sealed="last_audit", take=_of_reads)
EVENTS = Index(name="events", table="ferpa_journal_students", column="event_id", sealed="last_journal", take=_of_events)
