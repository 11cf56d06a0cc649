"""The journal reaches each plugin's `consume` in order and at least once, by one process at a time, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from homeroom import consumers as consumers_module
from homeroom import jobs as jobs_module
from homeroom.consumers import Consumer, name_of, skip_event
from homeroom.jobs import Jobs, tidy
from homeroom.live.bus import Bus
from homeroom.live.tail import Tail
from homeroom.settings import RedisSettings, Settings
from homeroom.store import Refused, Store, Transaction, now_utc
from homeroom.store import models as m
from homeroom.store.leases import give_back, is_leased, take_lease
from homeroom.types import Event
from tests.services.rows import put
from tests.services.waiting import until


@dataclass(slots=True)
class Answered:
    """An answer of the plugin host."""

    value: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Plugins:
    """Stands where the plugin host does: one plugin, which does as it is told."""

    does: Callable[[Sequence[Event]], Any]
    names: tuple[str, ...] = ("ledger",)
    took: list[str] = field(default_factory=list)
    plugins: tuple[Any, ...] = ()

    def implementers(self, hook: str) -> tuple[str, ...]:
        return self.names if hook == "consume" else ()

    async def ask(self, name: str, hook: str, **arguments: Any) -> Answered | None:
        assert hook == "consume"
        if name not in self.names:
            return None
        events: Sequence[Event] = arguments["events"]
        try:
            done = self.does(events)
        except RuntimeError as exc:
            return Answered(error=exc)
        self.took += [event.subject_id or "" for event in events if isinstance(done, int) and event.id <= done]
        return Answered(done)


def everything(events: Sequence[Event]) -> int:
    return events[-1].id


@dataclass(slots=True)
class Home:
    """What the jobs need of a district."""

    store: Store
    host: Any  # stands where the plugin host does
    tail: Tail
    settings: Settings = field(default_factory=Settings)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits between looks."""
    monkeypatch.setattr(consumers_module, "_IDLE_SECONDS", 0.05)
    monkeypatch.setattr(jobs_module, "_ROUND_SECONDS", 0.05)


async def home(store: Store, does: Callable[[Sequence[Event]], Any], **more: Any) -> Home:
    tail = Tail(store, Bus(store))
    await tail.start()
    return Home(store, Plugins(does), tail, **more)


def consumer(one: Home, holder: str = "here") -> Consumer:
    return Consumer("ledger", host=one.host, store=one.store, tail=one.tail, holder=holder)


@pytest.mark.usefixtures("quick")
async def test_a_plugin_gets_everything_from_the_beginning_in_order_and_once(store: Store) -> None:
    await store.write(put("before"))
    one = await home(store, everything)
    jobs = Jobs(one)
    await jobs.start()
    await asyncio.gather(*(store.write(put(f"{n:04}")) for n in range(700)))
    await until(lambda: len(one.host.took) == 701)
    assert one.host.took == ["before", *(f"{n:04}" for n in range(700))]
    assert jobs.health() == {"ok": True, "detail": "1 plugins follow the journal"}
    await jobs.stop()
    again = Jobs(one)
    await again.start()
    await store.write(put("after"))
    await until(lambda: one.host.took[-1] == "after")
    await again.stop()
    await one.tail.stop()
    assert len(one.host.took) == 702


async def test_what_a_plugin_is_not_done_with_is_given_again(store: Store) -> None:
    one = await home(store, lambda events: events[0].id)
    for n in range(3):
        await store.write(put(str(n)))
    reading = consumer(one)
    for _ in range(3):
        await reading.step()
    assert one.host.took == ["0", "1", "2"]
    await one.tail.stop()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "id of an event"),
        ("5", "id of an event"),
        (True, "id of an event"),
        (10**9, "id of an event"),
        (0, "took none"),
        (-3, "took none"),
    ],
)
async def test_a_wrong_answer_moves_nothing_and_is_shown(sqlite_store: Store, answer: Any, reason: str) -> None:
    one = await home(sqlite_store, lambda _events: answer)
    await sqlite_store.write(put("a"))
    reading = consumer(one)
    await reading.step()
    assert reading.error is not None
    assert reason in reading.error
    row = await sqlite_store.read(lambda c: c.get(m.Cursor, name_of("ledger")))
    assert row is not None
    assert (row.position, row.failures) == (0, 1)
    await one.tail.stop()


