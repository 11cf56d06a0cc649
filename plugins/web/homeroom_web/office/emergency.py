"""The emergency roll: who is accounted for now, for everybody who works at a school, on a phone and on paper."""

from __future__ import annotations

from typing import Any

import orjson
from quart import Blueprint, Response

from homeroom_web.asking import CONFLICT, link
from homeroom_web.forms import asked, chosen, field
from homeroom_web.office.schools import school_of
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor
from homeroom_web.words import to_say

STATES = {"here": to_say("here"), "safe": to_say("safe elsewhere"), "with_guardian": to_say("left with guardian")}
STANDINGS = {
    "not_accounted": to_say("not accounted for"),
    "accounted": to_say("accounted for"),
    "absent": to_say("recorded as absent"),
}
KINDS = {"emergency": to_say("Emergency"), "drill": to_say("Drill")}
TAKEN_BACK = to_say("taken back")
_SHOWN = {"": "", "all": "", **{name: name for name in STANDINGS}}


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/emergency`, a school's roll, and what is done on it."""
    _add_roll(blueprint, pages)
    _add_end(blueprint, pages)

    @blueprint.get("/office/emergency")
    @pages.for_visitors
    async def emergency_start(visitor: Visitor) -> Response:
        return await _start(visitor, asked("school"))

    @blueprint.post("/office/emergency/<school_id>")
    @pages.for_visitors
    async def emergency_begin(visitor: Visitor, school_id: str) -> Response:
        try:
            one = await visitor.send("POST", f"/schools/{school_id}/emergencies", {"kind": await field("kind")})
        except Failed as refusal:
            if refusal.status != CONFLICT:
                raise
            return await _start(visitor, school_id, refusal)
        return go(f"/office/emergency/{school_id}/{one['id']}")

    async def _start(visitor: Visitor, school_id: str, refusal: Failed | None = None) -> Response:
        at = await school_of(visitor, school_id)
        found: list[dict[str, Any]] = (await visitor.get(f"/schools/{at.id}/emergencies?limit=20"))["items"]
        return pages.render(
            "office/emergencies.html",
            visitor=visitor,
            at=at,
            under_way=next((one for one in found if one["ended_at"] is None), None),
            earlier=[one for one in found if one["ended_at"] is not None],
            kinds=KINDS,
            may_begin=visitor.has("school_admin") or visitor.has("district_admin"),
            clock=at.clock(),
            refusal=refusal,
        )


def _add_roll(blueprint: Blueprint, pages: Pages) -> None:
    """The roll, a word on it, and whether it has changed."""

    @blueprint.get("/office/emergency/<school_id>/<emergency_id>")
    @pages.for_visitors
    async def emergency_roll(visitor: Visitor, school_id: str, emergency_id: str) -> Response:
        at = await school_of(visitor, school_id)
        found = await visitor.get(f"/schools/{school_id}/emergencies/{emergency_id}")
        show, class_id = asked("show"), asked("class")
        classes = {one["seen"]["class_id"]: one["seen"]["class_title"] for one in found["students"] if one["seen"]}
        lines = [
            one
            for one in found["students"]
            if _SHOWN.get(show, "") in ("", one["standing"])
            and (not class_id or (one["seen"] and one["seen"]["class_id"] == class_id))
        ]
        return pages.render(
            "office/emergency.html",
            visitor=visitor,
            at=at,
            found=found,
            lines=lines,
            show=show,
            class_id=class_id,
            classes=sorted(classes.items(), key=lambda one: one[1]),
            may_end=visitor.has("school_admin") or visitor.has("district_admin"),
            states=STATES,
            standings=STANDINGS,
            kinds=KINDS,
            clock=at.clock(),
        )

    @blueprint.post("/office/emergency/<school_id>/<emergency_id>/words")
    @pages.for_visitors
    async def emergency_say(visitor: Visitor, school_id: str, emergency_id: str) -> Response:
        student_id = await field("student")
        given = {"student_ids": [student_id], "state": await field("state")}
        await visitor.send("POST", f"/schools/{school_id}/emergencies/{emergency_id}/words", given)
        kept = {name: value for name in ("show", "class") if (value := await field(name))}
        place = "roll" if "show" in kept else f"student-{student_id}"  # a row that is filtered out is no place to go to
        return go(f"{link(f'/office/emergency/{school_id}/{emergency_id}', kept)}#{place}")

    @blueprint.get("/office/emergency/<school_id>/<emergency_id>/news")
    @pages.for_visitors
    async def emergency_news(visitor: Visitor, school_id: str, emergency_id: str) -> Response:
        """What the roll's script asks every few seconds: whether anything has changed. It names nobody."""
        path = f"/schools/{school_id}/emergencies/{emergency_id}/news"
        told = await visitor.get(link(path, chosen("after")))
        return Response(orjson.dumps(told), content_type="application/json")


def _add_end(blueprint: Blueprint, pages: Pages) -> None:
    """The end, and the report."""

    @blueprint.post("/office/emergency/<school_id>/<emergency_id>/end")
    @pages.for_visitors
    async def emergency_end(visitor: Visitor, school_id: str, emergency_id: str) -> Response:
        await visitor.send("POST", f"/schools/{school_id}/emergencies/{emergency_id}/end")
        return go(f"/office/emergency/{school_id}/{emergency_id}/report")

    @blueprint.get("/office/emergency/<school_id>/<emergency_id>/report")
    @pages.for_visitors
    async def emergency_report(visitor: Visitor, school_id: str, emergency_id: str) -> Response:
        """Everything that was said, in order, with who said it and when."""
        at = await school_of(visitor, school_id)
        path = f"/schools/{school_id}/emergencies/{emergency_id}"
        found = await visitor.get(path)
        names = {one["student_id"]: one["name"] for one in found["students"]}
        return pages.render(
            "office/emergency_report.html",
            visitor=visitor,
            found=found,
            names=names,
            words_said=(await visitor.get(f"{path}/words"))["items"],
            states={**STATES, "not_accounted": TAKEN_BACK},
            kinds=KINDS,
            clock=at.clock(),
        )
