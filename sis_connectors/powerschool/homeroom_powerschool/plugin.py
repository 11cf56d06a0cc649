"""The plugin: its connector, its command, and the address for events."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from homeroom import HOOK_API, Finding, Health, Routes, Services, SisConnector, SourceError, hookimpl
from homeroom_powerschool import plugin_zip
from homeroom_powerschool.connector import Connector
from homeroom_powerschool.events import Events
from homeroom_powerschool.settings import PowerSchoolSettings


class PowerSchool:
    """Rosters from PowerSchool SIS, and attendance into it."""

    hook_api = HOOK_API
    scopes: frozenset[str] = frozenset()
    Settings = PowerSchoolSettings

    def __init__(self, settings: PowerSchoolSettings, services: Services) -> None:
        self.settings = settings
        self._connector = Connector(settings, services)
        self._events = Events(services)
        self._subscribing: asyncio.Task[None] | None = None

    @hookimpl
    async def start(self) -> None:
        """Ask PowerSchool for events, where the district wants them; nobody waits for it."""
        if self.settings.events:
            self._subscribing = asyncio.create_task(self._events.subscribe(self._connector.client))

    @hookimpl
    async def stop(self) -> None:
        """Wait no longer for PowerSchool."""
        if self._subscribing is not None:
            self._subscribing.cancel()
            await asyncio.wait([self._subscribing])

    @hookimpl
    def sis_connector(self) -> SisConnector:
        """The one connector of these settings."""
        return self._connector

    @hookimpl
    def routes(self) -> Routes | None:
        """The address for events, where the district wants them."""
        if not self.settings.events:
            return None
        return Routes(prefix=self._events.prefix, blueprint=self._events.blueprint())

    @hookimpl
    async def health(self) -> Health:
        """Whether PowerSchool answers."""
        client = self._connector.client
        if not client.is_set_up:
            finding = Finding(problem="client_id and client_secret are not set.", fix="See docs/powerschool.md.")
            return Health(ok=False, detail=finding.problem, findings=(finding,))
        try:
            await client.unsigned.get("/ws/v1/time")
        except SourceError as exc:
            return Health(ok=False, detail=f"PowerSchool cannot be asked: {exc}")
        return Health(ok=True)

    @hookimpl
    def commands(self) -> click.Group:
        """`homeroom powerschool plugin-zip`."""
        return click.Group("plugins", commands={"powerschool": _commands()})


def _commands() -> click.Group:
    group = click.Group("powerschool", help="What PowerSchool's administrator needs.")

    @group.command("plugin-zip")
    @click.option(
        "--out",
        type=click.Path(dir_okay=False, path_type=Path),
        default=Path("plugin.zip"),
        show_default=True,
        help="Where to write it.",
    )
    def make_zip(out: Path) -> None:
        """Write the plugin that a district installs in PowerSchool.

        It asks for exactly the columns that Homeroom needs, and brings its queries along.

        Example: homeroom powerschool plugin-zip --out homeroom-plugin.zip
        """
        plugin_zip.write(out)
        click.echo(
            f"{out} is written. Install and enable it in PowerSchool under Plugin Management Configuration, then copy "
            "the client id and secret from its Data Provider Configuration into Homeroom's settings."
        )

    return group
