"""A database with a log of some hundred rows, made by the plugin's own parts: for tests of tampering."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import homeroom_ferpa
from homeroom import AccessRequest, Identity, Outcome, Services
from homeroom.store import Store, Transaction
from homeroom.store.migrate import upgrade
from homeroom.testing import FakeClock, services
from homeroom_ferpa.log.part import Log
from homeroom_ferpa.log.report import Report
from homeroom_ferpa.log.settings import LogSettings
from homeroom_ferpa.log.verify import verify

MIGRATIONS = Path(str(homeroom_ferpa.__file__)).parent / "migrations"
ORIGIN = "district.example/log"
NOW = datetime(2026, 9, 1, 14, 0, tzinfo=UTC)


def with_tables(url: str) -> str:
    """The database at `url`, with the plugin's tables."""
    upgrade(url, {"ferpa": MIGRATIONS})
    return url


@dataclass(slots=True)
class Sealing:
    """One process's log over a store, and its clock."""

    store: Store
    services: Services
    clock: FakeClock
    log: Log

    async def read_by(self, actor: str, *students: str, **more: Any) -> None:
        """Enter a read."""
        request, outcome = a_read(actor, *students, **more)
        await self.log.enter(request, outcome)

    async def seal(self) -> None:
        """Seal all that there is, a second later."""
        self.clock.move(1)
        await self.log.sealer.seal()

    async def verify(self, *witnessed: str) -> Report:
        """What a verification says, beside checkpoints kept elsewhere."""
        return await verify(self.services.store.read, witnessed=[("witness", witnessed)] if witnessed else [])

    def sql(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        """What somebody with the database's password can do."""
        return self.store.write_now(lambda tx: tx.write_sql(text, params))

    def notes(self) -> list[str]:
        """Every checkpoint."""
        return [row[0] for row in self.sql("SELECT note FROM ferpa_log_checkpoints ORDER BY number")]


def sealing(store: Store, *, clock: FakeClock | None = None, http: Any = None, **settings: Any) -> Sealing:
    """A log over `store`, not started."""
    clock = clock or FakeClock(NOW)
    given = services("ferpa", clock=clock, store=store, http=http)
    return Sealing(store, given, clock, Log(given, LogSettings(**{"origin": ORIGIN, **settings})))


def a_read(actor: str, *students: str, **more: Any) -> tuple[AccessRequest, Outcome]:
    """A read of some students' records."""
    request = AccessRequest(
        action="attendance.read",
        identity=Identity(subject=actor),
        student_ids=frozenset(students),
        class_id=more.pop("class_id", None),
        request_id=more.pop("request_id", "r-1"),
        recipient=more.pop("recipient", None),
    )
    allowed = more.pop("allowed", True)
    outcome = Outcome(
        allowed=allowed, student_ids=frozenset(students), fields=("status",), rows=len(students), basis="staff", **more
    )
    return request, outcome


def mark(tx: Transaction, number: int, *, record: str = "") -> None:
    """The journal's row of a check-in."""
    tx.journal(
        "attendance.recorded",
        class_id="c-1",
        session_id="s-1",
        student_id=f"u-{number}",
        subject_id=record or f"record-{number}",
        data={"status": "present", "school_day": "2026-09-01", "version": 1},
    )


def marks(tx: Transaction, count: int) -> None:
    """The journal's rows of some check-ins."""
    for number in range(count):
        mark(tx, number)


async def fill(place: Sealing, *, rounds: int, seed: int = 1) -> None:
    """Some hundred reads and changes, sealed in `rounds` portions of uneven size."""
    dice = random.Random(seed)
    number = 0
    for _ in range(rounds):
        for _ in range(dice.randrange(1, 60)):
            number += 1
            if dice.random() < 0.5:
                await place.read_by(f"t-{number % 7}", f"u-{number}", f"u-{number + 1}")
            else:
                await place.services.store.submit(lambda tx, number=number: mark(tx, number))  # type: ignore[misc]
        await place.seal()
