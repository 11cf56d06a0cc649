"""A district's own attendance codes: data that maps each to one of the four statuses and to an Ed-Fi category."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from homeroom.store import Connection, Refused, Transaction
from homeroom.store import models as m
from homeroom.types import Status

EdFiCategory = Literal["In Attendance", "Excused Absence", "Unexcused Absence", "Tardy", "Early departure", "Partial"]
"""Ed-Fi's AttendanceEventCategory descriptor values (Ed-Fi Data Standard, AttendanceEventCategoryDescriptor)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One code. `org_id` is the school it holds for, "" for every school of the district.

    `for_families` lets guardians report an absence under it, where it means one.
    """

    org_id: str = ""
    code: str
    title: str
    status: Status
    edfi_category: EdFiCategory
    needs_document: bool = False
    for_families: bool = True
    retired: bool = False

    @property
    def is_reported_by_families(self) -> bool:
        """Whether guardians may report an absence under it."""
        return self.for_families and self.status in ("absent", "excused")


DEFAULTS: Sequence[Code] = (
    Code(code="P", title="Present", status="present", edfi_category="In Attendance"),
    Code(code="T", title="Tardy", status="tardy", edfi_category="Tardy"),
    Code(code="A", title="Absent", status="absent", edfi_category="Unexcused Absence"),
    Code(code="E", title="Excused", status="excused", edfi_category="Excused Absence"),
    Code(code="FT", title="At a school event", status="present", edfi_category="In Attendance"),
    Code(code="MED", title="Medical", status="excused", edfi_category="Excused Absence"),
    Code(code="LE", title="Left early", status="present", edfi_category="Early departure"),
    Code(code="PT", title="Part of the time", status="present", edfi_category="Partial"),
)
"""What a district begins with; a row with the same code replaces one of these, and may retire it."""

_SELECT = (
    "SELECT org_id, code, title, status, edfi_category, needs_document, for_families, retired FROM attendance_codes "
    "WHERE org_id IN ('', ?) ORDER BY org_id, code"
)


def codes_at(connection: Connection, school_id: str = "", *, retired: bool = False) -> list[Code]:
    """The codes of a school: the defaults, then the district's, then its own, each replacing one of the same name.

    Without `school_id` those of the district. `retired` ones are only for showing old records.
    """
    known = {code.code: code for code in DEFAULTS}
    for row in connection.sql(_SELECT, (school_id,)):
        known[row[1]] = Code(
            org_id=row[0],
            code=row[1],
            title=row[2],
            status=row[3],
            edfi_category=row[4],
            needs_document=bool(row[5]),
            for_families=bool(row[6]),
            retired=bool(row[7]),
        )
    return [code for code in known.values() if retired or not code.retired]


def code_at(connection: Connection, school_id: str, code: str, *, retired: bool = False) -> Code | None:
    """One code of a school, or None when it has none of that name."""
    return next((known for known in codes_at(connection, school_id, retired=retired) if known.code == code), None)


def default_code(connection: Connection, school_id: str, status: Status) -> Code:
    """The code a school uses for a status when nobody names one: the first that maps to it."""
    fallback = next(code for code in DEFAULTS if code.status == status)
    return next((code for code in codes_at(connection, school_id) if code.status == status), fallback)


def edfi_category(codes: Iterable[Code], status: Status, code: str | None) -> EdFiCategory:
    """The Ed-Fi category of a record: its code's, else that of the first code with its status."""
    known = list(codes)
    if code is not None:
        for candidate in known:
            if candidate.code == code:
                return candidate.edfi_category
    return next(c.edfi_category for c in (*known, *DEFAULTS) if c.status == status)


def save_codes(tx: Transaction, codes: Sequence[Code], school_id: str = "") -> list[Code]:
    """Add or replace codes of a school (or, with "", of the district), and give all that hold there now.

    What is not named stays: a code that was used is retired, never removed, so that old records can still be read.
    Raises Refused 422 when one of the four statuses would be left without a code.
    """
    for code in codes:
        values = {
            "title": code.title,
            "status": code.status,
            "edfi_category": code.edfi_category,
            "needs_document": code.needs_document,
            "for_families": code.for_families,
            "retired": code.retired,
        }
        tx.run(
            m.AttendanceCode.insert(org_id=school_id, code=code.code, **values).on_conflict(
                conflict_target=[m.AttendanceCode.org_id, m.AttendanceCode.code], update=values
            )
        )
        tx.journal(
            "attendance_code.saved",
            subject_id=school_id or None,
            data={"code": code.code, "status": code.status, "retired": code.retired},
        )
    now = codes_at(tx, school_id)
    missing = {"present", "tardy", "absent", "excused"} - {code.status for code in now}
    if missing:
        raise Refused(422, "status-without-code", f"Keep at least one code for {', '.join(sorted(missing))}.")
    return now
