"""`homeroom plugins`: what an administrator and a plugin's author need."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from homeroom.cli.installation import config_option, loaded, settings_of
from homeroom.cli.output import NOT_FINE, example, json_option, print_json

if TYPE_CHECKING:
    from homeroom.cli.conformance import Rule
    from homeroom.host import PluginInfo
    from homeroom.host.scaffold import Kind
    from homeroom.settings import Settings


@click.group()
def plugins() -> None:
    """See, switch, check and make plugins."""


@plugins.command("list", epilog=example("homeroom plugins list"))
@json_option
@config_option
def list_plugins(*, as_json: bool, config: Path | None) -> None:
    """Show every plugin that is installed or asked for, and why one is out; exit 1 when one is."""
    found = asyncio.run(_plugins(settings_of(config)))
    if as_json:
        print_json({"plugins": [_as_json(info) for info in found]})
    else:
        for info in found:
            hooks = ", ".join(info.hooks)
            click.echo(f"{info.name:<20} {info.version or '-':<10} {info.state:<12} {info.reason or hooks}")
    if any(info.state in ("left_out", "quarantined") for info in found):
        raise click.exceptions.Exit(NOT_FINE)


@plugins.command(epilog=example("homeroom plugins enable rotating_code"))
@click.argument("name")
@json_option
@config_option
def enable(*, name: str, as_json: bool, config: Path | None) -> None:
    """Switch a plugin on, in a running server too; one that was never enabled is added to homeroom.toml."""
    settings = settings_of(config)
    if name in settings.plugins.enabled:
        asyncio.run(_switch(settings, name, on=True))
        _say(name, "on", "every running process follows within two seconds", as_json=as_json, restart=False)
        return
    from homeroom.cli.toml_file import add_enabled
    from homeroom.host.discovery import installed

    if settings.plugins.entry_point(name) not in installed():
        raise click.ClickException(f"No plugin named {name} is installed.")
    path = Path(settings.file) if settings.file else Path("homeroom.toml")
    add_enabled(path, name)
    _say(name, "on", f"added to {path}; restart the server to load it", as_json=as_json, restart=True)


@plugins.command(epilog=example("homeroom plugins disable geofence"))
@click.argument("name")
@json_option
@config_option
def disable(*, name: str, as_json: bool, config: Path | None) -> None:
    """Switch a plugin off, in a running server too; it stays off after a restart."""
    asyncio.run(_switch(settings_of(config), name, on=False))
    _say(name, "off", "every running process follows within two seconds", as_json=as_json, restart=False)


@plugins.command(epilog=example("homeroom plugins check rotating_code"))
@click.argument("name", required=False)
@json_option
@config_option
def check(*, name: str | None, as_json: bool, config: Path | None) -> None:
    """Look for what a plugin should not do (default: every enabled one); exit 1 when there is something."""
    from homeroom.host import check as checks

    settings = settings_of(config)
    names = [name] if name else list(settings.plugins.enabled)
    findings = {one: checks.check(settings.plugins.entry_point(one)) for one in names}
    fine = not any(findings.values())
    if as_json:
        rows = [
            {"plugin": one, "problem": finding.problem, "fix": finding.fix}
            for one, several in findings.items()
            for finding in several
        ]
        print_json({"ok": fine, "checked": names, "findings": rows})
    else:
        for one, several in findings.items():
            click.echo(f"{one}: {'fine' if not several else ''}".rstrip())
            for finding in several:
                click.echo(f"  - {finding.problem}" + (f"\n    Fix: {finding.fix}" if finding.fix else ""))
    if not fine:
        raise click.exceptions.Exit(NOT_FINE)


@plugins.command(epilog=example("homeroom plugins new beacon --kind checkin"))
@click.argument("name")
@click.option("--kind", required=True, type=click.Choice(["sis", "channel", "checkin", "auth"]), help="What it does.")
@click.option(
    "--dir",
    "folder",
    default=Path(),
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder in which homeroom-NAME is made [default: here].",
)
@json_option
def new(*, name: str, kind: Kind, folder: Path, as_json: bool) -> None:
    """Write a small project for a plugin, whose tests pass at once."""
    from homeroom.host.scaffold import CannotCreate, new_plugin

    try:
        project = new_plugin(name, kind, folder)
    except CannotCreate as exc:
        raise click.ClickException(str(exc)) from None
    if as_json:
        print_json({"path": str(project.folder), "files": [str(file) for file in project.files]})
    else:
        click.echo(f"Wrote {project.folder}. Next: cd {project.folder} && uv run pytest")


@plugins.command(epilog=example("homeroom plugins test rotating_code"))
@click.argument("name")
@json_option
@config_option
def test(*, name: str, as_json: bool, config: Path | None) -> None:
    """Run the conformance kit on a plugin, rule by rule; exit 1 when one fails.

    A connector or channel is tested against its simulator, never against the district's own SIS or vendor.
    """
    from homeroom.cli.conformance import run

    rules = run(settings_of(config), name, tell=(lambda _rule: None) if as_json else _Teller(sys.stdout))
    counts = Counter(rule.outcome for rule in rules)
    if as_json:
        print_json({"plugin": name, "passed": not counts["fail"], "rules": [rule.as_json() for rule in rules]})
    else:
        click.echo(f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} do not apply.")
    if counts["fail"]:
        raise click.exceptions.Exit(NOT_FINE)


class _Teller:
    """Tells of each rule as soon as it was tried, under a line that says what it was tried against."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._against: str | None = None

    def __call__(self, rule: Rule) -> None:
        if rule.against != self._against:
            self._against = rule.against
            click.echo(f"\nAgainst the simulator {rule.against}:", file=self._out)
        note = f"\n      {rule.message}" if rule.outcome == "fail" else f" ({rule.message})" if rule.message else ""
        click.echo(f"{rule.outcome}  {rule.rule}{note}", file=self._out)


async def _plugins(settings: Settings) -> list[PluginInfo]:
    async with loaded(settings) as district:
        return list(district.host.plugins)


async def _switch(settings: Settings, name: str, *, on: bool) -> None:
    async with loaded(settings) as district:
        await (district.host.enable(name) if on else district.host.disable(name))


def _as_json(info: PluginInfo) -> dict[str, object]:
    shown: dict[str, object] = {
        "name": info.name,
        "version": info.version,
        "enabled": info.enabled,
        "state": info.state,
        "hooks": sorted(info.hooks),
    }
    return {**shown, "reason": info.reason} if info.reason else shown


def _say(name: str, state: str, detail: str, *, as_json: bool, restart: bool) -> None:
    if as_json:
        print_json({"name": name, "enabled": state == "on", "restart_needed": restart})
    else:
        click.echo(f"{name} is switched {state}: {detail}.")
