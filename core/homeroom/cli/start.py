"""`homeroom init`: the settings of a new installation, with secrets of its own."""

from __future__ import annotations

import json
import secrets
from importlib.metadata import entry_points
from pathlib import Path

import click

from homeroom.cli.output import example

_PLUGINS = ("accounts", "rotating_code", "web", "ferpa")
_DATABASE, _ZONE = "sqlite:///./homeroom.db", "America/New_York"
_TOML = """\
# The settings of this installation. homeroom.example.toml, in the sources, explains every key.
# Secrets stand in .env beside this file. After a change: homeroom doctor.
environment = "production"

[attendance]
time_zone = {zone}

[plugins]
enabled = {plugins}
"""
_ENV = """\
# Secrets: readable by nobody else, in no repository. Keep ENCRYPTION_KEY somewhere else as well:
# without it neither the database nor any backup can be read.
JWT_SECRET_KEY={jwt}
ENCRYPTION_KEY={encryption}
DATABASE_URL={database}
"""


def _known_zone(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    from homeroom.settings import is_time_zone

    if not is_time_zone(value):
        raise click.BadParameter(f"{value} is not known here; an IANA name is, such as America/New_York.")
    return value


def _web_address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    from homeroom.settings import is_web_address

    if value and not is_web_address(value):
        raise click.BadParameter("Write it whole, with https:// before it: https://attendance.example")
    return value


def _database(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not value.startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise click.BadParameter("It begins with sqlite:/// or postgresql://.")
    return value


@click.command(epilog=example("homeroom init --time-zone America/Chicago --public-base-url https://here.example"))
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where; else here.")
@click.option(
    "--database-url", default=_DATABASE, show_default=True, callback=_database, help="Where the data will be."
)
@click.option("--redis-url", help="For more than one process.")
@click.option(
    "--public-base-url", callback=_web_address, help="How people will reach it: links and vendors' callbacks use it."
)
@click.option(
    "--time-zone", default=_ZONE, show_default=True, callback=_known_zone, help="Of schools without their own."
)
@click.option("--if-missing", is_flag=True, help="Be content when there are settings already, and leave them.")
def init(
    *,
    folder: Path,
    database_url: str,
    redis_url: str | None,
    public_base_url: str | None,
    time_zone: str,
    if_missing: bool,
) -> None:
    """Write homeroom.toml and .env for a new installation, with fresh secrets.

    Overwrites nothing. What was installed of accounts, rotating_code, web and ferpa is switched on.
    """
    toml, env = folder / "homeroom.toml", folder / ".env"
    if there := [path for path in (toml, env) if path.exists()]:
        if if_missing and there == [toml, env]:
            click.echo(f"{toml} and {env} are there already; nothing was changed.")
            return
        raise click.ClickException(f"{there[0]} is there already, and nothing was changed. Name another --folder.")
    values = _ENV.format(jwt=secrets.token_urlsafe(48), encryption=secrets.token_urlsafe(48), database=database_url)
    for name, value in (("REDIS_URL", redis_url), ("PUBLIC_BASE_URL", public_base_url)):
        values += f"{name}={value}\n" if value else ""
    installed = entry_points(group="homeroom.plugins").names
    plugins = [name for name in _PLUGINS if name in installed]
    folder.mkdir(parents=True, exist_ok=True)
    _write(toml, _TOML.format(zone=json.dumps(time_zone), plugins=json.dumps(plugins)))
    _write(env, values)
    click.echo(f"Wrote {toml} and {env}.")
    click.echo("Next, in that folder: homeroom db upgrade, homeroom users add, homeroom doctor, homeroom serve.")


def _write(path: Path, text: str) -> None:
    """A new file that nobody else may read."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")
