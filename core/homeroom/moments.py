"""Moments that were reckoned while a clock was ahead: whatever waits for one would wait for as long as it was wrong.

What families are told has its own, in `homeroom.notify.clocks`, for there a wait is kept and not cut.
"""

from __future__ import annotations

import time
from datetime import timedelta

from homeroom.store import Store, Transaction, iso

_APART = timedelta(minutes=1)
"""How far the clocks of two hosts may be apart, so that neither puts right what the other wrote."""

_NOW = timedelta(0)
_RENEWED = timedelta(seconds=90)  # whoever lives has renewed a lease by then
_FURTHEST = (
    ("leases", "until", timedelta(minutes=5), _RENEWED),
    ("sync_schedules", "served_at", _NOW, _NOW),
    ("sync_schedules", "retry_at", timedelta(hours=1), _NOW),
    ("sync_hints", "hinted_at", _NOW, _NOW),
    ("sync_tasks", "claimed_at", _NOW, _NOW),
)
"""How far ahead a column may lie at most, and where one that lies further is put, both counted from now."""

_CURSORS = "UPDATE cursors SET retry_at = ? WHERE retry_at > ? AND consumer LIKE ?"
_CURSORS_WAIT = (("consume:%", timedelta(minutes=5)), ("%", timedelta(hours=6)))
_MARKS = """
UPDATE outgoing_marks SET retry_at = ?
WHERE connector IN (SELECT connector FROM outgoing_queues) AND state = 'waiting' AND retry_at > ?
"""
_MARKS_WAIT = timedelta(hours=1)


def put_right(tx: Transaction) -> None:
    """Bring each moment that lies further ahead than it can have been meant to back to where it may have been."""
    for table, column, furthest, instead in _FURTHEST:
        text = f"UPDATE {table} SET {column} = ? WHERE {column} > ?"  # noqa: S608 - our own names
        tx.write_sql(text, (iso(tx.now + instead), iso(tx.now + furthest + _APART)))
    for consumers, furthest in _CURSORS_WAIT:
        tx.write_sql(_CURSORS, (iso(tx.now), iso(tx.now + furthest + _APART), consumers))
    tx.write_sql(_MARKS, (iso(tx.now), iso(tx.now + _MARKS_WAIT + _APART)))


class WallClock:
    """Notices that the machine's clock was set back, by the one that only goes on."""

    def __init__(self) -> None:
        self._ahead: float | None = None

    async def look(self, store: Store) -> None:
        """Put moments right if it was since the last look, and at the first look, for who knows."""
        ahead = time.time() - time.monotonic()
        if self._ahead is None or ahead < self._ahead - 1:
            await store.write(put_right)
        self._ahead = ahead
