"""One run: how far it is, what it did or would do, and what an administrator decides about it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from quart import Blueprint, Response, request

from homeroom_web.admin.shown import helpers
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor

_REFUSED = (404, 409)
_UNDER_WAY = ("pulling", "applying")
_ROWS = 50


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/sync/runs/ID`."""

    @blueprint.get("/admin/sync/runs/<run_id>")
    @pages.for_visitors
    async def sync_run(visitor: Visitor, run_id: str) -> Response:
        return await _page(visitor, run_id)

    @blueprint.get("/admin/sync/runs/<run_id>/progress")
    @pages.for_visitors
    async def sync_progress(visitor: Visitor, run_id: str) -> Response:
        """How far it is, for the page's script."""
        return pages.render("admin/progress.html", **await _run(visitor, run_id), **helpers(pages))

    @blueprint.post("/admin/sync/runs/<run_id>/<any(release, discard, resume, approve):decision>")
    @pages.for_visitors
    async def sync_decide(visitor: Visitor, run_id: str, decision: str) -> Response:
        once = {"Idempotency-Key": f"page-{run_id}"} if decision == "approve" else None
        try:
            done = await visitor.send("POST", f"/sync/runs/{quote(run_id, safe='')}/{decision}", headers=once)
        except Failed as refusal:
            if refusal.status not in _REFUSED:
                raise
            return await _page(visitor, run_id, refusal)
        return go(f"/admin/sync/runs/{done['run_id']}")

    async def _page(visitor: Visitor, run_id: str, refusal: Failed | None = None) -> Response:
        found = await _run(visitor, run_id)
        diff, unreadable = None, None
        if found["run"]["dry_run"] and found["run"]["status"] == "done":
            diff, unreadable = await _diff(visitor, run_id)
        return pages.render(
            "admin/run.html",
            visitor=visitor,
            status=refusal.status if refusal else 200,
            refusal=refusal,
            diff=diff,
            unreadable=unreadable,
            **found,
            **helpers(pages),
        )


async def _run(visitor: Visitor, run_id: str) -> dict[str, Any]:
    run = await visitor.get(f"/sync/runs/{quote(run_id, safe='')}")
    return {"run": run, "under_way": run["status"] in _UNDER_WAY}


async def _diff(visitor: Visitor, run_id: str) -> tuple[dict[str, Any] | None, str | None]:
    """A page of a dry run's rows, or why there are none to see."""
    cursor = request.args.get("cursor", "")
    more = f"&cursor={quote(cursor, safe='')}" if cursor else ""
    try:
        return await visitor.get(f"/sync/runs/{quote(run_id, safe='')}/diff?limit={_ROWS}{more}"), None
    except Failed as refusal:
        if refusal.status not in _REFUSED:
            raise
        return None, refusal.detail
