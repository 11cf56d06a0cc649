"""One connector's attendance out in one process: woken by the journal, alone among all processes by a lease."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from homeroom.attendance_out.drain import drain
from homeroom.attendance_out.pauses import go_on, pause
from homeroom.attendance_out.queue import begin, cursor_of, follow
from homeroom.live.tail import Tail
from homeroom.records import SisConnector, SourceError
from homeroom.store import Connection, Store, StoreError, now_utc
from homeroom.store.leases import KeptLease
from homeroom.store.models import Cursor
from homeroom.types import Event

log = structlog.get_logger("homeroom.attendance_out")

LEASE_SECONDS = 90.0
_IDLE_SECONDS = 5.0
_PACE_SECONDS = 1.0  # between two looks while changes come without end; less where the delay is short


class Host(Protocol):
    """What is needed of the plugin host."""

    async def ask(self, name: str, hook: str, **arguments: Any) -> Any:
        """One plugin's Answer, or None when it is off."""
        ...


class AttendanceOut:
    """Sends what the journal tells to one connector's SIS. `error` says why nothing is sent, where that is so.

    `delay` is how long a mark waits for a correction; `weekdays` are the school days of schools that name none.
    """

    def __init__(
        self,
        connector: str,
        *,
        host: Host,
        store: Store,
        tail: Tail,
        holder: str,
        delay: timedelta,
        weekdays: Collection[int],
    ) -> None:
        self.connector = connector
        self.error: str | None = None
        self._name = cursor_of(connector)
        self._host = host
        self._store = store
        self._tail = tail
        self._delay = delay
        self._weekdays = weekdays
        self._pace = min(_PACE_SECONDS, delay.total_seconds() / 20)
        self._lease = KeptLease(store, self._name, holder, seconds=LEASE_SECONDS)
        self._begun = False
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Go on until cancelled."""
        stop_listening = self._tail.listen(self._heard)
        try:
            while True:
                try:
                    wait = await self.step()
                except StoreError as exc:
                    self.error, wait = str(exc), _IDLE_SECONDS
                except Exception as exc:  # noqa: BLE001 - whatever it is, the next look may succeed
                    self.error, wait = type(exc).__name__, _IDLE_SECONDS
                    log.error("attendance_out_failed", connector=self.connector, error=self.error)
                await asyncio.sleep(self._pace)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._news.wait()
        finally:
            stop_listening()

    async def let_go(self) -> None:
        """Let another process go on at once."""
        await self._lease.give_back()

    async def step(self) -> float:
        """Queue what is new and send what is due; gives how long to wait for more, in seconds."""
        if not await self._lease.take():
            await asyncio.sleep(_IDLE_SECONDS)  # another process does it; news does not change that
            return 0.0
        self._news.clear()
        connector = await self._asked_for()
        if connector is None:
            return _IDLE_SECONDS
        if not self._begun:
            await self._store.write(lambda tx: begin(tx, self.connector))
            self._begun = True
        await self._follow(connector)
        self.error, paused = await self._store.read(self._standing)
        if paused is not None and (left := (paused - now_utc()).total_seconds()) > 0:
            return min(left, _IDLE_SECONDS)
        try:
            async with self._lease.renewed():
                due = await drain(
                    self._store,
                    self.connector,
                    connector,
                    delay=self._delay,
                    between=lambda: self._between(connector),
                )
        except SourceError as exc:
            self.error = str(exc)
            await pause(self._store, self.connector, exc)
            return 0.0
        if self.error is not None:
            self.error = None
            await self._store.write(lambda tx: go_on(tx, self.connector))
        return _IDLE_SECONDS if due is None else min(max((due - now_utc()).total_seconds(), 0.0), _IDLE_SECONDS)

    async def _asked_for(self) -> SisConnector | None:
        answer = await self._host.ask(self.connector, "sis_connector")
        connector: SisConnector | None = answer.value if answer is not None and answer.error is None else None
        if connector is None or connector.attendance_out == "none":
            self.error = (
                "it takes no attendance" if connector is not None else "it is switched off or gives no connector"
            )
            return None
        return connector

    async def _follow(self, connector: SisConnector) -> None:
        await follow(self._store, self.connector, connector.attendance_level, weekdays=self._weekdays)

    async def _between(self, connector: SisConnector) -> bool:
        await self._follow(connector)
        return self._lease.left > 0

    def _standing(self, connection: Connection) -> tuple[str | None, datetime | None]:
        row = connection.get(Cursor, self._name)
        return (None, None) if row is None else (row.error, row.retry_at)

    def _heard(self, event: Event) -> None:
        if event.kind.startswith(("attendance", "calendar")):
            self._news.set()
