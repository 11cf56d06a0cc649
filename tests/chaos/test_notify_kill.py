"""The process that sends is killed at every step of the outbox, again and again: no vendor counts a message twice.

What it hands over to are the simulators of Twilio and SendGrid and a real small mail server, all of which live on, as
does the process that takes the vendors' reports. Twilio can be asked and SendGrid tells: each message is counted once.
A mail server cannot be asked: none is counted twice, and what is not known is shown as such.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
from quart import Response

from homeroom.limits import MemoryLimiter
from homeroom.notify.door import StoredMessages
from homeroom.services import make_services
from homeroom.store import Store, Transaction, iso, now_utc
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from homeroom.testing import ChannelSimulator, routes_app, running_plugin
from homeroom_sendgrid import SendGrid
from homeroom_sendgrid.simulator import SendGridSimulator
from homeroom_twilio import Twilio
from homeroom_twilio.simulator import TwilioSimulator
from tests.services import killed_notifier
from tests.services.families import on_monday
from tests.services.judge import on_loopback
from tests.services.killed_notifier import ASK_AFTER, KEY, Life, settings_of
from tests.services.nursery import Nursery
from tests.services.outbox import absent, check
from tests.services.post_office import PostOffice, post_office

SLOWEST_REPORT = 2.5  # seconds
GRACE_MINUTES = 0.1  # six seconds: longer than any report takes
STEPS = ("claimed", "begun", "answered", "statement", "taken")
PACE_SECONDS = 1.5
_PATIENCE = 60  # seconds in which a process must come to the step at which it ends
LATE = 30  # mails that are held back: SendGrid's silence counts only while it tells of later ones


class Armed:
    """A vendor that kills who sends to it, right after it has taken a message and before it answers.

    What it reports it reports late, so that the next process has to find out by itself.
    """

    def __init__(self, random: Random) -> None:
        self.left = 0
        self._random = random
        self.kill: Callable[[], None] = lambda: None

    def taken(self) -> bool:
        """Whether nobody is there to be answered any more."""
        self.left -= 1
        if self.left == 0:
            self.kill()
        return self.left == 0

    def delay(self) -> float:
        """How many seconds pass before it reports."""
        return self._random.uniform(0.5, SLOWEST_REPORT)


Calls = list[tuple[str, Mapping[str, str], bytes]]


class DeadlyTwilio(TwilioSimulator):
    armed: Armed

    async def spoil(self) -> Response | None:
        return Response("", 502) if self.armed.taken() else await super().spoil()

    async def _call(self, calls: Calls) -> None:
        await asyncio.sleep(self.armed.delay())
        await super()._call(calls)


class DeadlySendGrid(SendGridSimulator):
    armed: Armed

    async def spoil(self) -> Response | None:
        return Response("", 502) if self.armed.taken() else await super().spoil()

    async def _call(self, calls: Calls) -> None:
        await asyncio.sleep(self.armed.delay())
        await super()._call(calls)


class DeadlyOffice(PostOffice):
    armed: Armed

    async def answer(self, server: Any, chosen: str) -> str:
        self.armed.taken()
        return await super().answer(server, chosen)


class Later:
    """An address that is known before there is anything to serve there."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@dataclass(kw_only=True)
class World:
    """Everything that lives on while processes are killed."""

    store: Store
    life: Life
    nursery: Nursery
    armed: Armed
    counted: Callable[[], Counter[str]]
    killed: Counter[str] = field(default_factory=Counter)

    def states(self) -> Counter[str]:
        """How many messages are in each state."""
        rows = self.store.read_now(lambda c: c.sql("SELECT state, COUNT(*) FROM notifications GROUP BY state"))
        return Counter(dict(rows))

    async def kill(self, where: str, times: int) -> None:
        """Begin a process that ends at this step, and wait until it has."""
        self.armed.left = times if where == "taken" else 0
        await asyncio.to_thread(self._begin, "" if where == "taken" else where, times)
        async with asyncio.timeout(_PATIENCE):
            ended = await asyncio.to_thread(self.nursery.ended)
        assert ended == signal.SIGKILL
        self.killed[where] += 1

    async def live(self, done: Callable[[], bool], seconds: float = 240) -> None:
        """Let a process go on until this holds; then it ends, too."""
        self.armed.left = 0
        await asyncio.to_thread(self._begin, "", 0)
        try:
            await _until(done, seconds)
        finally:
            self.nursery.kill()
            await asyncio.to_thread(self.nursery.ended)

    def let_go(self, count: int) -> None:
        """Let some of the messages that were held back go."""
        text = """
        UPDATE notifications SET due_at = ? WHERE id IN (
          SELECT id FROM notifications WHERE state = 'waiting' AND due_at > ? ORDER BY id LIMIT ?)
        """
        self.store.write_now(lambda tx: tx.write_sql(text, (iso(tx.now), iso(tx.now + timedelta(hours=1)), count)))

    def _begin(self, where: str, times: int) -> None:
        past = iso(now_utc() - timedelta(seconds=1))  # the lease of who was killed has run out
        self.store.write_now(lambda tx: tx.write_sql("UPDATE leases SET until = ?", (past,)))
        self.nursery.begin(**{**vars(self.life), "where": where, "times": times})


