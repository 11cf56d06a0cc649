"""A guardian's children: their days, and an absence told ahead or afterwards."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.asking import beside_form, tried
from homeroom_web.calendar import weeks_of
from homeroom_web.family.documents import TYPES, send_document, sent_document
from homeroom_web.forms import filled, given
from homeroom_web.pages import Pages, go, language
from homeroom_web.visitors import RIGHTS, Failed, Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/children`, a child's days, and reports of absences with their documents."""

    @blueprint.get("/children")
    @pages.for_visitors
    async def children(visitor: Visitor) -> Response:
        found = (await visitor.get("/students/children"))["items"]
        return pages.render("family/children.html", visitor=visitor, children=found)

    @blueprint.get("/children/<student_id>")
    @pages.for_visitors
    async def child(visitor: Visitor, student_id: str) -> Response:
        return await _child(pages, visitor, student_id)

    @blueprint.post("/children/<student_id>/absence")
    @pages.for_visitors
    async def report(visitor: Visitor, student_id: str) -> Response:
        try:
            document = await sent_document()
        except Failed as refusal:
            return await _child(pages, visitor, student_id, None, refusal)
        told = await filled(("first_day", "last_day", "code", "reason"))
        try:
            made = await visitor.send("POST", f"/students/{student_id}/absence-reports", given(told))
        except Failed as refusal:
            return await _child(pages, visitor, student_id, told, beside_form(refusal))
        return await _with_document(pages, visitor, student_id, made["id"], document)

    @blueprint.post("/children/<student_id>/absences/<report_id>/documents")
    @pages.for_visitors
    async def add_absence_document(visitor: Visitor, student_id: str, report_id: str) -> Response:
        try:
            document = await sent_document()
        except Failed as refusal:
            return await _child(pages, visitor, student_id, None, refusal)
        if document is None:
            missing = Failed(422, language().say("Please choose a file first."))
            return await _child(pages, visitor, student_id, None, missing)
        return await _with_document(pages, visitor, student_id, report_id, document)


async def _codes(visitor: Visitor, student: dict[str, Any]) -> list[dict[str, Any]]:
    """The codes under which families may report an absence at the student's school."""
    school = f"?school_id={student['school_ids'][0]}" if student["school_ids"] else ""
    found = (await visitor.get(f"/attendance-codes{school}"))["items"]
    return [one for one in found if one["for_families"] and one["status"] in ("absent", "excused")]


async def _with_document(
    pages: Pages, visitor: Visitor, student_id: str, report_id: str, document: bytes | None
) -> Response:
    """The page after a report; a document that is not taken leaves the report as it is, and that is said."""
    if document is not None and (refusal := await tried(send_document(visitor, report_id, document))):
        said = language().say("Your report is with the school, but the file was not taken.")
        return await _child(pages, visitor, student_id, None, Failed(refusal.status, f"{said} {refusal.detail}"))
    return go(f"/children/{student_id}")


async def _child(
    pages: Pages, visitor: Visitor, student_id: str, told: dict[str, Any] | None = None, refusal: Failed | None = None
) -> Response:
    today = pages.services.today()
    student = await visitor.get(f"/students/{student_id}")
    reports = (await visitor.get(f"/students/{student_id}/absence-reports?limit=20"))["items"]
    return pages.render(
        "family/child.html",
        visitor=visitor,
        student=student,
        reports=reports,
        codes=await _codes(visitor, student),
        types=TYPES,
        holds=visitor.has(RIGHTS),
        weeks=await weeks_of(visitor, student_id, today),
        told=told or {"first_day": today.isoformat(), "last_day": "", "code": "", "reason": ""},
        refusal=refusal,
    )
