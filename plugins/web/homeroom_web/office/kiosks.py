"""Tablets at the doors, who left early there, and students' cards and PINs."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from quart import Blueprint, Response, request

from homeroom_web.pages import Pages, field, go, language
from homeroom_web.visitors import Failed, Visitor
from homeroom_web.words import to_say

_REFUSED = (404, 409, 422)
_NO_PLUGIN = to_say("Tablets at the door are not in use here: the plugin kiosk is not switched on.")
_MOST_NAMED = 25


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/kiosks` and what is below it."""
    _add_tablets(blueprint, pages)
    _add_students(blueprint, pages)


def _add_tablets(blueprint: Blueprint, pages: Pages) -> None:
    @blueprint.get("/kiosks")
    @pages.for_visitors
    async def overview(visitor: Visitor) -> Response:
        return await _overview(pages, visitor, request.args.get("school", ""))

    @blueprint.post("/kiosks")
    @pages.for_visitors
    async def make(visitor: Visitor) -> Response:
        school_id, place = await field("school"), await field("place")
        try:
            made = await visitor.send("POST", f"{_school(school_id)}/tablets", {"place": place})
        except Failed as refusal:
            return await _overview(pages, visitor, school_id, place=place, refusal=_known(refusal))
        return await _overview(pages, visitor, school_id, made={**made, "place": place})

    @blueprint.post("/kiosks/<tablet_id>/<any(code, release, off):what>")
    @pages.for_visitors
    async def change(visitor: Visitor, tablet_id: str, what: str) -> Response:
        """A new code, a release, or switched off for good."""
        school_id, place = await field("school"), await field("place")
        tablet = f"{_school(school_id)}/tablets/{quote(tablet_id, safe='')}"
        try:
            if what == "code":
                made = await visitor.send("POST", f"{tablet}/code")
                return await _overview(pages, visitor, school_id, made={**made, "place": place})
            await visitor.send(*(("POST", f"{tablet}/release") if what == "release" else ("DELETE", tablet)))
        except Failed as refusal:
            return await _overview(pages, visitor, school_id, refusal=_known(refusal))
        return go(f"/kiosks?school={quote(school_id, safe='')}")


async def _overview(
    pages: Pages,
    visitor: Visitor,
    school_id: str,
    *,
    place: str = "",
    made: dict[str, Any] | None = None,
    refusal: Failed | None = None,
) -> Response:
    """A school's tablets and who left early there today; the first of the visitor's schools where none is named."""
    zone = ZoneInfo(pages.services.time_zone)
    schools = await _schools(visitor)
    chosen = next((one for one in schools if one["id"] == school_id), schools[0] if schools else None)
    tablets: list[dict[str, Any]] = []
    left: list[dict[str, Any]] = []
    if chosen is not None:
        tablets = (await visitor.get(f"{_school(chosen['id'])}/tablets"))["items"]
        left = (await visitor.get(f"{_school(chosen['id'])}/entries?early=true"))["items"]
    for one in left[:_MOST_NAMED]:
        one["student"] = await visitor.get(f"/students/{one['student_id']}")
    return pages.render(
        "office/kiosks.html",
        visitor=visitor,
        status=refusal.status if refusal else 200,
        schools=schools,
        chosen=chosen,
        tablets=tablets,
        left=left[:_MOST_NAMED],
        more=len(left) > _MOST_NAMED,
        place=place,
        made=made,
        refusal=refusal,
        at_school=lambda at: datetime.fromisoformat(at).astimezone(zone).strftime("%H:%M"),
    )


def _add_students(blueprint: Blueprint, pages: Pages) -> None:
    @blueprint.post("/kiosks/students")
    @pages.for_visitors
    async def search(visitor: Visitor) -> Response:
        """Students by name or number; a POST, so that no name stands in an address."""
        await _schools(visitor)
        wanted = await field("q")
        found = (await visitor.get(f"/students/search?q={quote(wanted, safe='')}&limit=20"))["items"] if wanted else []
        return pages.render("office/kiosk_search.html", visitor=visitor, q=wanted, students=found)

    @blueprint.get("/kiosks/students/<student_id>")
    @pages.for_visitors
    async def student(visitor: Visitor, student_id: str) -> Response:
        return await _student(visitor, student_id)

    @blueprint.post("/kiosks/students/<student_id>/<any(give, block, pin, 'no-pin', release):what>")
    @pages.for_visitors
    async def change_keys(visitor: Visitor, student_id: str, what: str) -> Response:
        """A card given or blocked, a PIN made or removed, or a lock released."""
        keys = _student_path(student_id)
        card_id = quote(await field("id"), safe="")
        requests: dict[str, tuple[str, str, Any]] = {
            "give": ("POST", f"{keys}/cards", {"card": await field("card")}),
            "block": ("DELETE", f"{keys}/cards/{card_id}", None),
            "pin": ("PUT", f"{keys}/pin", None),
            "no-pin": ("DELETE", f"{keys}/pin", None),
            "release": ("POST", f"{keys}/release", None),
        }
        try:
            told = await visitor.send(*requests[what])
        except Failed as refusal:
            return await _student(visitor, student_id, refusal=_known(refusal))
        if what == "pin":
            return await _student(visitor, student_id, pin=told["pin"])
        return go(f"/kiosks/students/{quote(student_id, safe='')}")

    async def _student(
        visitor: Visitor, student_id: str, *, pin: str | None = None, refusal: Failed | None = None
    ) -> Response:
        await _schools(visitor)
        keys = await visitor.get(_student_path(student_id))
        one = await visitor.get(f"/students/{quote(student_id, safe='')}")
        status = refusal.status if refusal else 200
        values = {"student": one, "keys": keys, "pin": pin, "refusal": refusal}
        return pages.render("office/kiosk_student.html", visitor=visitor, status=status, **values)


async def _schools(visitor: Visitor) -> list[dict[str, Any]]:
    """The schools whose tablets the visitor looks after. Raises Failed where there is no such plugin."""
    try:
        found: list[dict[str, Any]] = (await visitor.get("/kiosk/schools"))["items"]
    except Failed as refusal:
        if refusal.status == 404:  # noqa: PLR2004 - below the prefix of a plugin that is not there
            raise Failed(refusal.status, language().say(_NO_PLUGIN)) from None
        raise
    return found


def _school(school_id: str) -> str:
    return f"/kiosk/schools/{quote(school_id, safe='')}"


def _student_path(student_id: str) -> str:
    return f"/kiosk/students/{quote(student_id, safe='')}"


def _known(refusal: Failed) -> Failed:
    """A refusal that the page can show; any other is raised."""
    if refusal.status not in _REFUSED:
        raise refusal
    return refusal
