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
from homeroom.testing import CHANNEL_MISBEHAVIOURS, MISBEHAVIOURS, ChannelSimulator

if TYPE_CHECKING:
    import socket

    from homeroom.testing import Simulator

GROUP = "homeroom.simulators"
HOST = "127.0.0.1"
HOMEROOM = "http://127.0.0.1:8000"
KINDS = tuple({**MISBEHAVIOURS, **CHANNEL_MISBEHAVIOURS})


@click.command(epilog=example("homeroom simulate powerschool --students 2000 --misbehave 429 --misbehave half"))
@click.argument("name", required=False)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The port on 127.0.0.1 [default: a free one].")
@click.option("--students", default=500, show_default=True, type=click.IntRange(1, 200_000), help="How many (SIS).")
@click.option(
    "--misbehave",
    multiple=True,
    type=click.Choice(KINDS),
    help="A way in which real servers go wrong; may be given more than once.",
)
@click.option(
    "--homeroom", default=HOMEROOM, show_default=True, help="Where Homeroom is, for messaging vendors to call back."
)
@json_option
def simulate(
    *, name: str | None, port: int, students: int, misbehave: tuple[str, ...], homeroom: str, as_json: bool
) -> None:
    """Serve a vendor's SIS or messaging API on this machine, made up and without any real person.

    Without NAME list what there is.

    With --json the first line on stdout has the URL and the settings. Ctrl-C stops it.
    """
    if name is None:
        _list(as_json=as_json)
        return
    from homeroom.cli import server

    quiet_logs()
    simulator = made(name, students, misbehave)
    homeroom = homeroom.rstrip("/")
    if isinstance(simulator, ChannelSimulator):
        simulator.set_up_callbacks(f"{homeroom}/plugins/{simulator.name}")
    with server.listen(HOST, port) as listening:
        url = server.url_of(listening)
        if as_json:
            print_json(facts(name, simulator, url, students))
        else:
            _show(simulator, url, students, homeroom)
        asyncio.run(_until_signal(simulator, listening))
    click.echo("The simulator has stopped.", err=as_json)


def made(name: str, students: int, misbehave: Collection[str] = ()) -> Simulator:
    """The simulator `name`, a SIS's in a school year that is under way. Raises ClickException when it cannot be had."""
    from homeroom.testing import sample_district
    from homeroom.testing.district import first_school_day

    found = _found(name)
    for kind in misbehave:
        if kind not in found.kinds:
            raise WrongUsage(f"{found.title} never misbehaves by {kind}. What it can do: {', '.join(found.kinds)}.")
    if issubclass(found, ChannelSimulator):
        return found(misbehave=misbehave)
    district = sample_district(students=students, starts_on=first_school_day(datetime.now(UTC).date()))
    return found(district, misbehave=misbehave)


async def serve(simulator: Simulator, listening: socket.socket, stopping: asyncio.Event) -> None:
    """Serve a simulator on a socket until `stopping` is set."""
    from homeroom.cli import connections
    from homeroom.cli.server import hypercorn_config

    await connections.serve(simulator.app, hypercorn_config(listening, None), stop=stopping.wait)


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
        channels = dict(CHANNEL_MISBEHAVIOURS)
        print_json({"simulators": names, "misbehaviours": dict(MISBEHAVIOURS), "channel_misbehaviours": channels})
        return
    click.echo("Simulators: " + (", ".join(names) or "none is installed"))
    for whose, kinds in (("a SIS's", MISBEHAVIOURS), ("a messaging vendor's", CHANNEL_MISBEHAVIOURS)):
        click.echo(f"\nWays to misbehave (--misbehave KIND), {whose}:")
        for kind, meaning in kinds.items():
            click.echo(f"  {kind:<18} {meaning}")


def facts(name: str, simulator: Simulator, url: str, students: int) -> dict[str, Any]:
    """What --json tells of a simulator that serves on `url`; a messaging vendor's has no students."""
    return {
        "url": url,
        "name": name,
        "plugin": simulator.name,
        "title": simulator.title,
        "evidence": simulator.evidence,
        **({} if isinstance(simulator, ChannelSimulator) else {"students": students}),
        "misbehave": sorted(simulator.misbehave),
        "settings": simulator.settings(url),
    }


def _show(simulator: Simulator, url: str, students: int, homeroom: str) -> None:
    whom = "" if isinstance(simulator, ChannelSimulator) else f" with {students} students"
    click.echo(f"{simulator.title}, simulated{whom}, serves on {url}")
    click.echo(f"What it was built from: {simulator.evidence}")
    for kind in sorted(simulator.misbehave):
        click.echo(f"It misbehaves: {simulator.kinds[kind]}.")
    plugin = simulator.name
    click.echo(f'\nFor homeroom.toml, with "{plugin}" among `enabled` in [plugins]:\n\n[plugins.{plugin}]')
    for key, value in simulator.settings(url).items():
        click.echo(f"{key} = {toml_value(value)}")
    if isinstance(simulator, ChannelSimulator):
        calls = (
            f"It calls back to {homeroom}: start that with PUBLIC_BASE_URL={homeroom}. " if simulator.calls_back else ""
        )
        click.echo(f"\nMessages that it has taken: {url}{simulator.inspection_path}")
        click.echo(f"{calls}Ctrl-C stops the simulator.")
    else:
        click.echo(f"\nAttendance that was written to it: {url}{simulator.inspection_path}")
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