@pytest.mark.usefixtures("quick")
async def test_a_failure_is_tried_again_from_the_same_place_and_shown_red_meanwhile(store: Store) -> None:
    calls: list[int] = []

    def fails_twice(events: Sequence[Event]) -> int:
        calls.append(events[0].id)
        if len(calls) < 3:
            raise RuntimeError
        return events[-1].id

    one = await home(store, fails_twice)
    jobs = Jobs(one)
    await store.write(put("a"))
    await jobs.start()
    await until(lambda: not jobs.health()["ok"])
    assert jobs.health()["detail"].startswith("ledger takes no events: RuntimeError at ")
    soon = m.Cursor.update(retry_at=None)
    while len(calls) < 3:
        await store.write(lambda tx: tx.run(soon))
        await asyncio.sleep(0.01)
    await until(lambda: bool(jobs.health()["ok"]))
    assert one.host.took == ["a"]
    assert len(set(calls)) == 1
    await jobs.stop()
    await one.tail.stop()


async def test_each_failure_in_a_row_waits_longer(sqlite_store: Store) -> None:
    def fails(_events: Sequence[Event]) -> int:
        raise RuntimeError

    one = await home(sqlite_store, fails)
    await sqlite_store.write(put("a"))
    reading = consumer(one)
    waits = []
    for _ in range(10):
        await reading.step()
        row = await sqlite_store.read(lambda c: c.get(m.Cursor, name_of("ledger")))
        assert row is not None
        waits.append(round((row.retry_at - now_utc()).total_seconds()))
        await sqlite_store.write(lambda tx: tx.run(m.Cursor.update(retry_at=None)))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    await one.tail.stop()


@pytest.mark.usefixtures("quick")
async def test_one_process_at_a_time_does_it_and_another_goes_on_at_once_when_it_stops(store: Store) -> None:
    one, two = await home(store, everything), await home(store, everything)
    first, second = Jobs(one), Jobs(two)
    await first.start()
    await store.write(put("a"))
    await until(lambda: one.host.took == ["a"])
    await second.start()
    await store.write(put("b"))
    await until(lambda: one.host.took == ["a", "b"])
    assert two.host.took == []
    await first.stop()
    await store.write(put("c"))
    await until(lambda: two.host.took == ["c"])
    await second.stop()
    await one.tail.stop()
    await two.tail.stop()


@pytest.mark.usefixtures("quick")
async def test_a_plugin_switched_off_is_left_alone_and_goes_on_where_it_was(store: Store) -> None:
    one = await home(store, everything)
    jobs = Jobs(one)
    await jobs.start()
    await store.write(put("a"))
    await until(lambda: one.host.took == ["a"])
    one.host.names = ()
    await until(lambda: jobs.health()["detail"].startswith("0 plugins"))
    await store.write(put("b"))
    one.host.names = ("ledger",)
    await until(lambda: one.host.took == ["a", "b"])
    await jobs.stop()
    await one.tail.stop()


@pytest.mark.usefixtures("quick")
async def test_with_redis_the_web_processes_leave_the_jobs_to_a_living_worker(store: Store) -> None:
    settings = Settings(redis=RedisSettings(url=SecretStr("redis://nowhere")))
    web, worker = await home(store, everything, settings=settings), await home(store, everything, settings=settings)
    serving, working = Jobs(web), Jobs(worker, dedicated=True)
    await serving.start()
    await store.write(put("a"))
    await until(lambda: web.host.took == ["a"])
    await working.start()
    await until(lambda: serving.health()["detail"] == "done by homeroom worker")
    await store.write(put("b"))
    await until(lambda: worker.host.took == ["b"])
    await working.stop()
    await store.write(put("c"))
    await until(lambda: web.host.took == ["a", "c"])
    await serving.stop()
    await web.tail.stop()
    await worker.tail.stop()


