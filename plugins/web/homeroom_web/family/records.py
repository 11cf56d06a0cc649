"""The records that one has rights to: one's children's, or one's own."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.family.rights import for_holders, student_of
from homeroom_web.pages import Pages, language
from homeroom_web.visitors import Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/records`, and one record with the letters on it."""

    async def records(visitor: Visitor) -> Response:
        await visitor.get("/compliance/log/keys")
        me = await visitor.get("/auth/me")
        found = (await visitor.get("/students/children"))["items"]
        if visitor.has("student"):
            found = [await student_of(visitor, me["id"]), *found]
        notice = await visitor.get(f"/compliance/notice?language={language().language}")
        return pages.render("family/records.html", visitor=visitor, students=found, notice=notice)

    async def record(visitor: Visitor, student_id: str) -> Response:
        letters = (await visitor.get(f"/compliance/students/{student_id}/letters"))["items"]
        student = await student_of(visitor, student_id)
        return pages.render("family/record.html", visitor=visitor, student=student, letters=letters)

    blueprint.get("/records")(for_holders(pages, records))
    blueprint.get("/records/<student_id>")(for_holders(pages, record))
