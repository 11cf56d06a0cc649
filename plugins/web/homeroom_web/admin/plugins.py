"""What an administrator switches: the plugins, how each fares, and why one is out."""

from __future__ import annotations

from urllib.parse import quote

from quart import Blueprint, Response

from homeroom_web.admin.shown import helpers
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor

_CONFLICT = 409


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/plugins`."""

    @blueprint.get("/admin/plugins")
    @pages.for_visitors
    async def plugins(visitor: Visitor) -> Response:
        return await _list(visitor)

    @blueprint.get("/admin/plugins/<name>")
    @pages.for_visitors
    async def plugin(visitor: Visitor, name: str) -> Response:
        found = await visitor.get(f"/plugins/{quote(name, safe='')}/diagnostics")
        return pages.render("admin/plugin.html", visitor=visitor, plugin=found, **helpers(pages))

    @blueprint.post("/admin/plugins/<name>/<any(enable, disable):switch>")
    @pages.for_visitors
    async def switch(visitor: Visitor, name: str, switch: str) -> Response:
        try:
            await visitor.send("POST", f"/plugins/{quote(name, safe='')}/{switch}")
        except Failed as refusal:
            if refusal.status != _CONFLICT:
                raise
            return await _list(visitor, refusal)
        return go("/admin/plugins")

    async def _list(visitor: Visitor, refusal: Failed | None = None) -> Response:
        found = (await visitor.get("/plugins/"))["plugins"]
        status = refusal.status if refusal else 200
        return pages.render("admin/plugins.html", visitor=visitor, status=status, plugins=found, refusal=refusal)
