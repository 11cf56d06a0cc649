"""The log as the plugin's hooks call it: entries, sealing every second, and whether all of that goes well."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import orjson

from homeroom import AccessRequest, Connection, Event, Finding, Health, Outcome, Services, Transaction
from homeroom_ferpa.log import finding, rows, table
from homeroom_ferpa.log.rows import SOURCES, text_of
from homeroom_ferpa.log.sealing import Sealer
from homeroom_ferpa.log.settings import LogSettings
from homeroom_ferpa.log.tree import TreeDamaged
from homeroom_ferpa.log.witness import Witness

STARTED, STOPPED = "compliance.audit_started", "compliance.audit_stopped"
_SECOND = 1.0
_PATIENCE = 5.0
_SEEN_EVERY = timedelta(seconds=5)
_ALIVE = timedelta(seconds=15)
_LATE = timedelta(seconds=30)

_SEE = """
INSERT INTO ferpa_log_processes (process, seen_at, stopped) VALUES (?, ?, ?)
ON CONFLICT (process) DO UPDATE SET seen_at = excluded.seen_at, stopped = excluded.stopped
"""


class Log:
    """The tamper-evident log of one process."""

    def __init__(self, services: Services, settings: LogSettings) -> None:
        self.services = services
        self.settings = settings
        self.sealer = Sealer(services, settings.origin)
        self.witness = Witness(settings, services)
        self.trouble: str | None = None
        self._process = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None
        self._seen: datetime | None = None
        self._turn = asyncio.Event()

    async def start(self) -> None:
        """Enter in the journal that reads are recorded from now on, and since when they were not; begin to seal."""
        await self.services.store.submit(partial(_start, process=self._process))
        self._seen = self.services.clock.now()
        self._task = asyncio.create_task(self._run(), name="ferpa-sealing")

    async def stop(self) -> None:
        """Enter that this process records no longer, seal that, and carry it out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            await self.services.store.submit(partial(_stop, process=self._process))
            await self._seal(now=True)
        self.witness.close()

    async def enter(self, request: AccessRequest, outcome: Outcome) -> None:
        """Enter a read, a hand-out or a denial; committed when this returns."""
        entry = rows.entry_of(request, outcome)
        await self.services.store.submit(partial(rows.enter, entry=entry))

    async def consume(self, events: Sequence[Event]) -> int:
        """The id of the last event, which is in the log when this returns.

        While this process seals every second, its next turn is waited for: a checkpoint for each handful of check-ins
        would cost them time.
        """
        if not events:
            return 0
        last = events[-1].id
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while self._task is not None and self.sealer.last.last_journal < last:
                    await self._turn.wait()
        await self.sealer.seal_to(last)
        return last

    async def health(self) -> Health:
        """How far sealing is behind, the last checkpoint, and whether the witnesses have it."""
        now = self.services.clock.now()
        last, waiting, oldest = await self.services.store.read(_standing)
        findings: list[Finding] = []
        if self.trouble is not None:
            findings.append(Finding(problem=f"Sealing has failed: {self.trouble}.", fix="Run: homeroom audit verify"))
        if oldest is not None and now - oldest > _LATE:
            problem = f"{waiting} entries wait to be sealed, the oldest since {text_of(oldest)}."
            findings.append(Finding(problem=problem, fix="See that the server runs with the plugin switched on."))
        if last.at and datetime.fromisoformat(last.at) > now + _LATE:
            problem = f"The clock is behind the last checkpoint ({last.at})."
            findings.append(Finding(problem=problem, fix="Set the server's clock right; entries are sealed meanwhile."))
        for name, problem in self.witness.problems.items():
            findings.append(Finding(problem=f"The witness {name} does not get checkpoints: {problem}."))
        if self.settings.witness_file is None and self.settings.witness_url is None:
            detail = ", and no witness is set: whoever can rewrite the whole database could rewrite the log"
        else:
            detail = ""
        what = f"checkpoint {last.number} of {last.at}, {last.size} entries" if last.number else "nothing sealed yet"
        return Health(ok=not findings, detail=f"{what}, {waiting} wait{detail}", findings=tuple(findings))

    async def _run(self) -> None:
        while True:
            await self._seal()
            self._turn.set()
            self._turn = asyncio.Event()
            with contextlib.suppress(Exception):  # a search looks through what is not taken in yet
                await finding.keep_up(self.services)
            now = self.services.clock.now()
            if self._seen is None or not timedelta(0) <= now - self._seen < _SEEN_EVERY:
                self._seen = now
                with contextlib.suppress(Exception):  # the database is away; sealing has said so
                    await self.services.store.submit(partial(_see, process=self._process))
            await asyncio.sleep(_SECOND)

    async def _seal(self, *, now: bool = False) -> None:
        """Seal and carry out; what goes wrong is kept for `health` and tried again."""
        try:
            last = await self.sealer.seal()
            await self.witness.tell(last, now=now)
        except Exception as exc:  # noqa: BLE001 - the next second tries again, whatever it was
            text = str(exc) if isinstance(exc, TreeDamaged) else type(exc).__name__
            if self.trouble is None:
                self.services.log.error("sealing_failed", error=text)
            self.trouble = text
        else:
            self.trouble = None


def off_intervals(connection: Connection) -> list[tuple[str, str]]:
    """From when to when no process recorded reads, oldest first, as the journal tells it."""
    found = connection.sql("SELECT data, at FROM journal WHERE kind = ? ORDER BY id", (STARTED,))
    told = [(orjson.loads(data).get("off_since"), at) for data, at in found]
    return [(since, at) for since, at in told if since is not None]


def _start(tx: Transaction, process: str) -> None:
    known = tx.sql("SELECT process, seen_at, stopped FROM ferpa_log_processes")
    if any(row[0] == process for row in known):  # the unit was run before
        return
    running = [row for row in known if not row[2] and abs(tx.now - datetime.fromisoformat(row[1])) < _ALIVE]
    off_since = None if running else max((row[1] for row in known), default=None)
    crashed = sorted(row[0] for row in known if not row[2] and row not in running)
    for row in known:
        if row not in running:
            tx.write_sql("DELETE FROM ferpa_log_processes WHERE process = ?", (row[0],))
    tx.write_sql(_SEE, (process, text_of(tx.now), 0))
    tx.journal(STARTED, data={"process": process, "off_since": off_since, "ended_without_stop": crashed})


def _stop(tx: Transaction, process: str) -> None:
    if tx.sql("SELECT 1 FROM ferpa_log_processes WHERE process = ? AND stopped = 1", (process,)):
        return
    tx.write_sql(_SEE, (process, text_of(tx.now), 1))
    tx.journal(STOPPED, data={"process": process})


def _see(tx: Transaction, process: str) -> None:
    tx.write_sql(_SEE, (process, text_of(tx.now), 0))


def _standing(connection: Connection) -> tuple[table.Sealed, int, datetime | None]:
    """The last checkpoint, how many rows came after it, and the time of the oldest of them."""
    last = table.newest(connection)
    waiting, oldest = 0, []
    for of, source in SOURCES.items():
        text = f"SELECT count(*), min(at) FROM {source.table} WHERE id > ?"  # noqa: S608 - a constant
        count, at = connection.sql(text, (last.last(of),))[0]
        waiting += count
        oldest += [at] if at is not None else []
    return last, waiting, datetime.fromisoformat(min(oldest)) if oldest else None
