"""The plugin: each hook asks the part that knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from quart import Blueprint

from homeroom import HOOK_API, AccessRequest, Decision, Event, Health, Outcome, Routes, Services, hookimpl
from homeroom_ferpa.access.part import Access
from homeroom_ferpa.access.routes import add_routes as add_access_routes
from homeroom_ferpa.log.commands import audit_group
from homeroom_ferpa.log.part import Log
from homeroom_ferpa.log.routes import add_routes as add_log_routes
from homeroom_ferpa.log.search_routes import add_routes as add_search_routes
from homeroom_ferpa.reports import add_commands as add_reports_commands
from homeroom_ferpa.reports import add_routes as add_reports_routes
from homeroom_ferpa.research import Research, studies
from homeroom_ferpa.research import add_commands as add_research_commands
from homeroom_ferpa.research import add_routes as add_research_routes
from homeroom_ferpa.rights import Rights
from homeroom_ferpa.rights import add_commands as add_rights_commands
from homeroom_ferpa.rights import add_routes as add_rights_routes
from homeroom_ferpa.settings import FerpaSettings
from homeroom_ferpa.watch import Watch
from homeroom_ferpa.watch import add_commands as add_watch_commands
from homeroom_ferpa.watch import add_routes as add_watch_routes

__all__ = ["Ferpa", "FerpaSettings"]


class Ferpa:
    """Enforces and records what FERPA asks."""

    hook_api = HOOK_API
    scopes = frozenset({"attendance.status"})
    Settings = FerpaSettings

    def __init__(self, settings: FerpaSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self.log = Log(services, settings.log)
        self.access = Access(services, settings.access)
        self.rights = Rights(settings.rights, services)
        self.research = Research(services=services, settings=settings.reports, notice=settings.access.notice)
        self.watch = Watch(settings.watch, services, inside=settings.access.inside)
        self.rights.more_tasks += [studies.tasks, self.watch.tasks]
        self.rights.more_looks.append(studies.look)

    @hookimpl
    async def start(self) -> None:
        """Begin to record and to seal, to watch the clock, and to look for what is unusual."""
        await self.log.start()
        self.rights.start()
        await self.watch.start()

    @hookimpl
    async def stop(self) -> None:
        """End that; what was recorded last is sealed first."""
        await self.watch.stop()
        await self.rights.stop()
        await self.log.stop()

    @hookimpl
    def migrations(self) -> Path:
        """The plugin's tables; all their names begin with ferpa_."""
        return Path(__file__).parent / "migrations"

    @hookimpl
    def routes(self) -> Routes:
        """What records officers, families and auditors ask for."""
        pages = Blueprint("ferpa", __name__)
        add_log_routes(pages, self.log)
        add_search_routes(pages, self.log)
        add_access_routes(pages, self.access)
        add_rights_routes(pages, self.rights, self.access)
        add_watch_routes(pages, self.watch)
        add_reports_routes(pages, self.services, self.settings.reports)
        add_research_routes(pages, self.research)
        return Routes(prefix="/api/v1/compliance", blueprint=pages)

    @hookimpl
    def commands(self) -> click.Group:
        """`homeroom audit` and `homeroom compliance`."""
        compliance = click.Group("compliance", help="What the law asks: what is kept, who is erased, what went wrong.")
        add_rights_commands(compliance, self.rights)
        add_watch_commands(compliance, self.watch)
        add_reports_commands(compliance, self.services, self.settings.reports)
        add_research_commands(compliance, self.research)
        return click.Group("ferpa", commands={"audit": audit_group(self.log), "compliance": compliance})

    @hookimpl
    async def authorize(self, request: AccessRequest) -> Decision:
        """Whether the law lets this be, beyond the core's own rule."""
        return await self.access.authorize(request)

    @hookimpl
    async def audit(self, request: AccessRequest, outcome: Outcome) -> None:
        """Enter a read or disclosure before the answer leaves."""
        await self.log.enter(request, outcome)
        await self.access.enter(request, outcome)

    @hookimpl
    async def consume(self, events: Sequence[Event]) -> int:
        """Take over what has been committed."""
        await self.access.consume(events)
        await self.rights.heard(events)
        await self.watch.heard(events)
        return await self.log.consume(events)

    @hookimpl
    async def health(self) -> Health:
        """Whether everything is recorded and sealed, and what is overdue."""
        health = await self.log.health()
        parts = (self.access, self.rights, self.watch, self.research)
        found = [finding for part in parts for finding in await part.findings()]
        return replace(health, findings=(*health.findings, *found))
