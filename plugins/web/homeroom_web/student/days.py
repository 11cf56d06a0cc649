"""One's own history: a calendar of weeks, and what was recorded on a day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.calendar import weeks_of
from homeroom_web.pages import NOT_FOUND, Pages, language
from homeroom_web.student.outcome import reasons_of
from homeroom_web.visitors import Failed, Visitor

_SHOWN = timedelta(weeks=5)


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/days` and `/days/DAY`."""
    today = pages.services.today

    @blueprint.get("/days")
    @pages.for_visitors
    async def days(visitor: Visitor) -> Response:
        """Five weeks, the last ones or those up to `?until=`."""
        until = min(_day(request.args["until"]), today()) if request.args.get("until") else today()
        me = await visitor.get("/auth/me")
        weeks = await weeks_of(visitor, me["id"], until)
        later = min(until + _SHOWN, today()) if until < today() else None
        return pages.render(
            "student/days.html", visitor=visitor, weeks=weeks, day_pages="/days", earlier=until - _SHOWN, later=later
        )

    @blueprint.get("/days/<day>")
    @pages.for_visitors
    async def day(visitor: Visitor, day: str) -> Response:
        asked = _day(day)
        me = await visitor.get("/auth/me")
        query = f"from={asked}&to={asked}&limit=100"
        found = (await visitor.get(f"/students/{me['id']}/attendance?{query}"))["items"]
        records = [await _told(visitor, record) for record in found]
        return pages.render("student/day.html", visitor=visitor, day=asked, records=records)


async def _told(visitor: Visitor, record: dict[str, Any]) -> dict[str, Any]:
    """A record with its class's title and why it waits; a class that has ended has none that one may read."""
    try:
        title = (await visitor.get(f"/classes/{record['class_id']}"))["title"]
    except Failed:
        title = ""
    return {**record, "title": title, "reasons": reasons_of(record)}


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Failed(NOT_FOUND, language().say("There is no such day.")) from None
