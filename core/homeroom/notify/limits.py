"""How far each school has used up what it may send in a day, and what waits because of it: for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from homeroom.notify.schools import Schools
from homeroom.settings import NotifySettings, Settings
from homeroom.store import Connection
from homeroom.store import models as m

_OF_DAY = """
SELECT channel, sent, segments, cost, extra, alarmed_at FROM notification_counts WHERE school_id = ? AND day = ?
"""
_HELD = """
SELECT channel, COUNT(*) FROM notifications WHERE school_id = ? AND state = 'held' AND reason = 'limit' GROUP BY channel
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """One channel of a school's day. `reached_at` is when the limit was reached, None while it is not."""

    channel: str
    sent: int = 0
    segments: int = 0
    cost: float = 0.0
    limit: int
    most_cost: float | None
    let_through: int = 0
    held: int = 0
    reached_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolDay:
    """A school's day, channel by channel."""

    school_id: str
    school: str
    day: date
    channels: Sequence[Used]


def standing(connection: Connection, settings: Settings, *, within: Any, now: datetime) -> list[SchoolDay]:
    """Every school by name, of those whose ids `within` selects (None: all), on its own date."""
    org, schools = m.Org, Schools(connection, settings)
    query = org.select().where(org.kind == "school", ~org.ended).order_by(org.name, org.id)
    if within is not None:
        query = query.where(org.id.in_(within))
    found: list[SchoolDay] = []
    for row in connection.all(query):
        day = schools[row.id].today(now)
        used = _used(connection, settings.notify, row.id, day)
        found.append(SchoolDay(school_id=row.id, school=row.name, day=day, channels=used))
    return found


def _used(connection: Connection, settings: NotifySettings, school_id: str, day: date) -> list[Used]:
    counts = {row[0]: row[1:] for row in connection.sql(_OF_DAY, (school_id, day.isoformat()))}
    held: dict[str, int] = dict(connection.sql(_HELD, (school_id,)))
    used: list[Used] = []
    for channel in dict.fromkeys((*settings.channels, *counts, *filter(None, held))):
        sent, segments, cost, extra, reached_at = counts.get(channel, (0, 0, 0.0, 0, None))
        one = Used(
            channel=channel,
            sent=sent,
            segments=segments,
            cost=cost,
            limit=settings.school_day_limit + extra,
            most_cost=settings.school_day_cost if settings.costs.get(channel) else None,
            let_through=extra,
            held=held.get(channel, 0),
            reached_at=reached_at,
        )
        used.append(one)
    return used
