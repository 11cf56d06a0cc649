"""How many messages a school may send on a channel in a day, and what they may cost; beyond it they are held."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from homeroom.notify.segments import length_of
from homeroom.settings import NotifySettings
from homeroom.store import Transaction, iso
from homeroom.types import Message

_OF_DAY = """
SELECT sent, cost, extra FROM notification_counts WHERE school_id = ? AND day = ? AND channel = ?
"""
_COUNT = """
INSERT INTO notification_counts (school_id, day, channel, sent, segments, cost, extra) VALUES (?, ?, ?, 1, ?, ?, 0)
ON CONFLICT (school_id, day, channel) DO UPDATE SET sent = notification_counts.sent + 1,
  segments = notification_counts.segments + excluded.segments, cost = notification_counts.cost + excluded.cost
"""
_TAKE_BACK = """
UPDATE notification_counts SET sent = sent - 1, segments = segments - ?, cost = cost - ?
WHERE school_id = ? AND day = ? AND channel = ?
"""
_ALARM = """
INSERT INTO notification_counts (school_id, day, channel, sent, segments, cost, extra, alarmed_at)
VALUES (?, ?, ?, 0, 0, 0, 0, ?)
ON CONFLICT (school_id, day, channel) DO UPDATE SET alarmed_at = excluded.alarmed_at
WHERE notification_counts.alarmed_at IS NULL RETURNING school_id
"""
_EXTRA = """
INSERT INTO notification_counts (school_id, day, channel, sent, segments, cost, extra) VALUES (?, ?, ?, 0, 0, 0, ?)
ON CONFLICT (school_id, day, channel) DO UPDATE SET extra = notification_counts.extra + excluded.extra,
  alarmed_at = NULL
"""
Day = tuple[str, date, str]
"""A school's day on one channel: (school's id, its date, channel)."""

_NOTHING = 1e-9  # less than any price: sums of prices are not exact


@dataclass(slots=True, kw_only=True)
class _Left:
    """What is left of one day: messages, money (None: no limit), and how many an administrator has let through."""

    messages: int
    money: float | None
    extra: int


class Budget:
    """The limits of a day, for one unit of work: what it lets through is counted at once."""

    def __init__(self, tx: Transaction, settings: NotifySettings) -> None:
        self._tx = tx
        self._settings = settings
        self._left: dict[Day, _Left] = {}

    def allows(self, of: Day, segments: int) -> bool:
        """Whether one more may go; the first one that may not raises the alarm.

        The one with which the money ends still goes. One that an administrator lets through may cost what it costs.
        """
        school_id, day, channel = of
        if of not in self._left:
            self._left[of] = self._read(of)
        left, price = self._left[of], self._price(channel, segments)
        if left.messages > 0 and (left.money is None or left.money + left.extra * price > _NOTHING):
            left.messages -= 1
            left.money = None if left.money is None else left.money - price
            return True
        if self._tx.write_sql(_ALARM, (school_id, day.isoformat(), channel, iso(self._tx.now))):
            data = {"channel": channel, "day": day.isoformat()}
            self._tx.journal("notification.limit_reached", subject_id=school_id or None, data=data)
        return False

    def _read(self, of: Day) -> _Left:
        school_id, day, channel = of
        rows = self._tx.sql(_OF_DAY, (school_id, day.isoformat(), channel))
        sent, cost, extra = rows[0] if rows else (0, 0.0, 0)
        most = self._settings.school_day_cost
        money = None if most is None or not self._price(channel, 1) else most - cost
        return _Left(messages=self._settings.school_day_limit + extra - sent, money=money, extra=extra)

    def _price(self, channel: str, segments: int) -> float:
        return self._settings.costs.get(channel, 0.0) * segments


def segments_of(message: Message) -> int:
    """How many times a message is charged: a text by its segments, any other once."""
    return length_of(message.body).segments if message.channel == "sms" else 1


def count(tx: Transaction, settings: NotifySettings, of: Day, segments: int) -> None:
    """Count a message that leaves now, and what it costs."""
    school_id, day, channel = of
    cost = settings.costs.get(channel, 0.0) * segments
    tx.write_sql(_COUNT, (school_id, day.isoformat(), channel, segments, cost))


def take_back(tx: Transaction, settings: NotifySettings, of: Day, segments: int) -> None:
    """A message that was counted has not gone: an hour of vain tries must not use up the day."""
    school_id, day, channel = of
    cost = settings.costs.get(channel, 0.0) * segments
    tx.write_sql(_TAKE_BACK, (segments, cost, school_id, day.isoformat(), channel))


def let_through(tx: Transaction, school_id: str, day: date, channel: str, messages: int) -> None:
    """Let so many more go today than the limit says: an administrator's decision, kept in the journal."""
    tx.write_sql(_EXTRA, (school_id, day.isoformat(), channel, messages))
    data = {"channel": channel, "day": day.isoformat(), "messages": messages}
    tx.journal("notification.limit_raised", subject_id=school_id or None, data=data)
