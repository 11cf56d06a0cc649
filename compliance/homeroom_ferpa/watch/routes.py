"""The routes of flags and incidents, for those who keep the law in the district."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, Field
from quart import Blueprint

from homeroom import Body, Call, Query, operation
from homeroom_ferpa.rights.common import missing
from homeroom_ferpa.rights.models import Item, Items
from homeroom_ferpa.watch import anomalies, incidents
from homeroom_ferpa.watch.clocks import BY_CODE
from homeroom_ferpa.watch.part import Watch
from homeroom_ferpa.watch.settings import State


class AnomalyQuery(Query):
    """Flags of one state; without it all of them."""

    state: Literal["open", "explained", "incident"] | None = None


class Explanation(Body):
    """Why a flag is harmless. Name no student: the words are kept for as long as the flag."""

    reason: str = Field(max_length=10_000, examples=["Grades were due that night; we spoke with the teacher."])


class IncidentQuery(Query):
    """Incidents of one state; without it all of them."""

    state: Literal["open", "closed"] | None = None


class Found(Body):
    """What became known of an incident: whose records, by id or from flags, and which states' clocks apply."""

    student_ids: list[str] = Field(default=[], max_length=5_000)
    anomaly_ids: list[str] = Field(default=[], max_length=100)
    everybody: bool = Field(default=False, description="Every student of the district.")
    states: list[State] | None = Field(default=None, description="By default those of the settings.")


class NewIncident(Found):
    """An incident. Name no student in `what`; their ids go into `student_ids`."""

    what: str = Field(max_length=10_000, examples=["A laptop with last year's exports was stolen."])
    discovered_at: AwareDatetime | None = Field(
        default=None, description="By default when the first of its flags was found, else now."
    )
    at_vendor: bool = Field(default=False, description="The breach was a contractor's (an operator's).")


class Finished(Body):
    """How a task ended: done, or waived with the reason; `how` says where that is recorded."""

    how: str = Field(max_length=10_000, examples=["Letter of 3 March to the Chief Privacy Officer, file 26-7."])
    outcome: Literal["done", "waived"] = "done"
    done_on: date | None = Field(default=None, description="By default today.")


class Closing(Body):
    """What came of an incident."""

    closing: str = Field(max_length=10_000)


class After(Query):
    """From where to go on."""

    after: str = Field(default="", max_length=64)


def add_routes(pages: Blueprint, watch: Watch) -> None:
    """Hang them below the plugin's prefix."""
    _add_anomalies(pages, watch)
    _add_incidents(pages, watch)
    _add_endings(pages, watch)


def _add_anomalies(pages: Blueprint, watch: Watch) -> None:
    services = watch.services

    @pages.get("/anomalies")
    @operation("compliance.manage", query=AnomalyQuery, answers=Items)
    async def list_anomalies(call: Call, query: AnomalyQuery) -> Items:
        """Unusual reading and exports that were flagged, the newest first, with the evidence and how they ended."""
        del call
        return Items(items=await services.store.read(lambda c: anomalies.found(c, state=query.state)))

    @pages.get("/anomalies/<anomaly_id>")
    @operation("compliance.manage", answers=Item)
    async def read_anomaly(call: Call, anomaly_id: str) -> Item:
        """One flag with its evidence: the audit entries by number."""
        del call
        return Item(item=await services.store.read(lambda c: anomalies.read(c, anomaly_id)))

    @pages.post("/anomalies/<anomaly_id>/explain")
    @operation("compliance.manage", body=Explanation, answers=Item, problems=(409,))
    async def explain_anomaly(call: Call, anomaly_id: str, body: Explanation) -> Item:
        """Settle a flag as harmless, with the reason. To make it an incident, open one with it."""
        del call
        return Item(item=await watch.explain(anomaly_id, body.reason))


def _add_incidents(pages: Blueprint, watch: Watch) -> None:
    services = watch.services

    @pages.get("/incidents")
    @operation("compliance.manage", query=IncidentQuery, answers=Items)
    async def list_incidents(call: Call, query: IncidentQuery) -> Items:
        """Incidents with their tasks, the newest discovery first."""
        today = services.today().isoformat()
        del call
        return Items(items=await services.store.read(lambda c: incidents.every(c, today=today, state=query.state)))

    @pages.post("/incidents")
    @operation("compliance.manage", body=NewIncident, answers={201: Item}, problems=(404, 409))
    async def open_incident(call: Call, body: NewIncident) -> tuple[Item, int]:
        """Open an incident, by hand or from flags; the clocks of its states run since discovery."""
        del call
        return Item(item=await watch.incident(**body.model_dump())), 201

    @pages.get("/incidents/<incident_id>")
    @operation("compliance.manage", answers=Item)
    async def read_incident(call: Call, incident_id: str) -> Item:
        """One incident with its tasks and flags."""
        del call
        return Item(item=await watch.read_incident(incident_id))

    @pages.get("/incidents/<incident_id>/students")
    @operation("compliance.manage", query=After, answers=Items)
    async def list_incident_students(call: Call, incident_id: str, query: After) -> Items:
        """Whose records an incident concerns: ids, 500 at a time; go on with `after` the last one."""
        found = await services.store.read(lambda c: incidents.students(c, incident_id, after=query.after))
        call.discloses(found, fields=("incident",), rows=len(found))
        return Items(items=[{"student_id": one} for one in found])

    @pages.post("/incidents/<incident_id>/more")
    @operation("compliance.manage", body=Found, answers=Item, problems=(409,))
    async def widen_incident(call: Call, incident_id: str, body: Found) -> Item:
        """Add students, states or flags that became known later."""
        del call
        return Item(item=await watch.widen(incident_id, **body.model_dump() | {"states": body.states or ()}))


def _add_endings(pages: Blueprint, watch: Watch) -> None:
    @pages.post("/incidents/<incident_id>/tasks/<clock>/end")
    @operation("compliance.manage", body=Finished, answers=Item, problems=(409,))
    async def end_task(call: Call, incident_id: str, clock: str, body: Finished) -> Item:
        """Keep that somebody was told, on which day and where that is recorded; or why nobody need be."""
        del call
        if clock not in BY_CODE:
            raise missing()
        return Item(item=await watch.finish(incident_id, clock, **body.model_dump()))

    @pages.post("/incidents/<incident_id>/close")
    @operation("compliance.manage", body=Closing, answers=Item, problems=(409,))
    async def close_incident(call: Call, incident_id: str, body: Closing) -> Item:
        """Close an incident of which no task is open."""
        del call
        return Item(item=await watch.close(incident_id, body.closing))
