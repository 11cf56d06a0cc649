"""The service of those who keep the records: correcting one, letting go of a student's, erasing a person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from homeroom.attendance import codes, marks
from homeroom.attendance.records import COUNTS, STATUSES, day_text
from homeroom.store import Connection, Refused, Store, StoreError, Transaction, conflict
from homeroom.store.erasure import EraseList, erase, is_erased
from homeroom.store.scrub import scrub
from homeroom.types import Status

_COUNTED = """
SELECT class_id, school_day, school_id, status, count(*) FROM attendance_records WHERE student_id = ?
GROUP BY class_id, school_day, school_id, status
"""
_SENT = "SELECT id FROM outgoing_marks WHERE connector IN (SELECT connector FROM outgoing_queues) AND student_id = ?"
_OWN = ("attendance_versions", "attendance_records", "absence_documents", "absence_reports", "notification_cases")
_WHOSE = {
    "outgoing_choices": f"mark_id IN ({_SENT})",
    "outgoing_writes": f"mark_id IN ({_SENT})",
    "outgoing_marks": f"id IN ({_SENT})",
    **dict.fromkeys(_OWN, "student_id = ?"),
}
"""A student's attendance and what a SIS was or will be sent of it, in the order in which it can be deleted."""


class StoredCustody:
    """What a plugin that keeps the law may do with the core's records. `erase_list` lies outside the database."""

    def __init__(self, store: Store, erase_list: Path | None) -> None:
        self._store = store
        self._erase_list = EraseList(erase_list) if erase_list is not None else None

    def correct(
        self,
        tx: Transaction,
        record_id: str,
        *,
        version: int | None,
        reason: str,
        status: Status | None = None,
        code: str | None = None,
        note: str | None = None,
    ) -> int:
        """Write a new version of an attendance record and keep the old one; gives the number of the new one."""
        wanted = marks.Correction(status=status, code=code, note=note, reason=reason, version=version, origin="office")
        return marks.correct(tx, record_id, wanted).version

    def codes(self, connection: Connection, school_id: str) -> Mapping[str, tuple[str, Status]]:
        """What each code of a school means, the retired ones too: its title and its status."""
        return {code.code: (code.title, code.status) for code in codes.codes_at(connection, school_id, retired=True)}

    def holdings(self, connection: Connection, student_id: str) -> dict[str, int]:
        """How many rows of each table `let_go` would delete."""
        held = {
            table: int(connection.sql(f"SELECT count(*) FROM {table} WHERE {whose}", (student_id,))[0][0])  # noqa: S608 - constants
            for table, whose in _WHOSE.items()
        }
        return {table: rows for table, rows in held.items() if rows}

    def let_go(self, tx: Transaction, student_id: str) -> dict[str, int]:
        """Delete a student's attendance with all its versions and absence reports; gives the rows of each table.

        So goes what was sent of it to a SIS: nothing else bounds `outgoing_writes`, which grows with each writing. The
        counters follow. The journal stays: it holds ids and codes, and would not verify without its rows.
        """
        for class_id, day, school_id, status, rows in tx.sql(_COUNTED, (student_id,)):
            by = tuple(-rows if status == other else 0 for other in STATUSES)
            tx.add(COUNTS, (class_id, day_text(day), school_id), by)
        done: dict[str, int] = {}
        for table, whose in _WHOSE.items():
            gone = tx.write_sql(f"DELETE FROM {table} WHERE {whose} RETURNING 1", (student_id,))  # noqa: S608 - constants
            done |= {table: len(gone)} if gone else {}
        return done

    async def erase(self, person_id: str, before: Callable[[Transaction], None]) -> Mapping[str, int]:
        """Take a person out for good; gives the rows of each table that were deleted or emptied.

        `before` runs first, in the same transaction, and may refuse. Raises Refused 409 where no erasure list is set.
        """
        people = self._erase_list
        if people is None:
            text = "Set database.erasure_list to a file outside the database first: an older backup needs it."
            raise conflict("no-erasure-list", text)
        await asyncio.to_thread(_ready, people)

        def unit(tx: Transaction) -> Mapping[str, int]:
            if is_erased(tx, person_id):
                return {}
            before(tx)
            return erase(tx, person_id)

        done = await self._store.write(unit)
        await asyncio.to_thread(_finish, people, person_id)
        await asyncio.to_thread(scrub, self._store.url)
        return done


def _ready(people: EraseList) -> None:
    try:
        people.check()
    except StoreError as exc:
        raise conflict("erasure-list-unusable", f"Nothing was erased: {exc}.") from None


def _finish(people: EraseList, person_id: str) -> None:
    try:
        if person_id not in people.ids():
            people.add([person_id])
    except StoreError as exc:
        text = f"The person is erased here, but {exc}. The next start of the server writes the line."
        raise Refused(503, "erasure-list-unusable", text) from None
