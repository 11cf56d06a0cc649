"""Fields that were changed both here and in the SIS, side by side, to be settled by a person."""

from __future__ import annotations

from quart import Blueprint, Response, request

from homeroom_web.admin.common import page
from homeroom_web.asking import UNPROCESSABLE, link, part, tried
from homeroom_web.forms import chosen, filled
from homeroom_web.pages import NOT_FOUND, Pages, go, language
from homeroom_web.visitors import Failed, Visitor

_STATES = ("open", "settled", "gone")
_NOTHING = {"id": "", "resolution": "", "value": "", "why": ""}


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/sync/conflicts`."""

    @blueprint.get("/admin/sync/conflicts")
    @pages.for_visitors
    async def sync_conflicts(visitor: Visitor) -> Response:
        return await _page(visitor)

    @blueprint.post("/admin/sync/conflicts/<conflict_id>")
    @pages.for_visitors
    async def sync_settle(visitor: Visitor, conflict_id: str) -> Response:
        told = await filled(("resolution", "value", "why"))
        if refusal := await tried(_settle(visitor, conflict_id, told), NOT_FOUND):
            return await _page(visitor, refusal=refusal, told={"id": conflict_id, **told})
        return go("/admin/sync/conflicts?done=1")

    async def _page(visitor: Visitor, *, refusal: Failed | None = None, told: dict[str, str] = _NOTHING) -> Response:
        wanted = chosen("state", "connector")
        if wanted["state"] not in _STATES:
            wanted["state"] = "open"
        found = await visitor.get(link("/sync/conflicts", {**wanted, "limit": 20, **chosen("cursor")}))
        return page(
            pages,
            "admin/conflicts.html",
            visitor,
            refusal,
            told=told,
            items=found["items"],
            more=found["next"] and link("/admin/sync/conflicts", {**wanted, "cursor": found["next"]}),
            state=wanted["state"],
            settled="done" in request.args,
        )


async def _settle(visitor: Visitor, conflict_id: str, told: dict[str, str]) -> None:
    """Settle it as was filled in. Raises Failed."""
    is_other = told["resolution"] == "value"
    if is_other and not told["value"]:  # which would empty the field
        raise Failed(UNPROCESSABLE, language().say("Write the other value that it shall have."))
    wish = {name: value for name, value in told.items() if value and (name != "value" or is_other)}
    await visitor.send("POST", f"/sync/conflicts/{part(conflict_id)}", wish)
