"""Events out: what may leave, how it is signed, and that an endpoint that is down holds up nobody and loses nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import re
import tomllib
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from quart import Response, redirect

from homeroom import Event, Health, Release, Services
from homeroom.store import Store
from homeroom.store import models as m
from homeroom.store.cipher import Cipher
from homeroom.store.migrate import upgrade
from homeroom.testing import FakeClock, plugin_tests, services
from homeroom_webhooks import Webhooks, WebhooksSettings, courier, event, queue
from homeroom_webhooks.courier import LEASE_SECONDS, wait_after
from homeroom_webhooks.settings import BY_ITSELF, ON_REQUEST, Endpoint
from tests.services.receiver import ANY_AGE, DOCS, HANG, Receiver, is_from_homeroom, recipe

MIGRATIONS = Path(courier.__file__).parent / "migrations"
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
OTHER = f"whsec_{base64.b64encode(bytes(range(1, 33))).decode()}"
NOW = datetime(2026, 9, 1, 14, 0, tzinfo=UTC)
LMS = {"name": "lms", "url": "https://lms.example/lms", "secret": SECRET}
DASHBOARD = {"name": "dashboard", "url": "https://dashboard.example/dashboard", "secret": OTHER}
FORBIDDEN = (
    *("auth.session_started", "api_key.created", "invitation.created", "accounts.password_set", "user.changed"),
    *("role.granted", "guardianship.added", "data.handed_out", "plugin.configured", "consumer.skipped"),
    *("sync.approved", "attendance_out.chosen", "webhooks.given_up", "message.sent"),
)
_names = (f"hooks{n}" for n in itertools.count())


@pytest.fixture(scope="module", autouse=True)
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A database for what does not differ between databases; instances of the plugin do not meet in it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('webhooks') / 'homeroom.db'}"
    upgrade(url, {"webhooks": MIGRATIONS})
    with Store(url, cipher=Cipher([bytes(range(32))])) as store:
        _open.append(store)
        yield
        _open.clear()


_open: list[Store] = []


def given_services(
    receiver: Receiver | None = None,
    *,
    store: Store | None = None,
    clock: FakeClock | None = None,
    name: str = "",
    network: bool = False,
    withheld: Sequence[str] = (),
) -> Services:
    http = None if network else (receiver or Receiver()).app
    given_clock = clock or FakeClock(NOW)
    return services(name or next(_names), clock=given_clock, http=http, store=store or _open[0], withheld=withheld)


TestWebhooks = plugin_tests(Webhooks, {"endpoints": [LMS, DASHBOARD]}, services=given_services)


@pytest.fixture
def tables(database_url: str, cipher: Cipher) -> Iterator[Store]:
    """A store with the plugin's tables, once on SQLite and once on PostgreSQL."""
    upgrade(database_url, {"webhooks": MIGRATIONS})
    with Store(database_url, cipher=cipher) as store:
        yield store


class Place:
    """A plugin with a clock that stands still; its couriers go step by step."""

    def __init__(self, *endpoints: dict[str, Any], receiver: Receiver | None = None, **more: Any) -> None:
        chosen = endpoints or (LMS,)
        self.receiver = receiver or Receiver({str(one["name"]): str(one["secret"]) for one in chosen})
        self.clock: FakeClock = more.pop("clock", None) or FakeClock(NOW)
        self.store: Store = more.pop("store", None) or _open[0]
        self.name: str = more.pop("name", None) or next(_names)
        options = {key: more.pop(key) for key in ("network", "withheld") if key in more}
        self.services = given_services(self.receiver, store=self.store, clock=self.clock, name=self.name, **options)
        self.settings = WebhooksSettings.model_validate({"endpoints": list(chosen), **more})
        self.plugin = Webhooks(self.settings, self.services)

    def again(self, *endpoints: dict[str, Any], **more: Any) -> Place:
        """The same instance in another process, or after its settings were saved."""
        kept = {"receiver": self.receiver, "clock": self.clock, "store": self.store, "name": self.name}
        return Place(*(endpoints or (LMS,)), **{**kept, **more})

    async def begin(self) -> Place:
        """Know the endpoints, as `start` does, without its tasks."""
        await self.services.store.submit(lambda tx: self.plugin._begin(tx, self.clock.now()))
        return self

    async def step(self, endpoint: str = "lms") -> float:
        """One step of an endpoint's courier."""
        return await next(one for one in self.plugin._couriers if one.endpoint.name == endpoint).step()

    async def drain(self, endpoint: str = "lms") -> None:
        """Send all that is due."""
        while await self.step(endpoint) == 0:
            pass

    async def waiting(self, endpoint: str = "lms") -> int:
        return (await self.store.read(lambda c: queue.lag(c, (self.name, endpoint))))[0]

    async def state(self, endpoint: str = "lms") -> queue.State:
        return await self.store.read(lambda c: queue.state_of(c, (self.name, endpoint)))

    async def health(self) -> Health:
        return await self.plugin.health()


