"""A guardian's children: their days, and an absence told ahead or afterwards."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.calendar import weeks_of
from homeroom_web.pages import Pages, field, go
from homeroom_web.visitors import Failed, Visitor

_REFUSED = (409, 422)


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/children`, a child's days, and reports of absences."""
    today = pages.services.today

    @blueprint.get("/children")
    @pages.for_visitors
    async def children(visitor: Visitor) -> Response:
        found = (await visitor.get("/students/children"))["items"]
        return pages.render("family/children.html", visitor=visitor, children=found)

    @blueprint.get("/children/<student_id>")
    @pages.for_visitors
    async def child(visitor: Visitor, student_id: str) -> Response:
        return await _child(visitor, student_id)

    @blueprint.post("/children/<student_id>/absence")
    @pages.for_visitors
    async def report(visitor: Visitor, student_id: str) -> Response:
        told = {
            "first_day": await field("first_day"),
            "last_day": await field("last_day"),
            "reason": await field("reason"),
        }
        try:
            sent = {name: value for name, value in told.items() if value}
            await visitor.send("POST", f"/students/{student_id}/absence-reports", sent)
        except Failed as refusal:
            if refusal.status not in _REFUSED:
                raise
            return await _child(visitor, student_id, told, refusal)
        return go(f"/children/{student_id}")

    async def _child(
        visitor: Visitor, student_id: str, told: dict[str, Any] | None = None, refusal: Failed | None = None
    ) -> Response:
        student = await visitor.get(f"/students/{student_id}")
        reports = (await visitor.get(f"/students/{student_id}/absence-reports?limit=20"))["items"]
        return pages.render(
            "family/child.html",
            visitor=visitor,
            status=refusal.status if refusal else 200,
            student=student,
            reports=reports,
            weeks=await weeks_of(visitor, student_id, today()),
            told=told or {"first_day": today().isoformat(), "last_day": "", "reason": ""},
            refusal=refusal,
        )
