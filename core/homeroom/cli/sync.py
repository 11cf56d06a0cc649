"""`homeroom sync`: taking rosters in, where each connector stands, and letting a run go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli import sync_queues
from homeroom.cli.installation import config_option, loaded, settings_of, spare_collector
from homeroom.cli.output import NOT_FINE, WrongUsage, example, json_option, print_json, progress

if TYPE_CHECKING:
    from homeroom.district import District
    from homeroom.records import SisConnector
    from homeroom.runs.overview import ConnectorView
    from homeroom.settings import Settings
    from homeroom.sync import DiffRow, Options, RunResult

    Show = Callable[[str, int, int | None], None]
    Step = Callable[[District, SisConnector, Options], Awaitable[RunResult]]

BY = "command line"
"""Who let a run go on, where nobody has signed in."""


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


for command in sync_queues.COMMANDS:
    sync.add_command(command)


_source_option = click.option(
    "--source", type=click.Path(exists=True, path_type=Path), help="A bundle to read in place of the configured one."
)


@sync.command(epilog=example("homeroom sync run oneroster --source ./export-2026-11-23.zip --dry-run"))
@click.argument("name")
@_source_option
@click.option("--dry-run", is_flag=True, help="Print the row diff and change nothing.")
@click.option("--full", is_flag=True, help="Ask for everything, not only for what changed since the last success.")
@json_option
@config_option
def run(*, name: str, source: Path | None, dry_run: bool, full: bool, as_json: bool, config: Path | None) -> None:
    """Run the connector NAME once; exit 1 when the run is held or did not finish well."""
    wish = _Wish(name=name, source=source, dry_run=dry_run, full=full, as_json=as_json)
    with progress(f"sync {name}", quiet=as_json or dry_run) as show:
        result = asyncio.run(_run(settings_of(config), wish, show))
    if source is not None and result.reason is not None:
        check = f"homeroom sync check {name}"
        result = replace(result, reason=result.reason.replace(check, f"{check} --source {source}"))
    _tell(result, as_json=as_json, diff=wish.diff if dry_run else None)


@sync.command(epilog=example("homeroom sync status"))
@json_option
@config_option
def status(*, as_json: bool, config: Path | None) -> None:
    """Show how each connector stands; exit 1 when a last run is held or did not finish well."""
    found = asyncio.run(_overview(settings_of(config)))
    if as_json:
        print_json({"connectors": [_status_json(one) for one in found]})
    else:
        _table(found)
    if any(one.last_run is not None and one.last_run.status in ("failed", "held") for one in found):
        raise click.exceptions.Exit(NOT_FINE)


@sync.command(epilog=example("homeroom sync check powerschool"))
@click.argument("name")
@_source_option
@json_option
@config_option
def check(*, name: str, source: Path | None, as_json: bool, config: Path | None) -> None:
    """Try the connector NAME's settings against the real system; exit 1 when something is missing."""
    from homeroom.runs.connectors import findings

    async def ask() -> list[Any]:
        async with loaded(settings_of(config)) as district:
            return await findings(await _connector(district, name, source))

    found = asyncio.run(ask())
    if as_json:
        told = [{"problem": one.problem, "fix": one.fix} for one in found]
        print_json({"connector": name, "ok": not found, "findings": told})
    else:
        click.echo("\n".join(f"- {one.problem}\n  {one.fix}".rstrip() for one in found) or f"{name} is in order.")
    if found:
        raise click.exceptions.Exit(NOT_FINE)


@sync.command(epilog=example("homeroom sync resume 019b2c3d4e5f"))
@click.argument("run_id", metavar="RUN")
@json_option
@config_option
def resume(*, run_id: str, as_json: bool, config: Path | None) -> None:
    """Go on with a run that failed or was interrupted, from its last checkpoint."""
    from homeroom import sync as engine

    _go_on(config, run_id, lambda d, source, how: engine.resume(d.store, run_id, source, **how), as_json=as_json)


@sync.command(epilog=example("homeroom sync release 019b2c3d4e5f"))
@click.argument("run_id", metavar="RUN")
@json_option
@config_option
def release(*, run_id: str, as_json: bool, config: Path | None) -> None:
    """Let a held run go on as it was read. Look at what it was held for first: homeroom sync status."""
    from homeroom import sync as engine

    _go_on(
        config, run_id, lambda d, source, how: engine.release(d.store, run_id, source, by=BY, **how), as_json=as_json
    )


@sync.command(epilog=example("homeroom sync approve 019b2c3d4e5f"))
@click.argument("run_id", metavar="RUN")
@json_option
@config_option
def approve(*, run_id: str, as_json: bool, config: Path | None) -> None:
    """Take over exactly what the dry run RUN has shown; nothing changes when the source has changed since."""
    from homeroom import sync as engine

    _go_on(
        config, run_id, lambda d, source, how: engine.approve(d.store, run_id, source, by=BY, **how), as_json=as_json
    )


@sync.command(epilog=example("homeroom sync discard 019b2c3d4e5f"))
@click.argument("run_id", metavar="RUN")
@json_option
@config_option
def discard(*, run_id: str, as_json: bool, config: Path | None) -> None:
    """End a held run without taking anything over."""
    from homeroom.sync import discard as end
    from homeroom.sync import result_of

    async def ask() -> RunResult | None:
        async with loaded(settings_of(config)) as district:
            await end(district.store, run_id, by=BY)
            return await district.store.read(lambda c: result_of(c, run_id))

    result = asyncio.run(ask())
    assert result is not None  # noqa: S101 - it was just ended
    if as_json:
        print_json(result.as_json())
    else:
        click.echo("The run is discarded; nothing was taken over.")


