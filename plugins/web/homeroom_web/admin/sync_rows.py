"""Rows that could not be taken, to be taken again, and corrections that the SIS does not have yet."""

from __future__ import annotations

from quart import Blueprint, Response, request

from homeroom_web.admin.common import page
from homeroom_web.asking import beside_form, link, part
from homeroom_web.forms import chosen, field, number
from homeroom_web.pages import NOT_FOUND, Pages, go
from homeroom_web.visitors import Failed, Visitor

_COUNTS = ("replayed", "still_dead", "without_content")


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """A connector's `dead-letters` and `corrections`."""

    @blueprint.get("/admin/sync/connectors/<name>/dead-letters")
    @pages.for_visitors
    async def sync_dead_letters(visitor: Visitor, name: str) -> Response:
        return await _list(visitor, name, "dead-letters", "admin/dead_letters.html")

    @blueprint.post("/admin/sync/connectors/<name>/replay")
    @pages.for_visitors
    async def sync_replay(visitor: Visitor, name: str) -> Response:
        row = number(await field("id"))
        try:
            done = await visitor.send("POST", f"/sync/{part(name)}/replay", {} if row is None else {"ids": [row]})
        except Failed as refusal:
            shown = beside_form(refusal, NOT_FOUND)
            return await _list(visitor, name, "dead-letters", "admin/dead_letters.html", shown)
        counts = {key: str(done[key]) for key in _COUNTS}
        return go(link(f"/admin/sync/connectors/{part(name)}/dead-letters", counts))

    @blueprint.get("/admin/sync/connectors/<name>/corrections")
    @pages.for_visitors
    async def sync_corrections(visitor: Visitor, name: str) -> Response:
        return await _list(visitor, name, "corrections", "admin/corrections.html")

    async def _list(visitor: Visitor, name: str, what: str, template: str, refusal: Failed | None = None) -> Response:
        found = await visitor.get(link(f"/sync/{part(name)}/{what}", {"limit": 50, **chosen("cursor")}))
        more = found["next"] and link(f"/admin/sync/connectors/{part(name)}/{what}", {"cursor": found["next"]})
        done = {key: request.args.get(key, "") for key in _COUNTS}
        return page(pages, template, visitor, refusal, name=name, items=found["items"], more=more, done=done)
