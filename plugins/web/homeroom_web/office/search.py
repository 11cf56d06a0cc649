"""Finding a student by name or number. Names stand in no address, so the question is sent as a form."""

from __future__ import annotations

from quart import Blueprint, Response

from homeroom_web.asking import UNPROCESSABLE, beside_form, link
from homeroom_web.forms import field
from homeroom_web.pages import Pages, language
from homeroom_web.visitors import Failed, Visitor

_SHOWN = 50


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/office/search`."""

    @blueprint.get("/office/search")
    @pages.for_visitors
    async def office_ask(visitor: Visitor) -> Response:
        return _page(visitor)

    @blueprint.post("/office/search")
    @pages.for_visitors
    async def office_search(visitor: Visitor) -> Response:
        words = await field("q")
        if not words:
            refusal = Failed(UNPROCESSABLE, language().say("Type a part of the name, or the whole number."))
            return _page(visitor, words, refusal=refusal)
        wanted = {"q": words, "limit": _SHOWN, "cursor": await field("cursor")}
        try:
            found = await visitor.get(link("/students/search", wanted))
        except Failed as refusal:
            return _page(visitor, words, refusal=beside_form(refusal))
        return _page(visitor, words, found=found)

    def _page(
        visitor: Visitor, words: str = "", *, found: dict[str, object] | None = None, refusal: Failed | None = None
    ) -> Response:
        return pages.render("office/search.html", visitor=visitor, refusal=refusal, words_typed=words, found=found)
