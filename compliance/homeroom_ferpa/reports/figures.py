"""Chronic absence by school and grade, as it may be published, and the tables that were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from homeroom import Connection, Refused, Services, Transaction
from homeroom_ferpa.reports.settings import ReportsSettings
from homeroom_ferpa.reports.suppression import Counts, Key, Shown, suppressed

MEASURE = "chronic_absence"
_UNKNOWN = "unknown"
_YEAR_BEGINS = (7, 1)

_COUNT = """
SELECT o.name, o.id, u.grades, COUNT(*), SUM(CASE WHEN r.missed * 10 >= r.marks THEN 1 ELSE 0 END)
FROM (
    SELECT school_id, student_id, COUNT(*) AS marks,
        SUM(CASE WHEN status IN ('absent', 'excused') THEN 1 ELSE 0 END) AS missed
    FROM attendance_records WHERE school_day >= ? AND school_day <= ? GROUP BY school_id, student_id
) r JOIN users u ON u.id = r.student_id JOIN orgs o ON o.id = r.school_id
GROUP BY o.name, o.id, u.grades
"""
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


def count(connection: Connection, since: date, until: date) -> dict[Key, Counts]:
    """The truth: students with marks in these days, and those who missed a tenth of theirs or more."""
    found: dict[Key, Counts] = {}
    names: dict[str, set[str]] = {}
    rows = connection.sql(_COUNT, (since.isoformat(), until.isoformat()))
    for name, school_id, *_ in rows:
        names.setdefault(name, set()).add(school_id)
    for name, school_id, grades, students, missing in rows:
        school = name if len(names[name]) == 1 else f"{name} ({school_id})"
        key = school, str(next(iter(json.loads(grades or "[]")), _UNKNOWN))
        before = found.get(key, Counts(0, 0))
        found[key] = Counts(before.students + int(students), before.counted + int(missing))
    return found


async def publish(services: Services, settings: ReportsSettings, since: date, until: date) -> Published:
    """The table of these days: the one that was published, else a new one, which is kept.

    Raises Refused: no review of re-identification is on file, the days are not over, or another table shares some.
    """
    if not settings.review:
        raise Refused(409, "no-review", "Set plugins.ferpa.reports.review: where the re-identification review is kept.")
    if not since <= until < services.today():
        raise Refused(422, "days", "Figures are of days that are over, the first one first.")
    return await services.store.submit(lambda tx: _publish(tx, settings, since, until))


def _publish(tx: Transaction, settings: ReportsSettings, since: date, until: date) -> Published:
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
    truth = count(tx, since, until)
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
