"""Everything one running district has, wired together once: the app, the CLI and the jobs all start from here."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from homeroom.agreement import Agreement
from homeroom.auth.authenticator import Authenticator
from homeroom.custody import StoredCustody
from homeroom.entrance import StoredEntrance
from homeroom.figures import StoredFigures
from homeroom.host import Host, PluginsConfig, SettingsDesk
from homeroom.host.answers import describe
from homeroom.jobs import Jobs
from homeroom.last_hour import History, Load
from homeroom.limits import MemoryLimiter
from homeroom.live.board import Boards
from homeroom.live.bus import Bus
from homeroom.live.tail import Tail
from homeroom.mounts import PrefixTaken
from homeroom.notify.door import StoredMessages
from homeroom.runs.under_way import SyncRuns
from homeroom.services import Services, make_limiter, make_services
from homeroom.settings import Settings
from homeroom.store import Store, StoreError, migrate
from homeroom.store.erasure import EraseList, replay
from homeroom.telemetry import Metrics
from homeroom.types import Event

if TYPE_CHECKING:
    from homeroom.mounts import Mounts
    from homeroom.services import Api
    from homeroom.worker_figures import WorkerFigures

log = structlog.get_logger("homeroom")

FOLLOW_SECONDS = 1.0  # how often a process looks for what another one's administrator decided


class District:
    """One district's settings, database, plugins and live journal.

    Made without touching anything. `start` opens the database, which must have been upgraded (StoreError says how), and
    starts the plugins; `stop` ends all of it. `safe` leaves every plugin out.
    """

    def __init__(self, settings: Settings, *, safe: bool = False) -> None:
        self.settings = settings
        self.draining = False  # told to stop, and serving on until a balancer has seen that
        redis_url = settings.redis.url.get_secret_value() if settings.redis.url else None
        self.metrics = Metrics()
        self.store = Store(settings.database.url, cipher=settings.cipher(), readers=settings.database.readers)
        self.agreement = Agreement(settings, self.store)
        self.limiter = make_limiter(redis_url)
        self.requests = MemoryLimiter()  # per process: a question to Redis before every answer would cost too much
        self.bus = Bus(self.store, redis_url)
        self.tail = Tail(self.store, self.bus)
        self.metrics.follow(self.store, self.tail)
        self.authenticator = Authenticator(settings, self.store)
        self.host = Host(
            _without_plugins(settings.plugins) if safe else settings.plugins,
            services=self._services,
            store=self.store,
            metrics=self.metrics,
        )
        self.desk = SettingsDesk(self.host)
        self.boards = Boards(self)
        self.runs = SyncRuns(self)
        self.jobs = Jobs(self, runs=self.runs)
        self.history = History(self._load)
        self.mounts: Mounts | None = None
        self.api: Api | None = None
        self.workers: WorkerFigures | None = None  # where several processes share one port
        self._following: asyncio.Task[None] | None = None
        self._switched = asyncio.Event()

    async def start(self, *, upgrade: bool = False) -> None:
        """Open the database, load and start the plugins, and follow the journal. Raises StoreError.

        Also when its settings contradict the database or the other processes: see `homeroom.agreement`.

        `upgrade` first brings the core's tables, and then every loaded plugin's, to what the code expects.
        """
        url = self.settings.database.url
        if upgrade:
            await asyncio.to_thread(migrate.upgrade, url)
        elif not all(entry.applied for entry in migrate.status(url)):
            raise StoreError("the database is not up to date; run: homeroom db upgrade")
        self.store.open()
        try:
            await self.agreement.enter()
            if (erased := self.settings.database.erasure_list) is not None:
                await asyncio.to_thread(replay, self.store, EraseList(erased))  # before anybody is served
            self.tail.listen(self._heard)
            await self.tail.start()
            await self.authenticator.start()
            await self.host.load()
            if upgrade:
                await asyncio.to_thread(migrate.upgrade, url, await self.migrations())
            await self.host.start()
            await self._mount_all()
            self.host.changed.append(self._mount)
            self._following = asyncio.create_task(self._follow())
            await self.jobs.start()
            await self.history.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the jobs, the plugins and the boards, then let what is queued be written and close the database."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        await self.history.stop()
        await self.jobs.stop()
        await self.runs.stop()
        await self.host.stop()
        await self.boards.stop()
        await self.tail.stop()
        await self.agreement.leave()
        await self.limiter.close()
        await asyncio.to_thread(self.store.close)

    async def migrations(self) -> dict[str, Path]:
        """The folder of each loaded plugin that has tables of its own, by the plugin's name."""
        answers = await self.host.ask_all("migrations")
        return {answer.plugin: answer.value for answer in answers if answer.error is None and answer.value is not None}

    def is_on(self, plugin: str) -> bool:
        """Whether a plugin is switched on."""
        return self.host.is_on(plugin)

    def _services(self, name: str, scopes: frozenset[str]) -> Services:
        at_school = self.settings.attendance
        return make_services(
            name,
            scopes,
            store=self.store,
            limiter=self.limiter,
            messages=StoredMessages(self.store, name, scopes, self.settings),
            custody=StoredCustody(self.store, self.settings.database.erasure_list),
            entrance=StoredEntrance(self.store, name, scopes, host=lambda: self.host, time_zone=at_school.time_zone),
            public_url=self.settings.server.public_base_url,
            api=lambda: self.api,
            host=lambda: self.host,
            time_zone=at_school.time_zone,
            figures=StoredFigures(
                self.store,
                name,
                scopes,
                time_zone=at_school.time_zone,
                weekdays=at_school.school_days,
                host=lambda: self.host,
            ),
        )

    def _load(self) -> Load:
        return Load(
            sockets=self.boards.sockets,
            writes_waiting=self.store.waiting,
            requests=self.metrics.requests,
            failed_requests=self.metrics.failed_requests,
        )

    def _heard(self, event: Event) -> None:
        self.authenticator.heard(event)
        if event.kind.startswith("plugin."):
            self._switched.set()

    async def _follow(self) -> None:
        """Do here what an administrator decided in another process: at once when the journal says so."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FOLLOW_SECONDS):
                    await self._switched.wait()
            self._switched.clear()
            try:
                await self.host.follow()
            except StoreError as exc:
                log.warning("switches_not_read", reason=str(exc))
            except Exception as exc:  # noqa: BLE001 - whatever it is, the next look may succeed
                log.error("switches_not_followed", error=describe(exc))

    async def _mount_all(self) -> None:
        for name in self.host.implementers("routes"):
            await self._mount(name)

    async def _mount(self, name: str) -> None:
        """Hang a plugin's routes, anew after a restart; one whose prefix is taken goes without."""
        answer = await self.host.ask(name, "routes") if self.mounts is not None else None
        if self.mounts is None or answer is None or answer.value is None:
            return
        try:
            self.mounts.mount(name, answer.value)
        except PrefixTaken as exc:
            log.error("plugin_routes_refused", plugin=name, reason=str(exc))


def _without_plugins(config: PluginsConfig) -> PluginsConfig:
    """No plugin at all; what a required one guards is denied meanwhile, not open."""
    return PluginsConfig(required=config.required, source=config.source)
