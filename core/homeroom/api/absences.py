"""Absences told ahead or afterwards, the decision on them, and the district's attendance codes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint, Response

from homeroom.api.operation import Answer, Body, Call, Query, Target, operation
from homeroom.api.paging import PageQuery, cursor_of
from homeroom.api.problem import FieldError, Invalid
from homeroom.attendance import absences as told
from homeroom.attendance import codes as known
from homeroom.attendance import documents
from homeroom.auth.access import students_within
from homeroom.store import Connection, Refused, Transaction, new_id
from homeroom.types import Status

absences = Blueprint("absences", __name__, url_prefix="/api/v1")
UPLOADS = ("/api/v1/absence-reports/<report_id>/documents",)
"""The routes that take a document."""


class AbsenceDocument(Answer):
    """A document that goes with a report; what it is was told from its own bytes. `size` is in bytes."""

    id: str
    kind: documents.Kind
    size: int = Field(examples=[48_213])
    sent_by: str
    sent_at: AwareDatetime


class NewDocument(Body):
    """A PDF, JPEG or PNG in base64."""

    content: str = Field(min_length=1, max_length=2**31, examples=["JVBERi0xLjcK"])


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
    needs_document: bool = Field(default=False, description="Whether its code asks for one.")
    documents: list[AbsenceDocument] = []


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
    for_families: bool = Field(default=True, description="Guardians may report an absence under it.")
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
    for_families: bool = True
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
        by_family=not call.me.has("school_admin", "district_admin"),
    )

    def unit(tx: Transaction) -> AbsenceReport:
        return _shown(tx, [told.report_absence(tx, report)])[0]

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

    def unit(tx: Transaction) -> AbsenceReport:
        return _shown(tx, [told.decide(tx, report_id, decision, code=body.code)])[0]

    absence = await call.write(unit)
    call.discloses([absence.student_id], fields=("absence",), rows=1)
    return absence


@absences.post("/absence-reports/<report_id>/documents")
@operation(
    "absence.report",
    of=Target(report_id="report_id"),
    body=NewDocument,
    answers={201: AbsenceDocument},
    problems=(409,),
    idempotent=True,
)
async def add_document(call: Call, report_id: str, body: NewDocument) -> Response:
    """Add a document to a report that waits for its decision; it is sealed, and read by the family and who decides."""
    try:
        data = base64.b64decode(body.content, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid([FieldError(field="content", message="must be base64")]) from None
    documents.check_size(data, call.district.settings.server.max_document_bytes)
    document_id = new_id()

    def unit(tx: Transaction) -> AbsenceDocument:
        return AbsenceDocument.model_validate(
            documents.attach(tx, document_id=document_id, report_id=report_id, data=data)
        )

    return await call.create(unit)


@absences.get("/absence-reports/<report_id>/documents/<document_id>")
@operation("absence.document", of=Target(report_id="report_id"), answers={200: "application/octet-stream"})
async def read_document(call: Call, report_id: str, document_id: str) -> Response:
    """A document as a file to be kept: no browser shows it in place."""
    found = await call.read(lambda c: documents.content_of(c, report_id, document_id))
    if call.place.student_id is not None:
        call.discloses([call.place.student_id], fields=("absence_document",), rows=1)
    headers = {"Content-Disposition": f'attachment; filename="{found.name}"', "X-Content-Type-Options": "nosniff"}
    return Response(found.data, 200, headers=headers, content_type="application/octet-stream")


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

    def read(connection: Connection) -> tuple[list[AbsenceReport], str | None]:
        found, last = told.absences(connection, wanted)
        return _shown(connection, found), last

    items, last = await call.read(read)
    call.discloses({absence.student_id for absence in items}, fields=("absence",), rows=len(items))
    return AbsenceReportList(items=items, next=cursor_of((last,)) if last else None)


def _shown(connection: Connection, found: Sequence[told.Absence]) -> list[AbsenceReport]:
    """Reports with what is known of their documents."""
    added = documents.documents_of(connection, [one.id for one in found])
    asking = told.asking_for_documents(connection, found)
    return [
        AbsenceReport(
            **asdict(one),
            needs_document=one.id in asking,
            documents=[AbsenceDocument.model_validate(document) for document in added.get(one.id, ())],
        )
        for one in found
    ]