async def _run(settings: Settings, wish: _Wish, show: Show) -> RunResult:
    from homeroom.sync import run as run_sync

    async with loaded(settings) as district:
        source = await _connector(district, wish.name, wish.source)
        how = _options(district, show)
        how["on_diff"] = (lambda row: _take(wish, row)) if wish.dry_run else None
        spare_collector()
        return await run_sync(district.store, wish.name, source, dry_run=wish.dry_run, full=wish.full, **how)


def _go_on(config: Path | None, run_id: str, step: Step, *, as_json: bool) -> None:
    """Take one step with a run that there is already, and say what came of it."""
    from homeroom.store import not_found
    from homeroom.sync import result_of

    async def ask(show: Show) -> RunResult:
        async with loaded(settings_of(config)) as district:
            known = await district.store.read(lambda c: result_of(c, run_id))
            if known is None:
                raise not_found("There is no such run. See: homeroom sync status")
            return await step(district, await _connector(district, known.connector), _options(district, show))

    with progress("sync", quiet=as_json) as show:
        result = asyncio.run(ask(show))
    _tell(result, as_json=as_json)


def _options(district: District, show: Show) -> Options:
    from homeroom.runs.under_way import options

    how = options(district)
    how["progress"] = lambda step: show(f"{step.phase} {step.noun}", step.done, step.total)
    return how


async def _connector(district: District, name: str, source: Path | None = None) -> SisConnector:
    from homeroom.runs.connectors import connector as connector_of
    from homeroom.store import Refused

    try:
        connector = await connector_of(district.host, name)
    except Refused as exc:
        raise WrongUsage(exc.detail) from None
    if source is None:
        return connector
    with_source: Callable[[Path], SisConnector] | None = getattr(connector, "with_source", None)
    if with_source is None:
        raise WrongUsage(f"{name} reads from where its settings say; it takes no --source.")
    return with_source(source)


async def _overview(settings: Settings) -> list[ConnectorView]:
    from homeroom.runs.overview import overview

    async with loaded(settings) as district:
        return await overview(district, also_off=True)


def _status_json(one: ConnectorView) -> dict[str, Any]:
    from dataclasses import asdict

    from homeroom.store import iso

    names = ("running", "lag_seconds", "schedule", "dead_letters", "conflicts_open", "attendance_out")
    return {
        "name": one.name,
        **{name: getattr(one, name) for name in names},
        "attendance_out_words": one.attendance_out_words,
        "last": one.last_run.as_json() if one.last_run else None,
        "last_success": iso(one.last_success) if one.last_success else None,
        "next_run": iso(one.next_run) if one.next_run else None,
        "outgoing": asdict(one.outgoing),
    }


def _table(found: list[ConnectorView]) -> None:
    row = "{:<18} {:<11} {:<17} {:<17} {:>8} {:>9} {:>8}"
    if found:
        click.echo(row.format("connector", "last run", "last success", "next run", "left out", "questions", "outgoing"))
    for one in found:
        state = _state(one)
        waiting = one.outgoing.waiting + one.outgoing.failed + one.outgoing.differs
        moments = _minute(one.last_success, "never"), _minute(one.next_run, "by hand")
        click.echo(row.format(one.name, state, *moments, one.dead_letters, one.conflicts_open, waiting))
        if one.last_run is not None and one.last_run.status in ("failed", "held"):
            _say_why(one.last_run)
    if not any(one.last_run for one in found):
        click.echo("No connector has run yet. Begin with: homeroom sync run NAME --dry-run")


def _state(one: ConnectorView) -> str:
    if one.running or one.last_run is None:
        return "running" if one.running else "never"
    return "interrupted" if one.last_run.status in ("pulling", "applying") else one.last_run.status


def _minute(moment: datetime | None, never: str) -> str:
    return f"{moment:%Y-%m-%dT%H:%M}Z" if moment is not None else never


def _take(wish: _Wish, row: DiffRow) -> None:
    if wish.as_json:
        wish.diff.append(row.as_json())
        return
    fields = ", ".join(f"{name}: {before!r} -> {after!r}" for name, (before, after) in row.fields.items())
    click.echo(f"{row.change:<8} {row.noun:<16} {row.sourced_id}  {fields}".rstrip())


def _tell(result: RunResult, *, as_json: bool, diff: list[dict[str, Any]] | None = None) -> None:
    """Print what came of a run; exit 1 when it is not done."""
    if as_json:
        told = result.as_json()
        print_json(told if diff is None else {**told, "diff": diff})
    else:
        _say(result)
    if result.status != "done":
        raise click.exceptions.Exit(NOT_FINE)


def _say(result: RunResult) -> None:
    counts = ", ".join(f"{getattr(result, name)} {name}" for name in ("added", "changed", "ended", "unchanged"))
    done = "would be" if result.dry_run else result.status
    click.echo(f"{result.connector} {done}: {counts}, {result.dead_letters} left out ({result.seconds:.1f} s).")
    _say_why(result)
    if result.dry_run and result.status == "done":
        click.echo(f"Nothing was changed. To take over just this within a day: homeroom sync approve {result.run_id}")


def _say_why(result: RunResult) -> None:
    for alarm in result.findings:
        click.echo(f"  ! {alarm.found} {alarm.look_at}")
    if result.status == "held":
        click.echo(f"  Then let it go on with: homeroom sync release {result.run_id}")
        click.echo(f"  or end it with:         homeroom sync discard {result.run_id}")
    elif result.reason:
        click.echo(f"  {result.reason}")
