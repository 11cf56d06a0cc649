"""Asking to see a record, getting the copy when it is ready, and asking what something in it means."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.asking import tried
from homeroom_web.family.documents import as_file
from homeroom_web.family.rights import for_holders, student_of
from homeroom_web.forms import field
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor
from homeroom_web.words import to_say

STATES = {
    "open": to_say("The school is preparing it."),
    "fulfilled": to_say("It is ready."),
    "withdrawn": to_say("The request was taken back."),
}


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/records/ID/inspections`."""

    async def inspections(visitor: Visitor, student_id: str) -> Response:
        return await _page(pages, visitor, student_id)

    async def ask(visitor: Visitor, student_id: str) -> Response:
        wish = await field("wish")
        if refusal := await tried(
            visitor.send("POST", f"/compliance/students/{student_id}/inspections", {"wish": wish} if wish else {})
        ):
            return await _page(pages, visitor, student_id, wish=wish, refusal=refusal)
        return go(f"/records/{student_id}/inspections")

    async def question(visitor: Visitor, student_id: str, inspection_id: str) -> Response:
        asked = await field("question")
        path = f"/compliance/students/{student_id}/inspections/{inspection_id}/explanations"
        if refusal := await tried(visitor.send("POST", path, {"question": asked})):
            return await _page(pages, visitor, student_id, asked={inspection_id: asked}, refusal=refusal)
        return go(f"/records/{student_id}/inspections")

    async def copy(visitor: Visitor, student_id: str, inspection_id: str) -> Response:
        path = f"/compliance/students/{student_id}/inspections/{inspection_id}/file"
        return as_file(await visitor.file(path))

    blueprint.get("/records/<student_id>/inspections")(for_holders(pages, inspections))
    blueprint.post("/records/<student_id>/inspections")(for_holders(pages, ask))
    blueprint.post("/records/<student_id>/inspections/<inspection_id>/question")(for_holders(pages, question))
    blueprint.get("/records/<student_id>/inspections/<inspection_id>/copy")(for_holders(pages, copy))


async def _page(
    pages: Pages,
    visitor: Visitor,
    student_id: str,
    *,
    wish: str = "",
    asked: dict[str, str] | None = None,
    refusal: Failed | None = None,
) -> Response:
    found = (await visitor.get(f"/compliance/students/{student_id}/inspections"))["items"]
    return pages.render(
        "family/inspections.html",
        visitor=visitor,
        student=await student_of(visitor, student_id),
        items=found[::-1],
        states=STATES,
        wish=wish,
        asked=asked or {},
        refusal=refusal,
    )