async def test_only_an_administrator_skips_an_event_and_the_journal_says_so(store: Store) -> None:
    def stumbles(events: Sequence[Event]) -> int:
        if events[0].subject_id == "bad":
            raise RuntimeError
        return events[0].id

    one = await home(store, stumbles)
    for key in ("good", "bad", "after"):
        await store.write(put(key))
    reading = consumer(one)
    for _ in range(2):
        await reading.step()
    ids = await store.read(lambda c: c.values(m.Journal.select(m.Journal.id).order_by(m.Journal.id)))
    for wrong in (ids[0], ids[2], 999):
        with pytest.raises(Refused, match="does not stand"):
            await store.write(lambda tx, at=wrong: skip_event(tx, "ledger", at))  # type: ignore[misc]
    with pytest.raises(Refused, match="taken no events"):
        await store.write(lambda tx: skip_event(tx, "nobody", ids[0]))
    await store.write(lambda tx: skip_event(tx, "ledger", ids[1]))
    await reading.step()
    assert one.host.took == ["good", "after"]
    last = await store.read(lambda c: c.one(m.Journal.select().order_by(m.Journal.id.desc())))
    assert last is not None
    assert (last.kind, last.subject_id, last.data["event"]) == ("consumer.skipped", "ledger", ids[1])
    await one.tail.stop()


async def test_a_lease_is_one_holders_until_it_runs_out_or_is_given_back(store: Store) -> None:
    assert await store.write(lambda tx: take_lease(tx, "a", "me", 60))
    assert await store.write(lambda tx: take_lease(tx, "a", "me", 60))
    assert not await store.write(lambda tx: take_lease(tx, "a", "you", 60))
    now = now_utc().isoformat().replace("+00:00", "Z")
    assert await store.read(lambda c: is_leased(c, "a", now))
    await store.write(lambda tx: give_back(tx, "you"))
    assert not await store.write(lambda tx: take_lease(tx, "a", "you", 60))
    await store.write(lambda tx: give_back(tx, "me"))
    assert await store.write(lambda tx: take_lease(tx, "a", "you", -1))
    assert await store.write(lambda tx: take_lease(tx, "a", "me", 60))


async def test_what_has_expired_is_cleared_away_and_the_rest_stays(store: Store) -> None:
    def fill(tx: Transaction) -> None:
        for name, age in (("old", timedelta(days=40)), ("new", timedelta(minutes=-5))):
            at = tx.now - age
            tx.insert(m.Ticket, token_hash=name, purpose="websocket", user_id="u", expires_at=at)
            tx.insert(m.SignInAttempt, state_hash=name, provider="p", sealed="", expires_at=at)
            tx.insert(m.KeyValue, plugin="p", key=name, value="", expires_at=at)
            values = {"request_hash": "", "status": 200, "answer": "", "created_at": at}
            tx.insert(m.IdempotencyKey, owner="u", key=name, **values)
            times = {"created_at": at, "last_used_at": at, "expires_at": at}
            tx.insert(m.SignInSession, id=name, user_id="u", refresh_hash=name, **times)
        tx.insert(m.KeyValue, plugin="p", key="for ever", value="")

    await store.write(fill)
    assert await store.write(tidy) == 5
    assert await store.write(tidy) == 0
    assert await store.read(lambda c: c.values(m.KeyValue.select(m.KeyValue.key).order_by(m.KeyValue.key))) == [
        "for ever",
        "new",
    ]


@pytest.mark.usefixtures("quick")
async def test_a_round_that_fails_is_told_and_the_next_one_tried(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await home(sqlite_store, everything)
    jobs = Jobs(one)

    async def broken() -> None:
        raise OSError

    monkeypatch.setattr(jobs, "_round", broken)
    await jobs.start()
    await until(lambda: not jobs.health()["ok"])
    assert jobs.health()["detail"] == "OSError"
    monkeypatch.undo()
    await until(lambda: bool(jobs.health()["ok"]))
    await jobs.stop()
    await jobs.stop()
    await one.tail.stop()


@pytest.mark.usefixtures("quick")
async def test_a_database_that_is_away_is_told_and_then_the_plugin_goes_on(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homeroom.store import Unavailable

    one = await home(sqlite_store, everything)
    jobs = Jobs(one)
    await jobs.start()
    await sqlite_store.write(put("a"))
    await until(lambda: one.host.took == ["a"])

    async def away(*_args: object) -> None:
        raise Unavailable("the database cannot be reached")

    monkeypatch.setattr(sqlite_store, "read", away)
    await until(lambda: not jobs.health()["ok"])
    assert "cannot be reached" in jobs.health()["detail"]
    monkeypatch.undo()
    await sqlite_store.write(put("b"))
    await until(lambda: one.host.took == ["a", "b"])
    await jobs.stop()
    await one.tail.stop()
