"""What teachers and families do around a roll, in words short enough for a test."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal

from homeroom.attendance.absences import Report, decide, report_absence
from homeroom.attendance.marks import Correction, NewMark, correct, mark
from homeroom.attendance.records import find
from homeroom.store import Transaction, new_id
from homeroom.store import models as m
from homeroom.types import Status
from tests.services.families import TODAY, Families


def mark_one(
    families: Families,
    session_id: str,
    student_id: str,
    status: Status,
    *,
    code: str | None = None,
    minutes_late: int | None = None,
) -> None:
    """Mark one student, with a code or minutes."""
    made = NewMark(student_id=student_id, status=status, code=code, minutes_late=minutes_late)
    families.store.write_now(lambda tx: mark(tx, session_id, [made]))


def correct_one(
    families: Families, session_id: str, student_id: str, status: Status, *, code: str | None = None
) -> None:
    """Correct a student's record, whether the session is closed or not."""

    def unit(tx: Transaction) -> None:
        record = find(tx, session_id, student_id)
        assert record is not None
        correct(tx, record.id, Correction(status=status, code=code, reason="a mistake", version=record.version))

    families.store.write_now(unit)


def marked_on(families: Families, day: date, name: str = "homeroom", **statuses: Status) -> str:
    """A session of that day in which these students were marked."""
    session = families.open(name, day=day)
    families.mark(session, **statuses)
    return session


def report(families: Families, student_id: str, first: date = TODAY, last: date | None = None) -> str:
    """A family tells an absence."""
    told = Report(id=new_id(), student_id=student_id, first_day=first, last_day=last or first)
    return families.store.write_now(lambda tx: report_absence(tx, told)).id


def decided(families: Families, report_id: str, decision: Literal["approved", "refused"]) -> None:
    """The office decides on what was told."""
    families.store.write_now(lambda tx: decide(tx, report_id, decision))


def told(families: Families, *kinds: str) -> list[tuple[str, str, str]]:
    """Each message in the order in which it was made: (kind, recipient, state)."""
    return [(row.kind, row.recipient_id, row.state) for row in families.messages() if not kinds or row.kind in kinds]


def texts(families: Families) -> list[str]:
    """What the vendor took, without the addresses."""
    return [text for _, text in families.sent()]


def at_hour(families: Families, hour: int, minute: int = 0, *, day: date = TODAY) -> None:
    """Let it be that hour, UTC."""
    families.clock.move_to(datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC))


def days_before(count: int, *, of: date = TODAY) -> date:
    """That many calendar days before."""
    return of - timedelta(days=count)


def rows(families: Families, table: str) -> int:
    """How many rows a table of the tests has."""
    found = families.store.read_now(lambda c: c.sql(f"SELECT COUNT(*) FROM {table}"))  # noqa: S608 - a constant
    return int(found[0][0])


def school(families: Families, school_id: str, *, zone: str | None = None, kind: str = "homeroom") -> str:
    """Another school with one class of the same name and a teacher, `SCHOOL_teacher`; gives the class's id."""

    def unit(tx: Transaction) -> None:
        tx.insert(
            m.Org,
            id=school_id,
            name=f"{school_id.title()} School",
            kind="school",
            parent_id="district",
            time_zone=zone,
            changed_at=tx.now,
        )
        tx.insert(m.Class, id=f"{school_id}_class", title=school_id, school_id=school_id, kind=kind, changed_at=tx.now)

    families.store.write_now(unit)
    return f"{school_id}_class"
