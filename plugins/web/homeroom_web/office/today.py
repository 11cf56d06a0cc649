"""A day's absences and late arrivals."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.asking import whole
from homeroom_web.forms import asked
from homeroom_web.office.schools import day_or, school_of
from homeroom_web.pages import Pages
from homeroom_web.visitors import Visitor
from homeroom_web.words import to_say

STATUSES = ("present", "tardy", "absent", "excused")
TOLD = {
    "told": to_say("told"),
    "waiting": to_say("waits to be sent"),
    "unknown": to_say("sent, nobody knows whether it arrived"),
    "failed": to_say("not told: no message went out"),
}
_SHOWN = {"": "absent,tardy", "all": "", **{name: name for name in STATUSES}}
_MOST = 1000


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/today`."""

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


async def classes_of(visitor: Visitor, school_id: str, day: str) -> list[tuple[str, str]]:
    """A school's classes that meet on a day, each as its id and title."""
    rolls = await visitor.get(f"/schools/{school_id}/rolls?day={day}")
    return list({one["class_id"]: (one["class_id"], one["title"]) for one in rolls["items"]}.values())
