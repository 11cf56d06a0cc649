"""What runs in the background: how each job stands, and a run by hand where that does anything."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Response

from homeroom_web.admin.common import page
from homeroom_web.asking import beside_form, part, tried
from homeroom_web.forms import field, number
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/jobs`."""

    async def show(visitor: Visitor, refusal: Failed | None = None, ran: dict[str, Any] | None = None) -> Response:
        found = await visitor.get("/jobs/")
        connectors = (await visitor.get("/sync/connectors"))["items"]
        shown = {"jobs": found["items"], "here": found["here"], "connectors": connectors, "ran": ran}
        return page(pages, "admin/jobs.html", visitor, refusal, **shown)

    @blueprint.get("/admin/jobs")
    @pages.for_visitors
    async def admin_jobs(visitor: Visitor) -> Response:
        return await show(visitor)

    @blueprint.post("/admin/jobs/<name>/run")
    @pages.for_visitors
    async def admin_run_job(visitor: Visitor, name: str) -> Response:
        try:
            ran = await visitor.send("POST", f"/jobs/{part(name)}/run")
        except Failed as refusal:
            return await show(visitor, beside_form(refusal))
        return await show(visitor, ran=ran)

    @blueprint.post("/admin/jobs/<name>/skip")
    @pages.for_visitors
    async def admin_skip_entry(visitor: Visitor, name: str) -> Response:
        event = await field("event_id")
        body = {"event_id": number(event) if number(event) is not None else event}
        if refusal := await tried(visitor.send("POST", f"/jobs/{part(name)}/skip", body)):
            return await show(visitor, refusal)
        return go("/admin/jobs")

    @blueprint.post("/admin/jobs/syncs/<name>")
    @pages.for_visitors
    async def admin_run_sync(visitor: Visitor, name: str) -> Response:
        if refusal := await tried(visitor.send("POST", f"/sync/{part(name)}/runs")):
            return await show(visitor, refusal)
        return go("/admin/jobs")
