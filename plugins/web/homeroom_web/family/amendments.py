"""What was asked to be changed in a record: the decision, the hearing, and the family's statement."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.asking import tried
from homeroom_web.family.rights import for_holders, student_of
from homeroom_web.forms import field
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor
from homeroom_web.words import to_say

STATES = {
    "open": to_say("The school is looking into it."),
    "accepted": to_say("The entry was changed; what it said before is kept."),
    "refused": to_say("The school has left the entry as it is. You may ask for a hearing."),
}
HEARINGS = {
    "asked": to_say("A hearing was asked for; the school will tell you the day and the place."),
    "set": to_say("The day of the hearing is set."),
    "amend": to_say("The hearing has decided that the entry is changed."),
    "keep": to_say("The hearing has left the entry as it is. You may add a statement, which goes with the entry."),
}


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/records/ID/amendments`."""

    async def amendments(visitor: Visitor, student_id: str) -> Response:
        return await _page(pages, visitor, student_id)

    async def hearing(visitor: Visitor, student_id: str, amendment_id: str) -> Response:
        path = f"/compliance/students/{student_id}/amendments/{amendment_id}/hearing"
        if refusal := await tried(visitor.send("POST", path)):
            return await _page(pages, visitor, student_id, refusal=refusal)
        return go(f"/records/{student_id}/amendments")

    async def state(visitor: Visitor, student_id: str, hearing_id: str) -> Response:
        text = await field("text")
        path = f"/compliance/students/{student_id}/hearings/{hearing_id}/statement"
        if refusal := await tried(visitor.send("POST", path, {"text": text})):
            return await _page(pages, visitor, student_id, stated={hearing_id: text}, refusal=refusal)
        return go(f"/records/{student_id}/amendments")

    blueprint.get("/records/<student_id>/amendments")(for_holders(pages, amendments))
    blueprint.post("/records/<student_id>/amendments/<amendment_id>/hearing")(for_holders(pages, hearing))
    blueprint.post("/records/<student_id>/hearings/<hearing_id>/statement")(for_holders(pages, state))


async def _page(
    pages: Pages,
    visitor: Visitor,
    student_id: str,
    *,
    stated: dict[str, str] | None = None,
    refusal: Failed | None = None,
) -> Response:
    below = f"/compliance/students/{student_id}"
    found = (await visitor.get(f"{below}/amendments"))["items"]
    hearings = {one["amendment_id"]: one for one in (await visitor.get(f"{below}/hearings"))["items"]}
    statements = {one["hearing_id"]: one for one in (await visitor.get(f"{below}/statements"))["items"]}
    return pages.render(
        "family/amendments.html",
        visitor=visitor,
        student=await student_of(visitor, student_id),
        items=found[::-1],
        hearings=hearings,
        statements=statements,
        states=STATES,
        outcomes=HEARINGS,
        stated=stated or {},
        refusal=refusal,
    )