def events(ids: Sequence[int], *, kind: str = "attendance.recorded", at: datetime = NOW, **more: Any) -> list[Event]:
    return [Event(id=n, at=at, kind=kind, **more) for n in ids]


@contextlib.asynccontextmanager
async def started(place: Place) -> AsyncIterator[Place]:
    await place.plugin.start()
    try:
        yield place
    finally:
        await place.plugin.stop()


# What is sent


async def test_an_event_is_told_by_ids_and_codes() -> None:
    place = await Place().begin()
    told = Event(
        id=7,
        at=NOW,
        kind="attendance.recorded",
        actor_id="teacher-1",
        class_id="class-1",
        session_id="session-1",
        student_id="student-1",
        subject_id="record-1",
        purpose="education",
        basis="34 CFR 99.31",
        request_id="request-1",
        data={"status": "tardy", "code": "T", "minutes_late": 4, "changed": ["note"]},
    )
    assert await place.plugin.consume([told]) == 7
    await place.drain()

    (heard,) = place.receiver.heard
    assert heard.verified
    assert heard.id == heard.json["id"] == f"7-{int(NOW.timestamp()) * 1000}"
    assert heard.headers["content-type"] == "application/json"
    assert heard.json == {
        "id": heard.id,
        "type": "attendance.recorded",
        "at": NOW.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "data": {
            "status": "tardy",
            "code": "T",
            "minutes_late": 4,
            "changed": ["note"],
            "class_id": "class-1",
            "session_id": "session-1",
            "student_id": "student-1",
            "subject_id": "record-1",
        },
    }
    assert await place.waiting() == 0
    assert (await place.state()).succeeded_at == NOW


