"""Absences told ahead or afterwards by a guardian or the office, and how the marks follow their approval."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Literal

from homeroom.attendance.codes import Code, code_at, codes_at, default_code
from homeroom.attendance.records import COLUMNS as RECORD_COLUMNS
from homeroom.attendance.records import Change, amend, day_text, of_row, unsealed
from homeroom.store import Connection, Refused, Transaction, iso, not_found
from homeroom.store import models as m
from homeroom.store.bulk import select_in

LONGEST = timedelta(days=200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """An absence report. `last_day` is included; `state` is "reported", "approved" or "refused"."""

    id: str
    student_id: str
    first_day: str
    last_day: str
    code: str
    reason: str | None = field(default=None, repr=False)
    state: str
    reported_by: str
    reported_at: str
    decided_by: str | None = None
    decided_at: str | None = None


_COLUMNS = tuple(Absence.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM absence_reports"  # noqa: S608 - constants
_RECORDS = (
    f"SELECT {', '.join(RECORD_COLUMNS)} FROM attendance_records "  # noqa: S608 - constants
    "WHERE student_id = ? AND school_day >= ? AND school_day <= ? AND status = 'absent'"
)
_COVERING = (
    "SELECT student_id, code FROM absence_reports WHERE state = 'approved' AND first_day <= ? AND last_day >= ? "
    "AND student_id IN ({}) ORDER BY id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a guardian or the office tells; `id` is made before the unit of work. `code` None takes the usual one.

    A `by_family` one may name only a code that families may use.
    """

    id: str
    student_id: str
    first_day: date
    last_day: date
    code: str | None = None
    reason: str | None = field(default=None, repr=False)
    by_family: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which reports. `within` selects the ids of the students whom the caller reaches; None means all."""

    student_id: str | None = None
    within: Any = None
    state: str | None = None
    after: str | None = None
    limit: int = 100


def report_absence(tx: Transaction, report: Report) -> Absence:
    """Keep a report until staff decide. Raises Refused 422 for days in the wrong order or an unknown code."""
    if tx.sql("SELECT 1 FROM absence_reports WHERE id = ?", (report.id,)):
        return read_absence(tx, report.id)  # the same unit run again
    if not timedelta(0) <= report.last_day - report.first_day <= LONGEST:
        raise Refused(422, "invalid-days", "`last_day` must not be before `first_day`, nor half a year later.")
    code = _code(tx, report.student_id, report.code)
    if report.by_family and report.code is not None and not code.is_reported_by_families:
        text = f"Families do not report absences under the code {code.code!r} here; please choose another."
        raise Refused(422, "not-for-families", text)
    tx.insert(
        m.AbsenceReport,
        id=report.id,
        student_id=report.student_id,
        first_day=report.first_day,
        last_day=report.last_day,
        code=code.code,
        reason=tx.seal_for(report.student_id, report.reason) if report.reason else None,
        reported_by=tx.origin.actor_id or "",
        reported_at=tx.now,
    )
    tx.journal(
        "absence.reported",
        student_id=report.student_id,
        subject_id=report.id,
        data={
            "first_day": report.first_day.isoformat(),
            "last_day": report.last_day.isoformat(),
            "code": code.code,
        },
    )
    return read_absence(tx, report.id)


def decide(
    tx: Transaction, report_id: str, decision: Literal["approved", "refused"], *, code: str | None = None
) -> Absence:
    """Approve or refuse a report; the same decision again changes nothing.

    Approval makes the student's absences on those days follow the report's code (excused, unless the district's code
    says otherwise); what a student or teacher has marked otherwise stays. A later refusal takes nothing back: marks are
    then corrected one by one, each with its reason.
    """
    absence = read_absence(tx, report_id)
    chosen = _code(tx, absence.student_id, code or absence.code)
    if absence.state == decision and chosen.code == absence.code:
        return absence
    if decision == "approved":
        _follow(tx, absence, chosen)
    tx.write_sql(
        "UPDATE absence_reports SET state = ?, code = ?, decided_by = ?, decided_at = ? WHERE id = ?",
        (decision, chosen.code, tx.origin.actor_id, iso(tx.now), report_id),
    )
    tx.journal(
        "absence.decided",
        student_id=absence.student_id,
        subject_id=report_id,
        data={"state": decision, "code": chosen.code, "was": absence.state},
    )
    return read_absence(tx, report_id)


def read_absence(connection: Connection, report_id: str) -> Absence:
    """The report, its reason in clear. Raises Refused 404 when there is none."""
    rows = connection.sql(f"{_SELECT} WHERE id = ?", (report_id,))
    if not rows:
        raise not_found()
    return _unsealed(connection, rows[0])


def absences(connection: Connection, wanted: Wanted) -> tuple[list[Absence], str | None]:
    """The reports that are wanted, newest first, and the id after which the next page begins."""
    table = m.AbsenceReport
    query = table.select(*(getattr(table, name) for name in _COLUMNS))
    if wanted.student_id is not None:
        query = query.where(table.student_id == wanted.student_id)
    if wanted.within is not None:
        query = query.where(table.student_id.in_(wanted.within))
    if wanted.state is not None:
        query = query.where(table.state == wanted.state)
    if wanted.after is not None:
        query = query.where(table.id < wanted.after)
    rows = connection.database.execute(query.order_by(table.id.desc()).limit(wanted.limit + 1)).fetchall()
    found = [_unsealed(connection, row) for row in rows[: wanted.limit]]
    return found, found[-1].id if len(rows) > wanted.limit else None


def covering(connection: Connection, student_ids: Collection[str], school_id: str, day: date) -> dict[str, Code]:
    """The code of the approved report that covers `day`, for those of the students who have one."""
    found: dict[str, Code] = {}
    for student_id, code in select_in(connection, _COVERING, [day.isoformat()] * 2, sorted(student_ids)):
        known = code_at(connection, school_id, code, retired=True) or default_code(connection, school_id, "excused")
        found[student_id] = known
    return found


def asking_for_documents(connection: Connection, found: Collection[Absence]) -> frozenset[str]:
    """The ids of those reports whose code asks for a document."""
    schools = {one.student_id: _school(connection, one.student_id) for one in found}
    asking = {
        school: {code.code for code in codes_at(connection, school, retired=True) if code.needs_document}
        for school in set(schools.values())
    }
    return frozenset(one.id for one in found if one.code in asking[schools[one.student_id]])


def _follow(tx: Transaction, absence: Absence, code: Code) -> None:
    rows = tx.sql(_RECORDS, (absence.student_id, absence.first_day, absence.last_day))
    for record in sorted((of_row(row) for row in rows), key=lambda found: found.id):
        change = Change(
            status=code.status,
            code=code.code,
            reason="An absence report was approved.",
            origin="absence_report",
            by=tx.origin.actor_id,
            needs_review=record.needs_review,
        )
        amend(tx, unsealed(tx, record), change)


def _school(connection: Connection, student_id: str) -> str:
    rows = connection.sql(
        "SELECT c.school_id FROM enrollments e JOIN classes c ON c.id = e.class_id "
        "WHERE e.user_id = ? AND e.role = 'student' ORDER BY e.ended, e.id DESC LIMIT 1",
        (student_id,),
    )
    return rows[0][0] if rows else ""


def _code(tx: Transaction, student_id: str, code: str | None) -> Code:
    """The code named, or the usual one for excused. Raises Refused 422 for one that the student's school has not."""
    school_id = _school(tx, student_id)
    if code is None:
        return default_code(tx, school_id, "excused")
    known = code_at(tx, school_id, code)
    if known is None:
        raise Refused(422, "unknown-code", f"This school has no attendance code {code!r}.")
    return known


def _unsealed(connection: Connection, row: Sequence[Any]) -> Absence:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["first_day"], values["last_day"] = day_text(values["first_day"]), day_text(values["last_day"])
    absence = Absence(**values)
    return replace(absence, reason=connection.unseal_for(absence.student_id, absence.reason))
