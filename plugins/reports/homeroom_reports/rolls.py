"""Rolls that were not taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from homeroom import Connection, Roll, School, Services
from homeroom_reports.answers import MissingRoll, RollDay
from homeroom_reports.asked import Whose
from homeroom_reports.settings import ReportsSettings

COLUMNS = ("day", "school_id", "school", "class_id", "title", "state", "session_id", "starts_at")

Found = Sequence[tuple[School, Roll]]


def find(
    services: Services,
    connection: Connection,
    wanted: Whose,
    settings: ReportsSettings,
    *,
    since: date,
    until: date,
    now: datetime,
) -> Found:
    """Every roll that was to be taken, with its school."""
    figures = services.figures
    return [
        (school, roll)
        for school in wanted.schools
        for roll in figures.rolls(
            connection,
            school,
            figures.school_days(connection, school, since, min(until, school.today)),
            now=now,
            open_for=timedelta(hours=settings.left_open_hours),
            class_ids=wanted.class_ids,
            homerooms=settings.rolls_of_homerooms,
        )
    ]


def by_day(found: Found) -> list[RollDay]:
    """How many of each, the newest day first."""
    counts: dict[date, Counter[str]] = {}
    for _, roll in found:
        counts.setdefault(roll.school_day, Counter())[roll.state] += 1
    return [
        RollDay(
            day=day,
            expected=sum(states.values()),
            taken=states["taken"],
            under_way=states["under_way"],
            left_open=states["open"],
            none=states["none"],
        )
        for day, states in sorted(counts.items(), reverse=True)
    ]


def missing(found: Found) -> list[MissingRoll]:
    """Those that were not taken, the newest day first."""
    items = [
        MissingRoll(
            school_id=school.id,
            school=school.name,
            day=roll.school_day,
            class_id=roll.class_id,
            title=roll.title,
            state=roll.state,
            session_id=roll.session_id,
            starts_at=roll.starts_at,
        )
        for school, roll in found
        if roll.state in {"open", "none"}
    ]
    return sorted(items, key=lambda one: (-one.day.toordinal(), one.school, one.school_id, one.title, one.class_id))
