"""One student's requests: to see the record, to have it changed, hearings, and the letters about them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.common import by_law, page
from homeroom_web.asking import beside_form, name_of, part, tried
from homeroom_web.forms import filled, given
from homeroom_web.pages import NOT_FOUND, Pages, go
from homeroom_web.visitors import Failed, Visitor

_FIELDS: dict[str, tuple[str, ...]] = {
    "end": ("state",),
    "answer": ("answer",),
    "amend": ("accept", "decision", "status", "code"),
    "notice": ("held_on", "place", "notice_on"),
    "decide": (
        *("held_on", "place", "notice_on", "officer", "disinterested", "evidence", "reasons", "decision"),
        *("outcome", "status", "code"),
    ),
    "sent": ("how",),
}
"""What each step asks to be filled in."""

_LISTS = ("inspections", "amendments", "hearings", "statements", "letters")


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/compliance/students/ID`."""

    async def show(
        visitor: Visitor, student_id: str, refusal: Failed | None = None, told: dict[str, str] | None = None
    ) -> Response:
        base = f"/compliance/students/{part(student_id)}"
        lists = {name: (await visitor.get(f"{base}/{name}"))["items"] for name in _LISTS}
        return page(
            pages,
            "admin/compliance_case.html",
            visitor,
            refusal,
            student_id=student_id,
            name=await name_of(visitor, student_id) or student_id,
            told=defaultdict(str, told or {}),
            today=pages.services.today().isoformat(),
            **lists,
        )

    async def case(visitor: Visitor, student_id: str) -> Response:
        return await show(visitor, student_id)

    async def step(visitor: Visitor, student_id: str) -> Response:
        about = await filled(("step", "id", "explanation_id"))
        told = await filled(_FIELDS.get(about["step"], ()))
        path = _path(student_id, about)
        if path is None:
            raise Failed(NOT_FOUND, "")
        if refusal := await tried(visitor.send("POST", path, _body(about["step"], told))):
            return await show(visitor, student_id, refusal, {**about, **told})
        return go(f"/admin/compliance/students/{part(student_id)}")

    async def record(visitor: Visitor, student_id: str, inspection_id: str) -> Response:
        path = f"/compliance/students/{part(student_id)}/inspections/{part(inspection_id)}/file"
        try:
            found = await visitor.file(path)
        except Failed as refusal:
            return await show(visitor, student_id, beside_form(refusal))
        headers = {"Content-Disposition": 'attachment; filename="education-record.html"'}
        return Response(found.body, 200, headers=headers, content_type="text/html; charset=utf-8")

    path = "/admin/compliance/students/<student_id>"
    blueprint.get(path, endpoint="compliance_case")(by_law(pages, case))
    blueprint.post(path, endpoint="compliance_step")(by_law(pages, step))
    blueprint.get(f"{path}/inspections/<inspection_id>/file", endpoint="compliance_record")(by_law(pages, record))


def _path(student_id: str, about: dict[str, str]) -> str | None:
    """The route of a step; None where there is no such step."""
    base, one = f"/compliance/students/{part(student_id)}", part(about["id"])
    return {
        "end": f"{base}/inspections/{one}/end",
        "answer": f"{base}/inspections/{one}/explanations/{part(about['explanation_id'])}/answer",
        "amend": f"{base}/amendments/{one}/decision",
        "notice": f"{base}/hearings/{one}/notice",
        "decide": f"{base}/hearings/{one}/decision",
        "sent": f"{base}/letters/{one}/sent",
    }.get(about["step"])


def _body(step: str, told: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = given(told)
    if step == "amend":
        body["accept"] = told["accept"] == "yes"
    if step == "decide":
        body["disinterested"] = bool(told["disinterested"])
    return body
