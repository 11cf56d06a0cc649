"""Every process hears every change, in order, whatever becomes of Redis and of the database."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from homeroom.live import tail as tail_module
from homeroom.live.bus import Bus
from homeroom.live.tail import Tail
from homeroom.store import Store
from homeroom.store.cipher import Cipher
from homeroom.types import Event
from tests.services.redis import OwnRedis
from tests.services.rows import put
from tests.services.waiting import until


@asynccontextmanager
async def followed(store: Store, redis_url: str | None = None) -> AsyncIterator[tuple[Tail, Bus, list[str]]]:
    heard: list[str] = []
    bus = Bus(store, redis_url)
    tail = Tail(store, bus)
    tail.listen(lambda event: heard.append(event.subject_id or ""))
    await tail.start()
    try:
        yield tail, bus, heard
    finally:
        await tail.stop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look of its own within the test: only the bus can wake the tail."""
    monkeypatch.setattr(tail_module, "LOOK_SECONDS", 60)


@pytest.mark.usefixtures("patient")
async def test_a_commit_of_this_process_wakes_at_once_and_everything_comes_in_order(store: Store) -> None:
    await store.write(put("before the start"))
    async with followed(store) as (tail, bus, heard):
        await asyncio.gather(*(store.write(put(f"{n:03}")) for n in range(300)))
        await tail.catch_up()
        assert heard == [f"{n:03}" for n in range(300)]
        assert bus.health()["ok"]


async def test_more_than_one_page_is_handed_over_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "_AT_ONCE", 7)
    monkeypatch.setattr(tail_module.events_after, "__defaults__", (7,))
    async with followed(store) as (tail, _, heard):
        await asyncio.gather(*(store.write(put(f"{n:03}")) for n in range(50)))
        await tail.catch_up()
        assert heard == [f"{n:03}" for n in range(50)]


async def test_an_event_says_all_that_the_journal_says(store: Store) -> None:
    heard: list[Event] = []
    async with followed(store) as (tail, _, _):
        tail.listen(heard.append)
        await store.write(
            lambda tx: tx.journal("k", class_id="c", session_id="s", student_id="p", subject_id="r", data={"a": [1]})
        )
        await tail.catch_up()
    (event,) = heard
    assert (event.kind, event.class_id, event.session_id, event.student_id, event.subject_id) == tuple("kcspr")
    assert event.data == {"a": [1]}
    assert event.at.utcoffset() is not None


async def test_a_listener_that_fails_or_leaves_disturbs_nobody(store: Store) -> None:
    async with followed(store) as (tail, _, heard):

        def faulty(_event: Event) -> None:
            raise RuntimeError

        tail.listen(faulty)
        left: list[Event] = []
        leave = tail.listen(left.append)
        await store.write(put("a"))
        await tail.catch_up()
        leave()
        await store.write(put("b"))
        await tail.catch_up()
        assert heard == ["a", "b"]
        assert len(left) == 1


async def test_a_command_beside_the_server_is_heard_within_the_half_second(store: Store, cipher: Cipher) -> None:
    async with followed(store) as (tail, _, heard):
        with Store(store.url, cipher=cipher) as other:
            await other.write(put("from outside"))
        await tail.catch_up()
        assert heard == ["from outside"]


@pytest.mark.usefixtures("patient")
async def test_with_redis_the_other_process_is_woken_at_once(store: Store, cipher: Cipher, redis_url: str) -> None:
    with Store(store.url, cipher=cipher) as other:
        async with (
            followed(store, redis_url) as (here, _, heard),
            followed(other, redis_url) as (there, bus, heard_there),
        ):
            await store.write(put("a"))
            await there.catch_up()
            await other.write(put("b"))
            await here.catch_up()
            await there.catch_up()
            assert heard == heard_there == ["a", "b"]
            assert bus.health() == {"ok": True, "detail": "reached"}


async def test_a_lost_redis_costs_half_a_second_and_no_event(sqlite_store: Store, cipher: Cipher) -> None:
    redis = OwnRedis("bus-test")
    redis.start()
    try:
        with Store(sqlite_store.url, cipher=cipher) as other:
            async with (
                followed(sqlite_store, redis.url) as (_, _, _),
                followed(other, redis.url) as (there, bus, heard),
            ):
                await sqlite_store.write(put("with"))
                await there.catch_up()
                redis.stop()
                await sqlite_store.write(put("without"))
                await there.catch_up()
                assert heard == ["with", "without"]
                await until(lambda: not bus.health()["ok"])
                assert "half a second" in bus.health()["detail"]
                redis.start()
                await until(lambda: bool(bus.health()["ok"]))
                await sqlite_store.write(put("again"))
                await there.catch_up()
                assert heard == ["with", "without", "again"]
    finally:
        redis.stop()


async def test_it_survives_a_database_that_goes_away(tmp_path: Path, sqlite_url: str, cipher: Cipher) -> None:
    here = tmp_path / "moving"
    here.mkdir()
    shutil.copyfile(sqlite_url.removeprefix("sqlite:///"), here / "homeroom.db")
    with Store(f"sqlite:///{here / 'homeroom.db'}", cipher=cipher, patience=0.05, readers=1) as store:
        async with followed(store) as (tail, _, heard):
            await store.write(put("before"))
            await tail.catch_up()
            here.rename(tmp_path / "away")
            await store.read(lambda connection: connection.database.close())
            await until(lambda: tail.failing is not None)
            (tmp_path / "away").rename(here)
            await store.write(put("after"))
            await tail.catch_up()
            assert heard == ["before", "after"]
            assert tail.failing is None


async def test_waiting_for_what_never_comes_ends(sqlite_store: Store) -> None:
    async with followed(sqlite_store) as (tail, _, _):
        with pytest.raises(TimeoutError):
            await tail.wait_for(999, timeout=0.05)


def test_nothing_of_redis_is_imported_without_redis() -> None:
    code = "import sys; import homeroom.live.tail; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_the_bus_stops_though_its_driver_loses_the_word_to_stop(sqlite_store: Store) -> None:
    """Before Python 3.12 asyncio.wait_for, by which redis-py sends, drops a cancellation that comes with its answer."""
    bus = Bus(sqlite_store, None)
    await bus.start()
    told = 0

    async def hard_of_hearing() -> None:
        nonlocal told
        while told < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                told += 1

    bus._tasks = [asyncio.create_task(hard_of_hearing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await bus.stop()
    assert told == 2
