"""Chronic absence by school and grade, as it may be published, and the tables that were."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from homeroom import Connection, Refused, Services, Transaction
from homeroom_ferpa.reports.settings import ReportsSettings
from homeroom_ferpa.reports.suppression import Counts, Key, Shown, suppressed

MEASURE = "chronic_absence"
_UNKNOWN = "unknown"
_YEAR_BEGINS = (7, 1)

_CHRONIC_IN = 10
"""Chronic is one day missed in so many enrolled, for whatever reason (US Department of Education, EDFacts FS195)."""

_COLUMNS = "number, since, until, small_cell, review, cells, published_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A table as it was published; it never changes."""

    number: int
    since: str
    until: str
    small_cell: int
    review: str
    cells: Mapping[Key, Shown]
    published_at: str

    def as_json(self) -> dict[str, Any]:
        """The table for machines; a figure that is null is hidden."""
        rows = [
            {"school": school, "grade": grade, "students": one.students, "chronically_absent": one.counted}
            for (school, grade), one in self.cells.items()
        ]
        about = {"number": self.number, "measure": MEASURE, "since": self.since, "until": self.until}
        return about | {
            "small_cell": self.small_cell,
            "review": self.review,
            "published_at": self.published_at,
            "cells": rows,
        }


def count(
    connection: Connection, services: Services, since: date, until: date, *, minimum_days: int
) -> dict[Key, Counts]:
    """The truth: students who were enrolled long enough, and those who missed a tenth of their days or more.

    What a day is worth is the school's own day rule, and the days are those that its calendar holds school on.
    """
    found: dict[Key, Counts] = {}
    schools = services.figures.schools(connection, None, now=services.clock.now())
    names = Counter(school.name for school in schools)
    for school in schools:
        days = services.figures.school_days(connection, school, since, until)
        name = school.name if names[school.name] == 1 else f"{school.name} ({school.id})"
        for alike in services.figures.totals(connection, school, days):
            if alike.enrolled >= minimum_days:
                key = name, alike.grade or _UNKNOWN
                before = found.get(key, Counts(0, 0))
                chronic = alike.students if alike.missed * _CHRONIC_IN >= alike.enrolled else 0
                found[key] = Counts(before.students + alike.students, before.counted + chronic)
    return found


async def publish(services: Services, settings: ReportsSettings, since: date, until: date) -> Published:
    """The table of these days: the one that was published, else a new one, which is kept.

    Raises Refused: no review of re-identification is on file, the days are not over, or another table shares some.
    """
    if not settings.review:
        raise Refused(409, "no-review", "Set plugins.ferpa.reports.review: where the re-identification review is kept.")
    if not since <= until < services.today():
        raise Refused(422, "days", "Figures are of days that are over, the first one first.")
    for table in await services.store.read(published):
        if (table.since, table.until) == (since.isoformat(), until.isoformat()):
            return table
    counted = partial(count, services=services, since=since, until=until, minimum_days=settings.minimum_days)
    truth = await services.store.read(counted)
    return await services.store.submit(lambda tx: _publish(tx, settings, since, until, truth))


def _publish(
    tx: Transaction, settings: ReportsSettings, since: date, until: date, truth: Mapping[Key, Counts]
) -> Published:
    tables = published(tx)
    first, last = since.isoformat(), until.isoformat()
    for table in tables:
        if (table.since, table.until) == (first, last):
            return table
        if table.since <= last and first <= table.until:
            raise Refused(
                409,
                "overlaps",
                f"Table {table.number} has figures of {table.since} to {table.until}. Another one of some of these "
                "days could be subtracted from it; choose days that no table has.",
            )
    year = school_year(since)
    earlier = [table.cells for table in tables if school_year(date.fromisoformat(table.since)) == year]
    cells = suppressed(truth, settings.small_cell, earlier) if truth else None
    if cells is None:
        raise Refused(409, "too-little", "Nothing of these days can be shown without telling of single students.")
    number = max((table.number for table in tables), default=0) + 1
    text = json.dumps([[*key, one.students, one.counted] for key, one in cells.items()])
    new = (number, first, last, settings.small_cell, settings.review, text, tx.now.isoformat(timespec="seconds"))
    taken = tx.write_sql(
        f"INSERT INTO ferpa_figures ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",  # noqa: S608 - constants
        new,
    )
    if not taken:
        raise Refused(409, "at-once", "Somebody else publishes figures at this moment; ask again.")
    tx.journal("compliance.figures_published", data={"number": number, "since": first, "until": last})
    return _table(new)


def published(connection: Connection) -> list[Published]:
    """Every table that was published, the oldest first."""
    return [_table(row) for row in connection.sql(f"SELECT {_COLUMNS} FROM ferpa_figures ORDER BY number")]  # noqa: S608 - constants


def school_year(day: date) -> int:
    """The year in which a day's school year began, on the first of July."""
    return day.year if (day.month, day.day) >= _YEAR_BEGINS else day.year - 1


def _table(row: tuple[Any, ...]) -> Published:
    number, since, until, small_cell, review, cells, at = row
    found = {(school, grade): Shown(students, counted) for school, grade, students, counted in json.loads(cells)}
    return Published(
        number=int(number),
        since=since,
        until=until,
        small_cell=int(small_cell),
        review=review,
        cells=found,
        published_at=at,
    )
