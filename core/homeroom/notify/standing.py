"""A message and its attempts as they stand in the outbox, and the few ways in which they move on.

What is known of an attempt only grows (`learn`), whoever tells it: the vendor's answer, its report, or its answer to a
question. So it does not matter in which order these come, nor how often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import orjson

from homeroom.store import Transaction, iso
from homeroom.types import DeliveryReport, Receipt

Outcome = Literal["retry", "not_sent", "accepted", "refused", "failed", "delivered"]
"""What became of an attempt. "refused" was never taken, "failed" was taken and did not arrive."""

TAKEN = ("accepted", "delivered")
FOR_GOOD = ("refused", "failed")
UNTAKEN = ("retry", "not_sent", "refused")
OPEN = ("sending", "unknown")

_WEIGHT: Mapping[str | None, int] = {
    None: 0,
    "retry": 1,
    "not_sent": 1,
    "accepted": 2,
    "refused": 3,
    "failed": 3,
    "delivered": 4,
}
_LONGEST = 200  # characters of a vendor's own words and codes
_FIRST_RETRY = timedelta(seconds=30)
_LONGEST_RETRY = timedelta(minutes=15)

_READ = """
SELECT state, attempts, tries, channels, school_id, student_id, expires_at, started_at, segments
FROM notifications WHERE id = ?
"""
_ATTEMPTS = """
SELECT number, channel, contact_id, started_at, plugin, provider_id, outcome FROM notification_attempts
WHERE message_id = ? ORDER BY number DESC
"""
_LEARN = """
UPDATE notification_attempts SET answered_at = ?, plugin = COALESCE(plugin, ?), provider_id = COALESCE(provider_id, ?),
  outcome = ?, reason = ?, code = ? WHERE message_id = ? AND number = ?
"""
_FILL_IN = """
UPDATE notification_attempts SET plugin = COALESCE(plugin, ?), provider_id = COALESCE(provider_id, ?)
WHERE message_id = ? AND number = ?
"""
_FILL_IN_SENT = """
UPDATE notifications SET plugin = COALESCE(plugin, ?), provider_id = COALESCE(provider_id, ?),
  segments = COALESCE(?, segments) WHERE id = ? AND attempts = ? AND state IN ('accepted', 'delivered')
"""
_SENT = """
UPDATE notifications SET state = ?, channel = ?, contact_id = ?, plugin = ?, provider_id = ?,
  segments = COALESCE(?, segments), reason = ?, code = ?, changed_at = ? WHERE id = ?
"""
_ENDED = "UPDATE notifications SET state = ?, reason = ?, code = ?, changed_at = ? WHERE id = ?"
_AGAIN = """
UPDATE notifications SET state = 'waiting', due_at = ?, channels = ?, channel = ?, reason = ?, code = ?, tries = ?,
  holder = NULL, changed_at = ? WHERE id = ?
"""
_UNCLAIM = """
UPDATE notifications SET state = 'waiting', holder = NULL, due_at = ?, attempts = attempts - 1, tries = tries - 1,
  changed_at = ? WHERE id = ? AND state = 'sending' AND started_at IS NULL
"""
_UNKNOWN = """
UPDATE notifications SET state = 'unknown', asked = 0, reason = ?, code = NULL, due_at = ?, changed_at = ?
WHERE id = ? AND state = 'sending' RETURNING student_id
"""
_FORGET = "DELETE FROM notification_attempts WHERE message_id = ? AND number = ?"
_ONE_LESS = "UPDATE notifications SET attempts = attempts - 1 WHERE id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A message as it stands. `channels` are those still to be tried, `is_claimed` that nothing of it has left yet."""

    id: str
    state: str
    attempts: int
    tries: int
    channels: list[str]
    school_id: str
    student_id: str | None
    expires_at: datetime
    started_at: datetime | None
    segments: int | None

    @property
    def is_claimed(self) -> bool:
        """Whether it was only chosen to be sent: its attempt has not begun."""
        return self.state == "sending" and self.started_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt, with what is known of it."""

    number: int
    channel: str
    contact_id: str | None
    started_at: datetime
    plugin: str | None
    provider_id: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What somebody tells of an attempt."""

    outcome: Outcome
    plugin: str | None
    provider_id: str | None = None
    reason: str | None = None
    code: str | None = None
    segments: int | None = None


def news_of(told: Receipt | DeliveryReport, plugin: str | None) -> News:
    """What a receipt or report tells; whatever is not among the states is a reason to try again."""
    return News(
        outcome=told.state if told.state in _WEIGHT else "retry",
        plugin=plugin,
        provider_id=told.provider_id,
        reason=told.reason[:_LONGEST] or None,
        code=None if told.code is None else told.code[:_LONGEST],
        segments=told.segments if isinstance(told, Receipt) else None,
    )


def standing_of(tx: Transaction, message_id: str) -> Standing | None:
    """The message as it stands now."""
    rows = tx.sql(_READ, (message_id,))
    if not rows:
        return None
    state, attempts, tries, channels, school_id, student_id, expires_at, started_at, segments = rows[0]
    return Standing(
        id=message_id,
        state=state,
        attempts=attempts,
        tries=tries,
        channels=orjson.loads(channels),
        school_id=school_id,
        student_id=student_id,
        expires_at=datetime.fromisoformat(expires_at),
        started_at=None if started_at is None else datetime.fromisoformat(started_at),
        segments=segments,
    )


