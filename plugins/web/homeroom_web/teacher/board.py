"""Classes, and the roll with its live board."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.pages import Pages, field, go
from homeroom_web.visitors import Visitor

STATUSES = ("present", "tardy", "absent", "excused")


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/classes`, a class's roll, and what is done on it."""

    @blueprint.get("/classes")
    @pages.for_visitors
    async def classes(visitor: Visitor) -> Response:
        found = (await visitor.get("/classes/?limit=100"))["items"]
        for one in found:
            one["session"] = await _latest(visitor, one["id"])
        return pages.render("teacher/classes.html", visitor=visitor, classes=found)

    @blueprint.get("/classes/<class_id>")
    @pages.for_visitors
    async def board(visitor: Visitor, class_id: str) -> Response:
        one = await visitor.get(f"/classes/{class_id}")
        session = await _latest(visitor, class_id)
        students = (await visitor.get(f"/classes/{class_id}/roster"))["students"]
        records = await records_of(visitor, session)
        values = {"one": one, "session": session, "students": students, "records": records, "statuses": STATUSES}
        counts = {name: sum(record["status"] == name for record in records.values()) for name in STATUSES}
        return pages.render("teacher/board.html", visitor=visitor, counts=counts, **values)

    @blueprint.post("/classes/<class_id>/open")
    @pages.for_visitors
    async def begin(visitor: Visitor, class_id: str) -> Response:
        await visitor.send("POST", f"/classes/{class_id}/sessions")
        return go(f"/classes/{class_id}")

    @blueprint.post("/sessions/<session_id>/marks")
    @pages.for_visitors
    async def mark(visitor: Visitor, session_id: str) -> Response:
        session = await visitor.get(f"/sessions/{session_id}")
        given = {"student_id": await field("student"), "status": await field("status")}
        await visitor.send("PUT", f"/sessions/{session_id}/attendance", {"marks": [given]})
        return go(f"/classes/{session['class_id']}")

    @blueprint.post("/sessions/<session_id>/rest-present")
    @pages.for_visitors
    async def all_present(visitor: Visitor, session_id: str) -> Response:
        """Mark everybody who has no mark yet as present."""
        session = await visitor.get(f"/sessions/{session_id}")
        students = (await visitor.get(f"/classes/{session['class_id']}/roster"))["students"]
        records = await records_of(visitor, session)
        marks = [{"student_id": one["id"], "status": "present"} for one in students if one["id"] not in records]
        if marks:
            await visitor.send("PUT", f"/sessions/{session_id}/attendance", {"marks": marks})
        return go(f"/classes/{session['class_id']}")

    @blueprint.post("/sessions/<session_id>/close")
    @pages.for_visitors
    async def close(visitor: Visitor, session_id: str) -> Response:
        session = await visitor.send("POST", f"/sessions/{session_id}/close")
        return go(f"/classes/{session['class_id']}")

    @blueprint.post("/ticket")
    @pages.for_visitors
    async def ticket(visitor: Visitor) -> Response:
        """What the board's script opens its socket with: good once, for half a minute."""
        told = await visitor.send("POST", "/ws-tickets/")
        return Response(told["ticket"], content_type="text/plain")


async def _latest(visitor: Visitor, class_id: str) -> dict[str, Any] | None:
    """The class's latest session."""
    found: list[dict[str, Any]] = (await visitor.get(f"/classes/{class_id}/sessions?limit=1"))["items"]
    return found[0] if found else None


async def records_of(visitor: Visitor, session: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The session's records by student."""
    if session is None:
        return {}
    found = await visitor.get(f"/sessions/{session['id']}/attendance")
    return {record["student_id"]: record for record in found["items"]}
