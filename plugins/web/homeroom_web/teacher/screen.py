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
        return pages.render("teacher/screen.html", visitor=visitor, **await _shown(visitor, session_id, clock))

    @blueprint.get("/sessions/<session_id>/code")
    @pages.for_visitors
    async def code(visitor: Visitor, session_id: str) -> Response:
        """The part of the projector's page that changes."""
        return pages.render("teacher/code.html", visitor=visitor, **await _shown(visitor, session_id, clock))


async def _shown(visitor: Visitor, session_id: str, clock: Clock) -> dict[str, Any]:
    """What the projector shows now; without a code once the session is closed. `left` is in seconds."""
    session = await visitor.get(f"/sessions/{session_id}")
    records = await records_of(visitor, session)
    here = sum(record["status"] in ("present", "tardy") for record in records.values())
    students = (await visitor.get(f"/classes/{session['class_id']}/roster"))["students"]
    why = ""
    try:
        challenge = await visitor.get(f"/sessions/{session_id}/challenge")
    except Failed as refusal:
        if refusal.status != CONFLICT:
            raise
        challenge, why = None, refusal.detail
    return {
        "session": session,
        "challenge": challenge,
        "why": why,
        "here": here,
        "expected": len(students),
        "left": _seconds_until(challenge["expires_at"], clock) if challenge else 0,
    }


def _seconds_until(moment: str, clock: Clock) -> int:
    return max(0, math.ceil((datetime.fromisoformat(moment) - clock.now()).total_seconds()))
