"""Two processes on one PostgreSQL and one Redis: they agree, and they go on when a part is lost and when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from homeroom.host import PluginsConfig
from homeroom.store import Store, Transaction, now_utc
from homeroom.store import models as m
from tests.services import world
from tests.services.marks import mark
from tests.services.redis import OwnRedis
from tests.services.server import Server, WorkerProcess, heard, serving, settings_for
from tests.services.waiting import until
from tests.unit.test_store_outage import allow_connections, end_connections

SECONDS = 30


@pytest.fixture
def own_redis(redis_url: str) -> Iterator[OwnRedis]:
    """One that may be stopped; `redis_url` is asked for so that the test is left out where there is no Redis."""
    del redis_url
    redis = OwnRedis("processes")
    redis.start()
    yield redis
    redis.stop()


@asynccontextmanager
async def pair(database_url: str, redis_url: str, *, plugins: tuple[str, ...] = ()) -> AsyncIterator[list[Server]]:
    """Two servers with the small world."""
    settings = settings_for(database_url, redis_url, plugins=PluginsConfig(enabled=plugins))
    async with serving(settings) as here, serving(settings) as there:
        await here.district.store.write(world.build)
        yield [here, there]


async def ask(server: Server, method: str, path: str, token: str | None = None, json: Any = None) -> httpx2.Response:
    """What a server answers."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(base_url=server.url, timeout=SECONDS) as client:
        return await client.request(method, path, headers=headers, json=json)


async def says_until(server: Server, part: str, *, ok: bool) -> dict[str, Any]:
    """What `/health/detailed` says of a part, once that is as it should be."""
    async with asyncio.timeout(SECONDS):
        while True:
            said: dict[str, Any] = (await ask(server, "GET", "/health/detailed")).json()
            if said[part]["ok"] is ok:
                return said
            await asyncio.sleep(0.05)


async def test_a_plugin_switched_off_at_one_is_off_at_the_other(postgres_url: str, redis_url: str) -> None:
    async with pair(postgres_url, redis_url, plugins=("rotating_code",)) as servers:
        here, there = servers
        token = await here.token("admin")
        for word, on in (("disable", False), ("enable", True)):
            answer = await ask(here, "POST", f"/api/v1/plugins/rotating_code/{word}", token)
            assert answer.status_code == 200, answer.text
            await until(lambda wanted=on: there.district.host.is_on("rotating_code") is wanted, 5)  # type: ignore[misc]
            shown = (await ask(there, "GET", "/api/v1/plugins/", token)).json()["plugins"]
            (state,) = (one["state"] for one in shown if one["name"] == "rotating_code")
            assert (state == "loaded") is on


async def test_a_session_ended_at_one_is_ended_at_the_other(postgres_url: str, redis_url: str) -> None:
    async with pair(postgres_url, redis_url) as servers:
        here, there = servers
        token = await here.token("teacher_a")
        assert (await ask(there, "GET", "/api/v1/auth/me", token)).status_code == 200
        assert (await ask(here, "POST", "/api/v1/auth/logout", token)).status_code == 204
        await there.district.tail.catch_up()
        assert (await ask(there, "GET", "/api/v1/auth/me", token)).status_code == 401


async def test_without_redis_marks_go_on_and_the_other_board_hears_them(postgres_url: str, own_redis: OwnRedis) -> None:
    async with pair(postgres_url, own_redis.url) as servers:
        here, there = servers
        token = await here.token("teacher_a")
        for server in servers:
            await says_until(server, "redis", ok=True)
        async with there.board("algebra", token) as board:
            await heard(board)
            own_redis.stop()
            said = await says_until(here, "redis", ok=False)
            assert said["status"] == "degraded"
            assert "half a second later" in said["redis"]["detail"]
            marks = {"marks": [{"student_id": "ann", "status": "tardy"}]}
            answer = await ask(here, "PUT", "/api/v1/sessions/session_algebra/attendance", token, marks)
            assert answer.status_code == 200, answer.text
            await there.district.store.write(mark("algebra", "dan", "absent"))
            told = [await heard(board), await heard(board)]
            assert [(one["student_id"], one["status"]) for one in told] == [("ann", "tardy"), ("dan", "absent")]
            own_redis.start()
            for server in servers:
                await says_until(server, "redis", ok=True)
            await here.district.store.write(mark("algebra", "ann", "present"))
            assert (await heard(board))["status"] == "present"


async def test_while_postgresql_is_away_both_say_503_and_when_to_come_back_and_then_go_on(
    postgres_url: str, redis_url: str
) -> None:
    async with pair(postgres_url, redis_url) as servers:
        here, there = servers
        for server in servers:
            server.district.store.patience = 0.5
        token = await here.token("teacher_a")
        marks = {"marks": [{"student_id": "ann", "status": "tardy"}]}
        path = "/api/v1/sessions/session_algebra/attendance"
        allow_connections(postgres_url, allowed=False)
        end_connections(postgres_url)
        for server in servers:
            async with asyncio.timeout(8):
                read = await ask(server, "GET", "/api/v1/classes/algebra", token)
                write = await ask(server, "PUT", path, token, marks)
            assert (read.status_code, write.status_code) == (503, 503)
            assert int(read.headers["Retry-After"]) > 0
            assert int(write.headers["Retry-After"]) > 0
            assert (await ask(server, "GET", "/health/ready")).status_code == 200
        allow_connections(postgres_url, allowed=True)
        for server in servers:
            assert (await ask(server, "GET", "/api/v1/classes/algebra", token)).status_code == 200
        written = await ask(there, "PUT", path, token, marks)
        assert written.status_code == 200, written.text
        for server in servers:
            await says_until(server, "database", ok=True)


async def test_the_jobs_of_a_worker_that_was_killed_are_taken_over(
    postgres_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeroom.jobs._ROUND_SECONDS", 0.1)
    environment = {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "HOMEROOM__ATTENDANCE__TIME_ZONE": "UTC",
    }
    async with serving(settings_for(postgres_url, redis_url)) as here:
        store = here.district.store
        worker = await asyncio.to_thread(WorkerProcess, tmp_path, environment)
        try:
            await until(lambda: here.district.jobs.health()["detail"] == "done by homeroom worker", SECONDS)
        finally:
            worker.kill()
        await store.write(_out_of_time)  # as if its leases had run out, which takes twenty seconds
        await until(lambda: here.district.jobs.health()["detail"].endswith("follow the journal"), SECONDS)
        await until(lambda: "notify" in _held_by_one(store), SECONDS)


def _out_of_time(tx: Transaction) -> None:
    tx.run(m.Lease.update(until=tx.now - timedelta(seconds=1)))


def _held_by_one(store: Store) -> list[str]:
    return store.read_now(lambda c: [row.name for row in c.all(m.Lease.select().where(m.Lease.until > now_utc()))])
