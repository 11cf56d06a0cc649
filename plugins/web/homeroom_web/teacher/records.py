"""One record: every version with who made it, when and why; its correction; and the flag, accepted or disputed."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.asking import CHANGED, UNPROCESSABLE, beside_form, name_of
from homeroom_web.forms import field, filled, version
from homeroom_web.pages import Pages, go, language
from homeroom_web.teacher.board import STATUSES, reasons_of
from homeroom_web.visitors import Failed, Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/attendance/ID`."""

    @blueprint.get("/attendance/<record_id>")
    @pages.for_visitors
    async def attendance_record(visitor: Visitor, record_id: str) -> Response:
        return await _shown(pages, visitor, record_id)

    @blueprint.post("/attendance/<record_id>")
    @pages.for_visitors
    async def correct_record(visitor: Visitor, record_id: str) -> Response:
        given = await filled(("status", "code", "note", "reason"))
        if not given["reason"]:
            missing = language().say("Please say why: a correction needs its reason.")
            return await _shown(pages, visitor, record_id, given, Failed(UNPROCESSABLE, missing))
        return await _send(pages, visitor, record_id, given)

    @blueprint.post("/attendance/<record_id>/review")
    @pages.for_visitors
    async def review_record(visitor: Visitor, record_id: str) -> Response:
        """Settle a flag: the student is there after all, or was not."""
        words = language()
        if await field("decision") == "accept":
            given = {"status": await field("status"), "reason": words.say("Looked at: the student is there.")}
        else:
            given = {"status": "absent", "reason": words.say("Looked at: the student is not there.")}
        return await _send(pages, visitor, record_id, given)


async def _send(pages: Pages, visitor: Visitor, record_id: str, given: dict[str, str]) -> Response:
    """Correct the version that was looked at; when somebody was faster, show theirs and keep what was typed."""
    try:
        sent = {name: value for name, value in given.items() if value or name != "code"}
        now = await visitor.send("PATCH", f"/attendance/{record_id}", sent, version=await version())
    except Failed as refusal:
        return await _shown(pages, visitor, record_id, given, beside_form(refusal))
    back = await field("back")
    return go(f"/classes/{now['class_id']}" if back == "class" else f"/attendance/{record_id}")


async def _shown(
    pages: Pages,
    visitor: Visitor,
    record_id: str,
    given: dict[str, str] | None = None,
    refusal: Failed | None = None,
) -> Response:
    versions = (await visitor.get(f"/attendance/{record_id}/history"))["items"]
    now = versions[-1]
    name = await name_of(visitor, now["student_id"]) or language().say("A student who has left")
    codes = (await visitor.get(f"/attendance-codes?school_id={now['school_id']}"))["items"]
    filled = {"status": now["status"], "code": "", "note": now["note"] or "", "reason": "", **(given or {})}
    return pages.render(
        "teacher/record.html",
        visitor=visitor,
        name=name,
        versions=versions,
        now=now,
        flag={"record": now, "name": name, "reasons": reasons_of(now)} if now["needs_review"] else None,
        statuses=STATUSES,
        codes=codes,
        given=filled,
        refusal=refusal,
        overtaken=refusal is not None and refusal.status == CHANGED,
    )
