"""The watch as one part of the plugin: what its hooks, routes and commands call."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Sequence
from datetime import date, datetime
from functools import partial
from zoneinfo import ZoneInfo

from homeroom import Connection, Event, Finding, Refused, Services, Transaction
from homeroom_ferpa.rights.common import Row, decided, fresh_id
from homeroom_ferpa.watch import anomalies, clocks, incidents, look
from homeroom_ferpa.watch.settings import WatchSettings
from homeroom_ferpa.watch.sightings import EXPORTS, Sighting, Watched, rows_after

_LOOK_SECONDS = 60.0
_RESTS = 3.0  # between two portions: check-ins of a morning go first
_AT_ONCE = 200  # so that nobody's check-in waits long behind one
_EXPORTED = "data.exported"
_YEARS = range(1970, 3000)  # of which every time zone knows the moments


class Watch:
    """Looks for unusual reading and exports, and keeps incidents with their clocks."""

    def __init__(
        self, settings: WatchSettings, services: Services, *, inside: Collection[str] = (), at_once: int = _AT_ONCE
    ) -> None:
        self.settings = settings
        self.services = services
        self.watched = Watched(settings=settings, zone=ZoneInfo(services.time_zone), inside=inside)
        self._at_once = at_once
        self._begun = False
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look, once a minute; the first time with what is entered from now on."""
        await self._begin()
        self._looking = asyncio.create_task(self._run(), name="ferpa-watch")

    async def stop(self) -> None:
        """End that; what was not looked at yet waits."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking
            self._looking = None

    async def look(self, *, rests: float = 0.0) -> None:
        """Look at all that is new, a portion at a time, and at the clocks; it rests so many times as long as it took.

        Needs no turn among processes: a portion that another has counted meanwhile is not counted again.
        """
        await self._begin()
        while True:
            began = time.perf_counter()
            if not await self._step():
                break
            await asyncio.sleep(rests * (time.perf_counter() - began))
        today = self.services.today().isoformat()
        await self.services.store.submit(partial(clocks.look, today=today))

    async def heard(self, events: Sequence[Event]) -> None:
        """Take over from the journal what was exported; each event once."""
        told = [event for event in events if event.kind == _EXPORTED]
        if told:
            await self.services.store.submit(partial(self._exports, events=told))

    async def incident(
        self,
        *,
        what: str,
        states: Collection[str] | None = None,
        discovered_at: datetime | None = None,
        at_vendor: bool = False,
        everybody: bool = False,
        student_ids: Collection[str] = (),
        anomaly_ids: Collection[str] = (),
    ) -> Row:
        """Open an incident; the flags that it comes from give their students.

        It was discovered when the named moment says, else when the first of its flags was found, else now.
        Raises Refused as `incidents.begin` does, and 422 for a moment that no calendar of use here has.
        """
        found = await self._of_flags(anomaly_ids)
        moments = [datetime.fromisoformat(flag["found_at"]) for flag, _ in found]
        incident_id = fresh_id()
        at = discovered_at or min([self.services.clock.now(), *moments])
        if at.year not in _YEARS:
            raise Refused(422, "discovered-at", "An incident is discovered now or earlier, and not before 1970.")
        unit = partial(
            incidents.begin,
            incident_id=incident_id,
            discovered_at=at,
            discovered_on=at.astimezone(self.watched.zone).date(),
            what=what,
            at_vendor=at_vendor,
            states=self.settings.states if states is None else states,
            everybody=everybody or _everybody(found),
            student_ids={*student_ids, *(one for _, some in found for one in some)},
            anomaly_ids=anomaly_ids,
        )
        await decided(self.services, unit, student_id=None, subject_id=incident_id)
        return await self.read_incident(incident_id)

    async def widen(
        self,
        incident_id: str,
        *,
        states: Collection[str] = (),
        everybody: bool = False,
        student_ids: Collection[str] = (),
        anomaly_ids: Collection[str] = (),
    ) -> Row:
        """Add to an incident what became known later. Raises Refused as `incidents.add` does."""
        found = await self._of_flags(anomaly_ids)
        unit = partial(
            incidents.add,
            incident_id=incident_id,
            states=states,
            everybody=everybody or _everybody(found),
            student_ids={*student_ids, *(one for _, some in found for one in some)},
            anomaly_ids=anomaly_ids,
        )
        await decided(self.services, unit, student_id=None, subject_id=incident_id)
        return await self.read_incident(incident_id)

    async def finish(self, incident_id: str, clock: str, *, outcome: str, how: str, done_on: date | None = None) -> Row:
        """End a task. Raises Refused as `incidents.finish` does."""
        today = self.services.today()
        unit = partial(
            incidents.finish,
            incident_id=incident_id,
            clock=clock,
            outcome=outcome,
            done_on=done_on or today,
            today=today,
            how=how,
            act=fresh_id(),
        )
        await decided(self.services, unit, student_id=None, subject_id=incident_id)
        return await self.read_incident(incident_id)

    async def close(self, incident_id: str, closing: str) -> Row:
        """Close an incident. Raises Refused as `incidents.close` does."""
        unit = partial(incidents.close, incident_id=incident_id, closing=closing, act=fresh_id())
        await decided(self.services, unit, student_id=None, subject_id=incident_id)
        return await self.read_incident(incident_id)

    async def explain(self, anomaly_id: str, reason: str) -> Row:
        """Settle a flag as harmless. Raises Refused as `anomalies.explain` does."""
        unit = partial(anomalies.explain, anomaly_id=anomaly_id, reason=reason, act=fresh_id())
        return await decided(self.services, unit, student_id=None, subject_id=anomaly_id)

    async def read_incident(self, incident_id: str) -> Row:
        """One incident with its tasks as of today. Raises Refused 404."""
        today = self.services.today().isoformat()
        return await self.services.store.read(partial(incidents.read, incident_id=incident_id, today=today))

    def tasks(self, connection: Connection, today: str) -> list[Row]:
        """The tasks of incidents, and the flags that nobody has settled."""
        flags = [
            {
                "kind": "anomaly",
                "id": row["id"],
                "student_id": None,
                "since": row["found_at"][:10],
                "due_on": None,
                "level": "open",
                "says": row["says"],
            }
            for row in anomalies.found(connection, state="open")
        ]
        return [*clocks.tasks(connection, today), *flags]

    async def findings(self) -> list[Finding]:
        """What the office should look at, for the plugin's health."""
        today = self.services.today().isoformat()
        flags, late = await self.services.store.read(lambda c: (_open(c), clocks.overdue(c, today)))
        found = []
        if flags:
            problem = f"{flags} flags of unusual reading or exports wait for somebody to look."
            found.append(Finding(problem=problem, fix="GET /api/v1/compliance/anomalies?state=open lists them."))
        if late:
            problem = f"{late} tasks of incidents are overdue."
            found.append(Finding(problem=problem, fix="GET /api/v1/compliance/incidents?state=open lists them."))
        return found

    async def _begin(self) -> None:
        if not self._begun:
            await self.services.store.submit(look.begin)
            self._begun = True

    async def _step(self) -> bool:
        """Look at one portion; whether there may be more."""
        store = self.services.store
        before, upto, found = await store.read(self._next)
        if upto > before:
            unit = partial(look.take, watched=self.watched, source="audit", sightings=found, before=before, upto=upto)
            await store.submit(unit)
        return upto > before

    def _next(self, connection: Connection) -> tuple[int, int, list[Sighting]]:
        """The next portion, judged beside the writer: from which id to which, and what is to be counted."""
        before = look.position(connection, "audit")
        rows = rows_after(connection, before, self._at_once)
        found = [one for one in map(self.watched.of_row, rows) if one is not None]
        return before, rows[-1][0] if rows else before, found

    def _exports(self, tx: Transaction, events: Sequence[Event]) -> None:
        look.begin(tx)
        before = look.position(tx, "journal")
        fresh = {event.id: self.watched.of_export(event) for event in events if event.id > before}
        if fresh:
            look.take(tx, self.watched, "journal", list(fresh.values()), before=before, upto=max(fresh))

    async def _of_flags(self, anomaly_ids: Collection[str]) -> list[tuple[Row, set[str]]]:
        """Each flag with the students behind it."""

        def query(connection: Connection) -> list[tuple[Row, set[str]]]:
            rows = [anomalies.read(connection, one) for one in sorted(set(anomaly_ids))]
            return [(row, anomalies.students_of(connection, self.watched, row)) for row in rows]

        return await self.services.store.read(query)

    async def _run(self) -> None:
        while True:
            try:
                await self.look(rests=_RESTS)
            except Exception as exc:  # noqa: BLE001 - the next look may succeed
                self.services.log.warning("not_watched", error=type(exc).__name__)
            await asyncio.sleep(_LOOK_SECONDS)


def _everybody(found: Sequence[tuple[Row, set[str]]]) -> bool:
    return any(flag["kind"] == EXPORTS for flag, _ in found)


def _open(connection: Connection) -> int:
    return int(connection.sql("SELECT count(*) FROM ferpa_anomalies WHERE state = 'open'")[0][0])
