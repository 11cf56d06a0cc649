"""The demo's roster: what a SIS or a generated bundle holds, taken in by the sync engine as any district's is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from homeroom.attendance_out.queue import begin
from homeroom.cli.installation import loaded, upgrade_now
from homeroom.runs.connectors import connector
from homeroom.runs.under_way import options
from homeroom.sync import RunResult
from homeroom.sync import run as run_sync

if TYPE_CHECKING:
    from homeroom.settings import Settings


async def load_roster(settings: Settings, name: str) -> RunResult:
    """Make the database and load everything that the connector `name` reads into it.

    Where marks go back to it, every mark that is made from here on does. Raises ClickException.
    """
    await upgrade_now(settings)
    async with loaded(settings) as district:
        source = await connector(district.host, name)
        result = await run_sync(district.store, name, source, full=True, **options(district))
        if name in settings.sync.attendance_out:
            await district.store.write(lambda tx: begin(tx, name))
    if result.status != "done":
        raise click.ClickException(f"The demo's roster could not be loaded: {result.status}. {result.reason or ''}")
    return result
