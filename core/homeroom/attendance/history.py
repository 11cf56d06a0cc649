"""What was known when: every version of a record, and lists of records as they are or as they were known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from peewee import Value

from homeroom.attendance.records import COLUMNS, Record, of_row, read, unsealed
from homeroom.store import Connection, iso, not_found
from homeroom.store import models as m

_R = m.AttendanceRecord
_V = m.AttendanceVersion
_VERSION_COLUMNS = (
    "version",
    "status",
    "code",
    "minutes_late",
    "needs_review",
    "origin",
    "recorded_by",
    "note",
    "reason",
    "valid_from",
    "valid_to",
)
"""What differs between the versions of a record; the rest is the record's own."""
_VERSIONS = (
    f"SELECT {', '.join(_VERSION_COLUMNS)} FROM attendance_versions WHERE record_id = ? "  # noqa: S608 - constants
    "ORDER BY version"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records. Days are included on both ends; `as_of` gives what was known at that moment.

    `within` is a function from a model with `class_id` and `student_id` to the condition that leaves what the caller
    may see, or to None. `after` is the id of the last record of the page before.
    """

    class_id: str | None = None
    student_id: str | None = None
    session_id: str | None = None
    status: str | None = None
    needs_review: bool | None = None
    since: date | None = None
    until: date | None = None
    as_of: datetime | None = None
    within: Any = None
    after: str | None = None
    limit: int = 100


def history_of(connection: Connection, record_id: str) -> list[Record]:
    """Every version of a record, the first one first, with who made it, when and why. Raises Refused 404."""
    now = read(connection, record_id)
    if now is None:
        raise not_found()
    versions = []
    for row in connection.sql(_VERSIONS, (record_id,)):
        values = dict(zip(_VERSION_COLUMNS, row, strict=True))
        values["needs_review"] = bool(values["needs_review"])
        versions.append(unsealed(connection, replace(now, evidence=[], **values)))
    return [*versions, now]


def as_of(connection: Connection, record_id: str, moment: datetime) -> Record | None:
    """The version of a record that was known at a moment, or None when there was none yet."""
    text = iso(moment)
    known = [version for version in history_of(connection, record_id) if version.valid_from <= text]
    return known[-1] if known else None


def records(connection: Connection, wanted: Wanted) -> tuple[list[Record], bool]:
    """The records that are wanted, in the order of their ids (which is that of time), and whether there are more."""
    queries = [_now(wanted)]
    if wanted.as_of is not None:
        queries += [_then(wanted, iso(wanted.as_of)), _taken_back(wanted, iso(wanted.as_of))]
    rows: list[Any] = []
    for query in queries:
        # Raw rows: peewee's own conversion would cost more than the query.
        rows += connection.database.execute(query.limit(wanted.limit + 1)).fetchall()
    # Each list is sorted and cut at the limit, so the first of both together are the first of all.
    found = sorted((of_row(row) for row in rows), key=lambda record: record.id)
    return [unsealed(connection, record) for record in found[: wanted.limit]], len(found) > wanted.limit


def _now(wanted: Wanted) -> Any:
    conditions = _conditions(_R, wanted)
    if wanted.as_of is not None:
        conditions.append(_R.valid_from <= wanted.as_of)
    query = _R.select(*(getattr(_R, name) for name in COLUMNS))
    return (query.where(*conditions) if conditions else query).order_by(_R.id)


def _then(wanted: Wanted, moment: str) -> Any:
    """The replaced versions that were known at a moment, with the columns of a record."""
    own = {name: getattr(_V, name) for name in _VERSION_COLUMNS if name in COLUMNS}
    columns = [own.get(name) or (Value("[]") if name == "evidence" else getattr(_R, name)) for name in COLUMNS]
    query = _V.select(*columns).join(_R, on=(_R.id == _V.record_id))
    query = query.where(_V.valid_from <= moment, _V.valid_to > moment, *_conditions(_V, wanted))
    return query.order_by(_R.id)


def _taken_back(wanted: Wanted, moment: str) -> Any:
    """The marks that were known at a moment and have no record any more, with the columns of a record."""
    session = m.ClassSession
    other: dict[str, Any] = {
        "id": _V.record_id,
        "school_id": session.school_id,
        "evidence": Value("[]"),
        "recorded_at": _V.valid_from,
        "client_id": Value(None),
        "occurred_at": Value(None),
    }
    columns = [other.get(name) or getattr(_V, name) for name in COLUMNS]
    query = _V.select(*columns).join(session, on=(session.id == _V.session_id))
    query = query.where(_V.record_id.not_in(_R.select(_R.id).where(_R.session_id == _V.session_id)))
    query = query.where(_V.valid_from <= moment, _V.valid_to > moment, *_conditions(_V, wanted, of=_V))
    return query.order_by(_V.record_id)


def _conditions(version: Any, wanted: Wanted, of: Any = _R) -> list[Any]:
    """`version` is the table that says what was marked; whose it is and when stands in `of`: the record."""
    key = _R.id if of is _R else of.record_id
    equal = (
        (of.class_id, wanted.class_id),
        (of.student_id, wanted.student_id),
        (of.session_id, wanted.session_id),
        (version.status, wanted.status),
        (version.needs_review, wanted.needs_review),
    )
    found = [column == value for column, value in equal if value is not None]
    if wanted.since is not None:
        found.append(of.school_day >= wanted.since)
    if wanted.until is not None:
        found.append(of.school_day <= wanted.until)
    if wanted.within is not None and (allowed := wanted.within(of)) is not None:
        found.append(allowed)
    if wanted.after is not None:
        found.append(key > wanted.after)
    return found
