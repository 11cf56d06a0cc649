"""The connectors: how each stands, its check, and beginning a run."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

from quart import Blueprint, Response, request

from homeroom_web.admin.shown import helpers
from homeroom_web.pages import Pages, field, go
from homeroom_web.visitors import Failed, Visitor

_REFUSED = (404, 409, 422)


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/sync`."""

    @blueprint.get("/admin/sync")
    @pages.for_visitors
    async def sync_overview(visitor: Visitor) -> Response:
        return await _overview(visitor)

    @blueprint.get("/admin/sync/connectors/<name>/check")
    @pages.for_visitors
    async def sync_check(visitor: Visitor, name: str) -> Response:
        found = await visitor.get(f"/sync/{quote(name, safe='')}/check")
        return await _overview(visitor, checked={"name": name, **found})

    @blueprint.post("/admin/sync/connectors/<name>/runs")
    @pages.for_visitors
    async def sync_begin(visitor: Visitor, name: str) -> Response:
        wish = {"dry_run": await field("run") == "dry", "full": bool(await field("full"))}
        once = {"Idempotency-Key": await field("key") or secrets.token_hex(8)}
        try:
            begun = await visitor.send("POST", f"/sync/{quote(name, safe='')}/runs", wish, headers=once)
        except Failed as refusal:
            if refusal.status not in _REFUSED:
                raise
            return await _overview(visitor, refusal=refusal)
        return go(f"/admin/sync/runs/{begun['run_id']}")

    async def _overview(
        visitor: Visitor, *, checked: dict[str, Any] | None = None, refusal: Failed | None = None
    ) -> Response:
        connectors = (await visitor.get("/sync/connectors"))["items"]
        cursor = request.args.get("cursor", "")
        more = f"&cursor={quote(cursor, safe='')}" if cursor else ""
        runs = await visitor.get(f"/sync/runs?limit=20{more}")
        return pages.render(
            "admin/sync.html",
            visitor=visitor,
            status=refusal.status if refusal else 200,
            connectors=connectors,
            runs=runs["items"],
            onward=runs["next"],
            checked=checked,
            refusal=refusal,
            key=secrets.token_hex(8),
            **helpers(pages),
        )
