"""Each new row of the journal, in order, to whoever listens in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
import structlog

from homeroom.live.bus import Bus
from homeroom.store import Connection, Store, StoreError
from homeroom.types import Event

log = structlog.get_logger("homeroom.live")

LOOK_SECONDS = 0.5  # at the latest; the bus wakes sooner
_AT_ONCE = 1000
COLUMNS = "id, at, kind, actor_id, class_id, session_id, student_id, subject_id, purpose, basis, request_id, data"
_AFTER = f"SELECT {COLUMNS} FROM journal WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - constants
_NEWEST = "SELECT COALESCE(MAX(id), 0) FROM journal"

Listener = Callable[[Event], None]


def events_after(connection: Connection, position: int, limit: int = _AT_ONCE) -> list[Event]:
    """The changes that were committed after the one with id `position`, in order, at most `limit`."""
    return [event_of(row) for row in connection.sql(_AFTER, (position, limit))]


def newest(connection: Connection) -> int:
    """The id of the last change, 0 when there is none."""
    return int(connection.sql(_NEWEST)[0][0])


def event_of(row: tuple[Any, ...]) -> Event:
    """A row of COLUMNS as an Event."""
    return Event(
        id=row[0],
        at=datetime.fromisoformat(row[1]),
        kind=row[2],
        actor_id=row[3],
        class_id=row[4],
        session_id=row[5],
        student_id=row[6],
        subject_id=row[7],
        purpose=row[8],
        basis=row[9],
        request_id=row[10],
        data=orjson.loads(row[11]) if row[11] else {},
    )


class Tail:
    """Follows the journal from its end at the start; listeners are called on the event loop and must be quick."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._listeners: list[Listener] = []
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()
        self.position = 0
        self.failing: str | None = None

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Have `callback` called with each change from now on, in order; calling the result ends that."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    async def start(self) -> None:
        """Begin at the newest change. Raises Unavailable when the database cannot be read."""
        await self._bus.start()
        self.position = await self._store.read(newest)
        self._task = asyncio.create_task(self._follow(), name="tail")

    async def stop(self) -> None:
        """Follow no further."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._bus.stop()

    async def wait_for(self, position: int, timeout: float = 10) -> None:  # noqa: ASYNC109 - a plain bound for tests
        """Return when every listener has had the change with id `position`. Raises TimeoutError."""
        async with asyncio.timeout(timeout), self._moved:
            await self._moved.wait_for(lambda: self.position >= position)

    async def catch_up(self) -> None:
        """Return when every listener has had all that is committed now."""
        await self.wait_for(await self._store.read(newest))

    async def _follow(self) -> None:
        while True:
            await self._bus.wait(LOOK_SECONDS)
            more = True
            while more:
                more = await self._take()

    async def _take(self) -> bool:
        """Hand over what is new; whether there may be more."""
        position = self.position
        try:
            events = await self._store.read(lambda connection: events_after(connection, position))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the next look may succeed
            if self.failing is None:
                log.warning("journal_unreadable", error=type(exc).__name__)
            self.failing = str(exc) if isinstance(exc, StoreError) else type(exc).__name__
            return False
        self.failing = None
        for event in events:
            self._hand(event)
            self.position = event.id
        if events:
            async with self._moved:
                self._moved.notify_all()
        return len(events) == _AT_ONCE

    def _hand(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as exc:
                log.error("journal_listener_failed", kind=event.kind, id=event.id, exc_info=exc)
