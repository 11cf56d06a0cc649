"""The page for the projector: the code of this moment as a picture and as digits, and how many are in."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from quart import Blueprint, Response

from homeroom import Clock
from homeroom_web.asking import CONFLICT
from homeroom_web.pages import Pages
from homeroom_web.teacher.board import records_of
from homeroom_web.visitors import Failed, Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/sessions/ID/screen`, and the part of it that changes."""
    clock = pages.services.clock

    @blueprint.get("/sessions/<session_id>/screen")
    @pages.for_visitors
    async def screen(visitor: Visitor, session_id: str) -> Response:
        session = await visitor.get(f"/sessions/{session_id}")
        records = await records_of(visitor, session)
        students = (await visitor.get(f"/classes/{session['class_id']}/roster"))["students"]
        return pages.render(
            "teacher/screen.html",
            visitor=visitor,
            session=session,
            marks={student_id: record["status"] for student_id, record in records.items()},
            here=sum(record["status"] in ("present", "tardy") for record in records.values()),
            expected=len(students),
            **await _code(visitor, session_id, clock),
        )

    @blueprint.get("/sessions/<session_id>/code")
    @pages.for_visitors
    async def code(visitor: Visitor, session_id: str) -> Response:
        """The part of the projector's page that changes with the code."""
        return pages.render("teacher/code.html", visitor=visitor, **await _code(visitor, session_id, clock))


async def _code(visitor: Visitor, session_id: str, clock: Clock) -> dict[str, Any]:
    """What there is to check in with now; without a code once the session is closed. `left` is in seconds."""
    try:
        challenge = await visitor.get(f"/sessions/{session_id}/challenge")
    except Failed as refusal:
        if refusal.status != CONFLICT:
            raise
        return {"challenge": None, "why": refusal.detail, "left": 0}
    return {"challenge": challenge, "why": "", "left": _seconds_until(challenge["expires_at"], clock)}


def _seconds_until(moment: str, clock: Clock) -> int:
    return max(0, math.ceil((datetime.fromisoformat(moment) - clock.now()).total_seconds()))
