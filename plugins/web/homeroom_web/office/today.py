"""A day's absences and late arrivals, and one record with its history and its correction."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.office.schools import asked, day_or, school_of, whole
from homeroom_web.pages import Pages, field, go
from homeroom_web.visitors import Failed, Visitor
from homeroom_web.words import to_say

STATUSES = ("present", "tardy", "absent", "excused")
TOLD = {
    "told": to_say("told"),
    "waiting": to_say("waits to be sent"),
    "unknown": to_say("sent, nobody knows whether it arrived"),
    "failed": to_say("not told: no message went out"),
}
ORIGINS = {
    "check_in": to_say("checked in"),
    "teacher": to_say("by the teacher"),
    "office": to_say("by the office"),
    "absence_report": to_say("by a reported absence"),
    "close": to_say("when the roll was closed"),
}
_SHOWN = {"": "absent,tardy", "all": "", **{name: name for name in STATUSES}}
_MOST = 1000
_KEPT = (409, 412, 422)


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/today` and `/office/records/ID`."""

    @blueprint.get("/office/today")
    @pages.for_visitors
    async def office_today(visitor: Visitor) -> Response:
        at = await school_of(visitor, asked("school"))
        day, shown, class_id = day_or(at.today, asked("day")), asked("status"), asked("class")
        wanted = {"from": str(day), "to": str(day), "class_id": class_id, "status": _SHOWN.get(shown, "absent,tardy")}
        lines, more = await whole(visitor, f"/schools/{at.id}/attendance", _MOST, **wanted)
        return pages.render(
            "office/today.html",
            visitor=visitor,
            at=at,
            day=day,
            lines=lines,
            more=more,
            classes=await classes_of(visitor, at.id, str(day)),
            class_id=class_id,
            chosen=shown,
            statuses=STATUSES,
            told=TOLD,
            clock=at.clock(),
        )

    @blueprint.get("/office/records/<record_id>")
    @pages.for_visitors
    async def office_record(visitor: Visitor, record_id: str) -> Response:
        return await _record(visitor, record_id)

    @blueprint.post("/office/records/<record_id>")
    @pages.for_visitors
    async def office_correct(visitor: Visitor, record_id: str) -> Response:
        given = {name: await field(name) for name in ("status", "code", "note", "reason", "version")}
        sent: dict[str, Any] = {"status": given["status"], "reason": given["reason"], "note": given["note"]}
        if given["code"]:
            sent["code"] = given["code"]
        version = int(given["version"]) if given["version"].isdecimal() else 0
        try:
            await visitor.send("PATCH", f"/attendance/{record_id}", sent, version=version)
        except Failed as refusal:
            if refusal.status not in _KEPT:
                raise
            return await _record(visitor, record_id, given, refusal)
        return go(f"/office/records/{record_id}")

    async def _record(
        visitor: Visitor, record_id: str, given: dict[str, Any] | None = None, refusal: Failed | None = None
    ) -> Response:
        one = await visitor.get(f"/attendance/{record_id}")
        codes = (await visitor.get(f"/attendance-codes?school_id={one['school_id']}"))["items"]
        return pages.render(
            "office/record.html",
            visitor=visitor,
            status=refusal.status if refusal else 200,
            one=one,
            group=await visitor.get(f"/classes/{one['class_id']}"),
            student=await visitor.get(f"/students/{one['student_id']}"),
            versions=(await visitor.get(f"/attendance/{record_id}/history"))["items"],
            codes=codes,
            statuses=STATUSES,
            origins=ORIGINS,
            given=given or {"status": one["status"], "code": "", "note": one["note"] or "", "reason": ""},
            refusal=refusal,
        )


async def classes_of(visitor: Visitor, school_id: str, day: str) -> list[tuple[str, str]]:
    """A school's classes that meet on a day, each as its id and title."""
    rolls = await visitor.get(f"/schools/{school_id}/rolls?day={day}")
    return list({one["class_id"]: (one["class_id"], one["title"]) for one in rolls["items"]}.values())
