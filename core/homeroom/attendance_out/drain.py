"""Emptying one connector's queue into its SIS, batch by batch; whatever goes wrong, nothing leaves the queue unsent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from homeroom.attendance_out.batches import settle, take
from homeroom.records import OutgoingMark, Pushed, SisConnector, SourceError
from homeroom.store import Connection, Store, iso, now_utc

log = structlog.get_logger("homeroom.attendance_out")

PUSH_SECONDS = 600.0  # for one batch; a connector's own requests end long before
# A mark that has waited since a moment to come was queued while the clock was wrong, and waits no longer for that.
_WORK = """
SELECT 1 FROM outgoing_writes WHERE connector = ? AND outcome IS NULL UNION ALL
SELECT 1 FROM outgoing_marks WHERE connector = ? AND state = 'waiting' AND (waiting_since <= ? OR waiting_since > ?)
  AND (retry_at IS NULL OR retry_at <= ?) LIMIT 1
"""
_NEXT = """
SELECT MIN(CASE WHEN retry_at IS NULL AND waiting_since > ? THEN waiting_since END),
  MIN(CASE WHEN retry_at > ? THEN retry_at END) FROM outgoing_marks WHERE connector = ? AND state = 'waiting'
"""


async def drain(
    store: Store,
    name: str,
    connector: SisConnector,
    *,
    delay: timedelta = timedelta(0),
    between: Callable[[], Awaitable[bool]] | None = None,
) -> datetime | None:
    """Send every mark that has waited for `delay` when this begins; gives when the next one is to be sent, if any.

    `between` is awaited after each batch (to take in what was corrected meanwhile) and says whether to go on. Raises
    SourceError when the SIS takes no marks now.
    """
    now = now_utc()
    until = now - delay
    if not await store.read(lambda c: c.sql(_WORK, (name, name, iso(until), iso(now), iso(now)))):
        return await store.read(lambda c: _next(c, name, now, delay))
    while batch := await store.write(take(name, until)):
        answers, trouble = await _push(name, connector, batch)
        answered = {answer.key: answer for answer in answers}
        told = [mark for mark in batch if mark.key in answered] if trouble is not None else batch
        stuck = await store.write(settle(name, told, answered)) if told else None
        if trouble is None and stuck is not None:
            trouble = SourceError(stuck, retry=True)
        if trouble is not None:
            raise trouble
        if between is not None and not await between():
            break
    return await store.read(lambda c: _next(c, name, now, delay))


def _next(connection: Connection, name: str, now: datetime, delay: timedelta) -> datetime | None:
    """When the next mark is due that was not due at `now`; None when none is."""
    fresh, again = connection.sql(_NEXT, (iso(now - delay), iso(now), name))[0]
    moments = [datetime.fromisoformat(fresh) + delay] if fresh else []
    if again:
        moments.append(datetime.fromisoformat(again))
    return min(moments, default=None)


async def _push(
    name: str, connector: SisConnector, batch: Sequence[OutgoingMark]
) -> tuple[Sequence[Pushed], SourceError | None]:
    """The answers that came, and why there are no more.

    A connector that stumbles over one mark is given them one by one, so that only that one is left. One that stumbles
    over all of them takes none for now, and still each was tried: else a mark that it can never take would be sent
    alone for ever, and every other one would wait behind it.
    """
    try:
        return await _asked(connector, batch), None
    except SourceError as exc:
        return (), exc
    except Exception as exc:  # noqa: BLE001 - a connector may raise anything, and its words may hold personal data
        log.error("attendance_out_failed", connector=name, error=type(exc).__name__)
        failed = SourceError(f"The connector failed ({type(exc).__name__}).", retry=True)
    answers: list[Pushed] = []
    stumbled: list[Pushed] = []
    for mark in batch:
        try:
            answers += await _asked(connector, [mark])
        except SourceError as exc:
            return answers, exc
        except Exception as exc:  # noqa: BLE001 - as above
            reason = f"The connector failed at this mark ({type(exc).__name__})."
            stumbled.append(Pushed(key=mark.key, error=reason, retry=True))
    return (*answers, *stumbled), None if answers else failed


async def _asked(connector: SisConnector, marks: Sequence[OutgoingMark]) -> Sequence[Pushed]:
    try:
        async with asyncio.timeout(PUSH_SECONDS):
            return await connector.push(marks)
    except TimeoutError:
        raise SourceError("The SIS gave no answer in ten minutes.", retry=True) from None
