"""The demo's roster: a generated OneRoster bundle, taken in by the sync engine as any district's is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from homeroom.cli.installation import loaded, upgrade_now
from homeroom.sync import RunResult
from homeroom.sync import run as run_sync
from homeroom.testing.district import write_bundle

if TYPE_CHECKING:
    from homeroom.demo.folder import DemoFolder
    from homeroom.settings import Settings

CONNECTOR = "oneroster"


async def load_roster(settings: Settings, folder: DemoFolder, *, students: int) -> RunResult:
    """Generate a bundle, make the database and load the one into the other."""
    await asyncio.to_thread(write_bundle, folder.roster, students=students)
    await upgrade_now(settings)
    async with loaded(settings) as district:
        answer = await district.host.ask(CONNECTOR, "sis_connector")
        if answer is None or answer.value is None:
            out = next((info.reason for info in district.host.plugins if info.name == CONNECTOR), None)
            raise click.ClickException(f"The {CONNECTOR} connector cannot be used: {out or 'it is not installed'}.")
        result = await run_sync(district.store, CONNECTOR, answer.value, full=True)
    if result.status != "done":
        raise click.ClickException(f"The demo's roster could not be loaded: {result.status}.")
    return result
