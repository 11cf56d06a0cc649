"""What an administrator switches: the plugins, and why one is out."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/plugins`."""

    @blueprint.get("/admin/plugins")
    @pages.for_visitors
    async def plugins(visitor: Visitor) -> Response:
        found = (await visitor.get("/plugins/"))["plugins"]
        return pages.render("admin/plugins.html", visitor=visitor, plugins=found)

    @blueprint.get("/admin/plugins/<name>")
    @pages.for_visitors
    async def plugin(visitor: Visitor, name: str) -> Response:
        return pages.render(
            "admin/plugin.html", visitor=visitor, plugin=await visitor.get(f"/plugins/{name}/diagnostics")
        )

    @blueprint.post("/admin/plugins/<name>/<any(enable, disable):switch>")
    @pages.for_visitors
    async def switch(visitor: Visitor, name: str, switch: str) -> Response:
        await visitor.send("POST", f"/plugins/{name}/{switch}")
        return go("/admin/plugins")
