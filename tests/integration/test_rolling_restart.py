"""Servers restarted and a database migrated while a class checks in through HAProxy: nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from homeroom.store import Store, migrate
from tests.services.balancer import Balancer
from tests.services.run import NotHere
from tests.services.server import ServerProcess, WorkerProcess, settings_for
from tests.services.storm import CLASS, SESSION, Board, gather_class, kept
from tests.services.waiting import until

STUDENTS = 900
BOARDS = 3
SECONDS = 60
EXPANDING = """
from peewee import Model, TextField

def up(migrator, db):
    class Thing(Model):
        name = TextField()

        class Meta:
            database = db
            table_name = "things_of_tomorrow"

    db.create_tables([Thing], safe=False)
    migrator.migrate(
        migrator.add_column("attendance_records", "of_tomorrow", TextField(null=True)),
        migrator.add_column("journal", "of_tomorrow", TextField(null=True)),
        migrator.add_index("things_of_tomorrow", ("name",)),
    )
"""


@dataclass(slots=True)
class Morning:
    """A class that checks in steadily, and somebody who reads; `failed` holds every answer that was wrong."""

    url: str
    teacher: str
    tokens: dict[str, str]
    code: str = ""
    records: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    failed: list[str] = field(default_factory=list)
    over: bool = False
    all_in: bool = False

    async def pass_by(self) -> None:
        """Until `over` is set and then until everybody has checked in."""
        async with httpx2.AsyncClient(base_url=self.url, timeout=20) as client:
            teaching = asyncio.gather(self._show(client), self._look(client))
            await until(lambda: bool(self.code), SECONDS)
            waiting = iter(self.tokens.items())
            await asyncio.gather(*(self._come(client, waiting) for _ in range(4)))
            self.over = self.all_in = True
            await teaching

    async def _show(self, client: httpx2.AsyncClient) -> None:
        while not self.all_in:
            shown = await self._ask(client, "GET", f"/api/v1/sessions/{SESSION}/challenge", self.teacher, 200)
            self.code = shown.get("code", self.code)
            await asyncio.sleep(0.3)

    async def _look(self, client: httpx2.AsyncClient) -> None:
        while not self.over:
            await self._ask(client, "GET", f"/api/v1/classes/{CLASS}", self.teacher, 200)
            self.reads += 1
            await asyncio.sleep(0.03)

    async def _come(self, client: httpx2.AsyncClient, waiting: Any) -> None:
        for student, token in waiting:
            body = {"session_id": SESSION, "proof": {"code": self.code}}
            said = await self._ask(client, "POST", "/api/v1/attendance/checkin", token, 201, json=body)
            self.records[student] = said.get("id", "")
            if not self.over:
                await asyncio.sleep(0.1)

    async def _ask(
        self, client: httpx2.AsyncClient, method: str, path: str, token: str, wanted: int, **more: Any
    ) -> dict[str, Any]:
        try:
            answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)
        except httpx2.HTTPError as exc:
            self.failed.append(f"{method} {path}: {type(exc).__name__}")
            return {}
        if answer.status_code != wanted:
            self.failed.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return {}
        said: dict[str, Any] = answer.json()
        return said


@dataclass(slots=True, kw_only=True)
class District:
    """Two servers and a worker behind a balancer, and what is going on there."""

    database_url: str
    servers: dict[str, ServerProcess]
    balancer: Balancer
    morning: Morning
    boards: list[Board]

    async def restart(self, name: str) -> None:
        """End one server as an upgrade does, and start it again."""
        server = self.servers[name]
        server.tell(signal.SIGTERM)
        await until(lambda: self.balancer.status(name) == "DOWN", SECONDS)
        before = len(self.morning.records)
        await until(lambda: len(self.morning.records) > before + 8, SECONDS)  # the other one has it all
        assert await asyncio.to_thread(server.stop, signal.SIGINT) == 0  # no need to wait for the rest of its time
        await asyncio.to_thread(server.start)
        await until(lambda: self.balancer.status(name) == "UP", SECONDS)

    async def ends_well(self) -> None:
        """Let the rest come in, and compare what was answered, what is kept and what the boards showed."""
        self.morning.over = True
        settings = settings_for(self.database_url)
        tokens = self.morning.tokens
        await until(lambda: len(self.morning.records) == len(tokens), SECONDS)
        with contextlib.suppress(TimeoutError):  # then the comparison below says who is missing
            await until(lambda: all(len(board.seen) >= len(tokens) for board in self.boards), 20)
        assert self.morning.failed == []
        with Store(self.database_url, cipher=settings.cipher()) as store:
            records, told, counted = await store.read(kept)
        assert records == self.morning.records
        assert told == dict.fromkeys(tokens, 1)
        assert counted == len(tokens)
        for board in self.boards:
            assert len(board.seen) == len(tokens)
            assert set(board.seen) == set(tokens)
            assert board.hellos == 1


@pytest.fixture
def balanced(postgres_url: str, redis_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Makes the district."""

    @contextlib.asynccontextmanager
    async def make(*, worker: bool = True) -> AsyncIterator[District]:
        settings = settings_for(postgres_url)
        with Store(postgres_url, cipher=settings.cipher()) as store:
            tokens = await asyncio.to_thread(gather_class, store, settings, STUDENTS)
        teacher = tokens.pop("teacher")
        environment = {
            "DATABASE_URL": postgres_url,
            "REDIS_URL": redis_url,
            "HOMEROOM__ATTENDANCE__TIME_ZONE": "UTC",
            "HOMEROOM__SERVER__REQUESTS_PER_MINUTE": "1000000",
            "HOMEROOM__SERVER__DRAIN_SECONDS": "120",
            "HOMEROOM__SERVER__TRUSTED_PROXIES": "127.0.0.1/32",
        }
        servers = {}
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "homeroom.toml").write_text('[plugins]\nenabled = ["rotating_code"]\n')
            servers[name] = ServerProcess(tmp_path / name, environment)
        async with contextlib.AsyncExitStack() as stack:
            if worker:
                stack.enter_context(WorkerProcess(tmp_path / "a", environment))
            await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers.values()))
            for server in servers.values():
                stack.callback(server.kill)
            balancer = stack.enter_context(Balancer(*(server.port for server in servers.values())))
            await until(lambda: all(balancer.status(name) == "UP" for name in servers), SECONDS)
            boards = [Board(url=balancer.url, token=teacher) for _ in range(BOARDS)]
            morning = Morning(url=balancer.url, teacher=teacher, tokens=tokens)
            tasks = [asyncio.create_task(board.watch()) for board in boards]
            await until(lambda: all(board.hellos for board in boards), SECONDS)
            tasks.append(asyncio.create_task(morning.pass_by()))
            try:
                yield District(
                    database_url=postgres_url, servers=servers, balancer=balancer, morning=morning, boards=boards
                )
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    try:
        Balancer(1, 2)
    except NotHere as exc:
        request.node.user_properties.append(("missing", str(exc)))
        pytest.skip(str(exc))
    return make


