"""Connectors run when they are due: once, in one process, with rests after failures, and no restart forgets them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from homeroom.hints import hint
from homeroom.jobs import Jobs
from homeroom.limits import MemoryLimiter
from homeroom.live.bus import Bus
from homeroom.live.tail import Tail
from homeroom.records import Page, Pull, SourceError
from homeroom.runs import due
from homeroom.runs.due import Wish
from homeroom.runs.scheduler import Scheduler
from homeroom.runs.under_way import SyncRuns
from homeroom.schedules import parse
from homeroom.services import make_services
from homeroom.settings import RedisSettings
from homeroom.store import Connection, Refused, Store, Transaction, iso, now_utc
from homeroom.store.leases import take_lease
from homeroom.store.models import SyncHint, SyncRun, SyncSchedule, SyncTask
from homeroom.testing import KeptMessages
from tests.services.connected import Connected, connected
from tests.services.scripted_sis import ScriptedSis, small_district
from tests.services.waiting import until


@dataclass
class GatedSis(ScriptedSis):
    """One that waits at the first page of classes until it is let go on."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    waits: int = 0

    async def pull(self, pull: Pull) -> AsyncIterator[Page]:
        if pull.noun == "class" and not self.gate.is_set():
            self.waits += 1
            await self.gate.wait()
        async for page in super().pull(pull):
            yield page


@dataclass
class Process:
    """One process of the district, as far as schedules go."""

    home: Connected
    runs: SyncRuns
    scheduler: Scheduler

    async def look(self) -> None:
        await self.scheduler.look()

    async def settle(self) -> None:
        """Wait until no run is under way here."""
        await until(lambda: not self.runs.under_way)


def process(store: Store, sis: Any, schedule: Any = "hourly", holder: str = "here") -> Process:
    home = connected(store, {"sis": sis}, schedules={"sis": schedule} if schedule else {})
    runs = SyncRuns(home)
    return Process(home, runs, Scheduler(runs, holder))


def all_runs(connection: Connection) -> list[SyncRun]:
    return connection.all(SyncRun.select().order_by(SyncRun.started_at, SyncRun.id))


async def states(store: Store) -> list[str]:
    return [run.state for run in await store.read(all_runs)]