def test_the_signature_is_that_of_standard_webhooks() -> None:
    assert (
        event.sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_the_recipe_takes_what_we_signed_and_nothing_else() -> None:
    body, at = b'{"id":"7-1"}', datetime.now(UTC)
    headers = dict(event.headers_for("7-1", body, at=at, secrets=[SECRET]))
    assert is_from_homeroom(SECRET, headers, body)
    assert not is_from_homeroom(OTHER, headers, body)
    assert not is_from_homeroom(SECRET, headers, body + b" ")
    assert not is_from_homeroom(SECRET, {**headers, "webhook-id": "8-1"}, body)
    assert not is_from_homeroom(SECRET, {**headers, "webhook-timestamp": str(int(at.timestamp()) + 1)}, body)
    assert not is_from_homeroom(SECRET, {**headers, "webhook-signature": "v1,é v2,x"}, body)
    assert not is_from_homeroom(SECRET, {}, body)
    old = dict(event.headers_for("7-1", body, at=at - timedelta(minutes=6), secrets=[SECRET]))
    assert not is_from_homeroom(SECRET, old, body), "an old request that is sent again is no use to anybody"
    assert len([line for line in recipe().splitlines() if line.strip()]) <= 11


async def test_while_a_secret_is_changed_both_receivers_are_served() -> None:
    place = await Place({**LMS, "secret": OTHER, "previous_secret": SECRET}).begin()
    await place.plugin.consume(events([1]))
    await place.drain()

    (heard,) = place.receiver.heard
    assert len(heard.headers["webhook-signature"].split()) == 2
    assert is_from_homeroom(OTHER, heard.headers, heard.body, seconds=ANY_AGE)
    assert is_from_homeroom(SECRET, heard.headers, heard.body, seconds=ANY_AGE)


async def test_every_attempt_is_signed_anew_under_the_same_id() -> None:
    place = await Place().begin()
    place.receiver.answer = lambda _name: 500
    await place.plugin.consume(events([1]))
    await place.step()
    place.clock.move(60)
    await place.step()

    first, second = place.receiver.heard
    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 60
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_an_id_that_is_given_anew_after_a_restored_backup_is_another_message() -> None:
    (before,), (after,) = events([7]), events([7], at=NOW + timedelta(seconds=1))
    assert event.message_id(before) != event.message_id(after)


# Which events


async def test_an_endpoint_that_names_no_kinds_gets_what_happened_in_class() -> None:
    place = await Place(LMS, {**DASHBOARD, "kinds": ["enrollment.", "session.closed"]}).begin()
    kinds = [
        "attendance.recorded",
        "session.opened",
        "session.closed",
        "class.changed",
        "enrollment.added",
        "org.changed",
    ]
    all_of_them = [Event(id=n, at=NOW, kind=kind) for n, kind in enumerate([*kinds, *FORBIDDEN], 1)]
    assert await place.plugin.consume(all_of_them) == len(all_of_them)
    await place.drain()
    await place.drain("dashboard")

    assert [one.json["type"] for one in place.receiver.heard if one.endpoint == "lms"] == kinds[:4]
    assert [one.json["type"] for one in place.receiver.heard if one.endpoint == "dashboard"] == kinds[2:5:2]


@given(st.text(max_size=12) | st.sampled_from([*FORBIDDEN, *BY_ITSELF, *ON_REQUEST]), st.data())
def test_no_setting_lets_a_forbidden_kind_leave(text: str, data: st.DataObject) -> None:
    prefix = text[: data.draw(st.integers(0, len(text)))]
    try:
        endpoint = Endpoint.model_validate({**LMS, "kinds": [prefix]})
    except ValidationError:
        assert not prefix.startswith(BY_ITSELF + ON_REQUEST)
        return
    assert not any(endpoint.wants(kind) for kind in FORBIDDEN)


async def test_a_new_endpoint_is_not_sent_the_school_year_so_far() -> None:
    place = await Place().begin()
    await place.plugin.consume(events([1, 2], at=NOW - timedelta(days=90)) + events([3]))
    later = await place.again(LMS, DASHBOARD).begin()
    await later.plugin.consume(events([4], at=NOW - timedelta(seconds=1)) + events([5]))
    await later.drain()
    await later.drain("dashboard")
    assert place.receiver.ids("lms") == [3, 5]
    assert place.receiver.ids("dashboard") == [5]


async def test_events_that_are_handed_over_again_are_not_sent_again(tables: Store) -> None:
    place = await Place(store=tables).begin()
    await place.plugin.consume(events([1, 2, 3]))
    await place.drain()
    await place.plugin.consume(events([1, 2, 3, 4]))
    await place.drain()
    assert place.receiver.ids() == [1, 2, 3, 4]


async def test_many_events_are_queued_in_one_go(tables: Store) -> None:
    place = await Place(LMS, DASHBOARD, store=tables).begin()
    await place.plugin.consume(events(range(1, 501)))
    assert (await place.waiting(), await place.waiting("dashboard")) == (500, 500)
    await place.drain()
    assert place.receiver.ids("lms") == list(range(1, 501))
    assert (await place.waiting(), await place.waiting("dashboard")) == (0, 500)


async def test_no_events_are_no_work() -> None:
    assert await (await Place().begin()).plugin.consume([]) == 0


# An endpoint that does not answer


async def test_a_failure_is_tried_again_later_and_later_and_holds_back_what_follows() -> None:
    place = await Place().begin()
    place.receiver.answer = lambda _name: 500
    await place.plugin.consume(events([1, 2]))
    waits = []
    for _ in range(14):
        await place.step()
        state = await place.state()
        assert state.retry_at is not None
        waits.append((state.retry_at - place.clock.now()).total_seconds())
        tried = len(place.receiver.heard)
        place.clock.move(waits[-1] - 0.01)
        assert await place.step() > 0
        assert len(place.receiver.heard) == tried, "not before its time"
        place.clock.move(0.02)
    assert all(0.8 * 2**n <= wait <= 2**n for n, wait in enumerate(waits[:12]))
    assert all(0.8 * 3600 <= wait <= 3600 for wait in waits[12:])
    assert set(place.receiver.ids()) == {1}

    place.receiver.answer = lambda _name: 204
    await place.drain()
    assert place.receiver.ids(taken=True) == [1, 2]
    assert await place.state() == queue.State(
        succeeded_at=place.clock.now(),
        leased_until=(await place.state()).leased_until,
        holder=place.plugin._holder,
    )


def test_two_endpoints_are_not_tried_in_step() -> None:
    assert len({wait_after(20) for _ in range(10)}) > 1


@pytest.mark.parametrize(
    ("status", "asked", "least"),
    [
        (429, "120", 120),
        (503, "120", 120),
        (503, format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300),
        (503, "99999999999", 24 * 3600),
        (503, "0", 0.8),
        (503, "soon", 0.8),
        (503, "-5", 0.8),
        (500, "120", 0.8),
    ],
)
async def test_retry_after_is_honoured(status: int, asked: str, least: float) -> None:
    place = await Place().begin()
    place.receiver.answer = lambda _name: Response("", status, {"Retry-After": asked})
    await place.plugin.consume(events([1]))
    await place.step()
    retry_at = (await place.state()).retry_at
    assert retry_at is not None
    assert least <= (retry_at - NOW).total_seconds() <= max(least, 1)


async def test_a_redirect_is_not_followed() -> None:
    place = await Place().begin()
    place.receiver.answer = lambda _name: redirect("https://lms.example/dashboard")  # type: ignore[assignment, return-value]
    await place.plugin.consume(events([1]))
    await place.step()
    assert [one.endpoint for one in place.receiver.heard] == ["lms"]
    assert (await place.state()).problem == "it sends elsewhere (HTTP 302), and no redirect is followed"


async def test_an_endpoint_that_hangs_is_given_up_after_its_time_and_holds_up_nobody() -> None:
    place = Place(LMS, DASHBOARD, timeout=0.3)
    place.receiver.answer = lambda name: HANG if name == "lms" else 200
    async with started(place):
        await place.plugin.consume(events(range(1, 21)))
        await place.receiver.until(lambda: len(place.receiver.ids("dashboard")) == 20)
        async with asyncio.timeout(5):
            while (await place.state()).failures == 0:  # noqa: ASYNC110 - the database has no event
                await asyncio.sleep(0.01)
    assert place.receiver.ids("dashboard") == list(range(1, 21))
    assert set(place.receiver.ids("lms")) == {1}
    assert (await place.state()).problem == "no answer within 0.3 s"


async def test_a_body_without_end_is_not_read() -> None:
    async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()
        writer.close()
        left.set()

    left = asyncio.Event()
    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    place = await Place({**LMS, "url": f"http://127.0.0.1:{port}/"}, network=True).begin()
    await place.plugin.consume(events([1]))
    await place.step()
    assert await place.waiting() == 0
    async with asyncio.timeout(5):
        await left.wait()
    await place.services.close()
    server.close()
    await server.wait_closed()


async def test_an_endpoint_that_is_gone_is_left_alone_until_it_is_set_anew() -> None:
    place = await Place().begin()
    place.receiver.answer = lambda _name: 410
    await place.plugin.consume(events([1]))
    await place.step()
    place.clock.move(3600)
    assert await place.step() > 0
    assert len(place.receiver.heard) == 1
    health = await place.health()
    assert not health.ok
    assert "HTTP 410" in health.findings[0].problem

    await place.plugin.consume(events([2], at=place.clock.now()))
    same = await place.again().begin()
    assert await same.step() > 0, "a restart alone changes nothing"

    place.receiver.answer = lambda _name: 200
    anew = await place.again({**LMS, "secret": OTHER, "previous_secret": SECRET}, clock=place.clock).begin()
    place.clock.move(LEASE_SECONDS + 1)
    await anew.drain()
    assert place.receiver.ids(taken=True) == [1, 2], "what happened meanwhile has waited"
    assert (await anew.health()).ok


async def test_what_waits_too_long_is_given_up_and_shown(tables: Store) -> None:
    place = await Place(store=tables, retention_days=7).begin()
    place.receiver.answer = lambda _name: 500
    await place.plugin.consume(events([1, 2, 3]))
    await place.step()
    place.clock.move(6 * 86_400)
    await place.plugin.consume(events([4], at=place.clock.now()))
    place.clock.move(86_401)
    place.receiver.answer = lambda _name: 200
    await place.drain()

    assert place.receiver.ids(taken=True) == [4]
    health = await place.health()
    assert not health.ok
    assert health.findings[0].problem.startswith("3 events were given up because lms did not take them in time")
    assert "3 given up" in health.detail
    rows = await tables.read(lambda c: c.all(m.Journal.select().where(m.Journal.kind == "webhooks.given_up")))
    assert [row.data for row in rows] == [{"endpoint": "lms", "events": 3, "first": 1, "last": 3}]

    place.clock.move(7 * 86_400 + 1)
    later = await place.health()
    assert later.ok
    assert "3 given up" in later.detail


async def test_nothing_waits_for_ever_for_an_endpoint_that_was_taken_out() -> None:
    place = await Place(LMS, DASHBOARD).begin()
    await place.plugin.consume(events([1]))
    place.clock.move(8 * 86_400)
    await place.again(LMS).begin()
    assert await place.waiting("dashboard") == 0
    assert await place.waiting("lms") == 1, "its own courier gives it up, and counts it"


async def test_health_shows_each_endpoint_and_nothing_of_its_answers() -> None:
    place = await Place(LMS, DASHBOARD, failing_after=3).begin()
    place.receiver.answer = lambda name: 500 if name == "lms" else 200
    await place.plugin.consume(events([1, 2]))
    await place.drain("dashboard")
    for _ in range(2):
        await place.step()
        place.clock.move(10)
    assert (await place.health()).ok, "a failure or two is nothing to get up for"
    await place.step()

    health = await place.health()
    assert not health.ok
    assert "lms has taken nothing since" in health.findings[0].problem
    assert "HTTP 500 (3 times)" in health.findings[0].problem
    since = NOW.strftime("%Y-%m-%d %H:%M UTC")
    assert health.detail == (
        f"lms: 2 wait, the oldest since {since}, last success never, HTTP 500; "
        f"dashboard: nothing waits, last success {since}"
    )
    shown = f"{health} {place.settings!r} {place.plugin!r} {await place.state()!r}"
    for hidden in (SECRET, OTHER, "Ana", "lms.example"):
        assert hidden not in shown


# Whose records may not go there


async def test_an_event_of_a_student_who_may_not_be_told_of_is_withheld_and_counted(tables: Store) -> None:
    place = await Place(store=tables, withheld=["bob"]).begin()
    who = ["ann", "bob", None, "bob", "ann"]
    told = [Event(id=n, at=NOW, kind="attendance.recorded", student_id=one) for n, one in enumerate(who, 1)]
    await place.plugin.consume(told)
    await place.drain()
    await place.plugin.consume([Event(id=6, at=NOW, kind="attendance.recorded", student_id="bob")])
    await place.drain()

    assert place.receiver.ids() == [1, 3, 5]
    assert await place.waiting() == 0
    health = await place.health()
    assert health.ok, "it is as it should be, and an administrator can see it"
    assert "3 withheld" in health.detail
    assert health.findings[0].problem.startswith("3 events were withheld from lms")
    assert f"plugin:{place.name}.lms" in health.findings[0].fix
    rows = await tables.read(lambda c: c.all(m.Journal.select().where(m.Journal.kind == "webhooks.withheld")))
    assert [row.data for row in rows] == [
        {"endpoint": "lms", "events": 2, "first": 2, "last": 4},
        {"endpoint": "lms", "events": 1, "first": 6, "last": 6},
    ]
    place.clock.move(7 * 86_400 + 1)
    assert not (await place.health()).findings


class _Outside:
    """The door, with what was asked of it: the endpoint, the students, the kinds, and whether again."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, set[str], set[str], bool]] = []
        self.revoked: set[str] = set()

    async def release(
        self, student_ids: Collection[str], *, to: str, kinds: Collection[str], again: bool = False
    ) -> Release:
        self.asked.append((to, set(student_ids), set(kinds), again))
        return Release(students=frozenset(student_ids) - self.revoked, notice="Do not pass it on.")


async def test_a_batch_is_asked_about_at_once_by_sort_and_an_endpoint_that_fails_one_by_one() -> None:
    place = await Place({**LMS, "kinds": ["attendance.", "enrollment.", "session."]}).begin()
    place.services._outside = outside = _Outside()
    place.receiver.answer = lambda _name: 500
    kinds = ["attendance.recorded", "enrollment.added", "attendance.corrected", "session.closed"]
    who = ["ann", "bob", "cy", None]
    told = [
        Event(id=n, at=NOW, kind=kind, student_id=student)
        for n, (kind, student) in enumerate(zip(kinds, who, strict=True), 1)
    ]
    await place.plugin.consume(told)
    for _ in range(3):
        await place.step()
        place.clock.move(60)
    attendance = {"attendance.recorded", "attendance.corrected"}
    assert outside.asked == [
        ("lms", {"ann", "cy"}, attendance, False),
        ("lms", {"bob"}, {"enrollment.added"}, False),
        ("lms", {"ann"}, {"attendance.recorded"}, True),
        ("lms", {"ann"}, {"attendance.recorded"}, True),
    ]
    place.receiver.answer = lambda _name: 200
    later = Event(id=5, at=place.clock.now(), kind="attendance.recorded", student_id="dan")
    await place.plugin.consume([later])
    await place.drain()
    assert place.receiver.ids(taken=True) == [1, 2, 3, 4, 5]
    fresh = [(students, again) for _, students, _, again in outside.asked[4:] if not again]
    assert fresh == [({"dan"}, False)], "what was entered before is not entered again"
    notices = [one.headers.get("homeroom-redisclosure-notice") for one in place.receiver.heard if one.status == 200]
    assert notices == ["Do not pass it on."] * 3 + [None, "Do not pass it on."]


@pytest.mark.parametrize(("seconds", "taken"), [(0.1, [1, 2, 3, 4]), (1.1, [1, 4])])
async def test_a_try_that_comes_after_a_pause_asks_anew_and_a_burst_goes_on_one_answer(
    seconds: float, taken: list[int]
) -> None:
    place = await Place().begin()
    place.services._outside = outside = _Outside()

    def answered(_name: str) -> int:
        """The endpoint takes its time, and meanwhile Ann's consent is revoked."""
        outside.revoked.add("ann")
        place.clock.move(seconds)
        return 200

    place.receiver.answer = answered
    told = [
        Event(id=n, at=NOW, kind="attendance.recorded", student_id=student)
        for n, student in enumerate(["ann", "ann", "ann", "bob"], 1)
    ]
    await place.plugin.consume(told)
    await place.drain()
    assert place.receiver.ids(taken=True) == taken
    assert await place.waiting() == 0


# Processes that die, and several at once


async def test_only_one_process_sends_until_its_lease_has_run_out(tables: Store) -> None:
    one = await Place(store=tables).begin()
    other = await one.again().begin()
    one.receiver.answer = lambda _name: 500
    await one.plugin.consume(events([1]))
    await one.step()
    one.receiver.answer = lambda _name: 200
    one.clock.move(2)
    assert await other.step() > 0
    assert len(one.receiver.heard) == 1, "the other process leaves it alone"
    one.clock.move(LEASE_SECONDS)
    await other.drain()
    assert len(one.receiver.heard) == 2

    await other.plugin.consume(events([2]))
    await other.plugin.stop()
    await one.drain()
    assert one.receiver.ids(taken=True) == [1, 2], "a process that stops lets the next one go on at once"


class _Killed(Exception):
    """The process died here."""


class _DyingTables:
    """The plugin's tables in a process that dies just before, or just after, an arrival is committed."""

    def __init__(self, real: Any) -> None:
        self.read = real.read
        self.dies: str | None = None
        self._submit = real.submit

    async def submit(self, unit: Any) -> Any:
        if getattr(unit, "func", None) is not queue.arrived or self.dies is None:
            return await self._submit(unit)
        if self.dies == "after":
            await self._submit(unit)
        raise _Killed


async def test_a_process_that_dies_between_the_answer_and_noting_it_sends_the_same_message_again() -> None:
    place = await Place().begin()
    dying = place.plugin._couriers[0]._store = _DyingTables(place.services.store)
    await place.plugin.consume(events([1, 2]))
    dying.dies = "before"
    with pytest.raises(_Killed):
        await place.step()
    place.clock.move(LEASE_SECONDS + 1)
    await (await place.again().begin()).drain()

    first, again, _ = place.receiver.heard
    assert (first.id, first.body) == (again.id, again.body)
    assert place.receiver.ids() == [1, 1, 2]


DEEDS = st.one_of(
    st.tuples(st.just("happen"), st.integers(1, 5)),
    st.tuples(st.just("send"), st.sampled_from([200, 204, 400, 429, 500, 503, HANG])),
    st.tuples(st.just("die"), st.sampled_from(["before", "after"])),
    st.tuples(st.just("hand over again"), st.integers(0, 8)),
    st.tuples(st.just("restart"), st.just(0)),
)


@settings(max_examples=60)
@given(st.lists(DEEDS, max_size=25))
def test_every_event_arrives_in_order_whatever_happens(deeds: list[tuple[str, Any]]) -> None:
    async def go() -> None:
        place = await Place(timeout=0.4).begin()
        journal: list[Event] = []

        async def restart() -> Place:
            place.clock.move(LEASE_SECONDS + 1)
            return await place.again(timeout=0.4).begin()

        for deed, how in deeds:
            match deed:
                case "happen":
                    fresh = events(range(len(journal) + 1, len(journal) + how + 1), at=place.clock.now())
                    journal += fresh
                    assert await place.plugin.consume(fresh) == journal[-1].id
                case "hand over again" if journal:
                    await place.plugin.consume(journal[-how - 1 :])
                case "send":
                    place.receiver.answer = lambda _name, how=how: how  # type: ignore[misc]
                    await place.step()
                    place.clock.move(2000)
                case "die":
                    place.receiver.answer = lambda _name: 200
                    dying = place.plugin._couriers[0]._store = _DyingTables(place.services.store)
                    dying.dies = how
                    with contextlib.suppress(_Killed):
                        await place.step()
                    place = await restart()
                case "restart":
                    place = await restart()
            place.clock.move(1)
        place = await restart()
        place.receiver.answer = lambda _name: 200
        place.clock.move(3600)
        await place.drain()

        assert [number for number, _ in itertools.groupby(place.receiver.ids())] == [one.id for one in journal]
        assert all(one.verified for one in place.receiver.heard)
        assert await place.waiting() == 0
        await place.receiver.end()

    asyncio.run(go())


async def test_a_database_that_is_away_for_a_while_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "_TROUBLE_SECONDS", 0.01)
    place = Place()
    dying = place.plugin._couriers[0]._store = _DyingTables(place.services.store)
    dying.dies = "before"
    async with started(place):
        await place.plugin.consume(events([1, 2]))
        await place.receiver.until(lambda: len(place.receiver.heard) >= 3)
        dying.dies = None
        await place.receiver.until(lambda: 2 in place.receiver.ids())
    assert [number for number, _ in itertools.groupby(place.receiver.ids())] == [1, 2]


