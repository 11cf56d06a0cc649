"""Attendance on its way to a SIS: what waits, and the marks about which a person must decide."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from quart import Blueprint, Response

from homeroom_web.admin.shown import cursor, helpers, onward
from homeroom_web.pages import Pages, field, go
from homeroom_web.visitors import Failed, Visitor

_SHOWN_AGAIN = (404, 409, 412, 422)


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """A connector's `attendance`."""

    @blueprint.get("/admin/sync/connectors/<name>/attendance")
    @pages.for_visitors
    async def sync_outgoing(visitor: Visitor, name: str) -> Response:
        return await _page(visitor, name)

    @blueprint.post("/admin/sync/connectors/<name>/attendance/<mark_id>")
    @pages.for_visitors
    async def sync_decide_outgoing(visitor: Visitor, name: str, mark_id: str) -> Response:
        version, why = await field("version"), await field("why")
        wish: dict[str, Any] = {"choice": await field("choice")}
        wish |= {"version": int(version)} if version.isdecimal() else {}
        wish |= {"why": why} if why else {}
        try:
            await visitor.send("POST", f"/sync/{quote(name, safe='')}/attendance/{quote(mark_id, safe='')}", wish)
        except Failed as refusal:
            if refusal.status not in _SHOWN_AGAIN:
                raise
            return await _page(visitor, name, refusal)
        return go(f"/admin/sync/connectors/{quote(name, safe='')}/attendance")

    async def _page(visitor: Visitor, name: str, refusal: Failed | None = None) -> Response:
        connectors = (await visitor.get("/sync/connectors"))["items"]
        found = await visitor.get(f"/sync/{quote(name, safe='')}/attendance?{urlencode({'limit': 20, **cursor()})}")
        students = sorted({mark["student_id"] for mark in found["items"]})
        return pages.render(
            "admin/outgoing.html",
            visitor=visitor,
            status=refusal.status if refusal else 200,
            refusal=refusal,
            name=name,
            one=next((one for one in connectors if one["name"] == name), None),
            items=found["items"],
            names={student: (await visitor.get(f"/students/{student}"))["name"] for student in students},
            onward=onward(found),
            **helpers(pages),
        )
