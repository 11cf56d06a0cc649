"""One process's share of telling families and staff: it follows the journal, judges and sends, alone by a lease."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

import structlog

from homeroom.host.answers import describe
from homeroom.live.tail import Tail
from homeroom.notify import cases, clocks, consent, judging, outbox, staff, troubles
from homeroom.notify.delivery import Delivery
from homeroom.notify.delivery import Host as Channels
from homeroom.notify.rules import Rule, rules
from homeroom.notify.schools import Schools
from homeroom.notify.settings import STUDENT_KINDS
from homeroom.notify.unknown import next_question
from homeroom.settings import Settings
from homeroom.store import Connection, Store, StoreError, Transaction, iso, now_utc
from homeroom.store import models as m
from homeroom.store.courtesy import Courtesy
from homeroom.store.leases import KeptLease
from homeroom.types import AddressNews, Event, Suppressions

log = structlog.get_logger("homeroom.notify")

LEASE = "notify"
AT_ONCE = 80
"""Cases in one look: few enough that a check-in never waits for their messages."""

_IDLE_SECONDS = 5.0
_PACE_SECONDS = 0.1  # between two steps, however much news there is
_GRACE_SECONDS = 5.0  # in which what has begun to leave may still be answered when this process is to stop
_STAFF = timedelta(seconds=30)
_HEALTH = timedelta(minutes=5)
_SUPPRESSIONS = timedelta(hours=1)
_HEARD_AT_ONCE = 200  # addresses kept in one unit, so that a check-in never waits for a vendor's whole list
_WAKING = ("notification.resent", "notification.limit_raised")
_DUE = """
SELECT student_id, school_id, school_day, revision FROM notification_cases
WHERE state = 'waiting' AND due_at <= ? ORDER BY due_at LIMIT ?
"""


class Host(Channels, troubles.Host, Protocol):
    """What is needed of the plugin host."""


class Home(Protocol):
    """What is needed of the district."""

    @property
    def settings(self) -> Settings: ...  # noqa: D102 - the class says it
    @property
    def store(self) -> Store: ...  # noqa: D102
    @property
    def tail(self) -> Tail: ...  # noqa: D102
    @property
    def host(self) -> Host: ...  # noqa: D102


class Notifier:
    """Tells what is to be told, in one process at a time."""

    def __init__(self, home: Home, holder: str) -> None:
        self._settings = home.settings
        self._store = home.store
        self._tail = home.tail
        self._host = home.host
        self._lease = KeptLease(home.store, LEASE, holder)
        self._delivery = Delivery(settings=home.settings, store=home.store, host=home.host)
        self._health = troubles.Health(home.host)
        self._begun = False
        self._news = asyncio.Event()
        self._work = asyncio.Event()
        self._errors: dict[str, str] = {}
        self._last: dict[str, datetime] = {}

    @property
    def error(self) -> str | None:
        """Why it stands still, where it does."""
        return next(iter(self._errors.values()), None)

    async def run(self) -> None:
        """Go on until cancelled: one loop judges, one sends and one asks, so that a slow vendor holds up no other."""
        stop_listening = self._tail.listen(self._heard)
        try:
            await asyncio.gather(
                self._forever(self.look, self._news, "judging"),
                self._forever(self.send, self._work, "sending"),
                self._forever(self.ask, asyncio.Event(), "asking"),
            )
        finally:
            stop_listening()

    async def let_go(self) -> None:
        """Let another process go on, as soon as what has begun to leave is answered."""
        await self._delivery.end(_GRACE_SECONDS)
        await self._lease.give_back()

    async def look(self) -> float | None:
        """Judge whatever is due; gives how long to wait for more, in seconds, or None when it is another's turn."""
        if not await self._mine():
            return None
        if await self._store.read(partial(clocks.are_wrong, settings=self._settings)):
            await self._store.write(partial(clocks.put_right, settings=self._settings))
            self._work.set()
        on = await self._store.read(lambda c: rules(c, enabled=True))
        courtesy = Courtesy(self._store)
        while await self._follow(on):
            await courtesy.give_way()
        while await self._judge(on):
            if not await self._mine():
                return None
            await courtesy.give_way()
        await self._look_at_staff(on)
        return min(_IDLE_SECONDS, await self._store.read(_next_case))

    async def send(self) -> float | None:
        """Send whatever is due; gives how long to wait for more, in seconds, or None when it is another's turn."""
        if not await self._mine():
            return None
        async with self._lease.renewed():
            await self._delivery.send(lambda: self._lease.left > 0)
        if self._lease.left <= 0:
            return None
        wait = await self._store.read(_next_to_send)
        return min(_IDLE_SECONDS, max(wait, 1.0) if self._delivery.is_resting else wait)

    async def ask(self) -> float | None:
        """Ask vendors what became of messages and of addresses; gives how long to wait, as `send` does."""
        if not await self._mine():
            return None
        async with self._lease.renewed():
            await self._delivery.look_for()
            await self._read_suppressions()
        return min(_IDLE_SECONDS, _seconds_until(await self._store.read(next_question)))

    async def _mine(self) -> bool:
        mine = await self._lease.take()
        if mine and not self._begun:
            await self._store.write(cases.begin)
            self._work.set()
        self._begun = mine
        return mine

    async def _follow(self, on: Sequence[Rule]) -> bool:
        """Take what is new in the journal into cases; whether there may be more."""
        found = await self._store.read(partial(cases.look, rules=on))
        if found.position == found.before:
            return False
        await self._store.write(partial(cases.keep, found=found))
        return True

    async def _judge(self, on: Sequence[Rule]) -> bool:
        """Judge some cases that are due, and put what comes of them into the outbox; whether there may be more."""
        due = await self._store.read(_due_cases)
        if not due:
            return False
        prepared = await self._store.read(lambda c: prepared_for(c, self._settings, on, due, now_utc()))
        if await self._store.write(partial(outbox.put, prepared=prepared)):
            self._work.set()
        return len(due) == AT_ONCE

    async def _look_at_staff(self, on: Sequence[Rule]) -> None:
        of_staff = [rule for rule in on if rule.kind not in STUDENT_KINDS]
        if not of_staff or not self._is_time("staff", _STAFF):
            return
        if any(rule.kind == "connector_unhealthy" for rule in of_staff) and self._is_time("health", _HEALTH):
            await self._health.look()
        connectors = self._host.implementers("sis_connector")
        now = now_utc()

        def query(connection: Connection) -> outbox.Prepared:
            day = Schools(connection, self._settings)[""].today(now).isoformat()
            known = [*troubles.kept(connection, now, day, connectors), *self._health.troubles(day)]
            return outbox.prepare(connection, staff.judge(connection, self._settings, of_staff, known, now))

        prepared = await self._store.read(query)
        if prepared.messages:
            await self._store.write(partial(outbox.put, prepared=prepared))
            self._work.set()

    async def _read_suppressions(self) -> None:
        """Ask channels, once an hour, which addresses their vendors do not send to any more."""
        if not self._is_time("suppressions", _SUPPRESSIONS):
            return
        for name in self._host.implementers("suppressions"):
            key = f"suppressions:{name}"
            since = await self._store.read(partial(_since, key=key))
            answer = await self._host.ask(name, "suppressions", since=since)
            if answer is None or answer.error is not None or answer.value is None:
                continue
            told: Suppressions = answer.value
            for start in range(0, len(told.items), _HEARD_AT_ONCE):
                some = told.items[start : start + _HEARD_AT_ONCE]
                await self._store.write(partial(_suppress, news=some, region=self._settings.notify.region))
            await self._store.write(partial(_remember, key=key, until=told.until))

    def _is_time(self, what: str, every: timedelta) -> bool:
        now = now_utc()
        last = self._last.get(what)
        if last is not None and timedelta(0) <= now - last < every:
            return False
        self._last[what] = now
        return True

    async def _forever(self, step: Callable[[], Awaitable[float | None]], wake: asyncio.Event, what: str) -> None:
        while True:
            wake.clear()
            wait: float | None = None
            try:
                wait = await step()
                self._errors.pop(what, None)
            except StoreError as exc:
                self._errors[what] = str(exc)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the next look may succeed
                self._errors[what] = f"{what}: {describe(exc)}"
                log.error("notify_failed", doing=what, error=describe(exc))
            if wait is None:  # another process does it, or it fails: news does not change that
                await asyncio.sleep(_IDLE_SECONDS)
                continue
            await asyncio.sleep(_PACE_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await wake.wait()

    def _heard(self, event: Event) -> None:
        if event.kind in cases.KINDS or event.kind.startswith("notification.rule"):
            self._news.set()
        elif event.kind in _WAKING:
            self._work.set()


def prepared_for(
    connection: Connection, settings: Settings, on: Sequence[Rule], due: Sequence[judging.Case], now: datetime
) -> outbox.Prepared:
    """What the rules say of these cases, put into words."""
    return outbox.prepare(connection, judging.judge(connection, settings, on, due, now))


def tidy(tx: Transaction, *, days: int = 60) -> int:
    """Delete cases that nothing can come of any more; gives how many. Messages stay."""
    old = (tx.now - timedelta(days=days)).date()
    return tx.run(m.NotificationCase.delete().where(m.NotificationCase.school_day < old))


def _due_cases(connection: Connection) -> list[judging.Case]:
    rows = connection.sql(_DUE, (iso(now_utc()), AT_ONCE))
    return [judging.Case(student_id=row[0], school_id=row[1], school_day=str(row[2]), revision=row[3]) for row in rows]


def _next_case(connection: Connection) -> float:
    moment = connection.sql("SELECT MIN(due_at) FROM notification_cases WHERE state = 'waiting'")[0][0]
    return _seconds_until(None if moment is None else datetime.fromisoformat(moment))


def _next_to_send(connection: Connection) -> float:
    moment = connection.sql("SELECT MIN(due_at) FROM notifications WHERE state = 'waiting'")[0][0]
    return _seconds_until(None if moment is None else datetime.fromisoformat(moment))


def _seconds_until(moment: datetime | None) -> float:
    if moment is None:
        return _IDLE_SECONDS
    return max((moment - now_utc()).total_seconds(), 0.2)


def _since(connection: Connection, key: str) -> datetime | None:
    row = connection.one(m.KeyValue.select().where((m.KeyValue.plugin == "core") & (m.KeyValue.key == key)))
    return datetime.fromisoformat(row.value) if row is not None else None


def _suppress(tx: Transaction, news: Sequence[AddressNews], region: str) -> None:
    for one in news:
        consent.hear(tx, one, source="vendor", region=region)


def _remember(tx: Transaction, key: str, until: datetime) -> None:
    table = m.KeyValue
    tx.run(table.delete().where((table.plugin == "core") & (table.key == key)))
    tx.insert(table, plugin="core", key=key, value=until.isoformat())
