"""Attendance on its way to a SIS: what waits, and the marks about which a person must decide."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.common import page
from homeroom_web.asking import link, names_of, part, tried
from homeroom_web.forms import chosen, field, filled, given, number
from homeroom_web.pages import NOT_FOUND, Pages, go
from homeroom_web.visitors import Failed, Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """A connector's `attendance`."""

    @blueprint.get("/admin/sync/connectors/<name>/attendance")
    @pages.for_visitors
    async def sync_outgoing(visitor: Visitor, name: str) -> Response:
        return await _page(visitor, name)

    @blueprint.post("/admin/sync/connectors/<name>/attendance/<mark_id>")
    @pages.for_visitors
    async def sync_decide_outgoing(visitor: Visitor, name: str, mark_id: str) -> Response:
        wish: dict[str, Any] = {"choice": await field("choice"), **given(await filled(["why"]))}
        if (read := number(await field("version"))) is not None:
            wish["version"] = read
        change = visitor.send("POST", f"/sync/{part(name)}/attendance/{part(mark_id)}", wish)
        if refusal := await tried(change, NOT_FOUND):
            return await _page(visitor, name, refusal)
        return go(f"/admin/sync/connectors/{part(name)}/attendance")

    async def _page(visitor: Visitor, name: str, refusal: Failed | None = None) -> Response:
        connectors = (await visitor.get("/sync/connectors"))["items"]
        found = await visitor.get(link(f"/sync/{part(name)}/attendance", {"limit": 20, **chosen("cursor")}))
        return page(
            pages,
            "admin/outgoing.html",
            visitor,
            refusal,
            name=name,
            one=next((one for one in connectors if one["name"] == name), None),
            items=found["items"],
            students=await names_of(visitor, (mark["student_id"] for mark in found["items"])),
            more=found["next"] and link(f"/admin/sync/connectors/{part(name)}/attendance", {"cursor": found["next"]}),
        )
