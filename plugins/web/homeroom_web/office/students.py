"""A student's page for staff: days, classes, records; for the office the guardians, too, and an absence to excuse."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.asking import beside_form
from homeroom_web.calendar import weeks_of
from homeroom_web.forms import filled, given
from homeroom_web.pages import FORBIDDEN, NOT_FOUND, Pages, go
from homeroom_web.visitors import Failed, Visitor

_RECORDS = 50


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/students/ID`."""
    today = pages.services.today

    @blueprint.get("/office/students/<student_id>")
    @pages.for_visitors
    async def office_student(visitor: Visitor, student_id: str) -> Response:
        return await _student(visitor, student_id)

    @blueprint.post("/office/students/<student_id>/absence")
    @pages.for_visitors
    async def office_absence(visitor: Visitor, student_id: str) -> Response:
        """Enter an absence that the office knows of, which is approved by that."""
        told = await filled(("first_day", "last_day", "reason"))
        try:
            report = await visitor.send("POST", f"/students/{student_id}/absence-reports", given(told))
            await visitor.send("POST", f"/absence-reports/{report['id']}/decision", {"decision": "approve"})
        except Failed as refusal:
            return await _student(visitor, student_id, told, beside_form(refusal))
        return go(f"/office/students/{student_id}")

    async def _student(
        visitor: Visitor, student_id: str, told: dict[str, str] | None = None, refusal: Failed | None = None
    ) -> Response:
        one = await visitor.get(f"/students/{student_id}")
        weeks = await weeks_of(visitor, student_id, today())
        since = weeks[0][0]["day"]
        records = await visitor.get(f"/students/{student_id}/attendance?from={since}&limit=500")
        classes = (await visitor.get(f"/students/{student_id}/classes"))["items"]
        return pages.render(
            "office/student.html",
            visitor=visitor,
            student=one,
            weeks=weeks,
            classes=classes,
            titles={group["id"]: group["title"] for group in classes},
            records=records["items"][: -_RECORDS - 1 : -1],
            guardians=await _guardians(visitor, student_id),
            reports=(await visitor.get(f"/students/{student_id}/absence-reports?limit=20"))["items"],
            is_office=visitor.has("school_admin") or visitor.has("district_admin"),
            told=told or {"first_day": today().isoformat(), "last_day": "", "reason": ""},
            refusal=refusal,
        )


async def _guardians(visitor: Visitor, student_id: str) -> list[dict[str, Any]] | None:
    """The guardians and how to reach them; None for whoever may not know."""
    try:
        found: list[dict[str, Any]] = (await visitor.get(f"/students/{student_id}/guardians/contacts"))["items"]
    except Failed as refusal:
        if refusal.status not in (FORBIDDEN, NOT_FOUND):
            raise
        return None
    return found
