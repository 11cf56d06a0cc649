"""The register of school officials outside the school: vendors and plugins that may be given records."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.admin.common import by_law, page
from homeroom_web.asking import part, tried
from homeroom_web.forms import filled, given, version
from homeroom_web.pages import NOT_FOUND, Pages, go
from homeroom_web.visitors import Failed, Visitor

_FIELDS = ("recipient", "service", "direct_control", "redisclosure_limit", "agreement", "begins_on", "ends_on")
_PATH = "/admin/compliance/officials"


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/compliance/officials`."""

    async def show(visitor: Visitor, told: dict[str, Any], refusal: Failed | None = None) -> Response:
        found = (await visitor.get("/compliance/officials"))["items"]
        without = await channels_without(visitor, pages)
        shown = {"officials": found, "told": told, "without": without, "today": pages.services.today().isoformat()}
        return page(pages, "admin/compliance_officials.html", visitor, refusal, **shown)

    async def officials(visitor: Visitor) -> Response:
        return await show(visitor, dict.fromkeys(_FIELDS, "") | {"categories": []})

    async def enter(visitor: Visitor) -> Response:
        told = await filled(_FIELDS)
        categories = (await request.form).getlist("categories")
        if refusal := await tried(
            visitor.send("POST", "/compliance/officials", {**given(told), "categories": categories})
        ):
            return await show(visitor, {**told, "categories": categories}, refusal)
        return go(_PATH)

    async def end(visitor: Visitor, official_id: str) -> Response:
        path = f"/compliance/officials/{part(official_id)}"
        if refusal := await tried(visitor.send("DELETE", path, version=await version())):
            return await show(visitor, dict.fromkeys(_FIELDS, "") | {"categories": []}, refusal)
        return go(_PATH)

    blueprint.get(_PATH, endpoint="compliance_officials")(by_law(pages, officials))
    blueprint.post(_PATH, endpoint="compliance_enter_official")(by_law(pages, enter))
    blueprint.post(f"{_PATH}/<official_id>/end", endpoint="compliance_end_official")(by_law(pages, end))


async def channels_without(visitor: Visitor, pages: Pages) -> list[str]:
    """The plugins that deliver messages and may be given none today, for whom may see it; none where no law is on."""
    if not visitor.has("district_admin"):
        return []
    try:
        found = (await visitor.get("/compliance/officials"))["items"]
    except Failed as refusal:
        if refusal.status != NOT_FOUND:
            raise
        return []
    today = pages.services.today().isoformat()
    known = {one["recipient"] for one in found if _in_force(one, today) and _gets_messages(one)}
    plugins = (await visitor.get("/plugins/"))["plugins"]
    sending = [one["name"] for one in plugins if one["enabled"] and "deliver" in one["hooks"]]
    return [name for name in sending if f"plugin:{name}" not in known]


def _in_force(one: dict[str, Any], today: str) -> bool:
    begun, ends = one["begins_on"] <= today, one["ends_on"]
    return bool(begun and not one["ended_at"] and (ends is None or ends > today))


def _gets_messages(one: dict[str, Any]) -> bool:
    return not {"messages", "all"}.isdisjoint(one["categories"])
