"""The connectors: how each stands, its check, and beginning a run."""

from __future__ import annotations

import secrets
from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.common import page
from homeroom_web.asking import beside_form, link, part
from homeroom_web.forms import chosen, field
from homeroom_web.pages import NOT_FOUND, Pages, go
from homeroom_web.visitors import Failed, Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/sync`."""

    @blueprint.get("/admin/sync")
    @pages.for_visitors
    async def sync_overview(visitor: Visitor) -> Response:
        return await _overview(visitor)

    @blueprint.get("/admin/sync/connectors/<name>/check")
    @pages.for_visitors
    async def sync_check(visitor: Visitor, name: str) -> Response:
        found = await visitor.get(f"/sync/{part(name)}/check")
        return await _overview(visitor, checked={"name": name, **found})

    @blueprint.post("/admin/sync/connectors/<name>/runs")
    @pages.for_visitors
    async def sync_begin(visitor: Visitor, name: str) -> Response:
        wish = {"dry_run": await field("run") == "dry", "full": bool(await field("full"))}
        once = {"Idempotency-Key": await field("key") or secrets.token_hex(8)}
        try:
            begun = await visitor.send("POST", f"/sync/{part(name)}/runs", wish, headers=once)
        except Failed as refusal:
            return await _overview(visitor, refusal=beside_form(refusal, NOT_FOUND))
        return go(f"/admin/sync/runs/{begun['run_id']}")

    async def _overview(
        visitor: Visitor, *, checked: dict[str, Any] | None = None, refusal: Failed | None = None
    ) -> Response:
        connectors = (await visitor.get("/sync/connectors"))["items"]
        runs = await visitor.get(link("/sync/runs", {"limit": 20, **chosen("cursor")}))
        return page(
            pages,
            "admin/sync.html",
            visitor,
            refusal,
            connectors=connectors,
            runs=runs["items"],
            older=runs["next"] and link("/admin/sync", {"cursor": runs["next"]}),
            checked=checked,
            key=secrets.token_hex(8),
        )
