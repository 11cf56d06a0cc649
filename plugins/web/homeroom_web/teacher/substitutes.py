"""A substitute's link: made, listed and ended by the class's staff, and the page to which it leads."""

from __future__ import annotations

import orjson
from quart import Blueprint, Response, request

from homeroom_web.asking import beside_form, link
from homeroom_web.forms import field, filled, given
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor, call


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
        told = await filled(("name", "day"))
        try:
            made = await visitor.send("POST", f"/classes/{class_id}/substitutes", given(told))
        except Failed as refusal:
            return await _shown(visitor, class_id, told=told, refusal=beside_form(refusal))
        base = (services.public_url or request.host_url).rstrip("/")
        return await _shown(visitor, class_id, way_in=link(f"{base}/stand-in", {"link": made["token"]}))

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
        pages.let_in(response, *await pages.visitors.welcome(told))
        return response

    async def _shown(
        visitor: Visitor,
        class_id: str,
        *,
        way_in: str = "",
        told: dict[str, str] | None = None,
        refusal: Failed | None = None,
    ) -> Response:
        one = await visitor.get(f"/classes/{class_id}")
        links = (await visitor.get(f"/classes/{class_id}/substitutes"))["items"]
        return pages.render(
            "teacher/substitutes.html",
            visitor=visitor,
            one=one,
            links=links,
            link=way_in,
            told=told or {"name": "", "day": services.today().isoformat()},
            refusal=refusal,
        )
