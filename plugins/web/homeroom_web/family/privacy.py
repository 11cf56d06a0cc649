"""Who may be given what of a record: the directory, consents, and who has had it so far."""

from __future__ import annotations

import re
from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.asking import link, tried
from homeroom_web.family.rights import for_holders, student_of
from homeroom_web.forms import chosen, field, filled, version
from homeroom_web.pages import Pages, go, language
from homeroom_web.visitors import Failed, Visitor
from homeroom_web.words import to_say

RECORDS = {
    "attendance": to_say("Attendance"),
    "roster": to_say("Name, grade and classes"),
    "contact": to_say("Address and telephone"),
    "messages": to_say("Messages"),
    "all": to_say("The whole record"),
}
PURPOSES = {
    "education": to_say("Education"),
    "attendance": to_say("Help with attendance"),
    "safety": to_say("Health and safety"),
    "activities": to_say("Sports, clubs and activities"),
}
_NO_LETTER = re.compile(r"[^A-Za-z0-9._-]+")
_EMPTY: dict[str, Any] = {"party": "", "purpose": "", "ends_on": "", "text": "", "records": []}


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/records/ID/privacy`."""

    async def privacy(visitor: Visitor, student_id: str) -> Response:
        return await _page(pages, visitor, student_id)

    async def directory(visitor: Visitor, student_id: str) -> Response:
        if await field("listed") == "no":
            change = visitor.send("POST", "/compliance/opt-outs", {"student_id": student_id})
        else:
            path = f"/compliance/opt-outs?student_id={student_id}"
            change = visitor.send("DELETE", path, version=await version())
        if refusal := await tried(change):
            return await _page(pages, visitor, student_id, refusal=refusal)
        return go(f"/records/{student_id}/privacy")

    async def consent(visitor: Visitor, student_id: str) -> Response:
        told: dict[str, Any] = dict(await filled(("party", "purpose", "ends_on", "text")))
        told["records"] = (await request.form).getlist("records")
        if refusal := await tried(_sign(pages, visitor, student_id, told)):
            return await _page(pages, visitor, student_id, told=told, refusal=refusal)
        return go(f"/records/{student_id}/privacy")

    async def revoke(visitor: Visitor, student_id: str, consent_id: str) -> Response:
        path = f"/compliance/consents/{consent_id}?student_id={student_id}"
        if refusal := await tried(visitor.send("DELETE", path, version=await version())):
            return await _page(pages, visitor, student_id, refusal=refusal)
        return go(f"/records/{student_id}/privacy")

    blueprint.get("/records/<student_id>/privacy")(for_holders(pages, privacy))
    blueprint.post("/records/<student_id>/directory")(for_holders(pages, directory))
    blueprint.post("/records/<student_id>/consents")(for_holders(pages, consent))
    blueprint.post("/records/<student_id>/consents/<consent_id>/revoke")(for_holders(pages, revoke))


async def _sign(pages: Pages, visitor: Visitor, student_id: str, told: dict[str, Any]) -> None:
    """Sign a consent as whoever is signed in. Raises Failed, also for a name without a letter."""
    party = _NO_LETTER.sub("-", told["party"]).strip("-")
    if not party or not told["records"]:
        said = language().say("Please say who may have the record, in Latin letters or digits, and what of it.")
        raise Failed(422, said)
    me = await visitor.get("/auth/me")
    ends = {"ends_on": told["ends_on"]} if told["ends_on"] else {}
    consent = {
        "student_id": student_id,
        "records": told["records"],
        "purpose": told["purpose"],
        "party": f"party:{party[:100]}",
        "text": told["text"],
        "signed_by": me["id"],
        "signed_on": pages.services.today().isoformat(),
        "authenticated": "session",
        **ends,
    }
    await visitor.send("POST", "/compliance/consents", consent)


async def _page(
    pages: Pages,
    visitor: Visitor,
    student_id: str,
    *,
    told: dict[str, Any] | None = None,
    refusal: Failed | None = None,
) -> Response:
    of = f"student_id={student_id}"
    listed = await visitor.get(f"/compliance/opt-outs?{of}")
    consents = (await visitor.get(f"/compliance/consents?{of}"))["items"]
    ledger = await visitor.get(link("/compliance/ledger", {"student_id": student_id, **chosen("cursor")}))
    return pages.render(
        "family/privacy.html",
        visitor=visitor,
        student=await student_of(visitor, student_id),
        listed=listed,
        consents=consents[::-1],
        ledger=ledger["items"],
        more=ledger["next"] and link(f"/records/{student_id}/privacy", {"cursor": ledger["next"]}),
        kinds=RECORDS,
        purposes=PURPOSES,
        told=told or _EMPTY,
        refusal=refusal,
    )
