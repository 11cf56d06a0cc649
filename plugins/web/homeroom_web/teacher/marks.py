"""What is done on the roll: one mark with its note, all others at once, taking that back, and closing."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.forms import field
from homeroom_web.pages import Pages, go
from homeroom_web.teacher import bulk
from homeroom_web.teacher.board import records_of
from homeroom_web.visitors import Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """The forms of a class's roll."""
    services = pages.services

    @blueprint.post("/sessions/<session_id>/marks")
    @pages.for_visitors
    async def mark(visitor: Visitor, session_id: str) -> Response:
        """One student's mark; the note is sent only when it was changed here, so that nobody else's is lost."""
        session = await visitor.get(f"/sessions/{session_id}")
        given = {"student_id": await field("student"), "status": await field("status")}
        note = await field("note")
        if note != await field("note_was"):
            given["note"] = note
        await visitor.send("PUT", f"/sessions/{session_id}/attendance", {"marks": [given]})
        return go(f"/classes/{session['class_id']}")

    @blueprint.post("/sessions/<session_id>/rest-present")
    @pages.for_visitors
    async def all_present(visitor: Visitor, session_id: str) -> Response:
        """Mark everybody who has no mark by then as present."""
        session = await visitor.get(f"/sessions/{session_id}")
        students = (await visitor.get(f"/classes/{session['class_id']}/roster"))["students"]
        records = await records_of(visitor, session)
        marks = [{"student_id": one["id"], "status": "present"} for one in students if one["id"] not in records]
        if marks:
            sent = {"marks": marks, "only_unmarked": True}
            made = await visitor.send("PUT", f"/sessions/{session_id}/attendance", sent)
            await bulk.keep(services, visitor, session_id, made["items"])
        return go(f"/classes/{session['class_id']}")

    @blueprint.post("/sessions/<session_id>/undo")
    @pages.for_visitors
    async def undo_bulk(visitor: Visitor, session_id: str) -> Response:
        """Take back what was last marked all at once, but for whom somebody has marked since."""
        session = await visitor.get(f"/sessions/{session_id}")
        records = await bulk.kept(services, visitor, session_id)
        if not records:
            return go(f"/classes/{session['class_id']}")
        told = await visitor.send("POST", f"/sessions/{session_id}/attendance/withdrawals", {"records": records})
        await bulk.forget(services, visitor, session_id)
        many, stayed = len(told["withdrawn"]), len(told["kept"])
        return go(f"/classes/{session['class_id']}?undone={many}&stayed={stayed}")

    @blueprint.post("/sessions/<session_id>/close")
    @pages.for_visitors
    async def close(visitor: Visitor, session_id: str) -> Response:
        session = await visitor.send("POST", f"/sessions/{session_id}/close")
        return go(f"/classes/{session['class_id']}")
