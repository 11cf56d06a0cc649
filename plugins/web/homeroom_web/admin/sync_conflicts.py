"""Fields that were changed both here and in the SIS, side by side, to be settled by a person."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from quart import Blueprint, Response, request

from homeroom_web.admin.shown import cursor, helpers, onward
from homeroom_web.pages import Pages, field, go, language
from homeroom_web.visitors import Failed, Visitor

_UNPROCESSABLE = 422
_SHOWN_AGAIN = (404, 409, _UNPROCESSABLE)
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
        told = {name: await field(name) for name in ("resolution", "value", "why")}
        refusal = await _settled(visitor, conflict_id, told)
        if refusal is not None:
            return await _page(visitor, refusal=refusal, told={"id": conflict_id, **told})
        return go("/admin/sync/conflicts?done=1")

    async def _page(visitor: Visitor, *, refusal: Failed | None = None, told: dict[str, str] = _NOTHING) -> Response:
        state, connector = request.args.get("state", "open"), request.args.get("connector", "")
        state = state if state in _STATES else "open"
        wanted = {"state": state, "limit": "20", **cursor(), **({"connector": connector} if connector else {})}
        found = await visitor.get(f"/sync/conflicts?{urlencode(wanted)}")
        return pages.render(
            "admin/conflicts.html",
            visitor=visitor,
            status=refusal.status if refusal else 200,
            refusal=refusal,
            told=told,
            items=found["items"],
            onward=onward(found, state=state, connector=connector),
            state=state,
            settled="done" in request.args,
            **helpers(pages),
        )


async def _settled(visitor: Visitor, conflict_id: str, told: dict[str, str]) -> Failed | None:
    """Settle it; gives why that was not possible."""
    is_other = told["resolution"] == "value"
    if is_other and not told["value"]:  # which would empty the field
        return Failed(_UNPROCESSABLE, language().say("Write the other value that it shall have."))
    wish = {name: value for name, value in told.items() if value and (name != "value" or is_other)}
    try:
        await visitor.send("POST", f"/sync/conflicts/{quote(conflict_id, safe='')}", wish)
    except Failed as refusal:
        if refusal.status not in _SHOWN_AGAIN:
            raise
        return refusal
    return None
