"""What an administrator switches: the plugins, how each fares, and why one is out."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.admin.common import page
from homeroom_web.asking import part, tried
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/plugins`."""

    @blueprint.get("/admin/plugins")
    @pages.for_visitors
    async def plugins(visitor: Visitor) -> Response:
        return await _list(visitor)

    @blueprint.get("/admin/plugins/<name>")
    @pages.for_visitors
    async def plugin(visitor: Visitor, name: str) -> Response:
        found = await visitor.get(f"/plugins/{part(name)}/diagnostics")
        return page(pages, "admin/plugin.html", visitor, plugin=found)

    @blueprint.post("/admin/plugins/<name>/<any(enable, disable):switch>")
    @pages.for_visitors
    async def switch(visitor: Visitor, name: str, switch: str) -> Response:
        if refusal := await tried(visitor.send("POST", f"/plugins/{part(name)}/{switch}")):
            return await _list(visitor, refusal)
        return go("/admin/plugins")

    async def _list(visitor: Visitor, refusal: Failed | None = None) -> Response:
        found = (await visitor.get("/plugins/"))["plugins"]
        return page(pages, "admin/plugins.html", visitor, refusal, plugins=found)