async def test_restarting_one_server_after_the_other_fails_no_request(balanced: Any) -> None:
    async with balanced() as district:
        assert district.balancer.check() == ""
        await district.restart("a")
        await district.restart("b")
        connections = [board.connections for board in district.boards]
        assert sum(connections) > len(connections), "no board was on a server that was restarted"
        assert len(district.morning.records) < STUDENTS, "everybody had come before the restarts were over"
        await district.ends_well()
        assert district.morning.reads > 20


async def test_servers_of_the_version_before_go_on_while_the_database_is_migrated(
    balanced: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is only added to, so they need not know; but what is started anew must."""
    later = tmp_path / "migrations"
    shutil.copytree(migrate.CORE, later)
    (later / "0999_of_tomorrow.py").write_text(EXPANDING)
    async with balanced(worker=False) as district:
        await until(lambda: len(district.morning.records) > 20, SECONDS)
        with monkeypatch.context() as newer:
            newer.setattr(migrate, "CORE", later)
            done = await asyncio.to_thread(migrate.upgrade, district.database_url)
        assert done == ["core/0999_of_tomorrow"]
        before = len(district.morning.records)
        await until(lambda: len(district.morning.records) > before + 40, SECONDS)
        assert len(district.morning.records) < STUDENTS
        await district.ends_well()
        server = district.servers["a"]
        assert server.stop(signal.SIGINT) == 0
        with pytest.raises(AssertionError, match="did not start"):
            server.start()
        assert "newer than this code" in server.log()
