"""Classes, and the roll with its live board."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.asking import link, whole
from homeroom_web.forms import chosen
from homeroom_web.pages import Pages, go
from homeroom_web.teacher import bulk
from homeroom_web.visitors import Visitor

_MOST = 100_000
STATUSES = ("present", "tardy", "absent", "excused")


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/classes`, a class's roll, and the ticket for its live board."""
    services = pages.services

    @blueprint.get("/classes")
    @pages.for_visitors
    async def classes(visitor: Visitor) -> Response:
        found = await visitor.get(link("/classes/", {"limit": 100, "with": "latest_session", **chosen("cursor")}))
        today = services.today().isoformat()
        for one in found["items"]:
            one["session"] = session = one["latest_session"]
            one["state"] = session["state"] if session and (session["school_day"] == today) else ""
            if session and session["state"] == "open":
                one["state"] = "open"
        more = found["next"] and link("/classes", {"cursor": found["next"]})
        return pages.render("teacher/classes.html", visitor=visitor, classes=found["items"], more=more)

    @blueprint.get("/classes/<class_id>")
    @pages.for_visitors
    async def board(visitor: Visitor, class_id: str) -> Response:
        one = await visitor.get(f"/classes/{class_id}")
        session = await latest(visitor, class_id)
        students = (await visitor.get(f"/classes/{class_id}/roster"))["students"]
        records = await records_of(visitor, session)
        counts = {name: sum(record["status"] == name for record in records.values()) for name in STATUSES}
        return pages.render(
            "teacher/board.html",
            visitor=visitor,
            one=one,
            session=session,
            students=students,
            records=records,
            statuses=STATUSES,
            counts=counts,
            flags=flags_of(students, records),
            undo=await bulk.kept(services, visitor, session["id"]) if session else [],
            undone=request.args.get("undone", type=int),
            stayed=request.args.get("stayed", 0, type=int),
        )

    @blueprint.get("/classes/<class_id>/flags")
    @pages.for_visitors
    async def class_flags(visitor: Visitor, class_id: str) -> Response:
        """The part of the board that says who is to be looked at and why."""
        session = await latest(visitor, class_id)
        students = (await visitor.get(f"/classes/{class_id}/roster"))["students"]
        found = flags_of(students, await records_of(visitor, session))
        return pages.render("teacher/flags.html", visitor=visitor, flags=found)

    @blueprint.post("/classes/<class_id>/open")
    @pages.for_visitors
    async def begin(visitor: Visitor, class_id: str) -> Response:
        await visitor.send("POST", f"/classes/{class_id}/sessions")
        return go(f"/classes/{class_id}")

    @blueprint.post("/ticket")
    @pages.for_visitors
    async def ticket(visitor: Visitor) -> Response:
        """What the board's script opens its socket with: good once, for half a minute."""
        told = await visitor.send("POST", "/ws-tickets/")
        return Response(told["ticket"], content_type="text/plain")


async def latest(visitor: Visitor, class_id: str) -> dict[str, Any] | None:
    """The class's latest session."""
    found: list[dict[str, Any]] = (await visitor.get(f"/classes/{class_id}/sessions?limit=1"))["items"]
    return found[0] if found else None


async def records_of(visitor: Visitor, session: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The session's records by student."""
    if session is None:
        return {}
    found, _ = await whole(visitor, f"/sessions/{session['id']}/attendance", _MOST)
    return {record["student_id"]: record for record in found}


def flags_of(students: list[dict[str, Any]], records: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Who is to be looked at: the record, the name, and what was said against it."""
    names = {one["id"]: one["name"] for one in students}
    return [
        {"record": record, "name": names.get(student_id, ""), "reasons": reasons_of(record)}
        for student_id, record in records.items()
        if record["needs_review"]
    ]


def reasons_of(record: dict[str, Any]) -> list[str]:
    """Why somebody should look at a record, in the words of what checked it."""
    doubts = [one for one in record["evidence"] if one["verdict"] == "review"]
    return [f"{one['method']}: {one['reason']}" if one["reason"] else one["method"] for one in doubts]
