"""Attendance as the tests of what follows it need it: one student's mark, entered as the core enters it."""

from __future__ import annotations

from collections.abc import Callable

from homeroom.attendance import records
from homeroom.store import Transaction, iso, new_id
from homeroom.types import Status
from tests.services.world import CLASSES, TODAY


def mark(class_id: str, student_id: str, status: Status = "present") -> Callable[[Transaction], bool]:
    """A unit that gives a student of the world a mark in the session of a class, or changes the one there."""
    record_id = new_id()

    def unit(tx: Transaction) -> bool:
        session_id = f"session_{class_id}"
        old = records.find(tx, session_id, student_id)
        if old is not None:
            change = records.Change(status=status, origin="teacher", by=None, reason="a test")
            return bool(records.amend(tx, old, change))
        now = iso(tx.now)
        return records.add(
            tx,
            records.Record(
                id=record_id,
                session_id=session_id,
                class_id=class_id,
                school_id=CLASSES[class_id],
                student_id=student_id,
                school_day=TODAY.isoformat(),
                status=status,
                origin="teacher",
                recorded_at=now,
                valid_from=now,
            ),
        )

    return unit
