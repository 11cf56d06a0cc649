"""What a plugin is given: doors that keep to its scopes, keepings that are sealed, HTTP that stays where it may go."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import httpx2
import pytest
from quart import Quart, redirect
from werkzeug.wrappers import Response

from homeroom import Mark, Student, testing
from homeroom.egress import GuardedEgress, NotAllowedOut
from homeroom.limits import MemoryLimiter
from homeroom.services import Services, SystemClock, make_limiter, make_services
from homeroom.store import Connection, Store, Transaction
from homeroom.store import models as m
from homeroom.testing import KeptMessages

AT = datetime(2026, 9, 1, 14, 0, tzinfo=UTC)
DAY = date(2026, 9, 1)


def given(store: Store, *scopes: str, name: str = "acme", **options: Any) -> Services:
    limiter, messages = MemoryLimiter(), KeptMessages()
    return make_services(name, frozenset(scopes), store=store, limiter=limiter, messages=messages, **options)


async def people(store: Store) -> None:
    def unit(tx: Transaction) -> None:
        for n, name in enumerate(("Ada", "Grace", "Emmy")):
            tx.insert(
                m.User,
                id=f"s{n}",
                given_name=name,
                family_name="L",
                preferred_given_name="A." if n == 0 else None,
                sort_name=name.casefold(),
                identifier=f"#{n}",
                grades=["03"],
                changed_at=AT,
            )
            role = "student" if n < 2 else "teacher"
            tx.insert(m.RoleAssignment, user_id=f"s{n}", role=role, org_id="north")
        for kind, value in (("email", "ada@example.org"), ("sms", "+15550100"), ("phone", "+15550199")):
            sealed = tx.seal_for("s0", value)
            tx.insert(m.Contact, id=f"c-{kind}", user_id="s0", kind=kind, value=sealed, lookup=kind)
        for n in (0, 1):
            tx.insert(
                m.AttendanceRecord,
                id=f"r{n}",
                session_id="one",
                class_id="k",
                school_id="north",
                student_id=f"s{n}",
                school_day=DAY,
                status="tardy",
                minutes_late=4,
                origin="teacher",
                recorded_at=AT,
                valid_from=AT,
                note=tx.seal_for(f"s{n}", "bus late") if n == 0 else None,
            )

    await store.write(unit)


async def ledger(store: Store) -> list[dict[str, Any]]:
    rows = await store.read(lambda c: c.all(m.Journal.select().where(m.Journal.kind == "data.handed_out")))
    return [row.data for row in rows]


async def test_the_roster_hands_out_only_what_the_scopes_name_and_enters_it(store: Store) -> None:
    await people(store)
    door = given(store, "student.given_name", "student.phone").roster
    assert await door.students(["s0", "s1", "s2", "nobody"]) == [
        Student(id="s0", school_ids=("north",), given_name="Ada", phone="+15550199"),
        Student(id="s1", school_ids=("north",), given_name="Grace"),
    ]
    assert await ledger(store) == [{"plugin": "acme", "fields": ["given_name", "phone"], "student_ids": ["s0", "s1"]}]


async def test_ids_are_not_personal_so_handing_them_out_enters_nothing(sqlite_store: Store) -> None:
    await people(sqlite_store)
    assert await given(sqlite_store).roster.students(["s0"]) == [Student(id="s0", school_ids=("north",))]
    assert await ledger(sqlite_store) == []


async def test_a_field_outside_the_scopes_is_none_and_the_log_says_so(
    sqlite_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    await people(sqlite_store)
    door = given(sqlite_store, "student.given_name", "student.email").roster
    [ada] = await door.students(["s0"], fields=["given_name", "birth_date"])
    assert (ada.given_name, ada.birth_date, ada.email) == ("Ada", None, None)
    assert "fields_outside_scopes" in capsys.readouterr().out
    [ada] = await door.students(["s0"], fields=["email"])
    assert (ada.given_name, ada.email) == (None, "ada@example.org")


async def test_attendance_is_handed_out_by_scope_too(store: Store) -> None:
    await people(store)
    full = given(store, "attendance.status", "attendance.note").attendance
    [first, second] = await full.marks(session_id="one")
    assert (first.status, first.minutes_late, first.note, first.recorded_at) == ("tardy", 4, "bus late", AT)
    assert second.note is None
    [bare] = await given(store).attendance.marks(student_ids=["s1"], since=DAY, until=DAY)
    assert bare == Mark(id="r1", session_id="one", class_id="k", student_id="s1", school_day=DAY)
    assert await full.marks(student_ids=["s1"], since=date(2026, 9, 2)) == []
    [entry] = await ledger(store)
    assert entry["student_ids"] == ["s0", "s1"]
    assert "note" in entry["fields"]
    with pytest.raises(TypeError, match="name a session or students"):
        await full.marks()


async def test_what_a_plugin_keeps_is_sealed_its_own_and_expires(store: Store) -> None:
    clock = testing.FakeClock()
    mine = given(store, clock=clock).kv
    await mine.set("token", "hush-hush", ttl=60)
    await mine.set("token", "hush-hush again", ttl=60)
    assert await mine.get("token") == "hush-hush again"
    assert await given(store, name="other").kv.get("token") is None
    rows = await store.read(lambda c: c.all(m.KeyValue.select()))
    assert "hush" not in str([row.value for row in rows])
    clock.move(61)
    assert await mine.get("token") is None
    await mine.set("token", "new")
    await mine.delete("token")
    assert await mine.get("token") is None


async def test_a_plugins_tables_are_written_and_read_through_the_store(sqlite_store: Store) -> None:
    tables = given(sqlite_store).store

    def write(tx: Transaction) -> int:
        tx.write_sql("CREATE TABLE acme_things (n INTEGER)")
        tx.write_sql("INSERT INTO acme_things VALUES (?)", (7,))
        return 1

    def read(connection: Connection) -> Any:
        return connection.sql("SELECT n FROM acme_things")

    assert await tables.submit(write) == 1
    assert [tuple(row) for row in await tables.read(read)] == [(7,)]


async def test_keys_differ_by_plugin_and_purpose_and_are_the_same_again(sqlite_store: Store) -> None:
    keys = {given(sqlite_store, name=name).derive_key(purpose) for name in ("a", "b") for purpose in ("x", "y")}
    assert len(keys) == 4
    assert given(sqlite_store, name="a").derive_key("x") in keys


async def test_the_routes_can_be_called_only_while_they_are_served(sqlite_store: Store) -> None:
    with pytest.raises(RuntimeError, match="only while the server runs"):
        given(sqlite_store).api  # noqa: B018 - the property is the point

    async def api(method: str, path: str, **_: Any) -> Any:
        return f"{method} {path}"

    services = given(sqlite_store, api=lambda: api)
    assert str(await services.api("GET", "/health")) == "GET /health"
    assert repr(services) == "Services(acme)"
    assert services.clock.now().tzinfo is SystemClock().now().tzinfo


vendor = Quart("vendor")


@vendor.get("/")
async def hello() -> str:
    return "hello"


@vendor.get("/away")
async def away() -> Response:
    return redirect("https://elsewhere.example/")


async def test_only_the_hosts_of_the_settings_can_be_reached() -> None:
    services = testing.services(http=vendor)
    services.allow_host("https://vendor.example/api")
    assert (await services.http.get("https://vendor.example/")).text == "hello"
    for url in ("https://elsewhere.example/", "http://vendor.example/", "https://vendor.example:8443/"):
        with pytest.raises(NotAllowedOut, match="not among the hosts"):
            await services.http.get(url)
    assert (await services.http.get("https://vendor.example/away")).status_code == 302
    with pytest.raises(NotAllowedOut, match="elsewhere"):
        await services.http.get("https://vendor.example/away", follow_redirects=True)
    async with httpx2.AsyncClient(transport=services.transport) as client:
        with pytest.raises(NotAllowedOut):
            await client.get("https://elsewhere.example/")
    await services.close()


@pytest.mark.parametrize("url", ["http://vendor.example", "http://10.0.0.1", "ftp://vendor.example", "vendor.example"])
def test_an_address_that_is_not_safe_cannot_be_allowed(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        GuardedEgress().allow(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"])
def test_this_machine_may_be_reached_without_tls(url: str) -> None:
    GuardedEgress().allow(url)


async def test_closing_what_was_never_opened_is_fine() -> None:
    await GuardedEgress().close()
    opened = GuardedEgress()
    assert opened.transport is opened.transport
    await opened.close()


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_limit_lets_that_many_through_and_then_one_by_one() -> None:
    clock = Time()
    limiter = MemoryLimiter(clock)
    assert [(await limiter.hit("k", 3, 60)).allowed for _ in range(4)] == [True, True, True, False]
    assert (await limiter.hit("k", 3, 60)).retry_after == 20
    assert not (await limiter.peek("k", 3, 60)).allowed
    assert (await limiter.peek("other", 3, 60)).allowed
    clock.now = 20
    assert [(await limiter.hit("k", 3, 60)).allowed for _ in range(2)] == [True, False]
    await limiter.forget("k")
    assert (await limiter.hit("k", 3, 60)).allowed


async def test_many_keys_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeroom.limits._KEYS", 10)
    clock = Time()
    limiter = MemoryLimiter(clock)
    for n in range(50):
        await limiter.hit(f"k{n}", 1, 60)
    assert len(limiter._whole) <= 10
    clock.now = 100
    await limiter.hit("new", 1, 60)
    assert list(limiter._whole) == ["new"]


async def test_plugins_limits_do_not_touch_each_other(sqlite_store: Store) -> None:
    shared = MemoryLimiter()
    told = KeptMessages()
    one, two = (
        make_services(name, frozenset(), store=sqlite_store, limiter=shared, messages=told).limiter
        for name in ("one", "two")
    )
    assert (await one.hit("k", 1, 60)).allowed
    assert not (await one.peek("k", 1, 60)).allowed
    assert (await two.hit("k", 1, 60)).allowed
    await one.forget("k")
    assert (await one.hit("k", 1, 60)).allowed


async def test_with_redis_a_limit_holds_across_processes(redis_url: str) -> None:
    here, there = make_limiter(redis_url), make_limiter(redis_url)
    assert (await here.hit("k", 2, 60)).allowed
    assert (await there.peek("k", 2, 60)).allowed
    assert (await there.hit("k", 2, 60)).allowed
    refused = await here.hit("k", 2, 60)
    assert not refused.allowed
    assert 25 <= refused.retry_after <= 30
    await there.forget("k")
    assert (await here.hit("k", 2, 60)).allowed
    for limiter in (here, there):
        await limiter.close()


async def test_while_redis_is_away_each_process_limits_by_itself() -> None:
    limiter = make_limiter("redis://127.0.0.1:1/0")
    assert (await limiter.hit("k", 1, 60)).allowed
    assert not (await limiter.hit("k", 1, 60)).allowed
    assert not (await limiter.peek("k", 1, 60)).allowed
    await limiter.forget("k")
    assert (await limiter.peek("k", 1, 60)).allowed
    assert isinstance(make_limiter(None), MemoryLimiter)
    await limiter.close()
