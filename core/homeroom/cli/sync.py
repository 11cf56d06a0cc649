"""`homeroom sync`: taking rosters in, and where each connector stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.installation import config_option, loaded, opened_store, settings_of
from homeroom.cli.output import NOT_FINE, WrongUsage, example, json_option, print_json, progress

if TYPE_CHECKING:
    from homeroom.district import District
    from homeroom.records import SisConnector
    from homeroom.settings import Settings
    from homeroom.sync import DiffRow, RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """A run as it was asked for."""

    name: str
    source: Path | None
    dry_run: bool
    full: bool
    as_json: bool
    diff: list[dict[str, Any]] = field(default_factory=list)


@click.group()
def sync() -> None:
    """Take rosters in from the systems a district has."""


@sync.command(epilog=example("homeroom sync run oneroster --source ./export-2026-11-23.zip --dry-run"))
@click.argument("name")
@click.option(
    "--source", type=click.Path(exists=True, path_type=Path), help="A bundle to read in place of the configured one."
)
@click.option("--dry-run", is_flag=True, help="Print the row diff and change nothing.")
@click.option("--full", is_flag=True, help="Ask for everything, not only for what changed since the last success.")
@json_option
@config_option
def run(*, name: str, source: Path | None, dry_run: bool, full: bool, as_json: bool, config: Path | None) -> None:
    """Run the connector NAME once; exit 1 when the run did not finish well."""
    wish = _Wish(name=name, source=source, dry_run=dry_run, full=full, as_json=as_json)
    with progress(f"sync {name}", quiet=as_json or dry_run) as show:
        result = asyncio.run(_run(settings_of(config), wish, show))
    if as_json:
        told = result.as_json()
        print_json({**told, "diff": wish.diff} if dry_run else told)
    else:
        _say(result)
    if result.status != "done":
        raise click.exceptions.Exit(NOT_FINE)


@sync.command(epilog=example("homeroom sync status"))
@json_option
@config_option
def status(*, as_json: bool, config: Path | None) -> None:
    """Show each connector's last run and last success; exit 1 when a last run did not finish well."""
    from homeroom.store import iso, now_utc
    from homeroom.sync import status as status_of

    with opened_store(settings_of(config)) as store:
        found = store.read_now(lambda c: status_of(c, now_utc()))
    if as_json:
        rows = [
            {
                "name": one.connector,
                "running": one.running,
                "last": one.last.as_json(),
                "last_success": iso(one.last_success) if one.last_success else None,
            }
            for one in found
        ]
        print_json({"connectors": rows})
    else:
        for one in found:
            success = iso(one.last_success)[:16] if one.last_success else "never"
            click.echo(
                f"{one.connector:<20} {'running' if one.running else one.last.status:<10} last success {success}"
            )
        if not found:
            click.echo("No connector has run yet.")
    if any(one.last.status in ("failed", "held") for one in found):
        raise click.exceptions.Exit(NOT_FINE)


async def _run(settings: Settings, wish: _Wish, show: Callable[[str, int, int | None], None]) -> RunResult:
    from homeroom.sync import run as run_sync

    async with loaded(settings) as district:
        return await run_sync(
            district.store,
            wish.name,
            await _connector(district, wish),
            dry_run=wish.dry_run,
            full=wish.full,
            administrators=settings.sync.administrators,
            progress=lambda step: show(f"{step.phase} {step.noun}", step.done, None),
            on_diff=(lambda row: _take(wish, row)) if wish.dry_run else None,
        )


async def _connector(district: District, wish: _Wish) -> SisConnector:
    answer = await district.host.ask(wish.name, "sis_connector")
    connector: SisConnector | None = answer.value if answer is not None and answer.error is None else None
    if connector is None:
        out = next((info.reason for info in district.host.plugins if info.name == wish.name), "no such plugin")
        names = ", ".join(district.host.implementers("sis_connector")) or "none"
        raise WrongUsage(f"{wish.name} is no connector that can be used: {out or 'it gives none'}. There are: {names}.")
    if wish.source is None:
        return connector
    with_source: Callable[[Path], SisConnector] | None = getattr(connector, "with_source", None)
    if with_source is None:
        raise WrongUsage(f"{wish.name} reads from where its settings say; it takes no --source.")
    return with_source(wish.source)


def _take(wish: _Wish, row: DiffRow) -> None:
    if wish.as_json:
        wish.diff.append(row.as_json())
        return
    fields = ", ".join(f"{name}: {before!r} -> {after!r}" for name, (before, after) in row.fields.items())
    click.echo(f"{row.change:<8} {row.noun:<16} {row.sourced_id}  {fields}".rstrip())


def _say(result: RunResult) -> None:
    counts = ", ".join(f"{getattr(result, name)} {name}" for name in ("added", "changed", "ended", "unchanged"))
    done = "would be" if result.dry_run else result.status
    click.echo(f"{result.connector} {done}: {counts}, {result.dead_letters} left out ({result.seconds:.1f} s).")
    if result.reason:
        click.echo(result.reason)
