"""Taking messages out of the outbox to be sent, but for those that may not be told, are over a limit or out of time.

A message that is claimed has not left yet. `begin` notes the attempt before anything can leave, so that after a crash
it is known which messages may have gone out. Each claim is of one `turn`, a number that nobody else has: whoever was
held up and comes too late finds the message in another's turn, and leaves it alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import orjson

from homeroom.notify import budget
from homeroom.notify.audience import Book, Recipient, Wanted, Way
from homeroom.notify.messages import compose
from homeroom.notify.outbox import content_of
from homeroom.notify.schools import Schools
from homeroom.notify.settings import Audience
from homeroom.notify.times import after_quiet
from homeroom.roster.calendar import school_day
from homeroom.settings import Settings
from homeroom.store import Transaction, iso
from homeroom.types import Message

_DUE = """
SELECT id, key, school_id, student_id, recipient_id, audience, language, channels, content, purpose,
  expires_at, created_at, attempts, tries FROM notifications
WHERE state = 'waiting' AND due_at <= ? {paused} ORDER BY due_at, id LIMIT ?
"""
_CLAIM = """
UPDATE notifications SET state = 'sending', holder = ?, started_at = NULL, channel = ?, channels = ?, contact_id = ?,
  attempts = attempts + 1, tries = tries + 1, plugin = NULL, provider_id = NULL, segments = NULL, changed_at = ?
WHERE id = ?
"""
_PUT_OFF = "UPDATE notifications SET due_at = ?, channel = ?, changed_at = ? WHERE id = ?"
_END = "UPDATE notifications SET state = ?, reason = ?, changed_at = ? WHERE id = ?"
_MINE = "id = ? AND state = 'sending' AND holder = ? AND attempts = ?"
_BEGIN = f"""
UPDATE notifications SET started_at = ?, segments = ? WHERE {_MINE} AND expires_at > ? RETURNING id
"""  # noqa: S608 - constants
_NOT_SENT = f"""
UPDATE notifications SET state = ?, reason = COALESCE(?, reason), due_at = ?, holder = NULL, attempts = attempts - 1,
  tries = tries - ?, changed_at = ? WHERE {_MINE} AND started_at IS NULL RETURNING id