async def later(store: Store, *, minutes: float = 0, hours: float = 0) -> None:
    """Let time pass: everything that stands in the database happened that much earlier."""
    passed = timedelta(minutes=minutes, hours=hours)

    def unit(tx: Transaction) -> None:
        for table, key, column in (
            ("sync_runs", "id", "started_at"),
            ("sync_runs", "id", "finished_at"),
            ("sync_schedules", "connector || schedule", "served_at"),
            ("sync_schedules", "connector || schedule", "retry_at"),
            ("sync_hints", "connector", "hinted_at"),
            ("sync_tasks", "run_id", "claimed_at"),
        ):
            for row, moment in tx.sql(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL"):  # noqa: S608 - ours
                then = iso(datetime.fromisoformat(moment) - passed)
                tx.write_sql(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (then, row))  # noqa: S608 - ours

    await store.write(unit)


async def test_what_is_due_runs_once_and_then_rests(store: Store) -> None:
    one = process(store, ScriptedSis(small_district()))
    for _ in range(3):
        await one.look()
        await one.settle()
    assert await states(store) == ["done"]
    await later(store, hours=1)
    await one.look()
    await one.settle()
    assert await states(store) == ["done", "done"]


async def test_two_processes_begin_one_run(store: Store) -> None:
    sis = GatedSis(small_district())
    one, two = process(store, sis, holder="one"), process(store, sis, holder="two")
    await asyncio.gather(one.look(), two.look())
    await until(lambda: sis.waits == 1)
    sis.gate.set()
    await one.settle()
    await two.settle()
    assert await states(store) == ["done"]


async def test_when_the_process_that_looks_steps_back_another_takes_over_at_once(sqlite_store: Store) -> None:
    sis = ScriptedSis(small_district())
    one, two = process(sqlite_store, sis, holder="one"), process(sqlite_store, sis, holder="two")
    await one.look()
    await one.settle()
    await later(sqlite_store, hours=1)
    await two.look()
    assert await states(sqlite_store) == ["done"]
    await one.scheduler.step_back()
    await two.look()
    await two.settle()
    assert await states(sqlite_store) == ["done", "done"]


@dataclass
class Whole(Connected):
    """What all jobs together need of a district."""

    tail: Tail


async def test_while_a_worker_lives_it_is_the_worker_that_looks(sqlite_store: Store) -> None:
    part = connected(sqlite_store, {"sis": ScriptedSis(small_district())}, schedules={"sis": "hourly"})
    redis = {"url": "redis://nowhere.example"}
    settings = part.settings.model_copy(update={"redis": RedisSettings.model_validate(redis)})
    home: Any = Whole(part.store, part.host, settings, Tail(sqlite_store, Bus(sqlite_store)))
    web = Jobs(home, runs=SyncRuns(home))
    worker_runs = SyncRuns(home)
    worker = Jobs(home, dedicated=True, runs=worker_runs)
    await sqlite_store.write(lambda tx: take_lease(tx, "worker:elsewhere", "elsewhere", 20))
    await web.start()
    await until(lambda: web.health()["detail"] == "done by homeroom worker")
    assert await states(sqlite_store) == []
    await worker.start()
    await until(lambda: bool(worker_runs.under_way))
    await until(lambda: not worker_runs.under_way)
    await worker.stop()
    await web.stop()
    assert await states(sqlite_store) == ["done"]


async def test_days_missed_while_nothing_ran_are_made_up_for_once(sqlite_store: Store) -> None:
    one = process(sqlite_store, ScriptedSis(small_district()), "daily 02:30 full")
    await one.look()
    assert await states(sqlite_store) == []  # nobody missed today's: it was not asked for then
    await later(sqlite_store, hours=24 * 3)
    again = process(sqlite_store, ScriptedSis(small_district()), "daily 02:30 full")
    for _ in range(3):
        await again.look()
        await again.settle()
    (run,) = await sqlite_store.read(all_runs)
    assert (run.state, run.full) == ("done", True)


async def test_two_schedules_that_are_due_together_are_one_full_run(sqlite_store: Store) -> None:
    one = process(sqlite_store, ScriptedSis(small_district()), ["every 15 minutes", "daily 02:30 full"])
    await one.look()
    await one.settle()
    await later(sqlite_store, hours=25)
    for _ in range(2):
        await one.look()
        await one.settle()
    assert [run.full for run in await sqlite_store.read(all_runs)] == [False, True]


async def test_failures_are_tried_again_after_longer_and_longer_waits(sqlite_store: Store) -> None:
    """Hazard 2: a source that fails is never asked without rest."""
    sis = ScriptedSis(small_district())
    sis.failures[("org", 0)] = [SourceError("it is away") for _ in range(8)]
    one = process(sqlite_store, sis)
    waits = []
    for _ in range(8):
        await one.look()
        await one.settle()
        await one.look()  # at once there is nothing to do
        (row,) = await sqlite_store.read(lambda c: c.all(SyncSchedule.select()))
        waits.append(round((row.retry_at - now_utc()).total_seconds() / 60))
        await later(sqlite_store, minutes=waits[-1] + 1)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    await one.look()
    await one.settle()
    assert await states(sqlite_store) == ["failed"] * 8 + ["done"]
    (row,) = await sqlite_store.read(lambda c: c.all(SyncSchedule.select()))
    assert (row.failures, row.retry_at) == (0, None)


async def test_a_run_longer_than_its_interval_is_followed_by_a_rest(sqlite_store: Store) -> None:
    """Hazard 2: a slow source is not read without end."""
    one = process(sqlite_store, ScriptedSis(small_district()), "every 15 minutes")
    await one.look()
    await one.settle()
    long = timedelta(minutes=20)

    def stretch(tx: Transaction) -> None:
        tx.run(SyncRun.update(started_at=tx.now - long))
        tx.run(SyncSchedule.update(served_at=tx.now - long))

    await sqlite_store.write(stretch)
    await one.look()
    assert await states(sqlite_store) == ["done"]
    await later(sqlite_store, minutes=15)
    await one.look()
    await one.settle()
    assert await states(sqlite_store) == ["done", "done"]


async def test_a_held_run_waits_for_a_person_and_is_read_again_after_a_day(sqlite_store: Store) -> None:
    one = process(sqlite_store, ScriptedSis(small_district()))
    await one.look()
    await one.settle()
    await sqlite_store.write(lambda tx: tx.run(SyncRun.update(state="held")))
    await later(sqlite_store, hours=2)
    await one.look()
    assert await states(sqlite_store) == ["held"]
    await later(sqlite_store, hours=23)
    await one.look()
    await one.settle()
    assert (await states(sqlite_store))[-1] == "done"


@pytest.mark.parametrize("schedule", [None, "daily 02:30"])
async def test_several_hints_are_one_run_of_what_has_changed(sqlite_store: Store, schedule: str | None) -> None:
    one = process(sqlite_store, ScriptedSis(small_district()), schedule)
    for _ in range(5):
        await hint(sqlite_store, "sis")
    await one.look()
    assert await states(sqlite_store) == []  # a change comes as several events
    await later(sqlite_store, minutes=1)
    await one.look()
    await one.settle()
    (run,) = await sqlite_store.read(all_runs)
    assert (run.state, run.full) == ("done", False)
    await one.look()
    assert len(await states(sqlite_store)) == 1


async def test_a_plugin_asks_for_a_run_by_its_services(sqlite_store: Store) -> None:
    services = make_services("sis", frozenset(), store=sqlite_store, limiter=MemoryLimiter(), messages=KeptMessages())
    await services.sync_soon()
    await services.sync_soon()
    assert [row.connector for row in await sqlite_store.read(lambda c: c.all(SyncHint.select()))] == ["sis"]
    await services.close()


async def test_a_hint_during_a_run_is_heeded_after_it_and_after_a_rest(sqlite_store: Store) -> None:
    sis = GatedSis(small_district())
    one = process(sqlite_store, sis, None)
    await one.runs.begin(Wish(connector="sis", full=True))
    await hint(sqlite_store, "sis")
    await later(sqlite_store, minutes=0.5)
    await one.look()
    assert len(await states(sqlite_store)) == 1
    sis.gate.set()
    await one.settle()
    await one.look()
    await one.settle()
    assert await states(sqlite_store) == ["done", "done"]
    await hint(sqlite_store, "sis")
    await later(sqlite_store, minutes=0.5)
    await one.look()
    assert len(await states(sqlite_store)) == 2
    await later(sqlite_store, minutes=0.6)
    await one.look()
    await one.settle()
    assert len(await states(sqlite_store)) == 3


async def test_a_hint_is_not_lost_with_a_run_that_fails(sqlite_store: Store) -> None:
    sis = ScriptedSis(small_district())
    sis.failures[("org", 0)] = [SourceError("it is away")]
    one = process(sqlite_store, sis, None)
    await hint(sqlite_store, "sis")
    await later(sqlite_store, minutes=1)
    for _ in range(2):
        await one.look()
        await one.settle()
        assert await states(sqlite_store) == ["failed"]
    await later(sqlite_store, minutes=2)
    await one.look()
    await one.settle()
    assert await states(sqlite_store) == ["failed", "done"]


async def test_off_means_off_for_hints_too(sqlite_store: Store) -> None:
    one = process(sqlite_store, ScriptedSis(small_district()), "off")
    await hint(sqlite_store, "sis")
    await later(sqlite_store, hours=24)
    await one.look()
    assert await states(sqlite_store) == []


async def test_a_run_is_left_at_the_end_of_its_process_and_the_next_one_goes_on_with_it(store: Store) -> None:
    sis = GatedSis(small_district())
    one = process(store, sis)
    await one.look()
    await until(lambda: sis.waits == 1)
    await one.scheduler.step_back()
    await one.runs.stop()
    sis.gate.set()
    sis.pulls.clear()
    two = process(store, sis, holder="two")
    await two.look()
    await two.settle()
    (run,) = await store.read(all_runs)
    assert (run.state, run.added > 0) == ("done", True)
    assert "org" not in {pull.noun for pull in sis.pulls}  # what was read is not read again
    assert await store.read(lambda c: c.all(SyncTask.select())) == []


async def test_a_run_by_hand_takes_the_place_of_an_interrupted_one_and_serves_its_schedule(sqlite_store: Store) -> None:
    sis = GatedSis(small_district())
    one = process(sqlite_store, sis)
    await one.look()
    await until(lambda: sis.waits == 1)
    await one.runs.stop()
    sis.gate.set()
    await one.runs.begin(Wish(connector="sis", full=True))
    await one.settle()
    await one.look()
    assert await states(sqlite_store) == ["failed", "done"]
    (row,) = await sqlite_store.read(lambda c: c.all(SyncSchedule.select()))
    assert (row.failures, row.retry_at) == (0, None)


async def test_a_run_whose_process_died_is_taken_over_when_that_is_certain(sqlite_store: Store) -> None:
    one = process(sqlite_store, ScriptedSis(small_district()))
    wish = Wish(connector="sis", full=True, started_by="admin")
    await sqlite_store.write(lambda tx: due.claim(tx, wish, "run"))  # and then the power went
    await one.look()
    assert await states(sqlite_store) == []
    await later(sqlite_store, minutes=2)
    await one.look()
    await one.settle()
    (run,) = await sqlite_store.read(all_runs)
    assert (run.id, run.state, run.started_by, run.full) == ("run", "done", "admin", True)


async def test_a_run_that_kills_process_after_process_is_given_up(sqlite_store: Store) -> None:
    """Hazard 2: nor is a run begun again and again that never comes to its end."""
    sis = GatedSis(small_district())
    for _ in range(4):
        one = process(sqlite_store, sis)
        await one.look()
        assert one.runs.under_way
        await one.runs.stop()
        await one.scheduler.step_back()
        await sqlite_store.write(lambda tx: tx.run(SyncTask.update(claimed_at=tx.now)))  # a death leaves no word
        await later(sqlite_store, minutes=2)
    last = process(sqlite_store, sis)
    await last.look()
    (run,) = await sqlite_store.read(all_runs)
    assert run.state == "failed"
    assert "then start another" in str(run.reason)


async def test_a_run_whose_connector_cannot_be_used_any_more_says_so_and_comes_again(sqlite_store: Store) -> None:
    sis = GatedSis(small_district())
    one = process(sqlite_store, sis)
    await one.look()
    await one.runs.stop()
    await one.scheduler.step_back()
    await process(sqlite_store, None).look()  # its settings are wrong by now
    (run,) = await sqlite_store.read(all_runs)
    assert run.state == "failed"
    assert "is no connector that can be used" in str(run.reason)
    (row,) = await sqlite_store.read(lambda c: c.all(SyncSchedule.select()))
    assert row.retry_at is not None


async def test_a_second_run_of_a_connector_is_refused_and_leaves_no_trace(store: Store) -> None:
    sis = GatedSis(small_district())
    one = process(store, sis, None)
    await one.runs.begin(Wish(connector="sis", full=True))
    with pytest.raises(Refused, match="under way"):
        await one.runs.begin(Wish(connector="sis", full=True))
    assert len(await store.read(lambda c: c.all(SyncTask.select()))) == 1
    sis.gate.set()
    await one.settle()
    assert await states(store) == ["done"]


async def test_a_run_behind_a_schedule_is_begun_by_nobody(sqlite_store: Store) -> None:
    one = process(sqlite_store, ScriptedSis(small_district()))
    await one.look()
    await one.settle()
    (run,) = await sqlite_store.read(all_runs)
    assert run.started_by is None


NEXT: list[tuple[str, Callable[[Any], bool]]] = [
    ("hourly", lambda wait: timedelta(minutes=59) < wait <= timedelta(hours=1)),
    ("daily 02:30", lambda wait: timedelta() < wait <= timedelta(days=1)),
]


@pytest.mark.parametrize(("text", "fits"), NEXT)
async def test_it_is_known_when_the_next_run_is_due(
    sqlite_store: Store, text: str, fits: Callable[[Any], bool]
) -> None:
    one = process(sqlite_store, ScriptedSis(small_district()), text)
    await one.look()
    await one.settle()
    now = now_utc()
    following = await sqlite_store.read(lambda c: due.next_start(c, "sis", [parse(text)], now, "UTC"))
    assert following is not None
    assert fits(following - now)
