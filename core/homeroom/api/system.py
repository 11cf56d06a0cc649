"""Seeing inside: whether the server serves, how its parts are, and the figures Prometheus collects."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Literal

import psutil
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import AwareDatetime, Field
from quart import Blueprint, Response

from homeroom.api.operation import PUBLIC, Answer, Call, operation
from homeroom.host import Host
from homeroom.notify import reading
from homeroom.runs.metrics import sync_figures
from homeroom.runs.overview import overview
from homeroom.store import Refused, StoreError, iso

system = Blueprint("system", __name__)


class Alive(Answer):
    """The process serves."""

    status: Literal["ok"] = "ok"


class Ready(Answer):
    """New requests may be sent here."""

    status: Literal["ready"] = "ready"


class Part(Answer):
    """One part of the installation and how it is."""

    ok: bool
    detail: str = Field(default="", examples=["SQLite, 12 writes waiting"])


class PluginHealth(Answer):
    """One plugin: its state, and what its own health check says."""

    name: str
    state: Literal["loaded", "off", "quarantined", "left_out"]
    ok: bool
    detail: str = ""


class ConnectorHealth(Answer):
    """One SIS connector: its last run that succeeded, how its last run stands, and what waits.

    `ok` is false when its last run failed or is held, or attendance does not go out; `detail` says which.
    """

    name: str
    ok: bool = True
    detail: str = Field(default="", examples=["its last run is held for an administrator"])
    last_success: str | None = Field(default=None, examples=["2026-11-23T08:00:00.000000Z"])
    last_state: str | None = Field(default=None, examples=["done"])
    lag_seconds: float | None = None
    running: bool = False
    attendance_out: Literal["api", "file", "none"]
    attendance_waiting: int = 0


class Process(Answer):
    """This process: resident memory in bytes, CPU seconds used, live sockets, asyncio's tasks."""

    pid: int
    memory_bytes: int
    cpu_seconds: float
    sockets: int
    tasks: int


class DetailedHealth(Answer):
    """Everything an operator looks at first."""

    status: Literal["ok", "degraded"]
    database: Part
    redis: Part
    jobs: Part
    plugins: list[PluginHealth]
    connectors: list[ConnectorHealth]
    process: Process


class Look(Answer):
    """How this process was at one moment; requests are those since the look before, `cpu_percent` is of one core."""

    at: AwareDatetime
    memory_bytes: int
    cpu_percent: float
    sockets: int
    writes_waiting: int
    requests: int
    failed_requests: int = Field(description="Answered with 500 and above.")
    loop_delay_ms: float = Field(description="By how much the event loop was late.")


class LooksBack(Answer):
    """The last hour of this process, the oldest first; `every_seconds` lies between two looks."""

    pid: int
    every_seconds: float
    items: list[Look]


@system.get("/health")
@operation(PUBLIC, answers=Alive)
async def read_health(call: Call) -> Alive:  # noqa: ARG001 - every handler takes the call
    """Whether this process can serve; says nothing of databases and plugins, so a balancer may ask it often."""
    return Alive()


@system.get("/health/ready")
@operation(PUBLIC, answers=Ready)
async def read_readiness(call: Call) -> Ready:
    """Whether new requests may be sent here: 503 once this process was told to stop, while it still serves.

    Says nothing of the database: while that is away, a balancer that sent to nobody would only hide the answer.
    """
    if call.district.draining:
        raise Refused(503, "draining", "This process is about to stop. Please ask another one.")
    return Ready()


@system.get("/health/detailed")
@operation("monitor", answers=DetailedHealth, local=True)
async def read_detailed_health(call: Call) -> DetailedHealth:
    """Database, Redis, sockets, plugins, connectors, jobs, memory and CPU."""
    district = call.district
    database = await _database(call)
    plugins = await _plugins(district.host)
    connectors = await _connectors(call)
    redis = Part.model_validate(district.bus.health())
    jobs = Part.model_validate(district.jobs.health())
    fine = database.ok and redis.ok and jobs.ok and all(plugin.ok for plugin in plugins if plugin.state != "off")
    fine = fine and all(connector.ok for connector in connectors)
    return DetailedHealth(
        status="ok" if fine else "degraded",
        database=database,
        redis=redis,
        jobs=jobs,
        plugins=plugins,
        connectors=connectors,
        process=_process(district.boards.sockets),
    )


@system.get("/health/history")
@operation("monitor", answers=LooksBack, local=True)
async def read_process_history(call: Call) -> LooksBack:
    """The last hour of this process, in memory only: what lasts is for Prometheus to collect."""
    history = call.district.history
    items = [Look.model_validate(one) for one in history.samples]
    return LooksBack(pid=os.getpid(), every_seconds=history.every, items=items)


@system.get("/metrics")
@operation("monitor", answers={200: "text/plain"}, local=True)
async def read_metrics(call: Call) -> Response:
    """Figures in Prometheus' text format; with `--workers`, of all of them."""
    syncs, outbox = await call.read(lambda c: (sync_figures(c), reading.waiting(c)))
    district = call.district
    if district.workers is not None:
        return Response(await district.workers.all(syncs, outbox), content_type=CONTENT_TYPE_LATEST)
    body, content_type = district.metrics.render(district, syncs, outbox)
    return Response(body, content_type=content_type)


async def _plugins(host: Host) -> list[PluginHealth]:
    said = {answer.plugin: answer for answer in await host.ask_all("health")}
    found = []
    for info in host.plugins:
        ok, detail = info.state in ("loaded", "off"), info.reason or ""
        if ok and (answer := said.get(info.name)) is not None:
            ok = answer.error is None and answer.value.ok
            detail = answer.value.detail if answer.error is None else "its health check failed"
        if info.listed:
            found.append(PluginHealth(name=info.name, state=info.state, ok=ok, detail=detail))
    return found


async def _connectors(call: Call) -> list[ConnectorHealth]:
    found = []
    for view in await overview(call.district):
        state = view.last_run.status if view.last_run is not None else None
        detail = _trouble(state, view.outgoing.error)
        health = ConnectorHealth(
            name=view.name,
            ok=not detail,
            detail=detail,
            last_success=iso(view.last_success) if view.last_success else None,
            last_state=state,
            lag_seconds=view.lag_seconds,
            running=view.running,
            attendance_out=view.attendance_out,
            attendance_waiting=view.outgoing.waiting,
        )
        found.append(health)
    return found


def _trouble(state: str | None, outgoing: str | None) -> str:
    """Why a connector needs somebody to look at it, if it does."""
    said = {"failed": "its last run failed", "held": "its last run is held for an administrator"}.get(state or "", "")
    unsent = f"attendance does not go out: {outgoing}" if outgoing else ""
    return "; ".join(filter(None, (said, unsent)))


async def _database(call: Call) -> Part:
    store = call.district.store
    kind = "SQLite" if store.is_sqlite else "PostgreSQL"
    try:
        await call.read(lambda connection: connection.sql("SELECT 1"))
    except StoreError as exc:
        return Part(ok=False, detail=f"{kind}: {exc}")
    if store.failing:
        return Part(ok=False, detail=f"{kind}: the last write failed ({store.failing})")
    return Part(ok=True, detail=f"{kind}, {store.waiting} writes waiting")


def _process(sockets: int) -> Process:
    process = psutil.Process()
    used = process.cpu_times()
    values: dict[str, Any] = {"memory_bytes": process.memory_info().rss, "cpu_seconds": used.user + used.system}
    return Process(pid=os.getpid(), sockets=sockets, tasks=len(asyncio.all_tasks()), **values)
