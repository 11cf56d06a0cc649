"""The rights as one part of the plugin: what its hooks call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from homeroom import Connection, Event, Finding, Refused, Services, Transaction
from homeroom_ferpa.rights import clock, hearings, retention
from homeroom_ferpa.rights.common import Row
from homeroom_ferpa.rights.settings import RightsSettings

Tasks = Callable[[Connection, str], Sequence[Row]]
"""Tasks of another part: from a connection and today's date."""
Look = Callable[[Transaction, str], None]
"""Enters in the journal what has come due in another part, each once; from today's date."""

_LOOK_SECONDS = 600.0
_NIGHT = range(5)
"""The hours of the district's clock in which a purge disturbs no school day."""
_SAME_NIGHT = timedelta(hours=20)
_TOO_LONG = timedelta(days=7)


class Rights:
    """Requests, hearings, statements, notices, retention and erasure.

    `more_tasks` holds what other parts of the plugin have waiting for somebody, `more_looks` what comes due there.
    """

    def __init__(self, settings: RightsSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self.more_tasks: list[Tasks] = []
        self.more_looks: list[Look] = []
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch the clock, and to purge where the district has said so."""
        self._looking = asyncio.create_task(self._watch(), name="ferpa-rights")

    async def stop(self) -> None:
        """End that."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None

    async def look(self) -> None:
        """Enter what has come due; purge once a night, where that is automatic and no other process does it."""
        today, alert_day = self.services.today().isoformat(), self.settings.inspection_alert_day

        def unit(tx: Transaction) -> None:
            clock.look(tx, today, alert_day=alert_day)
            for more in self.more_looks:
                more(tx, today)

        await self.services.store.submit(unit)
        if not self.settings.retention.automatic:
            return
        last = await self.services.store.read(retention.last_purge)
        if is_due(last, self.services.clock.now().astimezone(ZoneInfo(self.services.time_zone))):
            with contextlib.suppress(Refused):  # another process purges
                await retention.purge(self.services, self.settings.retention, dry_run=False)

    async def heard(self, events: Sequence[Event]) -> None:
        """Put a statement back into the note of a record that somebody has corrected since."""
        for event in events:
            record_id = event.subject_id
            if event.kind == "attendance.corrected" and record_id is not None:
                await self._attach(record_id)

    async def _attach(self, record_id: str) -> None:
        stated = await self.services.store.read(lambda c: hearings.statements_for(c, [record_id]))
        if stated:
            await self.services.store.submit(lambda tx: hearings.attach(tx, self.services, record_id))

    async def findings(self) -> list[Finding]:
        """What is overdue, for the plugin's health."""
        today = self.services.today().isoformat()
        overdue = await self.services.store.read(lambda c: clock.figures(c, today))
        return [
            Finding(problem=f"{rows} {name} are overdue.", fix="GET /api/v1/compliance/tasks lists them.")
            for name, rows in overdue.items()
            if rows
        ]

    def tasks(self, connection: Connection, school_id: str | None) -> list[Row]:
        """What waits for somebody; other parts' tasks only in the district's own list."""
        today, alert_day = self.services.today().isoformat(), self.settings.inspection_alert_day
        found = clock.tasks(connection, today, alert_day=alert_day, school_id=school_id)
        if school_id is None:
            for more in self.more_tasks:
                found += more(connection, today)
        return sorted(found, key=clock.urgency)

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as exc:  # noqa: BLE001 - the next look may succeed
                self.services.log.warning("rights_not_looked_after", error=type(exc).__name__)
            await asyncio.sleep(_LOOK_SECONDS)


def is_due(last: datetime | None, now: datetime) -> bool:
    """Whether to purge at `now`, by the district's clock, when `last` was the latest purge.

    It waits for the night; but where a server is always off then, for a week at most.
    """
    if now.hour in _NIGHT:
        return last is None or now - last >= _SAME_NIGHT
    return last is not None and now - last >= _TOO_LONG
