"""Attendance in numbers: counters for classes and schools, an indexed count for a student, the counters' checker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from peewee import SQL

from homeroom.attendance.records import day_text
from homeroom.store import Connection, Transaction
from homeroom.store import models as m

_COUNTS = "present, tardy, absent, excused"
_CLASS = f"SELECT school_day, {_COUNTS} FROM attendance_counts WHERE class_id = ?"  # noqa: S608 - constants
_SUMS = ", ".join(f"CAST(SUM({name}) AS INTEGER)" for name in _COUNTS.split(", "))
_SCHOOL = f"SELECT school_day, {_SUMS} FROM attendance_counts WHERE school_id = ?"  # noqa: S608 - constants
_TALLY = ", ".join(
    f"CAST(SUM(CASE WHEN status = '{status}' THEN 1 ELSE 0 END) AS INTEGER)" for status in _COUNTS.split(", ")
)
_RECOUNT = (
    f"SELECT class_id, school_day, MAX(school_id), {_TALLY} FROM attendance_records "  # noqa: S608 - constants
    "GROUP BY class_id, school_day"
)

_SUMMARY = '"present":%d,"tardy":%d,"absent":%d,"excused":%d'
_DAY = f'{{"day":"%s",{_SUMMARY}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How many records have each status; `rate` is (present + tardy) / all four, None when there are none.

    `by_day` has a row (day, present, tardy, absent, excused) for every day with records, in order.
    """

    present: int
    tardy: int
    absent: int
    excused: int
    rate: float | None
    by_day: Sequence[tuple[Any, ...]]

    def json(self) -> bytes:
        """The figures as they are sent; written by hand, so that a year costs hardly more than a month."""
        days = ",".join([_DAY % row for row in self.by_day])
        share = "null" if self.rate is None else f"{self.rate:g}"
        sums = _SUMMARY % (self.present, self.tardy, self.absent, self.excused)
        return f'{{{sums},"rate":{share},"by_day":[{days}]}}'.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A class and day whose counters do not say what its records say."""

    class_id: str
    school_day: str
    counted: tuple[int, ...]
    recorded: tuple[int, ...]


def class_figures(connection: Connection, class_id: str, since: date | None, until: date | None) -> Figures:
    """A class's figures from `since` to `until`, both included, from the counters."""
    text, params = _between(_CLASS, class_id, since, until)
    return _figures(connection.sql(f"{text} ORDER BY school_day", params))


def school_figures(connection: Connection, school_id: str, since: date | None, until: date | None) -> Figures:
    """A school's figures from `since` to `until`, both included, from the counters of its classes."""
    text, params = _between(_SCHOOL, school_id, since, until)
    return _figures(connection.sql(f"{text} GROUP BY school_day ORDER BY school_day", params))


def student_figures(
    connection: Connection,
    student_id: str,
    since: date | None,
    until: date | None,
    *,
    class_id: str | None = None,
    within: Callable[[Any], Any] | None = None,
) -> Figures:
    """A student's figures from `since` to `until`, both included; only those of `class_id` where given.

    `within` gives the condition on the table of records that leaves what the caller may see (None: everything).
    """
    table = m.AttendanceRecord
    conditions = [table.student_id == student_id]
    if since is not None:
        conditions.append(table.school_day >= since)
    if until is not None:
        conditions.append(table.school_day <= until)
    if class_id is not None:
        conditions.append(table.class_id == class_id)
    if within is not None and (allowed := within(table)) is not None:
        conditions.append(allowed)
    query = table.select(table.school_day, SQL(_TALLY)).where(*conditions)
    query = query.group_by(table.school_day).order_by(table.school_day)
    # Raw rows: peewee's own conversion would cost more than the query.
    return _figures(connection.database.execute(query).fetchall())


def recount(connection: Connection) -> list[Drift]:
    """Every class and day whose counters differ from its records; empty when all is well."""
    recorded = {(row[0], day_text(row[1])): tuple(row[3:]) for row in connection.sql(_RECOUNT)}
    kept = {
        (row[0], day_text(row[1])): tuple(row[2:])
        for row in connection.sql(f"SELECT class_id, school_day, {_COUNTS} FROM attendance_counts")  # noqa: S608 - constants
    }
    none = (0, 0, 0, 0)
    return [
        Drift(class_id=key[0], school_day=key[1], counted=kept.get(key, none), recorded=recorded.get(key, none))
        for key in sorted(recorded.keys() | kept.keys())
        if kept.get(key, none) != recorded.get(key, none)
    ]


def rebuild(tx: Transaction) -> int:
    """Make all counters say what the records say; gives how many were wrong."""
    wrong = len(recount(tx))
    if wrong:
        tx.write_sql("DELETE FROM attendance_counts")
        tx.write_sql(f"INSERT INTO attendance_counts (class_id, school_day, school_id, {_COUNTS}) {_RECOUNT}")
    return wrong


def _between(text: str, key: str, since: date | None, until: date | None) -> tuple[str, list[Any]]:
    params: list[Any] = [key]
    for condition, day in ((" AND school_day >= ?", since), (" AND school_day <= ?", until)):
        if day is not None:
            text += condition
            params.append(day.isoformat())
    return text, params


def _figures(rows: Sequence[tuple[Any, ...]]) -> Figures:
    sums = [sum(column) for column in list(zip(*rows, strict=True))[1:]] or [0, 0, 0, 0]
    present, tardy, absent, excused = sums
    everything = present + tardy + absent + excused
    return Figures(
        present=present,
        tardy=tardy,
        absent=absent,
        excused=excused,
        rate=rate(present + tardy, everything),
        by_day=rows,
    )


def rate(came: int, everything: int) -> float | None:
    """The share of those who came, rounded to four places; None of nothing."""
    return round(came / everything, 4) if everything else None
