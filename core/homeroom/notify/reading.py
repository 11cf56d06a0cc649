"""Messages for people to look at: lists, one with everything about it, and a school's day in figures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from peewee import fn

from homeroom.attendance.records import day_text
from homeroom.notify.audience import REASONS, people_of
from homeroom.notify.outbox import by_state, content_of
from homeroom.store import Connection, iso, not_found
from homeroom.store import models as m

WORDS: dict[str, str] = {
    **REASONS,
    "not_true": "it was not true any more when it was about to be sent",
    "too_late": "it could not be sent before it was of no use any more",
    "limit": "the school has reached its limit of messages for the day",
    "no_plugin": "no plugin that is switched on serves its channel",
    "no_answer": "the vendor did not answer; nobody knows whether it has the message",
    "lost_answer": "the vendor's answer was lost; nobody knows whether it has the message",
    "held_up": "the server was held up before the message left, so it is sent again",
    "plugin_failed": "the plugin that serves its channel failed before it was asked, so it is tried again",
    "plugin_quarantined": "the plugin that serves its channel rests after failing too often, so it is tried again",
    "process_ended": "the server stopped in the middle of sending; nobody knows whether the vendor has the message",
    "not_sent": "the vendor was asked and has no such message, so it is sent again",
    "resent_unknown": "nobody knew whether it had arrived, so it was sent again, as the district has chosen",
    "erased": "the student's data were erased",
    "rule_off": "its rule was switched off",
    "by_staff": "somebody of the staff has decided so",
}
"""What a reason means, in words; a reason that is not here is a vendor's or a plugin's own."""

_OPEN = """
SELECT state, COUNT(*) FROM notifications WHERE state IN ('waiting', 'held', 'sending', 'unknown') GROUP BY state
"""
_ATTEMPTS = """
SELECT number, channel, started_at, answered_at, plugin, outcome, reason, code FROM notification_attempts
WHERE message_id = ? ORDER BY number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which messages. `within` selects the ids of the schools that the caller reaches; None means all, and staff's.

    Nothing is told of the students `without`; `texts` also reads what the messages say. `children` selects the ids of
    the students of whom a guardian may be told now; None asks for no guardianship.
    """

    within: Any = None
    school_id: str | None = None
    student_id: str | None = None
    recipient_id: str | None = None
    states: Sequence[str] = ()
    without: Collection[str] = ()
    children: Any = None
    kind: str | None = None
    channel: str | None = None
    since: date | None = None
    until: date | None = None
    after: Sequence[str] | None = None
    limit: int = 100
    texts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try on one channel. `outcome` None: nobody knows."""

    number: int
    channel: str
    started_at: str
    answered_at: str | None
    plugin: str | None
    outcome: str | None
    reason: str | None
    code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One message as people see it. `texts` and `attempts` only where one message is read by itself."""

    id: str
    rule_id: str
    rule_version: int
    kind: str
    school_id: str
    school_day: str | None
    student_id: str | None
    student: str | None
    recipient_id: str
    recipient: str
    audience: str
    language: str
    channel: str | None
    state: str
    reason: str | None
    reason_words: str | None
    code: str | None
    why: dict[str, Any]
    due_at: str
    expires_at: str
    created_at: str
    changed_at: str
    corrects: str | None
    plugin: str | None
    segments: int | None
    texts: dict[str, str] = field(default_factory=dict, repr=False)
    attempts: Sequence[Attempt] = ()


def messages(connection: Connection, wanted: Wanted) -> tuple[list[Shown], tuple[str, str] | None]:
    """A page of messages, the newest first, and the key after which the next page begins."""
    table = m.Notification
    query = table.select().order_by(table.created_at.desc(), table.id.desc()).limit(wanted.limit + 1)
    for column, value in (
        (table.school_id, wanted.school_id),
        (table.student_id, wanted.student_id),
        (table.recipient_id, wanted.recipient_id),
        (table.kind, wanted.kind),
        (table.channel, wanted.channel),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.within is not None:
        query = query.where(table.school_id.in_(wanted.within))
    if wanted.without:
        query = query.where(table.student_id.is_null() | table.student_id.not_in(sorted(wanted.without)))
    if wanted.children is not None:
        of_children = table.student_id.is_null() | table.student_id.in_(wanted.children)
        query = query.where((table.audience != "guardian") | of_children)
    if wanted.states:
        query = query.where(table.state.in_(list(wanted.states)))
    if wanted.since is not None:
        query = query.where(table.school_day >= wanted.since)
    if wanted.until is not None:
        query = query.where(table.school_day <= wanted.until)
    if wanted.after is not None:
        at, message_id = wanted.after
        query = query.where((table.created_at < at) | ((table.created_at == at) & (table.id < message_id)))
    rows = connection.all(query)
    page = rows[: wanted.limit]
    after = (iso(page[-1].created_at), page[-1].id) if len(rows) > wanted.limit else None
    said = content_of(connection, [(row.key, row.student_id, row.content) for row in page]) if wanted.texts else None
    return _shown(connection, page, texts=said), after


def message(connection: Connection, message_id: str) -> Shown:
    """One message with what it says and every attempt. Raises Refused 404."""
    row = connection.get(m.Notification, message_id)
    if row is None:
        raise not_found("There is no such message, or you may not see it.")
    said = content_of(connection, [(row.key, row.student_id, row.content)])
    attempts = [
        Attempt(**dict(zip(Attempt.__dataclass_fields__, one, strict=True)))
        for one in connection.sql(_ATTEMPTS, (row.id,))
    ]
    (shown,) = _shown(connection, [row], texts=said, attempts=attempts)
    return shown


def school_of(connection: Connection, message_id: str) -> str:
    """The school of a message, "" for the district. Raises Refused 404."""
    rows = connection.sql("SELECT school_id FROM notifications WHERE id = ?", (message_id,))
    if not rows:
        raise not_found("There is no such message, or you may not see it.")
    return str(rows[0][0])


def figures(
    connection: Connection,
    *,
    school_id: str | None = None,
    within: Any = None,
    since: datetime,
    until: datetime | None = None,
) -> dict[str, int]:
    """How many messages that were made since then (and before `until`) are in each state."""
    table = m.Notification
    query = table.select(table.state, fn.COUNT(table.id)).where(table.created_at >= since).group_by(table.state)
    if until is not None:
        query = query.where(table.created_at < until)
    if school_id is not None:
        query = query.where(table.school_id == school_id)
    if within is not None:
        query = query.where(table.school_id.in_(within))
    return by_state(connection.tuples(query))


def waiting(connection: Connection) -> dict[str, int]:
    """How many messages are not settled yet, by state."""
    found = by_state(connection.sql(_OPEN))
    return {state: found[state] for state in ("waiting", "held", "sending", "unknown")}


def _shown(
    connection: Connection,
    rows: Sequence[m.Notification],
    *,
    texts: Sequence[dict[str, str]] | None = None,
    attempts: Sequence[Attempt] = (),
) -> list[Shown]:
    people = people_of(connection, {person for row in rows for person in (row.student_id, row.recipient_id) if person})

    def name(person_id: str | None) -> str | None:
        person = people.get(person_id or "")
        return person.name if person else None

    return [
        Shown(
            id=row.id,
            rule_id=row.rule_id,
            rule_version=row.rule_version,
            kind=row.kind,
            school_id=row.school_id,
            school_day=None if row.school_day is None else day_text(row.school_day),
            student_id=row.student_id,
            student=name(row.student_id),
            recipient_id=row.recipient_id,
            recipient=name(row.recipient_id) or "",
            audience=row.audience,
            language=row.language,
            channel=row.channel,
            state=row.state,
            reason=row.reason,
            reason_words=WORDS.get(row.reason or "", row.reason),
            code=row.code,
            why=row.why,
            due_at=iso(row.due_at),
            expires_at=iso(row.expires_at),
            created_at=iso(row.created_at),
            changed_at=iso(row.changed_at),
            corrects=row.corrects,
            plugin=row.plugin,
            segments=row.segments,
            texts=texts[number] if texts is not None else {},
            attempts=attempts,
        )
        for number, row in enumerate(rows)
    ]
