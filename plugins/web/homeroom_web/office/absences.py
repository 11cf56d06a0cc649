"""The office's queue: absences that families have reported, to be approved or refused."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.asking import names_of
from homeroom_web.forms import field
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/absences`."""

    @blueprint.get("/absences")
    @pages.for_visitors
    async def queue(visitor: Visitor) -> Response:
        found = await visitor.get("/absence-reports?state=reported&limit=50")
        students = await names_of(visitor, (one["student_id"] for one in found["items"]))
        return pages.render(
            "office/absences.html",
            visitor=visitor,
            reports=found["items"],
            students=students,
            more=found["next"] is not None,
        )

    @blueprint.post("/absences/<report_id>")
    @pages.for_visitors
    async def decide(visitor: Visitor, report_id: str) -> Response:
        await visitor.send("POST", f"/absence-reports/{report_id}/decision", {"decision": await field("decision")})
        return go("/absences")
