"""Finding a student by name or number. Names stand in no address, so the question is sent as a form."""

from __future__ import annotations

from urllib.parse import urlencode

from quart import Blueprint, Response

from homeroom_web.office.schools import PROBLEM
from homeroom_web.pages import Pages, field, language
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
        words, cursor = await field("q"), await field("cursor")
        if not words:
            refusal = Failed(PROBLEM, language().say("Type a part of the name, or the whole number."))
            return _page(visitor, words, refusal=refusal)
        wanted = {"q": words, "limit": _SHOWN, **({"cursor": cursor} if cursor else {})}
        try:
            found = await visitor.get(f"/students/search?{urlencode(wanted)}")
        except Failed as refusal:
            if refusal.status != PROBLEM:
                raise
            return _page(visitor, words, refusal=refusal)
        return _page(visitor, words, found=found)

    def _page(
        visitor: Visitor, words: str = "", *, found: dict[str, object] | None = None, refusal: Failed | None = None
    ) -> Response:
        status = refusal.status if refusal else 200
        return pages.render(
            "office/search.html", visitor=visitor, status=status, words_typed=words, found=found, refusal=refusal
        )
