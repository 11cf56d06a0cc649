"""Messages: lists with filters, one with what became of it, a school's day, and the limits of a day."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.common import page, schools_of
from homeroom_web.admin.officials import channels_without
from homeroom_web.asking import beside_form, link, part, tried
from homeroom_web.forms import chosen, filled, given, number
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor

_FILTERS = ("state", "channel", "kind", "school_id", "from", "to", "cursor")
_MORE = ("school_id", "channel", "messages")
_AT_ONCE = 50


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/messages` and what is below it."""
    _add_lists(blueprint, pages)
    _add_one(blueprint, pages)
    _add_limits(blueprint, pages)


def _add_lists(blueprint: Blueprint, pages: Pages) -> None:
    @blueprint.get("/admin/messages")
    @pages.for_visitors
    async def admin_messages(visitor: Visitor) -> Response:
        wanted, refusal = chosen(*_FILTERS), None
        found: dict[str, Any] = {"items": [], "next": None}
        try:
            found = await visitor.get(link("/notifications/messages", {**wanted, "limit": _AT_ONCE}))
        except Failed as failed:
            refusal = beside_form(failed)
        schools = await schools_of(visitor)
        return page(
            pages,
            "admin/messages.html",
            visitor,
            refusal,
            messages=found["items"],
            wanted=wanted,
            schools=schools,
            without=await channels_without(visitor, pages),
            channels=sorted({one["channel"] for school in schools for one in school["channels"]}),
            older=found["next"] and link("/admin/messages", {**wanted, "cursor": found["next"]}),
        )

    @blueprint.get("/admin/messages/day")
    @pages.for_visitors
    async def admin_day(visitor: Visitor) -> Response:
        wanted, schools = chosen("school_id", "day"), await schools_of(visitor)
        if not wanted["school_id"] and schools:
            wanted["school_id"] = schools[0]["school_id"]
        digest, refusal = None, None
        try:
            digest = await visitor.get(link("/notifications/digest", wanted)) if wanted["school_id"] else None
        except Failed as failed:
            refusal = beside_form(failed)
        return page(
            pages,
            "admin/messages_day.html",
            visitor,
            refusal,
            digest=digest,
            wanted=wanted,
            schools=schools,
        )


def _add_one(blueprint: Blueprint, pages: Pages) -> None:
    async def show(visitor: Visitor, message_id: str, refusal: Failed | None = None) -> Response:
        return page(
            pages,
            "admin/message.html",
            visitor,
            refusal,
            message=await visitor.get(f"/notifications/messages/{part(message_id)}"),
        )

    @blueprint.get("/admin/messages/<message_id>")
    @pages.for_visitors
    async def admin_message(visitor: Visitor, message_id: str) -> Response:
        return await show(visitor, message_id)

    @blueprint.post("/admin/messages/<message_id>/<any(resend, cancel):decision>")
    @pages.for_visitors
    async def admin_decide_message(visitor: Visitor, message_id: str, decision: str) -> Response:
        if refusal := await tried(visitor.send("POST", f"/notifications/messages/{part(message_id)}/{decision}")):
            return await show(visitor, message_id, refusal)
        return go(f"/admin/messages/{part(message_id)}")


def _add_limits(blueprint: Blueprint, pages: Pages) -> None:
    async def show(
        visitor: Visitor, told: dict[str, str], refusal: Failed | None = None, released: int | None = None
    ) -> Response:
        return page(
            pages,
            "admin/messages_limits.html",
            visitor,
            refusal,
            schools=await schools_of(visitor),
            told=told,
            released=released,
        )

    @blueprint.get("/admin/messages/limits")
    @pages.for_visitors
    async def admin_limits(visitor: Visitor) -> Response:
        return await show(visitor, dict.fromkeys(_MORE, ""))

    @blueprint.post("/admin/messages/limits")
    @pages.for_visitors
    async def admin_let_through(visitor: Visitor) -> Response:
        told = await filled(_MORE)
        body: dict[str, Any] = dict(given(told))
        if (messages := number(told["messages"])) is not None:
            body["messages"] = messages
        try:
            released = (await visitor.send("POST", "/notifications/limits", body))["released"]
        except Failed as refusal:
            return await show(visitor, told, beside_form(refusal))
        return await show(visitor, dict.fromkeys(_MORE, ""), released=released)