async def _until(done: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110 - a database in another process
            await asyncio.sleep(0.1)


def _fill(store: Store, channels: Mapping[str, int]) -> None:
    """Put so many messages for each channel into the outbox, all due now and of use for a day."""
    with on_monday(store) as families:
        names = {f"{channel}_{number}": channel for channel, count in channels.items() for number in range(count)}

        def prefer(tx: Transaction) -> None:
            for name, channel in names.items():
                tx.insert(m.NotificationPreference, user_id=f"{name}_mother", channels=[channel], changed_at=tx.now)

        store.write_now(prefer)
        asyncio.run(absent(families, *names))
    text = "UPDATE notifications SET due_at = ?, created_at = ?, expires_at = ?"
    store.write_now(lambda tx: tx.write_sql(text, (iso(tx.now), iso(tx.now), iso(tx.now + timedelta(days=1)))))


@contextlib.asynccontextmanager
async def _with_twilio_and_sendgrid(url: str, folder: Path, random: Random) -> AsyncIterator[World]:
    armed, later = Armed(random), Later()
    outside: Any = later
    async with contextlib.AsyncExitStack() as open_:
        enter = open_.enter_async_context
        client = await enter(httpx2.AsyncClient(timeout=15, trust_env=False))

        async def post(url: str, headers: Mapping[str, str], body: bytes) -> int:
            return (await client.post(url, headers=dict(headers), content=body)).status_code

        twilio, sendgrid = DeadlyTwilio(post=post), DeadlySendGrid(post=post)
        twilio.armed = sendgrid.armed = armed
        public_url = await enter(on_loopback(outside))
        simulators: Mapping[str, ChannelSimulator] = {"twilio": twilio, "sendgrid": sendgrid}
        plugins = {name: one.settings(await enter(on_loopback(one.app))) for name, one in simulators.items()}
        plugins["sendgrid"]["webhook_grace_minutes"] = GRACE_MINUTES
        life = Life(url=url, public_url=public_url, plugins=plugins)
        store = open_.enter_context(Store(url, cipher=Cipher([KEY])))
        later.app = await enter(_reports(store, life))
        sendgrid.set_up_callbacks(f"{public_url}/plugins/sendgrid")
        nursery = open_.enter_context(Nursery(killed_notifier.__name__, folder / "notifier.log"))
        armed.kill = nursery.kill
        for one in simulators.values():
            open_.push_async_callback(one.called_back)

        def counted() -> Counter[str]:
            return Counter(str(one.message_id) for one in (*twilio.taken, *sendgrid.taken))

        yield World(store=store, life=life, nursery=nursery, armed=armed, counted=counted)


@contextlib.asynccontextmanager
async def _reports(store: Store, life: Life) -> AsyncIterator[Any]:
    """The process that takes what vendors report: both plugins' routes before the real outbox."""
    apps: dict[str, Any] = {}
    async with contextlib.AsyncExitStack() as open_:
        for name, plugin in (("twilio", Twilio), ("sendgrid", SendGrid)):
            scopes: frozenset[str] = plugin.scopes
            messages = StoredMessages(store, name, scopes, settings_of(life))
            given = make_services(
                name, scopes, store=store, limiter=MemoryLimiter(), messages=messages, public_url=life.public_url
            )
            running = await open_.enter_async_context(running_plugin(plugin, life.plugins[name], services=given))
            apps[f"/plugins/{name}/"] = routes_app(await running.ask("routes"))

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await next(app for prefix, app in apps.items() if scope["path"].startswith(prefix))(
                    scope, receive, send
                )

        yield serve


@contextlib.asynccontextmanager
async def _with_smtp(url: str, folder: Path, random: Random) -> AsyncIterator[World]:
    office, armed = DeadlyOffice(), Armed(random)
    office.armed = armed
    async with post_office(office) as port:
        section = {"host": "127.0.0.1", "port": port, "security": "none", "from_email": "school@district.example"}
        life = Life(url=url, public_url="http://127.0.0.1:9", plugins={"smtp": section})
        log = folder / "notifier.log"
        with Store(url, cipher=Cipher([KEY])) as store, Nursery(killed_notifier.__name__, log) as nursery:
            armed.kill = nursery.kill

            def counted() -> Counter[str]:
                return Counter(str(one["Message-ID"]).strip("<>").partition("@")[0] for one in office.messages)

            yield World(store=store, life=life, nursery=nursery, armed=armed, counted=counted)


class _Settled:
    """Whether every message has its end. It lets go of mails that were held back, now and then while one is unknown."""

    def __init__(self, world: World, left: int) -> None:
        self._world = world
        self._left = left
        self._last = 0.0

    def __call__(self) -> bool:
        states = self._world.states()
        under_way = states["sending"] + states["unknown"] + states["waiting"] - self._left
        if self._left and (not under_way or time.monotonic() - self._last >= PACE_SECONDS):
            count = 1 if under_way else self._left
            self._world.let_go(count)
            self._left -= count
            self._last = time.monotonic()
            return False
        return not under_way and not self._left


def _plan(random: Random, kills: int, messages: int) -> Iterator[tuple[str, int]]:
    """At which step each process ends, every step among them, and after how many times of it."""
    steps = [STEPS[number % len(STEPS)] for number in range(kills)]
    random.shuffle(steps)
    each = max(messages // kills, 2)
    for step in steps:
        most = {"claimed": 1, "statement": 20 * each}.get(step, each)
        yield step, random.randint(1, most)


async def _twilio_and_sendgrid(url: str, folder: Path, *, seed: int, kills: int, messages: int) -> None:
    random = Random(seed)
    half = messages // 2
    async with _with_twilio_and_sendgrid(url, folder, random) as world:
        store = world.store
        await asyncio.to_thread(_fill, store, {"sms": half, "email": messages - half})
        some = "SELECT id FROM notifications WHERE channel = 'email' LIMIT ?"
        hold = f"UPDATE notifications SET due_at = ? WHERE id IN ({some})"  # noqa: S608 - constants
        store.write_now(lambda tx: tx.write_sql(hold, (iso(tx.now + timedelta(hours=2)), LATE)))
        for step, times in _plan(random, kills, messages - LATE):
            await world.kill(step, times)
            await asyncio.to_thread(check, store)
        await world.live(_Settled(world, LATE))
        await asyncio.to_thread(check, store)
        assert world.killed == Counter({step: world.killed[step] for step in STEPS})
        assert min(world.killed.values()) > 0
        assert set(world.states()) <= {"accepted", "delivered"}
        assert world.states().total() == messages
        assert world.counted() == Counter(dict.fromkeys(await store.read(_ids), 1))


async def _smtp(url: str, folder: Path, *, seed: int, kills: int, messages: int) -> None:
    random = Random(seed)
    async with _with_smtp(url, folder, random) as world:
        await asyncio.to_thread(_fill, world.store, {"email": messages})
        for step, times in _plan(random, kills, messages):
            await world.kill(step, times)
            await asyncio.to_thread(check, world.store)
        await world.live(lambda: not (world.states()["waiting"] + world.states()["sending"]))
        await asyncio.sleep(3 * ASK_AFTER)
        await asyncio.to_thread(check, world.store)
        assert min(world.killed[step] for step in STEPS) > 0
        counted, states = world.counted(), dict(await world.store.read(_state_of))
        assert set(states.values()) <= {"accepted", "unknown"}
        assert max(counted.values()) == 1
        assert {message_id for message_id, state in states.items() if state == "accepted"} <= set(counted)
        assert "unknown" in states.values()


def _ids(connection: Any) -> list[str]:
    return [row[0] for row in connection.sql("SELECT id FROM notifications")]


def _state_of(connection: Any) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = connection.sql("SELECT id, state FROM notifications")
    return rows


async def test_twilio_and_sendgrid_count_each_message_once(sqlite_url: str, tmp_path: Path) -> None:
    await _twilio_and_sendgrid(sqlite_url, tmp_path, seed=4, kills=5, messages=500)


@pytest.mark.long
async def test_on_postgresql_too(postgres_url: str, tmp_path: Path) -> None:
    await _twilio_and_sendgrid(postgres_url, tmp_path, seed=5, kills=5, messages=120)


async def test_a_mail_server_counts_none_twice_and_what_is_not_known_is_said(sqlite_url: str, tmp_path: Path) -> None:
    await _smtp(sqlite_url, tmp_path, seed=6, kills=5, messages=200)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
async def test_nor_does_it_matter_where_it_is_killed(database_url: str, tmp_path: Path, seed: int) -> None:
    await _twilio_and_sendgrid(database_url, tmp_path, seed=seed, kills=30, messages=500)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
async def test_nor_before_a_mail_server(database_url: str, tmp_path: Path, seed: int) -> None:
    await _smtp(database_url, tmp_path, seed=seed, kills=30, messages=500)
