"""Flags and incidents: unusual reading is explained or becomes an incident, whose clocks are met, and it is closed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.admin.common import by_law, page
from homeroom_web.asking import beside_form, link, names_of, part, tried
from homeroom_web.forms import chosen, filled
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor

_STATES = ("NY", "IL")
_NEW = ("what", "student_ids", "anomaly_ids", "at_vendor", "everybody")


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/compliance/anomalies` and `/admin/compliance/incidents`."""
    _add_anomalies(blueprint, pages)
    _add_incidents(blueprint, pages)
    _add_one(blueprint, pages)


def _add_anomalies(blueprint: Blueprint, pages: Pages) -> None:
    async def show(visitor: Visitor, refusal: Failed | None = None, told: dict[str, str] | None = None) -> Response:
        wanted = chosen("state")
        if request.method == "GET" and "state" not in request.args:
            wanted["state"] = "open"
        found = (await visitor.get(link("/compliance/anomalies", wanted)))["items"]
        shown = {"anomalies": found, "wanted": wanted, "told": told or {"id": "", "reason": ""}}
        return page(pages, "admin/compliance_anomalies.html", visitor, refusal, **shown)

    async def anomalies(visitor: Visitor) -> Response:
        return await show(visitor)

    async def explain(visitor: Visitor, anomaly_id: str) -> Response:
        told = {"id": anomaly_id, **(await filled(["reason"]))}
        if refusal := await tried(
            visitor.send("POST", f"/compliance/anomalies/{part(anomaly_id)}/explain", {"reason": told["reason"]})
        ):
            return await show(visitor, refusal, told)
        return go("/admin/compliance/anomalies")

    path = "/admin/compliance/anomalies"
    blueprint.get(path, endpoint="compliance_anomalies")(by_law(pages, anomalies))
    blueprint.post(f"{path}/<anomaly_id>", endpoint="compliance_explain")(by_law(pages, explain))


def _add_incidents(blueprint: Blueprint, pages: Pages) -> None:
    async def show(visitor: Visitor, told: dict[str, str], refusal: Failed | None = None) -> Response:
        found = (await visitor.get("/compliance/incidents"))["items"]
        shown = {"incidents": found, "told": told, "laws": _STATES}
        return page(pages, "admin/compliance_incidents.html", visitor, refusal, **shown)

    async def incidents(visitor: Visitor) -> Response:
        return await show(visitor, dict.fromkeys(_NEW, "") | {"anomaly_ids": request.args.get("anomaly", "")})

    async def begin(visitor: Visitor) -> Response:
        told = await filled((*_NEW, *(f"state.{state}" for state in _STATES)))
        body: dict[str, Any] = {
            "what": told["what"],
            "states": [one for one in _STATES if told[f"state.{one}"]] or None,
        }
        body |= {name: told[name].replace(",", " ").split() for name in ("student_ids", "anomaly_ids")}
        body |= {name: bool(told[name]) for name in ("at_vendor", "everybody")}
        try:
            made = (await visitor.send("POST", "/compliance/incidents", body))["item"]
        except Failed as refusal:
            return await show(visitor, told, beside_form(refusal))
        return go(f"/admin/compliance/incidents/{part(made['id'])}")

    path = "/admin/compliance/incidents"
    blueprint.get(path, endpoint="compliance_incidents")(by_law(pages, incidents))
    blueprint.post(path, endpoint="compliance_begin")(by_law(pages, begin))


def _add_one(blueprint: Blueprint, pages: Pages) -> None:
    async def show(
        visitor: Visitor, incident_id: str, refusal: Failed | None = None, told: dict[str, str] | None = None
    ) -> Response:
        found = (await visitor.get(f"/compliance/incidents/{part(incident_id)}"))["item"]
        ids = (await visitor.get(f"/compliance/incidents/{part(incident_id)}/students"))["items"]
        ids = [one["student_id"] for one in ids]
        return page(
            pages,
            "admin/compliance_incident.html",
            visitor,
            refusal,
            incident=found,
            ids=ids,
            students=await names_of(visitor, ids),
            told=defaultdict(str, told or {}),
            today=pages.services.today().isoformat(),
        )

    async def incident(visitor: Visitor, incident_id: str) -> Response:
        return await show(visitor, incident_id)

    async def end_task(visitor: Visitor, incident_id: str, clock: str) -> Response:
        told = await filled(("how", "outcome", "done_on"))
        path = f"/compliance/incidents/{part(incident_id)}/tasks/{part(clock)}/end"
        return await _sent(visitor, incident_id, path, told, {"clock": clock})

    async def close(visitor: Visitor, incident_id: str) -> Response:
        path = f"/compliance/incidents/{part(incident_id)}/close"
        return await _sent(visitor, incident_id, path, await filled(["closing"]), {})

    async def _sent(
        visitor: Visitor, incident_id: str, path: str, told: dict[str, str], about: dict[str, str]
    ) -> Response:
        needed = {name: value for name, value in told.items() if value or name in ("how", "closing")}
        if refusal := await tried(visitor.send("POST", path, needed)):
            return await show(visitor, incident_id, refusal, told | about)
        return go(f"/admin/compliance/incidents/{part(incident_id)}")

    path = "/admin/compliance/incidents/<incident_id>"
    blueprint.get(path, endpoint="compliance_incident")(by_law(pages, incident))
    blueprint.post(f"{path}/tasks/<clock>", endpoint="compliance_end_task")(by_law(pages, end_task))
    blueprint.post(f"{path}/close", endpoint="compliance_close")(by_law(pages, close))
