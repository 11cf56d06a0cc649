"""What the district does without being asked: handing the journal to plugins, syncing, telling families, tidying.

Plain loops, and not a task queue: nothing here is sent by anybody. What there is to do stands in the database (cursors,
expiry times), and a lease row there decides which process does it. A process that dies loses nothing, and the next one
goes on where it was. `homeroom worker` runs the same loops; while one lives, the web processes leave them to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from homeroom.attendance_out.senders import Senders
from homeroom.consumers import Consumer, Host
from homeroom.live.tail import Tail
from homeroom.moments import WallClock
from homeroom.notify import notifier
from homeroom.notify.notifier import Notifier
from homeroom.notify.troubles import note_quarantined
from homeroom.runs import diffs
from homeroom.runs.scheduler import Scheduler
from homeroom.runs.under_way import SyncRuns
from homeroom.settings import Settings
from homeroom.store import Store, StoreError, Transaction, iso, now_utc
from homeroom.store.leases import give_back, is_leased, take_lease
from homeroom.store.models import IdempotencyKey, KeyValue, SignInAttempt, SignInSession, Ticket

log = structlog.get_logger("homeroom.jobs")

TIDY_SECONDS = 600.0
_ROUND_SECONDS = 5.0
_WORKER_SECONDS = 20.0
_WORKER = "worker"


class Plugins(Host, notifier.Host, Protocol):
    """What the jobs need of the plugin host."""


class Home(Protocol):
    """What the jobs need of the district."""

    @property
    def settings(self) -> Settings: ...  # noqa: D102 - the class says it
    @property
    def store(self) -> Store: ...  # noqa: D102
    @property
    def tail(self) -> Tail: ...  # noqa: D102
    @property
    def host(self) -> Plugins: ...  # noqa: D102


def tidy(tx: Transaction) -> int:
    """Delete what has expired and nobody will ask for again; gives how many rows that were."""
    now = tx.now
    return (
        diffs.tidy(tx)
        + notifier.tidy(tx)
        + sum(
            tx.run(query)
            for query in (
                Ticket.delete().where(Ticket.expires_at < now),
                SignInAttempt.delete().where(SignInAttempt.expires_at < now),
                IdempotencyKey.delete().where(IdempotencyKey.created_at < now - timedelta(hours=24)),
                KeyValue.delete().where(KeyValue.expires_at < now),
                SignInSession.delete().where(SignInSession.expires_at < now - timedelta(days=30)),
            )
        )
    )


class Jobs:
    """This process's share of the jobs; before a `dedicated` process (`homeroom worker`) the others step back."""

    def __init__(self, home: Home, *, dedicated: bool = False, runs: SyncRuns | None = None) -> None:
        self.dedicated = dedicated
        self._home = home
        self._me = secrets.token_hex(8)
        self._scheduler = Scheduler(runs, self._me) if runs is not None else None
        self._consumers: dict[str, tuple[Consumer, asyncio.Task[None]]] = {}
        self._senders = Senders(home, self._me)
        self._notifier: tuple[Notifier, asyncio.Task[None]] | None = None
        self._quarantined: dict[str, datetime] = {}
        self._task: asyncio.Task[None] | None = None
        self._last_tidy: float | None = None
        self._wall_clock = WallClock()
        self._problem: str | None = None
        self._stands_back = False

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._rounds(), name="jobs")

    async def stop(self) -> None:
        """Stop between two steps, and let another process take over at once."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        await self._end(list(self._consumers))
        await self._senders.stop()
        await self._notify(wanted=False)
        with contextlib.suppress(StoreError):
            await self._home.store.write(lambda tx: give_back(tx, self._me))

    def health(self) -> dict[str, Any]:
        """Whether everything is being done; names each plugin that stands still."""
        failing = {name: one.error for name, (one, _) in self._consumers.items() if one.error}
        if failing:
            detail = "; ".join(f"{name} takes no events: {error}" for name, error in sorted(failing.items()))
            return {"ok": False, "detail": detail}
        if unsent := self._senders.problems():
            detail = "; ".join(f"no attendance goes to {name}: {error}" for name, error in sorted(unsent.items()))
            return {"ok": False, "detail": detail}
        if self._notifier is not None and (error := self._notifier[0].error):
            return {"ok": False, "detail": f"no messages are sent: {error}"}
        if self._problem is not None:
            return {"ok": False, "detail": self._problem}
        if self._stands_back:
            return {"ok": True, "detail": "done by homeroom worker"}
        return {"ok": True, "detail": f"{len(self._consumers)} plugins follow the journal"}

    async def _rounds(self) -> None:
        while True:
            try:
                await self._round()
                self._problem = None
            except Exception as exc:  # noqa: BLE001 - the next round may succeed
                self._problem = str(exc) if isinstance(exc, StoreError) else type(exc).__name__
                log.warning("jobs_failed", error=type(exc).__name__)
            await asyncio.sleep(_ROUND_SECONDS)

    async def _round(self) -> None:
        self._stands_back = await self._worker_lives()
        wanted = () if self._stands_back else self._home.host.implementers("consume")
        await self._end([name for name in self._consumers if name not in wanted])
        for name in wanted:
            if name not in self._consumers:
                self._begin(name)
        await self._senders.keep(() if self._stands_back else self._home.settings.sync.attendance_out)
        await self._notify(wanted=not self._stands_back)
        await note_quarantined(self._home.store, self._home.host, self._quarantined)
        now = asyncio.get_running_loop().time()
        if not self._stands_back and (self._last_tidy is None or now - self._last_tidy >= TIDY_SECONDS):
            self._last_tidy = now
            await self._home.store.write(self._tidy_once)
        if self._scheduler is not None:
            await (self._scheduler.step_back() if self._stands_back else self._scheduler.look())
        await self._wall_clock.look(self._home.store)

    async def _worker_lives(self) -> bool:
        """Whether these jobs are a dedicated worker's, and this process is none."""
        if self.dedicated:
            await self._home.store.write(lambda tx: take_lease(tx, f"{_WORKER}:{self._me}", self._me, _WORKER_SECONDS))
            return False
        if self._home.settings.redis.url is None:
            return False
        now = iso(now_utc())
        return await self._home.store.read(lambda connection: is_leased(connection, f"{_WORKER}:", now))

    async def _notify(self, *, wanted: bool) -> None:
        """Have this process follow and send messages, or leave them to another."""
        if wanted and self._notifier is None:
            begun = Notifier(self._home, self._me)
            self._notifier = begun, asyncio.create_task(begun.run(), name="notify")
        elif not wanted and self._notifier is not None:
            ended, task = self._notifier
            self._notifier = None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await ended.let_go()

    def _tidy_once(self, tx: Transaction) -> int:
        return tidy(tx) if take_lease(tx, "tidy", self._me, TIDY_SECONDS / 2) else 0

    def _begin(self, name: str) -> None:
        home = self._home
        consumer = Consumer(name, host=home.host, store=home.store, tail=home.tail, holder=self._me)
        self._consumers[name] = consumer, asyncio.create_task(consumer.run(), name=f"consume-{name}")

    async def _end(self, names: list[str]) -> None:
        for name in names:
            consumer, task = self._consumers.pop(name)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await consumer.let_go()
