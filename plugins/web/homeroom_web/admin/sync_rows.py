"""Rows that could not be taken, to be taken again, and corrections that the SIS does not have yet."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from quart import Blueprint, Response, request

from homeroom_web.admin.shown import cursor, helpers, onward
from homeroom_web.pages import Pages, field, go
from homeroom_web.visitors import Failed, Visitor

_SHOWN_AGAIN = (404, 409, 422)
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
        number = await field("id")
        wish = {"ids": [int(number)]} if number.isdecimal() else {}
        try:
            done = await visitor.send("POST", f"/sync/{quote(name, safe='')}/replay", wish)
        except Failed as refusal:
            if refusal.status not in _SHOWN_AGAIN:
                raise
            return await _list(visitor, name, "dead-letters", "admin/dead_letters.html", refusal)
        counts = urlencode({key: done[key] for key in _COUNTS})
        return go(f"/admin/sync/connectors/{quote(name, safe='')}/dead-letters?{counts}")

    @blueprint.get("/admin/sync/connectors/<name>/corrections")
    @pages.for_visitors
    async def sync_corrections(visitor: Visitor, name: str) -> Response:
        return await _list(visitor, name, "corrections", "admin/corrections.html")

    async def _list(visitor: Visitor, name: str, what: str, template: str, refusal: Failed | None = None) -> Response:
        found = await visitor.get(f"/sync/{quote(name, safe='')}/{what}?{urlencode({'limit': 50, **cursor()})}")
        return pages.render(
            template,
            visitor=visitor,
            status=refusal.status if refusal else 200,
            refusal=refusal,
            name=name,
            items=found["items"],
            onward=onward(found),
            done={key: request.args.get(key, "") for key in _COUNTS},
            **helpers(pages),
        )
