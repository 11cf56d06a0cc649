"""Which of a school's rolls are taken today, and a class's roll on paper."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.forms import asked
from homeroom_web.office.schools import day_or, school_of
from homeroom_web.pages import Pages
from homeroom_web.visitors import Visitor
from homeroom_web.words import to_say

STATES = {"taken": to_say("taken"), "open": to_say("open"), "not_taken": to_say("not taken")}


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/completion` and `/office/classes/ID/paper`."""

    @blueprint.get("/office/completion")
    @pages.for_visitors
    async def office_completion(visitor: Visitor) -> Response:
        at = await school_of(visitor, asked("school"))
        day = day_or(at.today, asked("day"))
        found = await visitor.get(f"/schools/{at.id}/rolls?day={day}")
        periods = sorted({one["period"] for one in found["items"] if one["period"]})
        period, state = asked("period"), asked("state")
        lines = [
            one
            for one in found["items"]
            if (not period or one["period"] == period) and (not state or one["state"] == state)
        ]
        counts = {name: found[name] for name in STATES}
        return pages.render(
            "office/completion.html",
            visitor=visitor,
            at=at,
            day=day,
            in_session=found["in_session"],
            counts=counts,
            lines=lines,
            periods=periods,
            period=period,
            state=state,
            states=STATES,
        )

    @blueprint.get("/office/classes/<class_id>/paper")
    @pages.for_visitors
    async def office_paper(visitor: Visitor, class_id: str) -> Response:
        """A class's roll to be printed and filled in by hand."""
        one = await visitor.get(f"/classes/{class_id}")
        roster = await visitor.get(f"/classes/{class_id}/roster")
        return pages.render("office/paper.html", visitor=visitor, one=one, roster=roster)