def attempts_of(tx: Transaction, message_id: str) -> list[Attempt]:
    """Every attempt of a message that has begun, the latest first."""
    return [
        Attempt(
            number=row[0],
            channel=row[1],
            contact_id=row[2],
            started_at=datetime.fromisoformat(row[3]),
            plugin=row[4],
            provider_id=row[5],
            outcome=row[6],
        )
        for row in tx.sql(_ATTEMPTS, (message_id,))
    ]


def attempt_of(tx: Transaction, message_id: str, number: int) -> Attempt | None:
    """One attempt; None when nothing of it has begun."""
    return next((one for one in attempts_of(tx, message_id) if one.number == number), None)


def learn(tx: Transaction, message_id: str, attempt: Attempt, news: News) -> bool:
    """Keep what is told of an attempt; whether it is more than was known, and not a repetition or something older."""
    ids = (news.plugin, news.provider_id)
    if _WEIGHT[news.outcome] <= _WEIGHT[attempt.outcome]:
        tx.write_sql(_FILL_IN, (*ids, message_id, attempt.number))
        tx.write_sql(_FILL_IN_SENT, (*ids, news.segments, message_id, attempt.number))
        return False
    known = (news.outcome, news.reason, news.code)
    tx.write_sql(_LEARN, (iso(tx.now), *ids, *known, message_id, attempt.number))
    return True


def no_news(tx: Transaction, message_id: str, attempt: Attempt, plugin: str | None, reason: str) -> None:
    """Keep that an attempt was not answered, by which plugin, and why, unless more is known of it."""
    if attempt.outcome is None:
        known = (iso(tx.now), plugin, None, None, reason, None)
        tx.write_sql(_LEARN, (*known, message_id, attempt.number))


def forget(tx: Transaction, standing: Standing, attempt: Attempt) -> Standing:
    """Take back an attempt in which nothing was tried."""
    tx.write_sql(_FORGET, (standing.id, attempt.number))
    tx.write_sql(_ONE_LESS, (standing.id,))
    return replace(standing, attempts=standing.attempts - 1)


def unclaim(tx: Transaction, standing: Standing) -> Standing:
    """Let a message wait again that was claimed and has not left: it is no try, and cannot be begun any more."""
    tx.write_sql(_UNCLAIM, (iso(tx.now), iso(tx.now), standing.id))
    return replace(standing, state="waiting", attempts=standing.attempts - 1, tries=standing.tries - 1)


def become_unknown(tx: Transaction, message_id: str, reason: str, *, ask_after: float) -> str:
    """Nobody knows whether the message has left: the vendor is asked after so many seconds."""
    due = iso(tx.now + timedelta(seconds=ask_after))
    for (student_id,) in tx.write_sql(_UNKNOWN, (reason, due, iso(tx.now), message_id)):
        tx.journal("notification.unknown", student_id=student_id, subject_id=message_id, data={"reason": reason})
    return "unknown"


def sent(tx: Transaction, standing: Standing, attempt: Attempt, news: News) -> str:
    """A vendor has the message, or it has arrived."""
    plugin, provider_id = news.plugin or attempt.plugin, news.provider_id or attempt.provider_id
    where = (news.outcome, attempt.channel, attempt.contact_id, plugin, provider_id)
    tx.write_sql(_SENT, (*where, news.segments, news.reason, news.code, iso(tx.now), standing.id))
    tell(tx, standing, news.outcome, channel=attempt.channel, plugin=plugin, code=news.code)
    return news.outcome


def next_channel(tx: Transaction, standing: Standing, reason: str, code: str | None) -> str:
    """This channel leads nowhere: the next one is tried at once, and without one the message has failed."""
    rest = standing.channels[1:]
    if rest and tx.now < standing.expires_at:
        return again(tx, standing, tx.now, channels=rest, reason=reason, code=code, tries=0)
    return ended(tx, standing, "failed", reason, code)


def retry(tx: Transaction, standing: Standing, wait: timedelta | None, reason: str, code: str | None) -> str:
    """It is tried again after `wait` (None: after longer and longer ones); where that is too late, on the next channel.

    What a vendor names itself does not make the next wait any longer.
    """
    tries = standing.tries if wait is None else max(standing.tries - 1, 0)
    due = tx.now + (_backoff(standing.tries) if wait is None else wait)
    if due < standing.expires_at:
        return again(tx, standing, due, channels=standing.channels, reason=reason, code=code, tries=tries)
    if len(standing.channels) > 1 and tx.now < standing.expires_at:
        return next_channel(tx, standing, reason, code)
    return ended(tx, standing, "expired", reason, code)


def again(
    tx: Transaction,
    standing: Standing,
    due: datetime,
    *,
    channels: Sequence[str],
    reason: str,
    code: str | None,
    tries: int,
) -> str:
    """It waits until `due`, for the first of `channels`."""
    left = orjson.dumps(channels).decode()
    tx.write_sql(_AGAIN, (iso(due), left, channels[0], reason, code, tries, iso(tx.now), standing.id))
    return "waiting"


def ended(tx: Transaction, standing: Standing, state: str, reason: str, code: str | None) -> str:
    """It goes no more."""
    tx.write_sql(_ENDED, (state, reason, code, iso(tx.now), standing.id))
    tell(tx, standing, state, reason=reason, code=code)
    return state


def tell(tx: Transaction, standing: Standing, state: str, **more: str | None) -> None:
    """Enter in the journal what became of it."""
    data = {"channel": standing.channels[0] if standing.channels else None, **more}
    tx.journal(f"notification.{state}", student_id=standing.student_id, subject_id=standing.id, data=data)


def _backoff(tries: int) -> timedelta:
    return min(_FIRST_RETRY * int(2 ** min(max(tries - 1, 0), 10)), _LONGEST_RETRY)
