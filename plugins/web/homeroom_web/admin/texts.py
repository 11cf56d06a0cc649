"""The texts of messages by language: each can be replaced, and is tried on a made-up student first."""

from __future__ import annotations

from quart import Blueprint, Response, request

from homeroom_web.admin.common import page, schools_of
from homeroom_web.admin.terms import TEXT_KINDS
from homeroom_web.asking import link, tried
from homeroom_web.forms import chosen
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/texts`."""

    async def show(visitor: Visitor, wanted: dict[str, str], refusal: Failed | None = None) -> Response:
        if wanted["kind"] not in TEXT_KINDS:
            wanted["kind"] = next(iter(TEXT_KINDS))
        items = (
            await visitor.get(link("/notifications/texts", {"school_id": wanted["school_id"], "kind": wanted["kind"]}))
        )["items"]
        return page(
            pages,
            "admin/texts.html",
            visitor,
            refusal,
            items=items,
            wanted=wanted,
            schools=await schools_of(visitor),
            is_district=visitor.has("district_admin"),
        )

    @blueprint.get("/admin/texts")
    @pages.for_visitors
    async def admin_texts(visitor: Visitor) -> Response:
        return await show(visitor, {**chosen("school_id", "kind"), "part": "", "text": "", "language": ""})

    @blueprint.post("/admin/texts")
    @pages.for_visitors
    async def admin_save_text(visitor: Visitor) -> Response:
        form = (await request.form).to_dict()
        told = {name: form.get(name, "") for name in ("school_id", "kind", "language", "part", "text")}
        told["text"] = told["text"].replace("\r\n", "\n")
        shown = {"school_id": told["school_id"], "kind": told["kind"]}
        body = {**told, "school_id": told["school_id"] or None}
        if refusal := await tried(visitor.send("PUT", "/notifications/texts", body)):
            return await show(visitor, told, refusal)
        return go(link("/admin/texts", shown))
