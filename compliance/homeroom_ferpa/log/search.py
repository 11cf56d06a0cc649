"""Looking into the log: reads and changes, the newest first, by who, whose record, what, when and on which ground.

A search never reads more than a bounded number of rows; where nothing narrows it by an index it says how far it came,
and goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import orjson

from homeroom import Connection
from homeroom_ferpa.log import finding
from homeroom_ferpa.log.rows import AUDIT, JOURNAL, SOURCES, text_of

Of = Literal["reads", "changes"]
FAR = 200_000
"""How many rows are looked through at most, where no index narrows a search."""

_SOURCE: dict[str, int] = {"reads": AUDIT, "changes": JOURNAL}
_INDEX: dict[str, finding.Index] = {"reads": finding.READS, "changes": finding.EVENTS}
_SLACK = timedelta(minutes=1)  # by so much times may stand out of the ids' order
_SHOWN_STUDENTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for; None asks for nothing. Days are the district's, both included."""

    of: Of = "reads"
    actor: str | None = None
    student_id: str | None = None
    action: str | None = None
    kind: str | None = None
    basis: str | None = None
    since: date | None = None
    until: date | None = None
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of rows, and the id before which the next page begins (None: there are no more)."""

    rows: list[dict[str, Any]]
    before: int | None


def search(connection: Connection, wanted: Wanted, zone: str) -> Found:
    """The rows that are wanted, the newest first. `zone` is the district's."""
    with connection.snapshot():
        source = SOURCES[_SOURCE[wanted.of]]
        first, end = _bounds(connection, source.table, wanted, zone)
        where, params = _conditions(wanted, zone)
        far = first
        if not _is_narrow(wanted) or (wanted.student_id and end - _INDEX[wanted.of].upto(connection) > FAR):
            far = max(first, end - FAR)
        rows = _rows(connection, wanted, where, params, (far, end))
        if len(rows) > wanted.limit:
            rows = rows[: wanted.limit]
            return Found(rows=rows, before=rows[-1]["id"])
        return Found(rows=rows, before=far if far > first else None)


def one(connection: Connection, of: Of, row_id: int) -> tuple[dict[str, Any], bytes] | None:
    """A row as people see it, and the bytes that stand for it in the log; None when it is not there."""
    source = SOURCES[_SOURCE[of]]
    rows = source.after(connection, row_id - 1, 1, row_id)
    if not rows:
        return None
    return _shown(connection, of, dict(zip((*source.columns, *source.later), rows[0], strict=True))), source.leaf(
        rows[0]
    )


def _bounds(connection: Connection, table: str, wanted: Wanted, zone: str) -> tuple[int, int]:
    """The first id that may fit, and the one at which the page begins, itself not included."""
    low, high = connection.sql(f"SELECT min(id), max(id) FROM {table}")[0]  # noqa: S608 - a constant
    low, end = low or 0, (high or 0) + 1
    if wanted.since is not None:
        low = _first_at(connection, table, _moment(wanted.since, zone) - _SLACK, low, end)
    if wanted.until is not None:
        end = _first_at(connection, table, _moment(wanted.until + timedelta(days=1), zone) + _SLACK, low, end)
    return low, end if wanted.before is None else min(end, wanted.before)


def _first_at(connection: Connection, table: str, moment: datetime, low: int, end: int) -> int:
    """The first id of that moment or later: ids grow with time, so it is found by halves and needs no index."""
    at = text_of(moment)
    text = f"SELECT id, at FROM {table} WHERE id >= ? ORDER BY id LIMIT 1"  # noqa: S608 - a constant
    while low < end:
        middle = (low + end) // 2
        rows = connection.sql(text, (middle,))
        if not rows or rows[0][1] >= at:
            end = middle
        else:
            low = rows[0][0] + 1
    return low


def _moment(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone))


def _is_narrow(wanted: Wanted) -> bool:
    """Whether an index leads to the rows."""
    if wanted.student_id is not None:
        return True
    return wanted.of == "reads" and (
        wanted.actor is not None or wanted.action is not None or wanted.kind not in (None, "read")
    )


def _conditions(wanted: Wanted, zone: str) -> tuple[str, list[Any]]:
    """What the rows must fulfil beyond their ids and their student."""
    actor, action = ("actor", "action") if wanted.of == "reads" else ("actor_id", "purpose")
    said: list[tuple[str, Any]] = [
        (f"r.{actor} = ?", wanted.actor),
        (f"r.{action} = ?", wanted.action),
        ("r.kind = ?", wanted.kind),
        ("r.at >= ?", wanted.since and text_of(_moment(wanted.since, zone))),
        ("r.at < ?", wanted.until and text_of(_moment(wanted.until + timedelta(days=1), zone))),
    ]
    if wanted.kind not in (None, "read") and wanted.of == "reads":
        said.append(("r.kind <> 'read' AND ? = 1", 1))  # so that the partial index is used
    where = [text for text, value in said if value is not None]
    params = [value for _, value in said if value is not None]
    if wanted.basis is not None:
        where.append("(r.basis = ? OR substr(r.basis, 1, ?) = ?)")  # a ground alone, or one with what it rests on
        params += [wanted.basis, len(wanted.basis) + 1, f"{wanted.basis}:"]
    return "".join(f" AND {one}" for one in where), params


