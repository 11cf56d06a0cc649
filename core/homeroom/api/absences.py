"""Absences told ahead or afterwards, the decision on them, and the district's attendance codes."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint, Response

from homeroom.api.operation import Answer, Body, Call, Query, Target, operation
from homeroom.api.paging import PageQuery, cursor_of
from homeroom.attendance import absences as told
from homeroom.attendance import codes as known
from homeroom.auth.access import students_within
from homeroom.store import Refused, Transaction, new_id
from homeroom.types import Status

absences = Blueprint("absences", __name__, url_prefix="/api/v1")


class AbsenceReport(Answer):
    """An absence that a guardian or the office has told; `last_day` is included."""

    id: str
    student_id: str
    first_day: date
    last_day: date
    code: str = Field(examples=["E"])
    reason: str | None = None
    state: Literal["reported", "approved", "refused"]
    reported_by: str
    reported_at: AwareDatetime
    decided_by: str | None = None
    decided_at: AwareDatetime | None = None


class AbsenceReportList(Answer):
    """A page of reports, the newest first."""

    items: list[AbsenceReport]
    next: str | None = None


class NewAbsenceReport(Body):
    """An absence, ahead or afterwards; one day when `last_day` is left out."""

    first_day: date
    last_day: date | None = None
    code: str | None = Field(default=None, min_length=1, max_length=20, description="One of /attendance-codes.")
    reason: str | None = Field(default=None, max_length=2000)


class Decision(Body):
    """What staff decide; a `code` replaces the one that was reported."""

    decision: Literal["approve", "refuse", "approved", "refused"]
    code: str | None = Field(default=None, min_length=1, max_length=20)


class ReportQuery(PageQuery):
    """Which reports."""

    state: Literal["reported", "approved", "refused"] | None = None


class AttendanceCode(Answer):
    """A code of the district (`org_id` empty) or of one school, and what it means to everybody else."""

    org_id: str = ""
    code: str = Field(examples=["MED"])
    title: str = Field(examples=["Medical"])
    status: Status
    edfi_category: known.EdFiCategory
    needs_document: bool = False
    retired: bool = False


class AttendanceCodeList(Answer):
    """The codes that hold."""

    items: list[AttendanceCode]


class CodeFields(Body):
    """A code to be added or replaced; retire one that is no longer used."""

    code: str = Field(min_length=1, max_length=20, pattern=r"^\S+$")
    title: str = Field(min_length=1, max_length=100)
    status: Status
    edfi_category: known.EdFiCategory
    needs_document: bool = False
    retired: bool = False


class Codes(Body):
    """Codes of a school, or of the district when none is named. Those not named stay as they are."""

    school_id: str | None = Field(default=None, min_length=1, max_length=64)
    codes: list[CodeFields] = Field(min_length=1, max_length=200)


class CodeQuery(Query):
    """Whose codes; the district's when no school is named."""

    school_id: str | None = None
    retired: bool = False


@absences.post("/students/<student_id>/absence-reports")
@operation(
    "absence.report",
    of=Target(student_id="student_id"),
    body=NewAbsenceReport,
    answers={201: AbsenceReport},
    idempotent=True,
)
async def report_absence(call: Call, student_id: str, body: NewAbsenceReport) -> Response:
    """Tell an absence ahead or afterwards; marks follow once staff approve it."""
    report = told.Report(
        id=new_id(),
        student_id=student_id,
        first_day=body.first_day,
        last_day=body.last_day or body.first_day,
        code=body.code,
        reason=body.reason,
    )

    def unit(tx: Transaction) -> AbsenceReport:
        return AbsenceReport.model_validate(told.report_absence(tx, report))

    return await call.create(unit)


@absences.get("/students/<student_id>/absence-reports")
@operation("absence.read", of=Target(student_id="student_id"), query=ReportQuery, answers=AbsenceReportList)
async def list_reports_of_student(call: Call, student_id: str, query: ReportQuery) -> AbsenceReportList:
    """A student's reports, the newest first."""
    return await _page(call, query, student_id=student_id)


@absences.get("/absence-reports")
@operation("absence.read", query=ReportQuery, answers=AbsenceReportList)
async def list_reports(call: Call, query: ReportQuery) -> AbsenceReportList:
    """The reports that the caller may see; `state=reported` are those that wait for a decision."""
    return await _page(call, query)


@absences.post("/absence-reports/<report_id>/decision")
@operation("absence.decide", of=Target(report_id="report_id"), body=Decision, answers=AbsenceReport)
async def decide_report(call: Call, report_id: str, body: Decision) -> AbsenceReport:
    """Approve or refuse. Approved, absences already marked on those days follow the code, and later ones will."""
    decision: Literal["approved", "refused"] = "approved" if body.decision.startswith("approve") else "refused"
    absence = await call.write(lambda tx: told.decide(tx, report_id, decision, code=body.code))
    call.discloses([absence.student_id], fields=("absence",), rows=1)
    return AbsenceReport.model_validate(absence)


@absences.get("/attendance-codes")
@operation("codes.read", query=CodeQuery, answers=AttendanceCodeList)
async def list_codes(call: Call, query: CodeQuery) -> AttendanceCodeList:
    """The codes of a school, or of the district."""
    found = await call.read(lambda c: known.codes_at(c, query.school_id or "", retired=query.retired))
    return AttendanceCodeList(items=[AttendanceCode.model_validate(code) for code in found])


@absences.put("/attendance-codes")
@operation("codes.edit", of=Target(school_id="body.school_id"), body=Codes, answers=AttendanceCodeList, problems=(404,))
async def save_codes(call: Call, body: Codes) -> AttendanceCodeList:
    """Add or replace codes; the district's own only by its administrators."""
    if body.school_id is None and not call.me.has("district_admin"):
        raise Refused(403, "not-allowed", "Name your school: the district's codes are for its administrators.")
    school_id = body.school_id or ""
    wanted = [known.Code(org_id=school_id, **code.model_dump()) for code in body.codes]
    saved = await call.write(lambda tx: known.save_codes(tx, wanted, school_id))
    return AttendanceCodeList(items=[AttendanceCode.model_validate(code) for code in saved])


async def _page(call: Call, query: ReportQuery, *, student_id: str | None = None) -> AbsenceReportList:
    after, size = query.after(1), query.size()
    within = students_within(call.me, "absence.read", call.today())
    wanted = told.Wanted(
        student_id=student_id, within=within, state=query.state, after=after[0] if after else None, limit=size
    )
    found, last = await call.read(lambda c: told.absences(c, wanted))
    call.discloses({absence.student_id for absence in found}, fields=("absence",), rows=len(found))
    items = [AbsenceReport.model_validate(absence) for absence in found]
    return AbsenceReportList(items=items, next=cursor_of((last,)) if last else None)
