"""What goes wrong: kinds of fault, a schedule of them by a seed, and how each is made, without being root."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

import psutil
import psycopg

from homeroom.store.database import sqlite_path
from tests.services.deployment import Deployment

_FULL = ("attendance_records", "journal", "ferpa_audit", "notifications", "outgoing_marks", "leases")
_LIES = ("500", "429-bare", "truncated", "outage", "slow-drip")
_ANYWHERE = (
    "server_killed",
    "server_frozen",
    "clock_jumps",
    "plugin_hangs",
    "sis_lies",
    "vendor_breaks",
    "disk_full",
    "disk_slow",
)
_SERVERS = (
    "web_worker_killed",
    "web_worker_frozen",
    "job_worker_killed",
    "job_worker_frozen",
    "postgres_cut",
    "postgres_stalled",
    "postgres_crashes",
    "redis_cut",
    "redis_stalled",
    "redis_restarts",
)
KINDS = {"sqlite": _ANYWHERE, "postgresql": (*_ANYWHERE, *_SERVERS)}
"""Every kind of fault, by the kind of database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: how long it lasts, and how (`way`), where there are several ways."""

    kind: str
    seconds: float
    way: str = ""

    def __str__(self) -> str:
        return f"{self.kind}{f'({self.way})' if self.way else ''} {self.seconds:.1f}s"


def schedule(random: Random, kind_of_database: str) -> list[Fault]:
    """Four to six faults of different kinds, in the order in which they happen."""
    return [_drawn(random, kind) for kind in random.sample(KINDS[kind_of_database], random.randint(4, 6))]


def _drawn(random: Random, kind: str) -> Fault:
    ways = {
        "clock_jumps": [f"{sign}{seconds}" for sign in "+-" for seconds in (3, 45, 600, 5400)],
        "plugin_hangs": ["verify_check_in", "consume"],
        "sis_lies": list(_LIES),
        "vendor_breaks": ["take-and-break", "500", "truncated"],
        "postgres_stalled": ["heals", "forgets"],
        "redis_stalled": ["heals", "forgets"],
    }.get(kind, [""])
    return Fault(kind=kind, seconds=round(random.uniform(0.3, 1.5), 1), way=random.choice(ways))


class Faults:
    """Makes faults happen to a deployment, and ends every one of them."""

    def __init__(self, there: Deployment) -> None:
        self._there = there

    async def strike(self, fault: Fault) -> None:
        """Let it happen from its beginning to its end."""
        work: Callable[[Fault], Coroutine[Any, Any, None]] = getattr(self, f"_{fault.kind}")
        await work(fault)

    async def _server_killed(self, fault: Fault) -> None:
        await asyncio.to_thread(self._there.server.kill)
        await asyncio.sleep(fault.seconds / 3)
        await asyncio.to_thread(self._there.server.start)

    async def _job_worker_killed(self, fault: Fault) -> None:
        worker = self._there.worker
        assert worker is not None
        await asyncio.to_thread(worker.kill)
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(worker.start)

    async def _web_worker_killed(self, fault: Fault) -> None:
        for worker in self._there.server.workers()[:1]:
            worker.kill()
        await asyncio.sleep(fault.seconds)

    async def _server_frozen(self, fault: Fault) -> None:
        await _frozen(self._there.server.everybody(), fault.seconds)

    async def _web_worker_frozen(self, fault: Fault) -> None:
        await _frozen(self._there.server.workers()[:1], fault.seconds)

    async def _job_worker_frozen(self, fault: Fault) -> None:
        assert self._there.worker is not None
        await _frozen(self._there.worker.everybody(), fault.seconds)

    async def _clock_jumps(self, fault: Fault) -> None:
        self._there.set_clock(float(fault.way))
        await asyncio.sleep(fault.seconds)
        self._there.set_clock(0)

    async def _plugin_hangs(self, fault: Fault) -> None:
        self._there.set_mood(fault.way)
        await asyncio.sleep(2 * fault.seconds)
        self._there.set_mood("")

    async def _sis_lies(self, fault: Fault) -> None:
        await _misbehaving(self._there.sis.misbehave, fault)

    async def _vendor_breaks(self, fault: Fault) -> None:
        await _misbehaving(self._there.vendor.misbehave, fault)

    async def _postgres_cut(self, fault: Fault) -> None:
        assert self._there.to_postgres is not None
        self._there.to_postgres.cut()
        await asyncio.sleep(fault.seconds)
        self._there.to_postgres.heal()

    async def _postgres_stalled(self, fault: Fault) -> None:
        assert self._there.to_postgres is not None
        self._there.to_postgres.stall()
        await asyncio.sleep(fault.seconds)
        self._there.to_postgres.heal(forget=fault.way == "forgets")

    async def _redis_cut(self, fault: Fault) -> None:
        assert self._there.to_redis is not None
        self._there.to_redis.cut()
        await asyncio.sleep(fault.seconds)
        self._there.to_redis.heal()

    async def _redis_stalled(self, fault: Fault) -> None:
        assert self._there.to_redis is not None
        self._there.to_redis.stall()
        await asyncio.sleep(fault.seconds)
        self._there.to_redis.heal(forget=fault.way == "forgets")

    async def _redis_restarts(self, fault: Fault) -> None:
        assert self._there.redis is not None
        await asyncio.to_thread(self._there.redis.stop)
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(self._there.redis.start)

    async def _postgres_crashes(self, fault: Fault) -> None:
        assert self._there.postgres is not None
        await asyncio.to_thread(self._there.postgres.crash)
        await asyncio.sleep(fault.seconds / 3)
        await asyncio.to_thread(self._there.postgres.start)

    async def _disk_full(self, fault: Fault) -> None:
        """SQLite: no file of the server may grow. PostgreSQL: every insert fails as one that finds no room does."""
        room = _refusing(self._there.database_url) if self._there.postgres else _limited(self._there.server.everybody())
        async with room:
            await asyncio.sleep(fault.seconds)

    async def _disk_slow(self, fault: Fault) -> None:
        """PostgreSQL: its processes stand still, again and again. SQLite: somebody else holds the file."""
        for _ in range(max(1, round(fault.seconds / 0.4))):
            if self._there.postgres is not None:
                await _frozen(await asyncio.to_thread(self._there.postgres.freeze), 0.3)
            else:
                await asyncio.to_thread(_held, self._there.database_url, 0.3)
            await asyncio.sleep(0.1)


async def _frozen(processes: list[psutil.Process], seconds: float) -> None:
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.suspend()
    await asyncio.sleep(seconds)
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.resume()


async def _misbehaving(kinds: set[str], fault: Fault) -> None:
    kinds.add(fault.way)
    await asyncio.sleep(2 * fault.seconds)
    kinds.discard(fault.way)


@contextlib.asynccontextmanager
async def _limited(processes: list[psutil.Process]) -> AsyncIterator[None]:
    """Let no file grow that they write to."""
    for one in processes:
        _, most = one.rlimit(psutil.RLIMIT_FSIZE)
        one.rlimit(psutil.RLIMIT_FSIZE, (4096, most))
    try:
        yield
    finally:
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, most))


@contextlib.asynccontextmanager
async def _refusing(url: str) -> AsyncIterator[None]:
    """Let every insert into a table of the storm's end with SQLSTATE 53100."""
    function = (
        "CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    make = [f"CREATE TRIGGER no_room BEFORE INSERT ON {table} EXECUTE FUNCTION no_room()" for table in _FULL]
    await asyncio.to_thread(_said, url, [function, *make])
    try:
        yield
    finally:
        await asyncio.to_thread(_said, url, [f"DROP TRIGGER IF EXISTS no_room ON {table}" for table in _FULL])


def _said(url: str, statements: list[str]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _held(url: str, seconds: float) -> None:
    import time

    connection = sqlite3.connect(sqlite_path(url), timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")
    finally:
        connection.close()