# Settings


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "http://lms.example/"}, "https:// only"),
        ({"url": "lms.example"}, "begins with https://"),
        ({"url": "https://"}, "begins with https://"),
        ({"url": "https://ana:word@lms.example/"}, "name or password"),
        ({"url": "https://lms.example/#here"}, "begins with https://"),
        ({"url": "https://lms.example:port/"}, "begins with https://"),
        ({"url": "ftp://lms.example/"}, "https:// only"),
        ({"secret": "a-word"}, "whsec_"),
        ({"secret": "whsec_c2hvcnQ="}, "24 to 64 bytes"),
        ({"secret": "whsec_no base64 at all, and long enough"}, "24 to 64 bytes"),
        ({"previous_secret": "a-word"}, "whsec_"),
        ({"kinds": ["auth."]}, "may not leave"),
        ({"kinds": ["a"]}, "may not leave"),
        ({"kinds": [""]}, "may not leave"),
        ({"name": "The LMS"}, "pattern"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused_at_the_start(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        WebhooksSettings.model_validate({"endpoints": [{**LMS, **wrong}]})
    assert "a-word" not in json.dumps([one["msg"] for one in caught.value.errors()])


def test_two_endpoints_need_two_names() -> None:
    with pytest.raises(ValidationError, match="two endpoints have the name lms"):
        WebhooksSettings.model_validate({"endpoints": [LMS, {**DASHBOARD, "name": "lms"}]})


def test_a_program_on_this_machine_needs_no_certificate() -> None:
    for url in ("http://127.0.0.1:9000/x", "http://localhost/x", "http://[::1]/x"):
        place = Place({**LMS, "url": url})
        assert place.settings.endpoints[0].url == url


def test_the_settings_on_the_page_can_be_used() -> None:
    text = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    told = tomllib.loads(text.replace("whsec_…", SECRET))["plugins"]["webhooks"]
    assert [one.name for one in WebhooksSettings.model_validate(told).endpoints] == ["lms", "dashboard"]
    assert set(told) == set(WebhooksSettings.model_fields)
    assert {key for one in told["endpoints"] for key in one} == set(Endpoint.model_fields)
    for prefix in (*BY_ITSELF, *ON_REQUEST):
        assert f"`{prefix}`" in DOCS.read_text(encoding="utf-8")
