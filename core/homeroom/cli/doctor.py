"""`homeroom doctor`: what is wrong with this installation, each thing with its fix."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.installation import config_option, settings_of
from homeroom.cli.output import NOT_FINE, example, json_option, print_json

if TYPE_CHECKING:
    from homeroom.doctor import Check
    from homeroom.settings import Settings


@click.command(epilog=example("homeroom doctor --json"))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address that the server is to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Its port.")
@json_option
@config_option
def doctor(*, host: str, port: int, as_json: bool, config: Path | None) -> None:
    """Look at settings, database, Redis, plugins and files; exit 1 when something is wrong."""
    from homeroom.doctor import Check
    from homeroom.settings import SettingsError
    from homeroom.types import Finding

    try:
        settings = settings_of(config)
    except SettingsError as exc:
        findings = tuple(Finding(problem=str(problem)) for problem in exc.problems)
        checks = [Check(name="settings", findings=findings)]
    else:
        checks = [Check(name="settings", detail=settings.file or "from the environment")]
        checks += asyncio.run(_examine(settings, host, port))
    fine = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": fine, "checks": [_as_json(check) for check in checks]})
    else:
        for check in checks:
            _show(check)
        click.echo("Nothing is wrong." if fine else "Something is wrong; each fix stands above.")
    if not fine:
        raise click.exceptions.Exit(NOT_FINE)


async def _examine(settings: Settings, host: str, port: int) -> list[Check]:
    from homeroom.doctor import examine

    return [check async for check in examine(settings, host=host, port=port)]


def _as_json(check: Check) -> dict[str, object]:
    problems = [{"problem": finding.problem, "fix": finding.fix} for finding in check.findings]
    return {"name": check.name, "ok": check.ok, "detail": check.detail, "problems": problems}


def _show(check: Check) -> None:
    if check.ok:
        click.echo(f"fine   {check.name}: {check.detail}")
    for finding in check.findings:
        click.echo(f"WRONG  {check.name}: {finding.problem}")
        if finding.fix:
            click.echo(f"       Fix: {finding.fix}")
