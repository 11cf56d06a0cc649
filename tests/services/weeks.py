"""Three weeks of attendance in the small world, for reports: the same for every test, and easy to count by hand."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from homeroom.attendance import records
from homeroom.store import Transaction, iso
from homeroom.store import models as m
from homeroom.types import Status
from tests.services.world import CLASSES, TODAY

DAYS = [TODAY - timedelta(days=back) for back in range(20, 0, -1)]
"""The days with a session in algebra and chemistry; every day of the week is a school day."""
MISSED: dict[str, tuple[int, Status]] = {"ann": (3, "absent"), "cy": (1, "excused")}
"""How many of the first days each student missed, and how."""
HOLIDAY = DAYS[-1]
"""A day on which north is closed by its calendar, marks or not."""


def attended(tx: Transaction) -> None:
    """Ann in algebra (north) and Cy in chemistry (south), on each of DAYS; Ann checked in by code on the last."""
    tx.insert(m.CalendarDay, school_id="north", day=HOLIDAY, in_session=False, title="Snow")
    for number, day in enumerate(DAYS):
        for student, class_id in (("ann", "algebra"), ("cy", "chemistry")):
            missed, how = MISSED[student]
            status: Status = how if number < missed else "tardy" if number == missed else "present"
            _mark(tx, day, class_id, student, status, code=student == "ann" and number >= 10)


def _mark(tx: Transaction, day: date, class_id: str, student: str, status: Status, *, code: bool) -> None:
    at = datetime.combine(day, time(8, 30), tx.now.tzinfo)
    session = f"then_{class_id}_{day}"
    tx.insert(
        m.ClassSession,
        id=session,
        class_id=class_id,
        school_id=CLASSES[class_id],
        school_day=day,
        starts_at=at,
        late_after_minutes=5,
        state="closed",
        roll_taken_at=at,
    )
    record = records.Record(
        id=f"{session}_{student}",
        session_id=session,
        student_id=student,
        status=status,
        origin="check_in" if code else "teacher",
        evidence=[{"method": "rotating_code", "verdict": "accept", "reason": ""}] if code else [],
        recorded_at=iso(at),
        valid_from=iso(at),
        class_id=class_id,
        school_id=CLASSES[class_id],
        school_day=day.isoformat(),
    )
    assert records.add(tx, record)
