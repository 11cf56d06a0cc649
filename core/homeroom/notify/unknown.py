"""Messages of which nobody knows whether they have left: after a crash, a time-out, or an answer that made no sense."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from homeroom.notify.addresses import normal
from homeroom.notify.messages import compose
from homeroom.notify.outbox import content_of
from homeroom.notify.outcomes import send_again
from homeroom.notify.schools import Schools
from homeroom.notify.standing import become_unknown, standing_of, unclaim
from homeroom.settings import Settings
from homeroom.store import Connection, Transaction, iso, now_utc
from homeroom.types import Message

GIVE_UP = timedelta(days=2)
"""After so long no vendor is asked any more; the message stays unknown, and staff have long seen it."""

_LEFT = "SELECT id FROM notifications WHERE state = 'sending'"
_UNKNOWN = """
SELECT n.id, n.key, n.student_id, n.recipient_id, n.language, n.channel, n.contact_id, n.content, n.school_id,
  n.created_at, n.started_at, n.expires_at, n.attempts, n.asked, c.value, a.plugin
FROM notifications n LEFT JOIN contacts c ON c.id = n.contact_id
LEFT JOIN notification_attempts a ON a.message_id = n.id AND a.number = n.attempts
WHERE n.state = 'unknown' AND n.due_at <= ? AND n.started_at > ? ORDER BY n.due_at LIMIT ?
"""
_NEXT = "SELECT MIN(due_at) FROM notifications WHERE state = 'unknown' AND started_at > ?"
_OVERDUE = """
SELECT n.id FROM notifications n WHERE n.state = 'unknown' AND n.started_at <= ? AND n.expires_at > ? AND 1 = (
  SELECT COUNT(*) FROM notification_attempts a WHERE a.message_id = n.id AND a.outcome IS NULL) LIMIT 100
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A message to ask a vendor about; `message` is None when its text or address is gone, `plugin` where not known."""

    id: str
    number: int
    asked: int
    channel: str
    plugin: str | None
    message: Message | None


def orphans(tx: Transaction, *, ask_after: float) -> int:
    """Settle what was left in the middle; gives how many messages. Only for who holds the lease, between two turns."""
    rows = tx.sql(_LEFT)
    for (message_id,) in rows:
        standing = standing_of(tx, message_id)
        if standing is not None and standing.is_claimed:
            unclaim(tx, standing)
        else:
            become_unknown(tx, message_id, "process_ended", ask_after=ask_after)
    return len(rows)


def overdue(tx: Transaction, after: timedelta) -> int:
    """Let go once more what is unknown for so long: the district's choice. Gives how many messages.

    Only once: a vendor that takes and never answers would else be sent the same for hours.
    """
    rows = tx.sql(_OVERDUE, (iso(tx.now - after), iso(tx.now)))
    return sum(send_again(tx, row[0], "resent_unknown") for row in rows)


def next_question(connection: Connection) -> datetime | None:
    """When a vendor is to be asked next."""
    moment = connection.sql(_NEXT, (iso(now_utc() - GIVE_UP),))[0][0]
    return None if moment is None else datetime.fromisoformat(moment)


def asked_about(connection: Connection, settings: Settings, most: int) -> list[Asked]:
    """The messages whose vendors are to be asked now, as they were sent."""
    now = now_utc()
    rows = connection.sql(_UNKNOWN, (iso(now), iso(now - GIVE_UP), most))
    texts = content_of(connection, [(row[1], row[2], row[7]) for row in rows])
    values = connection.unseal_many([(row[3], row[14]) for row in rows])
    schools = Schools(connection, settings)
    found: list[Asked] = []
    for row, said, value in zip(rows, texts, values, strict=True):
        address = normal(row[5], value, settings.notify.region) if value else None
        message = None
        if said and address is not None:
            message = compose(
                message_id=row[0],
                channel=row[5],
                to=address,
                said=said,
                language=row[4],
                sender=schools[row[8]].name,
                created_at=datetime.fromisoformat(row[9]),
                attempted_at=datetime.fromisoformat(row[10]),
                expires_at=datetime.fromisoformat(row[11]),
            )
        found.append(Asked(id=row[0], number=row[12], asked=row[13], channel=row[5], plugin=row[15], message=message))
    return found