def _rows(
    connection: Connection, wanted: Wanted, where: str, params: list[Any], ids: tuple[int, int]
) -> list[dict[str, Any]]:
    """One row more than a page at most, of ids from the first of `ids` to the second, that one not included."""
    source, most = SOURCES[_SOURCE[wanted.of]], wanted.limit + 1
    names = (*source.columns, *source.later)
    columns = ", ".join(f"r.{name}" for name in names)
    plain = f"SELECT {columns} FROM {source.table} r WHERE r.id >= ? AND r.id < ?{where}"  # noqa: S608 - constants
    newest = " ORDER BY r.id DESC LIMIT ?"
    student = wanted.student_id
    if student is None:
        rows = connection.sql(f"{plain}{newest}", (*ids, *params, most))
    else:
        low, end = ids
        index = _INDEX[wanted.of]
        seen = index.upto(connection) + 1
        named, naming = _naming(wanted.of, student)
        rows = connection.sql(f"{plain}{named}{newest}", (max(low, seen), end, *params, *naming, most))
        if len(rows) < most:
            text = (
                f"SELECT {columns} FROM {index.table} s JOIN {source.table} r ON r.id = s.{index.column} "  # noqa: S608 - constants
                f"WHERE s.student_id = ? AND s.{index.column} >= ? AND s.{index.column} < ?{where} "
                f"ORDER BY s.{index.column} DESC LIMIT ?"
            )
            rows = [*rows, *connection.sql(text, (student, low, min(end, seen), *params, most - len(rows)))]
        if wanted.of == "changes":
            rows += connection.sql(f"{plain} AND r.student_id = ?{newest}", (*ids, *params, student, most))
            rows = sorted(rows, key=lambda row: row[0], reverse=True)[:most]
    return [_shown(connection, wanted.of, dict(zip(names, row, strict=True))) for row in rows]


def _naming(of: Of, student: str) -> tuple[str, list[Any]]:
    """The condition that a row names a student in a list, for rows that no index holds yet."""
    pattern = f"%{_as_pattern(student)}%"
    if of == "reads":
        return " AND r.student_ids LIKE ? ESCAPE '\\'", [pattern]
    marks = ", ".join("?" * len(finding.LISTS))
    text = f" AND r.kind IN ({marks}) AND r.data LIKE ? ESCAPE '\\' AND (r.student_id IS NULL OR r.student_id <> ?)"
    return text, [*finding.LISTS, pattern, student]


def _as_pattern(student: str) -> str:
    """The id as it stands in a JSON list, for LIKE."""
    text = orjson.dumps(student).decode()
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _shown(connection: Connection, of: Of, row: dict[str, Any]) -> dict[str, Any]:
    """A row in one form for both sources; of many students the first are named, and all are counted."""
    reads = of == "reads"
    students = orjson.loads(row["student_ids"]) if reads else _students_of(row)
    actor = row["actor"] if reads else row["actor_id"]
    return {
        "of": of,
        "id": row["id"],
        "at": row["at"],
        "kind": row["kind"],
        "actor": actor,
        "actor_name": _name(connection, actor),
        "action": row["action"] if reads else row["purpose"],
        "basis": row["basis"],
        "student_ids": list(students[:_SHOWN_STUDENTS]),
        "students": len(students),
        "class_id": row["class_id"],
        "subject_id": None if reads else row["subject_id"],
        "recipient": row["recipient"] if reads else None,
        "fields": orjson.loads(row["fields"]) if reads else [],
        "rows": row["rows"] if reads else None,
        "reason": row["reason"] if reads else None,
        "request_id": row["request_id"],
        "credential": row["credential"] if reads else None,
        "data": None if reads else row["data"],
    }


def _students_of(row: dict[str, Any]) -> Sequence[str]:
    """Whom a change is about: one student, or those whom it lists."""
    return [row["student_id"]] if row["student_id"] else finding.listed(row["kind"], row["data"])


def _name(connection: Connection, person: str | None) -> str | None:
    """What somebody of the district is called; None for an API key and for whoever was erased."""
    text = "SELECT given_name, family_name FROM users WHERE id = ? AND sort_name <> '~erased'"
    rows = connection.sql(text, (person,)) if person else []
    return " ".join(filter(None, rows[0])) if rows else None
