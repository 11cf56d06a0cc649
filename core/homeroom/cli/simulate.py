"""`homeroom simulate`: a vendor's server on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from homeroom.cli.installation import quiet_logs
from homeroom.cli.output import WrongUsage, example, json_option, print_json
from homeroom.testing import MISBEHAVIOURS
from homeroom.testing.simulator import INSPECTION

if TYPE_CHECKING:
    import socket

    from homeroom.testing import Simulator

GROUP = "homeroom.simulators"
HOST = "127.0.0.1"


@click.command(epilog=example("homeroom simulate powerschool --students 2000 --misbehave 429 --misbehave half"))
@click.argument("name", required=False)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The port on 127.0.0.1 [default: a free one].")
@click.option("--students", default=500, show_default=True, type=click.IntRange(1, 200_000), help="How many.")
@click.option(
    "--misbehave",
    multiple=True,
    type=click.Choice(list(MISBEHAVIOURS)),
    help="A way in which real servers go wrong; may be given more than once.",
)
@json_option
def simulate(*, name: str | None, port: int, students: int, misbehave: tuple[str, ...], as_json: bool) -> None:
    """Serve a vendor's SIS on this machine, made up and without any real person; without NAME list what there is.

    With --json the first line on stdout has the URL and the settings. Ctrl-C stops it.
    """
    if name is None:
        _list(as_json=as_json)
        return
    from homeroom.cli import server

    quiet_logs()
    simulator = made(name, students, misbehave)
    with server.listen(HOST, port) as listening:
        url = server.url_of(listening)
        if as_json:
            print_json(facts(name, simulator, url, students))
        else:
            _show(simulator, url, students)
        asyncio.run(_until_signal(simulator, listening))
    click.echo("The simulator has stopped.", err=as_json)


def made(name: str, students: int, misbehave: Collection[str] = ()) -> Simulator:
    """The simulator `name`, in a school year that is under way. Raises ClickException when it cannot be had."""
    from homeroom.testing import sample_district
    from homeroom.testing.district import first_school_day

    district = sample_district(students=students, starts_on=first_school_day(datetime.now(UTC).date()))
    return _found(name)(district, misbehave=misbehave)


async def serve(simulator: Simulator, listening: socket.socket, stopping: asyncio.Event) -> None:
    """Serve a simulator on a socket until `stopping` is set."""
    from hypercorn.asyncio import serve as hypercorn_serve

    from homeroom.cli.server import hypercorn_config

    await hypercorn_serve(simulator.app, hypercorn_config(listening, None), shutdown_trigger=stopping.wait)


async def _until_signal(simulator: Simulator, listening: socket.socket) -> None:
    from homeroom.cli.server import stop_signals

    await serve(simulator, listening, stop_signals())


def _found(name: str) -> type[Simulator]:
    from homeroom.host import discovery

    names = sorted(discovery.installed(GROUP))
    if name not in names:
        raise WrongUsage(f"There is no simulator named {name}. There are: {', '.join(names) or 'none installed'}.")
    try:
        found: Any = discovery.load(name, GROUP)
    except discovery.CannotLoad as exc:
        raise click.ClickException(f"{name}: {exc}") from None
    simulator: type[Simulator] = found
    return simulator


def _list(*, as_json: bool) -> None:
    from homeroom.host import discovery

    names = sorted(discovery.installed(GROUP))
    if as_json:
        print_json({"simulators": names, "misbehaviours": dict(MISBEHAVIOURS)})
        return
    click.echo("Simulators: " + (", ".join(names) or "none is installed"))
    click.echo("\nWays to misbehave (--misbehave KIND):")
    for kind, meaning in MISBEHAVIOURS.items():
        click.echo(f"  {kind:<14} {meaning}")


def facts(name: str, simulator: Simulator, url: str, students: int) -> dict[str, Any]:
    """What --json tells of a simulator that serves on `url`."""
    return {
        "url": url,
        "name": name,
        "plugin": simulator.name,
        "title": simulator.title,
        "evidence": simulator.evidence,
        "students": students,
        "misbehave": sorted(simulator.misbehave),
        "settings": simulator.settings(url),
    }


def _show(simulator: Simulator, url: str, students: int) -> None:
    click.echo(f"{simulator.title}, simulated with {students} students, serves on {url}")
    click.echo(f"What it was built from: {simulator.evidence}")
    for kind in sorted(simulator.misbehave):
        click.echo(f"It misbehaves: {MISBEHAVIOURS[kind]}.")
    plugin = simulator.name
    click.echo(f'\nFor homeroom.toml, with "{plugin}" among `enabled` in [plugins]:\n\n[plugins.{plugin}]')
    for key, value in simulator.settings(url).items():
        click.echo(f"{key} = {toml_value(value)}")
    click.echo(f"\nAttendance that was written to it: {url}{INSPECTION}")
    click.echo(f"Then, in another terminal: homeroom sync run {plugin}. Ctrl-C stops the simulator.")


def toml_value(value: Any) -> str:
    """A setting as it stands in homeroom.toml."""
    match value:
        case bool() | int() | float():
            return json.dumps(value)
        case dict():
            return "{ " + ", ".join(f"{json.dumps(key)} = {toml_value(one)}" for key, one in value.items()) + " }"
        case list() | tuple():
            return f"[{', '.join(toml_value(one) for one in value)}]"
        case _:
            return json.dumps(str(value), ensure_ascii=False)
