"""A demo from start to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx2

from homeroom.app import create_app
from homeroom.auth import sign_in as signing_in
from homeroom.auth.access import today_in
from homeroom.cli.server import listen, serve_app, stop_signals, url_of
from homeroom.demo import board as boards
from homeroom.demo import families, simulation, vendors
from homeroom.demo import sis as sises
from homeroom.demo.folder import BUNDLE, DemoFolder, configure, make_folder
from homeroom.demo.people import Account, DemoClass, add_accounts, choose_class, hold_school
from homeroom.demo.roster import load_roster
from homeroom.demo.vendors import Vendor, VendorProcess
from homeroom.district import District
from homeroom.roster.calendar import zone_of
from homeroom.roster.names import display_name
from homeroom.settings import Settings
from homeroom.store import Connection, migrate, now_utc
from homeroom.store import models as m
from homeroom.testing.district import first_school_day, write_bundle

PORTS_TRIED = 20
_MESSAGES_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for: `port` None takes 8000, or the next free one."""

    port: int | None = None
    students: int = 500
    path: Path | None = None
    simulate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A demo that serves; `sis` is where its rosters came from and its marks go, None where that was a bundle."""

    url: str
    sis: Vendor | None
    channels: Sequence[Vendor]
    folder: DemoFolder
    group: DemoClass
    session_id: str
    accounts: list[Account]
    district: District
    teacher: simulation.Api


Say = Callable[[str], None]
Show = Callable[[Ready], Coroutine[Any, Any, None]]
"""What goes on beside the server once it serves, until it is cancelled."""


async def run(wish: Wish, *, say: Say, show: Show) -> None:
    """Start a demo, let `show` tell of it, and serve until SIGINT or SIGTERM; nothing is left running then."""
    stopping = stop_signals()
    listening = take_port(wish.port, say)
    try:
        url = url_of(listening)
        folder = make_folder(wish.path)
        say(f"Making a district with {wish.students} students in {folder.path} …")
        async with contextlib.AsyncExitStack() as stack:
            names = [*([sises.CONNECTOR] if sises.is_installed() else []), *families.installed()]
            processes = [await stack.enter_async_context(vendors.begun(name, wish.students, url)) for name in names]
            made = await _or_stopped(stopping, _make(wish, folder, url, processes, say))
            if made is None:
                return
            settings, sis, channels = made
            district = District(settings)
            stage = _Stage(
                wish=wish,
                folder=folder,
                district=district,
                url=url,
                sis=sis,
                channels=channels,
                serving=asyncio.Event(),
            )
            await _serve(stage, listening, stopping, show)
    finally:
        listening.close()


async def _make(
    wish: Wish, folder: DemoFolder, url: str, processes: Sequence[VendorProcess], say: Say
) -> tuple[Settings, Vendor | None, list[Vendor]]:
    """A district with its roster, the SIS that it came from, and the vendors who take its messages."""
    # All of them are made while the database is.
    upgrading = asyncio.create_task(asyncio.to_thread(migrate.upgrade, folder.database_url))
    found = await asyncio.gather(*(process.ready() for process in processes))
    await upgrading
    sis = next((vendor for vendor in found if vendor.name == sises.CONNECTOR), None)
    channels = [vendor for vendor in found if vendor is not sis]
    if sis is None:
        say(f"No {sises.TITLE} connector is installed: the roster is a generated bundle.")
        await asyncio.to_thread(_write_bundle, folder, wish.students)
    else:
        say(sises.SAID)
    if channels:
        say(families.SAID)
    settings = configure(folder, url, sis, students=wish.students, channels=channels)
    name = sises.CONNECTOR if sis else BUNDLE
    began = time.monotonic()
    loaded = await load_roster(settings, name)
    say(f"The {name} connector took {loaded.added} rows in ({time.monotonic() - began:.1f} s).")
    return settings, sis, channels


def _write_bundle(folder: DemoFolder, students: int) -> None:
    write_bundle(folder.roster, students=students, starts_on=first_school_day(now_utc().date()))


def take_port(port: int | None, say: Say) -> socket.socket:
    """A bound socket: on `port`, or on 8000 or the next free one."""
    if port is not None:
        return listen("127.0.0.1", port)
    for candidate in range(8000, 8000 + PORTS_TRIED):
        try:
            bound = listen("127.0.0.1", candidate)
        except click.ClickException:
            continue
        if candidate != 8000:  # noqa: PLR2004 - the port of the contract
            say(f"Port 8000 is in use, so the demo takes {candidate}.")
        return bound
    raise click.ClickException(f"Ports 8000 to {8000 + PORTS_TRIED - 1} are in use: choose another with --port.")


async def _or_stopped(stopping: asyncio.Event, work: Coroutine[Any, Any, Any]) -> Any:
    """What `work` gives, or None when the demo is stopped first."""
    task, stop = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if task in done:
        return task.result()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """A district that is loaded and about to serve."""

    wish: Wish
    folder: DemoFolder
    district: District
    url: str
    sis: Vendor | None
    channels: Sequence[Vendor]
    serving: asyncio.Event


async def _serve(stage: _Stage, listening: socket.socket, stopping: asyncio.Event, show: Show) -> None:
    app = create_app(stage.district.settings, district=stage.district)
    server = asyncio.create_task(serve_app(app, listening, stopping, on_start=stage.serving.set))
    beside = asyncio.create_task(_play(stage, show))
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait({server, beside, stop}, return_when=asyncio.FIRST_COMPLETED)
    # Whichever ended first, by a signal or by a fault, all of it ends.
    stopping.set()
    beside.cancel()
    results = await asyncio.gather(server, beside, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _play(stage: _Stage, show: Show) -> None:
    """Everything that happens once the server serves."""
    await stage.serving.wait()
    district = stage.district
    today = today_in(district.settings.attendance.time_zone)
    group = await district.store.read(lambda c: choose_class(c, today))
    await district.store.write(lambda tx: hold_school(tx, district.settings, group.school_id))
    accounts = await add_accounts(district, group)
    if stage.channels:
        await families.begin(district, group, with_roll=stage.wish.simulate)
    by_teacher = next(account for account in accounts if account.role == "teacher")
    async with httpx2.AsyncClient(base_url=stage.url, timeout=30, trust_env=False) as client:
        teacher = await simulation.sign_in(client, by_teacher.email, by_teacher.password)
        ready = Ready(
            url=stage.url,
            sis=stage.sis,
            channels=stage.channels,
            folder=stage.folder,
            group=group,
            session_id=await simulation.open_session(teacher, group.id),
            accounts=accounts,
            district=district,
            teacher=teacher,
        )
        await _until_cancelled(show(ready), _simulate(ready, client) if stage.wish.simulate else None)


async def _until_cancelled(*works: Coroutine[Any, Any, Any] | None) -> None:
    """Let these go on side by side; when one fails, the others end."""
    tasks = [asyncio.create_task(work) for work in works if work is not None]
    try:
        await asyncio.gather(*tasks)
        await asyncio.Event().wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _simulate(ready: Ready, client: httpx2.AsyncClient) -> None:
    """Sign the simulated students in, as a server may do for its own demo, and let them come."""
    door = signing_in.Door(
        store=ready.district.store,
        host=ready.district.host,
        limiter=ready.district.limiter,
        authenticator=ready.district.authenticator,
    )
    pairs = await asyncio.gather(
        *(signing_in.begin(door, student, device="demo", days=1) for student in ready.group.simulated)
    )
    students = {
        student: simulation.Api(client, pair.access_token)
        for student, pair in zip(ready.group.simulated, pairs, strict=True)
    }
    await simulation.simulate(ready.teacher, students, ready.session_id, simulation.plan_visits(ready.group.simulated))


async def show_board(ready: Ready) -> None:
    """The live board, drawn where stdout is a terminal, told line by line elsewhere."""
    stream = boards.messages(ready.url, ready.group.id, ready.teacher.token)
    board = await ready.district.store.read(lambda c: _board(c, ready))
    sis, district = ready.sis, ready.district
    if not sys.stdout.isatty():
        telling = families.watch(district, click.echo) if ready.channels else None
        async with _beside(sises.watch(sis, click.echo) if sis else None, telling):
            await boards.tell(board, stream)
        return
    shown = {"code": "…", "sis": sises.holds(0) if sis else ""}
    told: deque[str] = deque(maxlen=_MESSAGES_SHOWN)

    async def watch_code() -> None:
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                shown["code"] = str((await ready.teacher.get(f"/sessions/{ready.session_id}/challenge"))["code"])
            await asyncio.sleep(1)

    watching = sises.watch(sis, lambda line: shown.update(sis=line)) if sis else None
    telling = families.watch(district, told.append) if ready.channels else None
    async with _beside(watch_code(), watching, telling):
        await boards.draw(board, stream, lambda: shown["code"], lambda: "\n".join((shown["sis"], *told)))


@contextlib.asynccontextmanager
async def _beside(*works: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Let these go on until what is inside ends."""
    tasks = [asyncio.create_task(work) for work in works if work is not None]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def _board(connection: Connection, ready: Ready) -> boards.Board:
    people = connection.all(m.User.select().where(m.User.id.in_(list(ready.group.student_ids))))
    return boards.Board(
        title=f"{ready.group.title}, {ready.group.school}",
        names={person.id: display_name(person) for person in sorted(people, key=lambda person: person.sort_name)},
        zone=zone_of(connection, ready.group.school_id, ready.district.settings.attendance.time_zone),
    )
