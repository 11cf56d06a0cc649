"""`homeroom serve` and `homeroom worker`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeroom.cli.installation import config_option, settings_of
from homeroom.cli.output import WrongUsage, example

if TYPE_CHECKING:
    from homeroom.settings import Settings


@click.command(epilog=example("homeroom serve --host 0.0.0.0 --port 8443 --certfile cert.pem --keyfile key.pem"))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Processes. More than one needs PostgreSQL and Redis.",
)
@click.option("--certfile", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TLS certificate (PEM).")
@click.option("--keyfile", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its key (PEM).")
@click.option("--safe", is_flag=True, help="Start without any plugin.")
@click.option("--no-upgrade", is_flag=True, help="Leave the database as it is; refuse when migrations are pending.")
@config_option
def serve(
    *,
    host: str,
    port: int,
    workers: int,
    certfile: Path | None,
    keyfile: Path | None,
    safe: bool,
    no_upgrade: bool,
    config: Path | None,
) -> None:
    """Start the server, after bringing the database up to date."""
    from homeroom.cli import server
    from homeroom.cli.installation import check_upgraded, upgrade
    from homeroom.store import migrate
    from homeroom.telemetry import configure_logging

    settings = settings_of(config)
    configure_logging(settings)
    problem = server.cannot_serve(settings, workers=workers, certfile=certfile, keyfile=keyfile)
    if problem:
        raise WrongUsage(problem)
    listening = server.listen(host, port)
    try:
        if no_upgrade:
            check_upgraded(settings)
        elif workers > 1:
            upgrade(settings, safe=safe)
        else:  # the plugins' tables follow as it starts, when it has loaded them anyway
            migrate.upgrade(settings.database.url)
        tls = server.Tls(certfile=certfile, keyfile=keyfile) if certfile and keyfile else None
        plan = server.Plan(settings=settings, tls=tls, safe=safe, upgrade=workers == 1 and not no_upgrade)
        server.run(plan, listening, workers=workers, announce=lambda url: click.echo(f"Homeroom serves on {url}"))
    finally:
        listening.close()


@click.command(epilog=example("REDIS_URL=redis://127.0.0.1:6379/0 homeroom worker"))
@config_option
def worker(*, config: Path | None) -> None:
    """Run background jobs until stopped; only needed with Redis."""
    settings = settings_of(config)
    if settings.redis.url is None:
        click.echo("REDIS_URL is not set: the server runs the background jobs itself, so no worker is needed.")
        return
    _work(settings)


def _work(settings: Settings) -> None:
    import asyncio

    from homeroom.cli import installation
    from homeroom.cli.server import stop_signals
    from homeroom.telemetry import configure_logging

    configure_logging(settings)

    async def run() -> None:
        stopping = stop_signals()
        async with installation.worker(settings):
            installation.leave_bytecode_alone()
            click.echo("Homeroom's worker runs.")
            await stopping.wait()

    asyncio.run(run())