"""  # noqa: S608 - constants
_ATTEMPT = """
INSERT INTO notification_attempts (message_id, number, channel, contact_id, started_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING number
"""
OPERATIONS = "operations"
"""The purpose of messages that staff must have at any hour: no quiet hours hold for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One message that this turn alone may send now; `number` counts its attempts, `tries` those on this channel."""

    message: Message
    turn: str
    number: int
    tries: int
    school_id: str
    student_id: str | None
    recipient_id: str
    audience: Audience
    purpose: str
    contact_id: str
    zone: ZoneInfo
    """The school's, so that beginning a message need not look it up once more."""


@dataclass(slots=True, kw_only=True)
class Row:
    """A message in the outbox, as far as sending it goes. `channels` are those still to be tried."""

    id: str
    key: str
    school_id: str
    student_id: str | None
    recipient_id: str
    audience: Audience
    language: str
    channels: list[str]
    content: str | None = field(repr=False)
    purpose: str
    expires_at: datetime
    created_at: datetime
    attempts: int
    tries: int


def claim(
    tx: Transaction, settings: Settings, turn: str, *, paused: Collection[str] = (), most: int
) -> tuple[list[Claimed], bool]:
    """At most so many messages that are due, but on channels that rest; and whether there may be more."""
    rows = _due(tx, paused, most)
    if not rows:
        return [], False
    schools = Schools(tx, settings)
    book = _book(tx, settings, rows)
    ready: list[tuple[Row, Way]] = []
    for row in rows:
        school = schools[row.school_id]
        due = tx.now if row.purpose == OPERATIONS else after_quiet(tx.now, school.quiet, school.zone)
        if row.expires_at <= due:  # also what would only go after the quiet hours, and is of no use then
            _end(tx, row, "expired", "too_late")
            continue
        if due > tx.now:
            tx.write_sql(_PUT_OFF, (iso(due), row.channels[0], iso(tx.now), row.id))
            continue
        recipient = book.again(_wanted(row), row.audience, row.recipient_id)
        way = _way(recipient, row, paused)
        if way is not None:
            ready.append((row, way))
        elif not recipient.ways:
            _end(tx, row, "withheld", recipient.refused or "no_address")
        else:  # its other channels rest; it waits for them
            tx.write_sql(_PUT_OFF, (iso(tx.now), recipient.ways[0].channel, iso(tx.now), row.id))
    return _claimed(tx, settings, ready, schools, turn), len(rows) == most


def begin(tx: Transaction, settings: Settings, claimed: Claimed) -> bool:
    """Note that the message leaves now; False when it is no longer this turn's to send, or out of time."""
    message, now = claimed.message, iso(tx.now)
    segments = budget.segments_of(message)
    known = segments if message.channel == "sms" else None
    if not tx.write_sql(_BEGIN, (now, known, message.id, claimed.turn, claimed.number, now)):
        return False
    if tx.write_sql(_ATTEMPT, (message.id, claimed.number, message.channel, claimed.contact_id, now)):
        day = school_day(tx.now, claimed.zone)
        budget.count(tx, settings.notify, (claimed.school_id, day, message.channel), segments)
    return True


def release(tx: Transaction, claimed: Claimed) -> None:
    """Let a message wait again that has not left: it is no try."""
    _not_sent(tx, claimed, "waiting", None, tx.now, tries=1)


def withhold(tx: Transaction, claimed: Claimed, reason: str, *, again_after: timedelta | None = None) -> None:
    """Do not send a message that may not be told; `again_after` that time it is looked at again, if it is in time."""
    expires_at = claimed.message.expires_at
    if again_after is not None and (expires_at is None or tx.now + again_after < expires_at):
        _not_sent(tx, claimed, "waiting", reason, tx.now + again_after, tries=0)
    elif _not_sent(tx, claimed, "withheld", reason, tx.now, tries=1):
        data = {"reason": reason}
        tx.journal("notification.withheld", student_id=claimed.student_id, subject_id=claimed.message.id, data=data)


def _not_sent(tx: Transaction, claimed: Claimed, state: str, reason: str | None, due: datetime, *, tries: int) -> bool:
    values = (state, reason, iso(due), tries, iso(tx.now), claimed.message.id, claimed.turn, claimed.number)
    return bool(tx.write_sql(_NOT_SENT, values))


def _due(tx: Transaction, paused: Collection[str], most: int) -> list[Row]:
    marks = f"AND channel NOT IN ({', '.join('?' * len(paused))})" if paused else ""
    rows = tx.sql(_DUE.format(paused=marks), (iso(tx.now), *sorted(paused), most))
    return [
        Row(
            id=row[0],
            key=row[1],
            school_id=row[2],
            student_id=row[3],
            recipient_id=row[4],
            audience=row[5],
            language=row[6],
            channels=orjson.loads(row[7]),
            content=row[8],
            purpose=row[9],
            expires_at=datetime.fromisoformat(row[10]),
            created_at=datetime.fromisoformat(row[11]),
            attempts=row[12],
            tries=row[13],
        )
        for row in rows
    ]


def _wanted(row: Row) -> Wanted:
    return Wanted(
        audience=[row.audience],
        student_id=row.student_id,
        school_id=row.school_id,
        channels=row.channels,
        purpose=row.purpose,
    )


def _book(tx: Transaction, settings: Settings, rows: Sequence[Row]) -> Book:
    """The people of these messages as everything stands now: a right that has ended meanwhile counts."""
    today = Schools(tx, settings)[rows[0].school_id].today(tx.now)
    return Book(tx, settings.notify, [_wanted(row) for row in rows], today, also={row.recipient_id for row in rows})


def _way(recipient: Recipient, row: Row, paused: Collection[str]) -> Way | None:
    return next((way for way in recipient.ways if way.channel in row.channels and way.channel not in paused), None)


def _claimed(
    tx: Transaction, settings: Settings, ready: Sequence[tuple[Row, Way]], schools: Schools, turn: str
) -> list[Claimed]:
    texts = content_of(tx, [(row.key, row.student_id, row.content) for row, _ in ready])
    limits = budget.Budget(tx, settings.notify)
    found: list[Claimed] = []
    for (row, way), said in zip(ready, texts, strict=True):
        if not said:
            _end(tx, row, "cancelled", "erased")
            continue
        school = schools[row.school_id]
        message = compose(
            message_id=row.id,
            channel=way.channel,
            to=way.address,
            said=said,
            language=row.language,
            sender=school.name,
            created_at=row.created_at,
            attempted_at=tx.now,
            expires_at=row.expires_at,
        )
        if not limits.allows((row.school_id, school.today(tx.now), way.channel), budget.segments_of(message)):
            _end(tx, row, "held", "limit")
            continue
        left = orjson.dumps(row.channels[row.channels.index(way.channel) :]).decode()
        tx.write_sql(_CLAIM, (turn, way.channel, left, way.contact_id, iso(tx.now), row.id))
        found.append(
            Claimed(
                message=message,
                turn=turn,
                number=row.attempts + 1,
                tries=row.tries + 1,
                school_id=row.school_id,
                student_id=row.student_id,
                recipient_id=row.recipient_id,
                audience=row.audience,
                purpose=row.purpose,
                contact_id=way.contact_id,
                zone=school.zone,
            )
        )
    return found


def _end(tx: Transaction, row: Row, state: str, reason: str) -> None:
    tx.write_sql(_END, (state, reason, iso(tx.now), row.id))
    data: dict[str, str] = {"state": state, "reason": reason}
    tx.journal(f"notification.{state}", student_id=row.student_id, subject_id=row.id, data=data)
