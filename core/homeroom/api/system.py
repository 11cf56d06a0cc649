"""Seeing inside: whether the server serves, how its parts are, and the figures Prometheus collects."""

from __future__ import annotations

import os
from typing import Any, Literal

import psutil
from pydantic import Field
from quart import Blueprint, Response

from homeroom.api.operation import PUBLIC, Answer, Call, operation
from homeroom.host import Host
from homeroom.store import StoreError, iso
from homeroom.store import models as m
from homeroom.telemetry import sync_figures

system = Blueprint("system", __name__)


class Alive(Answer):
    """The process serves."""

    status: Literal["ok"] = "ok"


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
    """One SIS connector: its last run that succeeded, and how its last run ended."""

    name: str
    last_success: str | None = Field(default=None, examples=["2026-11-23T08:00:00.000000Z"])
    last_state: str | None = Field(default=None, examples=["done"])
    attendance_out: Literal["api", "file", "none"]


class Process(Answer):
    """This process: resident memory in bytes, CPU seconds used, live sockets."""

    pid: int
    memory_bytes: int
    cpu_seconds: float
    sockets: int


class DetailedHealth(Answer):
    """Everything an operator looks at first."""

    status: Literal["ok", "degraded"]
    database: Part
    redis: Part
    jobs: Part
    plugins: list[PluginHealth]
    connectors: list[ConnectorHealth]
    process: Process


@system.get("/health")
@operation(PUBLIC, answers=Alive)
async def read_health(call: Call) -> Alive:  # noqa: ARG001 - every handler takes the call
    """Whether this process can serve; says nothing of databases and plugins, so a balancer may ask it often."""
    return Alive()


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
    return DetailedHealth(
        status="ok" if fine else "degraded",
        database=database,
        redis=redis,
        jobs=jobs,
        plugins=plugins,
        connectors=connectors,
        process=_process(district.boards.sockets),
    )


@system.get("/metrics")
@operation("monitor", answers={200: "text/plain"}, local=True)
async def read_metrics(call: Call) -> Response:
    """Figures in Prometheus' text format."""
    syncs = await call.read(sync_figures)
    body, content_type = call.district.metrics.render(call.district, syncs)
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
    answers = [answer for answer in await call.district.host.ask_all("sis_connector") if answer.value is not None]
    runs = m.SyncRun
    last = await call.read(lambda c: c.all(runs.select().where(~runs.dry_run).order_by(runs.started_at)))
    state = {run.connector: run.state for run in last}
    good = {run.connector: iso(run.finished_at) for run in last if run.state == "done"}
    return [
        ConnectorHealth(
            name=answer.plugin,
            last_success=good.get(answer.plugin),
            last_state=state.get(answer.plugin),
            attendance_out=answer.value.attendance_out,
        )
        for answer in answers
    ]


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
    return Process(pid=os.getpid(), sockets=sockets, **values)
