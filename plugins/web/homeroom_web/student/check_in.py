"""Checking in, and one's own days."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.calendar import weeks_of
from homeroom_web.pages import Pages, field, language
from homeroom_web.scans import Scans
from homeroom_web.visitors import Failed, Visitor

_REFUSED = (404, 409, 422, 429)


def add_routes(blueprint: Blueprint, pages: Pages, scans: Scans) -> None:
    """`/check-in` and `/days`."""
    today = pages.services.today

    @blueprint.get("/check-in")
    @pages.for_visitors
    async def form(visitor: Visitor) -> Response:
        receipt = scans.kept() or await scans.exchange(request.full_path)
        if receipt is None:
            return await _form(visitor, request.args.get("session", ""))
        if not receipt.good:
            changed = language().say("That picture has changed already. Please scan the one that is shown now.")
            return await _form(visitor, receipt.session_id, refusal=Failed(422, changed))
        return await _form(visitor, receipt.session_id, receipt.scan)

    @blueprint.post("/check-in")
    @pages.for_visitors
    async def arrive(visitor: Visitor) -> Response:
        session_id, scan, code = await field("session"), await field("scan"), await field("code")
        proof = {"scan": scan} if scan else {"code": code}
        try:
            record = await visitor.send("POST", "/attendance/checkin", {"session_id": session_id, "proof": proof})
        except Failed as refusal:
            if refusal.status not in _REFUSED:
                raise
            again = await _form(visitor, session_id, refusal=refusal)
            scans.forget(again)
            return again
        response = pages.render("student/checked_in.html", visitor=visitor, record=record)
        scans.forget(response)
        return response

    @blueprint.get("/days")
    @pages.for_visitors
    async def days(visitor: Visitor) -> Response:
        me = await visitor.get("/auth/me")
        return pages.render("student/days.html", visitor=visitor, weeks=await weeks_of(visitor, me["id"], today()))

    async def _form(visitor: Visitor, session_id: str, scan: str = "", refusal: Failed | None = None) -> Response:
        sessions = [] if scan else await _open_sessions(visitor)
        chosen = session_id or (sessions[0]["id"] if len(sessions) == 1 else "")
        values = {"sessions": sessions, "chosen": chosen, "scan": scan, "refusal": refusal}
        return pages.render(
            "student/check_in.html", visitor=visitor, status=refusal.status if refusal else 200, **values
        )


async def _open_sessions(visitor: Visitor) -> list[dict[str, Any]]:
    """The sessions that are open now in the student's own classes, with the class's title."""
    classes = (await visitor.get("/classes/?limit=50&with=latest_session"))["items"]
    found = [{**one["latest_session"], "title": one["title"]} for one in classes if one["latest_session"]]
    return [session for session in found if session["state"] == "open"]
