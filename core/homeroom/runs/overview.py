"""How every connector stands, put together from runs, schedules, questions and the queues: for the API and the CLI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from homeroom import attendance_out
from homeroom.attendance_out import OutgoingStatus
from homeroom.records import Noun, SisConnector
from homeroom.runs import due
from homeroom.runs.connectors import connectors
from homeroom.runs.under_way import Home
from homeroom.settings import Settings
from homeroom.store import Connection, now_utc
from homeroom.store.models import Enrollment, StagedRow, User
from homeroom.sync import ConnectorStatus, RunResult, open_conflicts
from homeroom.sync import status as status_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorView:
    """One connector and how it stands. Moments are in UTC; `progress` is the run under way, `next_run` when one is due.

    `attendance_out_words` says in a sentence or two what becomes of attendance, `schedule` when it runs by itself.
    """

    name: str
    nouns: Sequence[Noun]
    attendance_out: Literal["api", "file", "none"]
    attendance_out_words: str
    running: bool
    progress: RunResult | None
    last_run: RunResult | None
    last_success: datetime | None
    lag_seconds: float | None
    schedule: str
    next_run: datetime | None
    dead_letters: int
    conflicts_open: int
    outgoing: OutgoingStatus


async def overview(home: Home, *, also_off: bool = False) -> list[ConnectorView]:
    """Every connector that can be used, in call order; with `also_off`, then those that have run and are off now."""
    found, now = await connectors(home.host), now_utc()
    views = await home.store.read(lambda c: _views(c, home.settings, found, now))
    if also_off:
        views += await home.store.read(
            lambda c: [_off(c, one) for one in status_of(c, now) if one.connector not in found]
        )
    return views


def people_of(connection: Connection, run: RunResult, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The ids of the people whom rows of a run's diff are about, as far as they are known here."""
    by_noun: dict[str, list[str]] = {"user": [], "enrollment": []}
    for row in rows:
        by_noun.get(row["noun"], []).append(row["sourced_id"])
    users, places = by_noun["user"], by_noun["enrollment"]
    known = User.select(User.id).where(User.source == run.connector, User.sourced_id.in_(users))
    new = StagedRow.select(StagedRow.row_id).where(
        StagedRow.run_id == run.run_id, StagedRow.noun == "user", StagedRow.sourced_id.in_(users)
    )
    seated = Enrollment.select(Enrollment.user_id).where(
        Enrollment.source == run.connector, Enrollment.sourced_id.in_(places)
    )
    return {person for query in (known, new, seated) for person in connection.values(query) if person}


def people_in(connection: Connection, rows: Sequence[tuple[Noun, str]]) -> set[str]:
    """The ids of the people whom these rows of the roster (noun, id) are about."""
    users = {row_id for noun, row_id in rows if noun == "user"}
    places = [row_id for noun, row_id in rows if noun == "enrollment"]
    return users | set(connection.values(Enrollment.select(Enrollment.user_id).where(Enrollment.id.in_(places))))


def _views(
    connection: Connection, settings: Settings, found: Mapping[str, SisConnector], now: datetime
) -> list[ConnectorView]:
    standing = {one.connector: one for one in status_of(connection, now)}
    questions = open_conflicts(connection)
    zone = settings.attendance.time_zone
    views: list[ConnectorView] = []
    for name, connector in found.items():
        schedules = settings.sync.schedules.get(name, ())
        view = ConnectorView(
            name=name,
            nouns=connector.nouns,
            attendance_out=connector.attendance_out,
            attendance_out_words=_words(settings, name, connector),
            schedule="; ".join(one.words(zone) for one in schedules) or "only when somebody asks for it",
            next_run=due.next_start(connection, name, schedules, now, zone),
            conflicts_open=questions.get(name, 0),
            outgoing=attendance_out.status(connection, name),
            **_standing(standing.get(name)),
        )
        views.append(view)
    return views


def _off(connection: Connection, one: ConnectorStatus) -> ConnectorView:
    return ConnectorView(
        name=one.connector,
        nouns=(),
        attendance_out="none",
        attendance_out_words=f"{one.connector} is switched off. To use it, enable its plugin.",
        schedule="only when it is switched on",
        next_run=None,
        conflicts_open=open_conflicts(connection).get(one.connector, 0),
        outgoing=attendance_out.status(connection, one.connector),
        **_standing(one),
    )


def _words(settings: Settings, name: str, connector: SisConnector) -> str:
    sync = settings.sync
    sending = name in sync.attendance_out
    return attendance_out.words(connector, name, sending=sending, delay_seconds=sync.attendance_delay_seconds)


def _standing(one: ConnectorStatus | None) -> dict[str, Any]:
    """What its runs tell of a connector; None for one that has never run."""
    if one is None:
        names = ("progress", "last_run", "last_success", "lag_seconds")
        return {"running": False, "dead_letters": 0, **dict.fromkeys(names)}
    return {
        "running": one.running,
        "progress": one.last if one.running else None,
        "last_run": one.last,
        "last_success": one.last_success,
        "lag_seconds": one.lag_seconds,
        "dead_letters": one.dead_letters,
    }
