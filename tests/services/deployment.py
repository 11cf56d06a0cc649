"""A district's whole deployment for one test: server, worker, database, Redis, and a network that can be cut.

On PostgreSQL: `homeroom serve --workers 2` and `homeroom worker`, which reach PostgreSQL and Redis through proxies. On
SQLite: one `homeroom serve` and nothing else. A SIS and a texting vendor are simulators in the test's own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from homeroom.cli import simulate
from homeroom.cli.server import listen, url_of
from homeroom.testing import Simulator, sample_district
from homeroom_powerschool.simulator import PowerSchoolSimulator
from homeroom_twilio.simulator import TwilioSimulator
from tests.services import bell, weather
from tests.services.bell import Bell
from tests.services.daemons import Daemon
from tests.services.postgres import OwnPostgres
from tests.services.proxy import Proxy
from tests.services.redis import OwnRedis
from tests.services.run import folder
from tests.services.server import free_port

_BUILT: dict[str, Bell] = {}
_OWN: dict[str, Any] = {}
_ROOT = Path(__file__).parents[2]
_COUNTED = iter(range(1_000_000))


@dataclass(slots=True, kw_only=True)
class Deployment:
    """What runs. `database_url` leads past every proxy; what a district on SQLite has not is None."""

    folder: Path
    url: str
    database_url: str
    bell: Bell
    server: Daemon
    worker: Daemon | None
    sis: PowerSchoolSimulator
    vendor: TwilioSimulator
    postgres: OwnPostgres | None = None
    redis: OwnRedis | None = None
    to_postgres: Proxy | None = None
    to_redis: Proxy | None = None

    @property
    def daemons(self) -> list[Daemon]:
        """Everything of Homeroom's that runs."""
        return [self.server, *([self.worker] if self.worker else [])]

    def set_clock(self, wrong_by: float) -> None:
        """Have the clock of every process of Homeroom's be wrong by so many seconds."""
        weather.write(self.folder / "clock", str(wrong_by))

    def set_mood(self, hook: str) -> None:
        """Have the plugin `moody` hang in this hook; in none with an empty text."""
        weather.write(self.folder / "mood", hook)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vendors:
    sis: PowerSchoolSimulator
    vendor: TwilioSimulator
    sections: Mapping[str, Mapping[str, Any]] = field(repr=False)


@contextlib.asynccontextmanager
async def deployed(kind: str, place: Path, since: float) -> AsyncIterator[Deployment]:
    """A deployment on `kind`, "sqlite" or "postgresql", that serves; at the true time `since` it was Monday."""
    async with contextlib.AsyncExitStack() as stack:
        vendors = await _vendors(stack)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        config = bell.write_settings(place, url, vendors.sections)
        installed = bell.offer_moody(place)
        made = await (_on_sqlite if kind == "sqlite" else _on_postgres)(stack, place, config)
        environment = {
            **weather.environment(place, since),
            **made.environment,
            "PYTHONPATH": os.pathsep.join((str(installed), str(_ROOT))),
        }
        several = ["--workers", "2"] if made.postgres else []
        server = Daemon(place, "server", ["serve", "--port", str(port), *several], environment, _answers(url))
        worker = Daemon(place, "worker", ["worker"], environment, _says_that_it_runs) if made.postgres else None
        there = Deployment(
            folder=place,
            url=url,
            database_url=made.url,
            bell=made.bell,
            server=server,
            worker=worker,
            sis=vendors.sis,
            vendor=vendors.vendor,
            postgres=made.postgres,
            redis=made.redis,
            to_postgres=made.to_postgres,
            to_redis=made.to_redis,
        )
        for daemon in there.daemons:
            stack.callback(daemon.kill)
        await asyncio.gather(*(asyncio.to_thread(daemon.start) for daemon in there.daemons))
        yield there


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    url: str
    bell: Bell
    environment: Mapping[str, str]
    postgres: OwnPostgres | None = None
    redis: OwnRedis | None = None
    to_postgres: Proxy | None = None
    to_redis: Proxy | None = None


async def _vendors(stack: contextlib.AsyncExitStack) -> _Vendors:
    sis, vendor = PowerSchoolSimulator(sample_district(students=bell.STUDENTS)), TwilioSimulator()
    stack.push_async_callback(vendor.called_back)
    sections = {
        "powerschool": sis.settings(await stack.enter_async_context(_served(sis))),
        "twilio": vendor.settings(await stack.enter_async_context(_served(vendor))),
    }
    return _Vendors(sis=sis, vendor=vendor, sections=sections)


async def _on_sqlite(stack: contextlib.AsyncExitStack, place: Path, config: Path) -> _Made:  # noqa: ARG001
    base = folder() / f"bell-{os.getpid()}.db"
    if "sqlite" not in _BUILT:
        _BUILT["sqlite"] = await bell.build(_without_moody(config), f"sqlite:///{base}")
    url = f"sqlite:///{bell.copied(base, place)}"
    return _Made(url=url, bell=_BUILT["sqlite"], environment={"DATABASE_URL": url})


async def _on_postgres(stack: contextlib.AsyncExitStack, place: Path, config: Path) -> _Made:
    del place
    if not _OWN:
        postgres, redis = OwnPostgres(f"pg-{os.getpid()}"), OwnRedis(f"redis-{os.getpid()}")
        _OWN.update(postgres=postgres, redis=redis)
        await asyncio.to_thread(postgres.start)
    postgres, redis = _OWN["postgres"], _OWN["redis"]
    if "postgresql" not in _BUILT:
        base = await asyncio.to_thread(postgres.new_database, "bell")
        _BUILT["postgresql"] = await bell.build(_without_moody(config), base)
    name = f"bell_{next(_COUNTED)}"
    url = await asyncio.to_thread(postgres.new_database, name, "bell")
    stack.callback(postgres.drop_database, name)
    await asyncio.to_thread(redis.start)
    stack.callback(redis.stop)
    to_postgres = await stack.enter_async_context(Proxy(postgres.socket))
    to_redis = await stack.enter_async_context(Proxy(redis.socket))
    environment = {
        "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{to_postgres.port}/{name}",
        "REDIS_URL": f"redis://127.0.0.1:{to_redis.port}/0",
    }
    return _Made(
        url=url,
        bell=_BUILT["postgresql"],
        environment=environment,
        postgres=postgres,
        redis=redis,
        to_postgres=to_postgres,
        to_redis=to_redis,
    )


@contextlib.asynccontextmanager
async def _served(simulator: Simulator) -> AsyncIterator[str]:
    """The address of a simulator on loopback."""
    stopping = asyncio.Event()
    with listen("127.0.0.1", 0) as listening:
        task = asyncio.create_task(simulate.serve(simulator, listening, stopping))
        yield url_of(listening)
        stopping.set()
        await task


def _without_moody(config: Path) -> Path:
    """The settings for this process, in which the plugin that hangs is not installed."""
    own = config.with_name("building.toml")
    own.write_text(config.read_text().replace(', "moody"', ""))
    return own


def _answers(url: str) -> Any:
    def look(_log: str) -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return httpx2.get(f"{url}/health", timeout=2, trust_env=False).status_code == 200
        return False

    return look


def _says_that_it_runs(log: str) -> bool:
    return "worker runs" in log
