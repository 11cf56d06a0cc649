"""What an administrator sees of a connector's queue: figures, and the marks that need a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeroom.attendance.records import day_text
from homeroom.attendance_out.queue import cursor_of
from homeroom.store import Connection
from homeroom.types import Status

_COUNTS = """
SELECT state, COUNT(*), MIN(waiting_since) FROM outgoing_marks
WHERE connector = ? AND state IN ('waiting', 'failed', 'differs') GROUP BY state
"""
_FIGURES = "SELECT sent, confirmed, left_out, last_sent_at FROM outgoing_queues WHERE connector = ?"
_STANDING = "SELECT error, retry_at FROM cursors WHERE consumer = ?"
_PROBLEMS = """
SELECT id, state, student_id, school_id, class_id, school_day, status, code, error, held, theirs, tries, version,
  waiting_since FROM outgoing_marks
WHERE connector = ? AND state IN ('failed', 'differs') AND id > ? ORDER BY id LIMIT ?
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingStatus:
    """One connector's queue. Moments are aware and in UTC.

    `waiting`, `failed` and `differs` count the marks that are so now; `sent` every mark that the SIS has ever taken,
    `confirmed` those of them that it was seen to hold, `left_out` new records of students or classes that it does not
    know. `paused_until` and `error` say why nothing is sent, where that is so.
    """

    waiting: int = 0
    sent: int = 0
    confirmed: int = 0
    failed: int = 0
    differs: int = 0
    left_out: int = 0
    oldest_waiting: datetime | None = None
    last_sent: datetime | None = None
    paused_until: datetime | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A mark that waits for a person. Ids are Homeroom's own; `class_id` None means the whole school day.

    `state` "failed": `reason` says why. "differs": somebody changed it in the SIS; `held` is what we wrote there last,
    `theirs` what is there now, both in the connector's words, and `status` and `code` what it should say from here.
    """

    id: str
    state: str
    student_id: str
    school_id: str
    class_id: str | None
    school_day: str
    status: Status | None
    code: str | None
    reason: str | None
    held: str | None
    theirs: str | None
    tries: int
    version: int
    since: datetime


def status(connection: Connection, connector: str) -> OutgoingStatus:
    """The figures of a connector's queue; zeros for one that has sent nothing yet."""
    counts = {row[0]: row[1:] for row in connection.sql(_COUNTS, (connector,))}
    sent, confirmed, left_out, last_sent = next(iter(connection.sql(_FIGURES, (connector,))), (0, 0, 0, None))
    error, paused = next(iter(connection.sql(_STANDING, (cursor_of(connector),))), (None, None))
    number = {state: row[0] for state, row in counts.items()}
    return OutgoingStatus(
        waiting=number.get("waiting", 0),
        sent=sent,
        confirmed=confirmed,
        failed=number.get("failed", 0),
        differs=number.get("differs", 0),
        left_out=left_out,
        oldest_waiting=_moment(counts["waiting"][1]) if "waiting" in counts else None,
        last_sent=_moment(last_sent),
        paused_until=_moment(paused),
        error=error,
    )


def problems(
    connection: Connection, connector: str, *, limit: int = 100, after: str | None = None
) -> tuple[list[Problem], str | None]:
    """The marks that need a person, by id, and the id after which the next page begins (None: there are no more)."""
    rows = connection.sql(_PROBLEMS, (connector, after or "", limit + 1))
    found = [_problem(row) for row in rows[:limit]]
    return found, found[-1].id if len(rows) > limit else None


def _problem(row: tuple[Any, ...]) -> Problem:
    return Problem(
        id=row[0],
        state=row[1],
        student_id=row[2],
        school_id=row[3],
        class_id=row[4],
        school_day=day_text(row[5]),
        status=row[6],
        code=row[7],
        reason=row[8],
        held=row[9],
        theirs=row[10],
        tries=row[11],
        version=row[12],
        since=datetime.fromisoformat(row[13]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
