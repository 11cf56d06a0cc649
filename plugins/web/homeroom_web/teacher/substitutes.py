"""A substitute's link: made, listed and ended by the class's staff, and the page to which it leads."""

from __future__ import annotations

from urllib.parse import quote

import orjson
from quart import Blueprint, Response, request

from homeroom_web.pages import Pages, field, go
from homeroom_web.visitors import COOKIE, Failed, Visitor, call

_REFUSED = (409, 422)


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/classes/ID/substitutes` and `/stand-in`."""
    services = pages.services

    @blueprint.get("/classes/<class_id>/substitutes")
    @pages.for_visitors
    async def substitutes(visitor: Visitor, class_id: str) -> Response:
        return await _shown(visitor, class_id)

    @blueprint.post("/classes/<class_id>/substitutes")
    @pages.for_visitors
    async def invite_substitute(visitor: Visitor, class_id: str) -> Response:
        """A new link, shown on this one answer."""
        given = {"name": await field("name"), "day": await field("day")}
        sent = {name: value for name, value in given.items() if value}
        try:
            made = await visitor.send("POST", f"/classes/{class_id}/substitutes", sent)
        except Failed as refusal:
            if refusal.status not in _REFUSED:
                raise
            return await _shown(visitor, class_id, given=given, refusal=refusal)
        base = (services.public_url or request.host_url).rstrip("/")
        return await _shown(visitor, class_id, link=f"{base}/stand-in?link={quote(made['token'], safe='')}")

    @blueprint.post("/classes/<class_id>/substitutes/<link_id>/revoke")
    @pages.for_visitors
    async def revoke_substitute(visitor: Visitor, class_id: str, link_id: str) -> Response:
        await visitor.send("DELETE", f"/classes/{class_id}/substitutes/{link_id}")
        return go(f"/classes/{class_id}/substitutes")

    @blueprint.get("/stand-in")
    async def stand_in() -> Response:
        """Ask before coming in: whatever looks at links by itself begins no sign-in."""
        return pages.render("teacher/stand_in.html", link=request.args.get("link", ""), refusal=None)

    @blueprint.post("/stand-in")
    async def stand_in_by_link() -> Response:
        answer = await call(services, "POST", "/api/v1/auth/substitute", json={"token": await field("link")})
        told = orjson.loads(answer.body)
        if answer.status != 200:  # noqa: PLR2004
            refusal = Failed(answer.status, told.get("detail", ""))
            return pages.render("teacher/stand_in.html", status=answer.status, link="", refusal=refusal)
        response = go("/classes")
        cookie = await pages.visitors.welcome(told)
        seconds = int(pages.visitors.seconds)
        response.set_cookie(COOKIE, cookie, max_age=seconds, httponly=True, secure=pages.secure, samesite="Lax")
        return response

    async def _shown(
        visitor: Visitor,
        class_id: str,
        *,
        link: str = "",
        given: dict[str, str] | None = None,
        refusal: Failed | None = None,
    ) -> Response:
        one = await visitor.get(f"/classes/{class_id}")
        links = (await visitor.get(f"/classes/{class_id}/substitutes"))["items"]
        return pages.render(
            "teacher/substitutes.html",
            visitor=visitor,
            status=refusal.status if refusal else 200,
            one=one,
            links=links,
            link=link,
            given=given or {"name": "", "day": services.today().isoformat()},
            refusal=refusal,
        )
