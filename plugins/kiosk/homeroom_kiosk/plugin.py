"""The plugin: tablets' and the office's routes, what a check-in at the door is worth, what follows from the journal."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import click
from quart import Blueprint

from homeroom import HOOK_API, Attempt, Event, Evidence, Refused, Routes, Services, Transaction, Verdict, hookimpl
from homeroom_kiosk import commands, entries, keys, routes_office, routes_tablet, tries
from homeroom_kiosk.desk import Desk
from homeroom_kiosk.secret_texts import text_of
from homeroom_kiosk.settings import KioskSettings

_OPENED, _ERASED = "session.opened", "person.erased"
_LATE_NEWS = timedelta(hours=12)


class Kiosk:
    """A tablet at the school's door: in and out by card or PIN.

    Whoever comes in is checked in to those of their classes that take this plugin as a method, and to no other: a door
    is not a classroom. Cards and PINs are kept as keyed hashes.
    """

    hook_api = HOOK_API
    scopes = frozenset({"attendance.check_in", "proof.entrance", "student.preferred_name", "student.given_name"})
    Settings = KioskSettings

    def __init__(self, settings: KioskSettings, services: Services) -> None:
        self.settings = settings
        self.services = services
        self.method = services.name
        self.desk = Desk(settings, services)
        self._tidied: date | None = None

    @hookimpl
    def migrations(self) -> Path:
        """The plugin's tables; all their names begin with kiosk_."""
        return Path(__file__).parent / "migrations"

    @hookimpl
    def routes(self) -> Routes:
        """What tablets and the office ask."""
        blueprint = Blueprint("kiosk", __name__)
        routes_tablet.add_routes(blueprint, self.desk)
        routes_office.add_routes(blueprint, self.desk)
        return Routes(prefix="/api/v1/kiosk", blueprint=blueprint)

    @hookimpl
    def commands(self) -> click.Group:
        """`homeroom kiosk import-cards`."""
        return commands.group(self.desk)

    @hookimpl
    async def verify_check_in(self, attempt: Attempt) -> Evidence | None:
        """Whether the check-in comes from an entry at one of our tablets.

        A card's number alone proves nothing: its owner can read it, and type it at home.
        """
        shown = attempt.proof.get("entrance")
        if self.method not in attempt.session.methods or shown is None:
            return None
        shown = shown if isinstance(shown, str) and shown.isascii() else ""
        good = self.desk.receipt(shown.partition(".")[0], attempt.student_id)
        if hmac.compare_digest(shown, good):
            return Evidence(method=self.method, verdict=Verdict.ACCEPT, reason="came in at a tablet of the school")
        return Evidence(method=self.method, verdict=Verdict.REJECT, reason="not from a tablet", problem="proof-wrong")

    @hookimpl
    async def consume(self, events: Sequence[Event]) -> int:
        """Check in whoever came before their class began; forget whoever was erased; drop what is too old."""
        for event in events:
            if event.kind == _OPENED and event.session_id is not None:
                await self._opened(event, event.session_id)
        erased = [event.student_id for event in events if event.kind == _ERASED and event.student_id is not None]
        if erased:
            await self.services.store.submit(partial(keys.forget, student_ids=erased))
        await self._tidy()
        return events[-1].id if events else 0

    async def _opened(self, event: Event, session_id: str) -> None:
        now = self.services.clock.now()
        if now - event.at > _LATE_NEWS:
            return
        since = text_of(now - timedelta(minutes=self.settings.early_minutes))
        day = now.astimezone(self.desk.zone).date().isoformat()
        try:
            expected = await self.services.entrance.seated(session_id)
        except Refused:
            return
        here = await self.services.store.read(partial(entries.latest_in, day=day, since=since, students=expected))
        for entry in here:
            await self.desk.check_in(entry)

    async def _tidy(self) -> None:
        today = self.services.today()
        if self._tidied == today:
            return

        def unit(tx: Transaction) -> None:
            entries.forget_before(tx, (today - timedelta(days=self.settings.keep_days)).isoformat())
            tries.tidy(tx, tx.now - timedelta(minutes=self.settings.tries_minutes))

        await self.services.store.submit(unit)
        self._tidied = today
