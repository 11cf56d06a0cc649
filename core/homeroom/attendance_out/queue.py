"""From the journal to a connector's queue: the cursor moves in the transaction that keeps what the changes lead to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from homeroom.attendance_out.wishes import KINDS, Level, Wish, Wishes, wishes_of
from homeroom.live.tail import COLUMNS as EVENT
from homeroom.live.tail import event_of, newest
from homeroom.store import Connection, Store, Transaction, iso
from homeroom.store.bulk import select_in, upsert

UNIT = 250
"""Rows in one transaction at most, so that a check-in never waits for more."""

_LOOKED_AT = 5000  # rows of the journal in one look: a sync enters many that concern no mark
_PLACES = ", ".join("?" * len(KINDS))
_RELEVANT = f"SELECT {EVENT} FROM journal WHERE id > ? AND id <= ? AND kind IN ({_PLACES}) ORDER BY id LIMIT ?"  # noqa: S608 - constants
_POSITION = "SELECT position FROM cursors WHERE consumer = ?"
_BEGIN = "INSERT INTO cursors (consumer, position, failures) VALUES (?, ?, 0) ON CONFLICT (consumer) DO NOTHING"
_FIGURES = """
INSERT INTO outgoing_queues (connector, sent, confirmed, left_out) VALUES (?, 0, 0, 0)
ON CONFLICT (connector) DO NOTHING
"""
_MOVE = "UPDATE cursors SET position = ? WHERE consumer = ? AND position = ? RETURNING position"
_LEAVE_OUT = "UPDATE outgoing_queues SET left_out = left_out + ? WHERE connector = ?"
_KNOWN = "SELECT id FROM outgoing_marks WHERE id IN ({})"
_COLUMNS = (
    *("id", "connector", "student_id", "school_id", "class_id", "session_id", "school_day", "student_sourced_id"),
    *("school_sourced_id", "class_sourced_id", "enrollment_sourced_id", "periods", "starts_at", "status", "code"),
    *("minutes_late", "recorded_at", "wish", "version", "state", "waiting_since", "tries", "overwrite", "confirmed"),
)
_CHANGE = """
ON CONFLICT (id) DO UPDATE SET
  session_id = excluded.session_id, periods = excluded.periods, starts_at = excluded.starts_at,
  status = excluded.status, code = excluded.code, minutes_late = excluded.minutes_late,
  recorded_at = excluded.recorded_at, wish = excluded.wish, version = outgoing_marks.version + 1, state = 'waiting',
  waiting_since = CASE outgoing_marks.state WHEN 'waiting' THEN outgoing_marks.waiting_since
    ELSE excluded.waiting_since END,
  tries = CASE outgoing_marks.state WHEN 'waiting' THEN outgoing_marks.tries ELSE 0 END,
  retry_at = CASE outgoing_marks.state WHEN 'waiting' THEN outgoing_marks.retry_at END,
  error = CASE outgoing_marks.state WHEN 'waiting' THEN outgoing_marks.error END,
  theirs = NULL
WHERE outgoing_marks.wish <> excluded.wish
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What the journal says after `before`, up to `position`."""

    before: int
    position: int
    found: Wishes


def cursor_of(connector: str) -> str:
    """The name of a connector's cursor in the journal, and of the lease of its queue."""
    return f"attendance_out:{connector}"


def begin(tx: Transaction, connector: str) -> None:
    """Let a connector follow the journal from its end on; one that has begun before goes on where it was."""
    tx.write_sql(_BEGIN, (cursor_of(connector), newest(tx)))
    tx.write_sql(_FIGURES, (connector,))


async def follow(store: Store, connector: str, level: Level, *, weekdays: Collection[int]) -> None:
    """Take all that is new in the journal into the connector's queue, of which `begin` was called before.

    What was taken already changes nothing, and ten corrections of one mark leave one wish.
    """
    while True:
        look = await store.read(partial(_look, connector=connector, level=level, weekdays=weekdays))
        if look.position == look.before:
            return
        wishes = list(look.found.wishes)
        while len(wishes) > UNIT:
            await store.write(_put(connector, wishes[:UNIT]))
            del wishes[:UNIT]
        await store.write(_put(connector, wishes, look))


def _look(connection: Connection, *, connector: str, level: Level, weekdays: Collection[int]) -> _Look:
    before = int(connection.sql(_POSITION, (cursor_of(connector),))[0][0])
    until = min(newest(connection), before + _LOOKED_AT)
    events = [event_of(row) for row in connection.sql(_RELEVANT, (before, until, *KINDS, UNIT))]
    position = events[-1].id if len(events) == UNIT else until
    return _Look(
        before=before,
        position=position,
        found=wishes_of(connection, connector, level, events, weekdays=weekdays) if events else Wishes(),
    )


def _put(connector: str, wishes: Sequence[Wish], look: _Look | None = None) -> Callable[[Transaction], None]:
    """A unit that keeps wishes, and with `look` moves the cursor behind what they came from."""

    def unit(tx: Transaction) -> None:
        withdrawn = [wish.row_id(connector) for wish in wishes if wish.status is None]
        known = {row[0] for row in select_in(tx, _KNOWN, (), withdrawn)}
        now = iso(tx.now)
        rows = [
            _row(connector, wish, now)
            for wish in wishes
            if wish.status is not None or wish.row_id(connector) in known  # of what was never queued, nothing is there
        ]
        upsert(tx, "outgoing_marks", _COLUMNS, rows, on_conflict=_CHANGE)
        if look is not None and tx.write_sql(_MOVE, (look.position, cursor_of(connector), look.before)):
            tx.write_sql(_LEAVE_OUT, (look.found.left_out, connector))

    return unit


def _row(connector: str, wish: Wish, now: str) -> tuple[Any, ...]:
    return (
        *(
            wish.row_id(connector),
            connector,
            wish.student_id,
            wish.school_id,
            wish.class_id,
            wish.session_id,
            wish.school_day,
        ),
        *(wish.student, wish.school, wish.class_, wish.enrollment, orjson.dumps(wish.periods).decode()),
        *(wish.starts_at, wish.status, wish.code, wish.minutes_late, wish.recorded_at, wish.text),
        *(1, "waiting", now, 0, False, False),
    )
