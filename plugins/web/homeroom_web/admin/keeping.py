"""How long records are kept: legal holds, and what the schedule would delete or deletes."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.common import by_law, page
from homeroom_web.asking import beside_form, link, names_of, part, tried
from homeroom_web.forms import chosen, filled, given
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/compliance/keeping`."""

    async def show(
        visitor: Visitor,
        told: dict[str, str] | None = None,
        refusal: Failed | None = None,
        purge: dict[str, Any] | None = None,
    ) -> Response:
        found = await visitor.get(link("/compliance/holds", chosen("before")))
        holds = found["items"]
        ids = [one["student_id"] for one in [*holds, *(purge["skipped"] if purge else [])]]
        return page(
            pages,
            "admin/compliance_keeping.html",
            visitor,
            refusal,
            holds=holds,
            older=found["before"] and link("/admin/compliance/keeping", {"before": found["before"]}),
            purge=purge,
            told=told or {"student_id": "", "reference": ""},
            students=await names_of(visitor, (one for one in ids)),
        )

    async def keeping(visitor: Visitor) -> Response:
        return await show(visitor)

    async def hold(visitor: Visitor) -> Response:
        told = await filled(("student_id", "reference"))
        if refusal := await tried(visitor.send("POST", "/compliance/holds", given(told))):
            return await show(visitor, told, refusal)
        return go("/admin/compliance/keeping")

    async def lift(visitor: Visitor, hold_id: str) -> Response:
        await visitor.send("POST", f"/compliance/holds/{part(hold_id)}/lift")
        return go("/admin/compliance/keeping")

    async def purge(visitor: Visitor) -> Response:
        told = await filled(("do", "sure"))
        dry = not (told["do"] == "delete" and told["sure"])
        try:
            found = (await visitor.send("POST", "/compliance/retention", {"dry_run": dry}))["item"]
        except Failed as refusal:
            return await show(visitor, refusal=beside_form(refusal))
        return await show(visitor, purge=found | {"dry": dry, "unsure": dry and told["do"] == "delete"})

    path = "/admin/compliance/keeping"
    blueprint.get(path, endpoint="compliance_keeping")(by_law(pages, keeping))
    blueprint.post(f"{path}/holds", endpoint="compliance_hold")(by_law(pages, hold))
    blueprint.post(f"{path}/holds/<hold_id>/lift", endpoint="compliance_lift")(by_law(pages, lift))
    blueprint.post(f"{path}/run", endpoint="compliance_purge")(by_law(pages, purge))
