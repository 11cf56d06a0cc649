"""The outbox as a test looks at it: messages on their way, their attempts, what was counted, and whether all agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from homeroom.notify.door import StoredMessages
from homeroom.notify.outbox import STATES
from homeroom.store import Connection, Store, now_utc
from homeroom.store import models as m
from homeroom.types import DeliveryReport, Message, Receipt
from tests.services.families import Families, Told

_COUNTED = (None, "accepted", "delivered", "failed")
"""Outcomes of an attempt that may have left, and so counts for the day."""


async def absent(families: Families, *students: str, guardians: Sequence[str] = ("mother",), **rule: Any) -> None:
    """Put a message about each student into the outbox, one for each guardian, due now and not sent yet.

    Somebody else has come, so that the roll is one.
    """
    families.rule("absence", delay_minutes=0, **rule)
    for student in students:
        families.student(student, *(f"{student}_{guardian}" for guardian in guardians))
    came = families.student("the_one_who_came")
    await families.tick()
    statuses: dict[str, Any] = {**dict.fromkeys(students, "absent"), came: "present"}
    families.mark(families.open(), **statuses)
    await families.notifier.look()


def answers(*given: Receipt | BaseException | None, then: str = "accepted") -> Any:
    """A vendor that answers each message in turn with these (an exception: it raises), and later ones with `then`."""
    left = list(given)
    numbers = iter(range(1, 10_000))

    def answer(_message: Message) -> Told:
        if not left:
            state: Any = then
            return Told(value=Receipt(state=state, provider_id=f"later-{next(numbers)}"))
        one = left.pop(0)
        return Told(error=one) if isinstance(one, BaseException) else Told(value=one)

    return answer


def one(families: Families) -> m.Notification:
    """The only message that there is."""
    (message,) = families.messages()
    return message


def due_in(families: Families) -> float:
    """In how many seconds the only message is due."""
    left: timedelta = one(families).due_at - now_utc()
    return left.total_seconds()


def attempts(families: Families, message_id: str | None = None) -> list[m.NotificationAttempt]:
    """The attempts of the message (None: the only one), the first one first."""
    chosen = message_id or one(families).id
    table = m.NotificationAttempt
    query = table.select().where(table.message_id == chosen).order_by(table.number)
    return families.store.read_now(lambda c: c.all(query))


def tried(families: Families, message_id: str | None = None) -> list[tuple[str, str | None]]:
    """Channel and outcome of each attempt."""
    return [(attempt.channel, attempt.outcome) for attempt in attempts(families, message_id)]


def journaled(families: Families, kind: str) -> list[dict[str, Any]]:
    """The data of the journal's entries of this kind."""
    query = m.Journal.select().where(m.Journal.kind == kind).order_by(m.Journal.id)
    return [dict(row.data) for row in families.store.read_now(lambda c: c.all(query))]


def counts(families: Families, channel: str = "sms") -> tuple[int, int]:
    """How many messages and segments were counted on a channel."""
    query = m.NotificationCount.select().where(m.NotificationCount.channel == channel)
    rows = families.store.read_now(lambda c: c.all(query))
    return sum(row.sent for row in rows), sum(row.segments for row in rows)


def door(families: Families, plugin: str = "post", *channels: str) -> StoredMessages:
    """What a plugin tells the outbox by."""
    scopes = frozenset(f"message.{channel}" for channel in channels or ("sms", "email"))
    return StoredMessages(families.store, plugin, scopes, families.settings)


async def report(families: Families, state: Any, *, plugin: str = "post", **facts: Any) -> bool:
    """Tell of a message (the only one, where none is named) what a vendor reports."""
    if "message_id" not in facts:
        facts["message_id"] = one(families).id
    return await door(families, plugin).report(DeliveryReport(state=state, **facts))


def check(store: Store) -> None:
    """Whatever has happened, rows, attempts and counts agree at any moment."""

    def query(connection: Connection) -> None:
        with connection.snapshot():
            _check(connection)

    store.read_now(query)


def _check(connection: Connection) -> None:
    by_message: dict[str, list[m.NotificationAttempt]] = {}
    for attempt in connection.all(m.NotificationAttempt.select().order_by(m.NotificationAttempt.number)):
        by_message.setdefault(attempt.message_id, []).append(attempt)
    for row in connection.all(m.Notification.select()):
        mine = by_message.pop(row.id, [])
        assert row.state in STATES
        assert [one.number for one in mine] == list(range(1, len(mine) + 1))
        is_claimed = row.state == "sending" and row.started_at is None
        assert row.attempts == len(mine) + is_claimed
        assert row.tries >= 0
        last = mine[-1].outcome if mine else None
        if row.state in ("accepted", "delivered"):
            assert last == row.state
            assert (row.plugin, row.provider_id) == (mine[-1].plugin, mine[-1].provider_id)
        if row.state == "unknown":
            assert last is None
        if row.state == "failed":
            assert last in ("refused", "failed")
        if row.state == "waiting":
            assert last not in ("accepted", "delivered")
    assert not by_message
    left = Counter(one.channel for one in connection.all(m.NotificationAttempt.select()) if one.outcome in _COUNTED)
    counted: Counter[str] = Counter()
    for day in connection.all(m.NotificationCount.select()):
        counted[day.channel] += day.sent
    assert +counted == left
