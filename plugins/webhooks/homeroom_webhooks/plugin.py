"""The plugin: fills the queues from the journal, keeps a courier for each endpoint, and says how each fares."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from homeroom import HOOK_API, Connection, Event, Finding, Health, Services, Transaction, hookimpl
from homeroom_webhooks import queue
from homeroom_webhooks.courier import Courier
from homeroom_webhooks.queue import COUNTED, State
from homeroom_webhooks.settings import Endpoint, WebhooksSettings


class Webhooks:
    """Signed events to other systems, at least once and in order."""

    hook_api = HOOK_API
    scopes: frozenset[str] = frozenset()
    Settings = WebhooksSettings

    def __init__(self, settings: WebhooksSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        for endpoint in settings.endpoints:
            services.allow_host(endpoint.url)
        self._holder = secrets.token_hex(8)
        self._couriers = [Courier(endpoint, settings, services, holder=self._holder) for endpoint in settings.endpoints]
        self._tasks: list[asyncio.Task[None]] = []

    @hookimpl
    def migrations(self) -> Path:
        """The queues, and a row for each endpoint."""
        return Path(__file__).parent / "migrations"

    @hookimpl
    async def start(self) -> None:
        """Begin with new endpoints, and send what waits."""
        await self.services.store.submit(partial(self._begin, now=self.services.clock.now()))
        name = self.services.name
        self._tasks = [
            asyncio.create_task(courier.run(), name=f"{name}-{courier.endpoint.name}") for courier in self._couriers
        ]

    @hookimpl
    async def stop(self) -> None:
        """Send no more; another process may go on at once."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._tasks = []
        await self.services.store.submit(partial(queue.give_back, plugin=self.services.name, holder=self._holder))

    @hookimpl
    async def consume(self, events: Sequence[Event]) -> int:
        """Queue the events for every endpoint that wants them, in one commit."""
        if not events:
            return 0
        await self.services.store.submit(partial(self._take, events=events, now=self.services.clock.now()))
        for courier in self._couriers:
            courier.news.set()
        return events[-1].id

    @hookimpl
    async def health(self) -> Health:
        """How each endpoint fares: what waits, the last success, and what is wrong."""
        told = await self.services.store.read(self._told)
        now = self.services.clock.now()
        findings = [finding for name, state, _, _ in told for finding in self._findings(name, state, now)]
        detail = "; ".join(_line(*one) for one in told) or "no endpoints are set"
        withheld = [
            self._withheld(name, state) for name, state, _, _ in told if self._is_recent(state.withheld_at, now)
        ]
        return Health(ok=not findings, detail=detail, findings=(*findings, *withheld))

    def _begin(self, tx: Transaction, now: datetime) -> None:
        addresses = {endpoint.name: self._address(endpoint) for endpoint in self.settings.endpoints}
        queue.know(tx, self.services.name, addresses, now)
        queue.forget(tx, self.services.name, addresses, now - self.settings.retention)

    def _take(self, tx: Transaction, events: Sequence[Event], now: datetime) -> None:
        addresses = {endpoint.name: self._address(endpoint) for endpoint in self.settings.endpoints}
        queue.know(tx, self.services.name, addresses, now)
        queue.take(tx, self.services.name, self.settings.endpoints, events, now)

    def _address(self, endpoint: Endpoint) -> str:
        """Something that changes when the endpoint's address or secret does, and tells neither."""
        key = self.services.derive_key("endpoint")
        return hmac.digest(key, "\n".join((endpoint.url, *endpoint.secrets)).encode(), hashlib.sha256).hex()

    def _told(self, connection: Connection) -> list[tuple[str, State, int, datetime | None]]:
        names = [(self.services.name, endpoint.name) for endpoint in self.settings.endpoints]
        return [(mine[1], queue.state_of(connection, mine), *queue.lag(connection, mine)) for mine in names]

    def _findings(self, name: str, state: State, now: datetime) -> list[Finding]:
        found = []
        if state.gone_at is not None:
            problem = f"{name} has answered that it wants no more events (HTTP 410, {_moment(state.gone_at)})."
            fix = "Take it out of the settings, or change its url or secret: it is tried again then."
            found.append(Finding(problem=problem, fix=fix))
        elif state.failures >= self.settings.failing_after:
            since = _moment(state.failing_since)
            problem = f"{name} has taken nothing since {since}: {state.problem} ({state.failures} times)."
            fix = "See to it that it answers 2xx; events wait for it, in order, and are given up after "
            found.append(Finding(problem=problem, fix=f"{fix}{self.settings.retention_days:g} days."))
        if self._is_recent(state.given_up_at, now):
            problem = f"{state.given_up} events were given up because {name} did not take them in time, the last"
            fix = "Have its data read anew by the REST API. This is shown for as long as an event would have waited."
            found.append(Finding(problem=f"{problem} {_moment(state.given_up_at)}.", fix=fix))
        return found

    def _withheld(self, name: str, state: State) -> Finding:
        """What was not sent and why; nothing is wrong with the endpoint, so it is not red for it."""
        problem = f"{state.withheld} events were withheld from {name}, the last {_moment(state.withheld_at)}: their"
        fix = f"If it is to have them, put plugin:{self.services.name}.{name} on file with the agreement; see"
        return Finding(
            problem=f"{problem} students' records may not go there.",
            fix=f"{fix} docs/webhooks.md. What was withheld is not sent later.",
        )

    def _is_recent(self, moment: datetime | None, now: datetime) -> bool:
        return moment is not None and moment > now - self.settings.retention


def _line(name: str, state: State, waiting: int, oldest: datetime | None) -> str:
    parts = []
    if oldest is None:
        parts.append("nothing waits")
    else:
        parts.append(f"{waiting if waiting <= COUNTED else f'over {COUNTED}'} wait, the oldest since {_moment(oldest)}")
    parts.append(f"last success {_moment(state.succeeded_at)}")
    if state.problem is not None:
        parts.append(state.problem)
    if state.given_up:
        parts.append(f"{state.given_up} given up")
    if state.withheld:
        parts.append(f"{state.withheld} withheld")
    return f"{name}: {', '.join(parts)}"


def _moment(moment: datetime | None) -> str:
    return "never" if moment is None else moment.strftime("%Y-%m-%d %H:%M UTC")
