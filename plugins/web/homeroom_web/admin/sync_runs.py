"""One run: how far it is, what it did or would do, and what an administrator decides about it."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.common import page
from homeroom_web.asking import CONFLICT, beside_form, link, part
from homeroom_web.forms import chosen
from homeroom_web.pages import NOT_FOUND, Pages, go
from homeroom_web.visitors import Failed, Visitor

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
        return page(pages, "admin/progress.html", visitor, **await _run(visitor, run_id))

    @blueprint.post("/admin/sync/runs/<run_id>/<any(release, discard, resume, approve):decision>")
    @pages.for_visitors
    async def sync_decide(visitor: Visitor, run_id: str, decision: str) -> Response:
        once = {"Idempotency-Key": f"page-{run_id}"} if decision == "approve" else None
        try:
            done = await visitor.send("POST", f"/sync/runs/{part(run_id)}/{decision}", headers=once)
        except Failed as refusal:
            return await _page(visitor, run_id, beside_form(refusal, NOT_FOUND))
        return go(f"/admin/sync/runs/{done['run_id']}")

    async def _page(visitor: Visitor, run_id: str, refusal: Failed | None = None) -> Response:
        found = await _run(visitor, run_id)
        diff, unreadable = None, None
        if found["run"]["dry_run"] and found["run"]["status"] == "done":
            diff, unreadable = await _diff(visitor, run_id)
        return page(pages, "admin/run.html", visitor, refusal, diff=diff, unreadable=unreadable, **found)


async def _run(visitor: Visitor, run_id: str) -> dict[str, Any]:
    run = await visitor.get(f"/sync/runs/{part(run_id)}")
    return {"run": run, "under_way": run["status"] in _UNDER_WAY}


async def _diff(visitor: Visitor, run_id: str) -> tuple[dict[str, Any] | None, str | None]:
    """A page of a dry run's rows, or why there are none to see."""
    try:
        return await visitor.get(link(f"/sync/runs/{part(run_id)}/diff", {"limit": _ROWS, **chosen("cursor")})), None
    except Failed as refusal:
        if refusal.status not in (NOT_FOUND, CONFLICT):
            raise
        return None, refusal.detail
