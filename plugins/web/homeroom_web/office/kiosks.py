"""Tablets at the doors, who left early there, and students' cards and PINs."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web import times
from homeroom_web.asking import beside_form, link, names_of, part
from homeroom_web.forms import asked, field
from homeroom_web.kiosk.tablets import NOT_IN_USE
from homeroom_web.pages import NOT_FOUND, Pages, go, language
from homeroom_web.visitors import Failed, Visitor

_MOST_NAMED = 25


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/kiosks` and what is below it."""
    _add_tablets(blueprint, pages)
    _add_students(blueprint, pages)


def _add_tablets(blueprint: Blueprint, pages: Pages) -> None:
    @blueprint.get("/kiosks")
    @pages.for_visitors
    async def overview(visitor: Visitor) -> Response:
        return await _overview(pages, visitor, asked("school"))

    @blueprint.post("/kiosks")
    @pages.for_visitors
    async def make(visitor: Visitor) -> Response:
        school_id, place = await field("school"), await field("place")
        try:
            made = await visitor.send("POST", f"{_school(school_id)}/tablets", {"place": place})
        except Failed as refusal:
            return await _overview(pages, visitor, school_id, place=place, refusal=beside_form(refusal, NOT_FOUND))
        return await _overview(pages, visitor, school_id, made={**made, "place": place})

    @blueprint.post("/kiosks/<tablet_id>/<any(code, release, off):what>")
    @pages.for_visitors
    async def change(visitor: Visitor, tablet_id: str, what: str) -> Response:
        """A new code, a release, or switched off for good."""
        school_id, place = await field("school"), await field("place")
        tablet = f"{_school(school_id)}/tablets/{part(tablet_id)}"
        try:
            if what == "code":
                made = await visitor.send("POST", f"{tablet}/code")
                return await _overview(pages, visitor, school_id, made={**made, "place": place})
            await visitor.send(*(("POST", f"{tablet}/release") if what == "release" else ("DELETE", tablet)))
        except Failed as refusal:
            return await _overview(pages, visitor, school_id, refusal=beside_form(refusal, NOT_FOUND))
        return go(link("/kiosks", {"school": school_id}))


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
    zone, words = pages.services.time_zone, language()
    schools = await _schools(visitor)
    chosen = next((one for one in schools if one["id"] == school_id), schools[0] if schools else None)
    tablets: list[dict[str, Any]] = []
    left: list[dict[str, Any]] = []
    if chosen is not None:
        tablets = (await visitor.get(f"{_school(chosen['id'])}/tablets"))["items"]
        left = (await visitor.get(f"{_school(chosen['id'])}/entries?early=true"))["items"]
    return pages.render(
        "office/kiosks.html",
        visitor=visitor,
        schools=schools,
        chosen=chosen,
        tablets=tablets,
        left=left[:_MOST_NAMED],
        students=await names_of(visitor, (one["student_id"] for one in left[:_MOST_NAMED])),
        more=len(left) > _MOST_NAMED,
        place=place,
        made=made,
        refusal=refusal,
        clock=lambda told: times.clock(told, zone, words.language),
    )


def _add_students(blueprint: Blueprint, pages: Pages) -> None:
    @blueprint.post("/kiosks/students")
    @pages.for_visitors
    async def search(visitor: Visitor) -> Response:
        """Students by name or number; a POST, so that no name stands in an address."""
        await _schools(visitor)
        wanted = await field("q")
        found = (await visitor.get(link("/students/search", {"q": wanted, "limit": 20})))["items"] if wanted else []
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
        card_id = part(await field("id"))
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
            return await _student(visitor, student_id, refusal=beside_form(refusal, NOT_FOUND))
        if what == "pin":
            return await _student(visitor, student_id, pin=told["pin"])
        return go(f"/kiosks/students/{part(student_id)}")

    async def _student(
        visitor: Visitor, student_id: str, *, pin: str | None = None, refusal: Failed | None = None
    ) -> Response:
        await _schools(visitor)
        keys = await visitor.get(_student_path(student_id))
        one = await visitor.get(f"/students/{part(student_id)}")
        values = {"student": one, "keys": keys, "pin": pin}
        return pages.render("office/kiosk_student.html", visitor=visitor, refusal=refusal, **values)


async def _schools(visitor: Visitor) -> list[dict[str, Any]]:
    """The schools whose tablets the visitor looks after. Raises Failed where there is no such plugin."""
    try:
        found: list[dict[str, Any]] = (await visitor.get("/kiosk/schools"))["items"]
    except Failed as refusal:
        if refusal.status == NOT_FOUND:  # below the prefix of a plugin that is not there
            raise Failed(refusal.status, language().say(NOT_IN_USE)) from None
        raise
    return found


def _school(school_id: str) -> str:
    return f"/kiosk/schools/{part(school_id)}"


def _student_path(student_id: str) -> str:
    return f"/kiosk/students/{part(student_id)}"
