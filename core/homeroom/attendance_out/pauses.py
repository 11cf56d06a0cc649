"""When a connector's queue stands still, and for how long."""

from __future__ import annotations

from datetime import timedelta

import structlog

from homeroom.attendance_out.queue import cursor_of
from homeroom.records import SourceError
from homeroom.store import Store, Transaction, iso

log = structlog.get_logger("homeroom.attendance_out")

_FIRST_PAUSE = 5.0
LONGEST_PAUSE = 900.0
"""Seconds; also between two tries of a mark while nothing at all gets through."""
_LONGEST_ASKED = 6 * 3600.0  # a SIS that asks for more is asked again all the same

_PAUSE = "UPDATE cursors SET failures = failures + 1, error = ?, retry_at = ? WHERE consumer = ?"
_GO_ON = """
UPDATE cursors SET failures = 0, error = NULL, retry_at = NULL WHERE consumer = ?
"""


async def pause(store: Store, name: str, trouble: SourceError) -> None:
    """Let a connector's queue stand still for as long as its SIS asked, else a little longer after each failure."""
    log.warning("attendance_out_paused", connector=name, error=str(trouble))

    def unit(tx: Transaction) -> None:
        rows = tx.sql("SELECT failures FROM cursors WHERE consumer = ?", (cursor_of(name),))
        wait = min(_FIRST_PAUSE * 2.0 ** min(rows[0][0], 10), LONGEST_PAUSE)
        if trouble.retry_after is not None:
            wait = min(max(trouble.retry_after, 0.0), _LONGEST_ASKED)
        tx.write_sql(_PAUSE, (str(trouble), iso(tx.now + timedelta(seconds=wait)), cursor_of(name)))

    await store.write(unit)


def go_on(tx: Transaction, name: str) -> None:
    """End a pause: the SIS has answered, or a person wants it tried now."""
    tx.write_sql(_GO_ON, (cursor_of(name),))
