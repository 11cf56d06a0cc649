"""What people decide about messages: to send one again or take it back, a limit for the day, texts, wishes, consent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from homeroom.notify import budget, consent, outcomes, wording
from homeroom.notify.addresses import kinds_for, normal
from homeroom.notify.claims import OPERATIONS
from homeroom.notify.consent import EVERYTHING, Source, State
from homeroom.notify.outbox import cancel
from homeroom.notify.schools import Schools
from homeroom.notify.times import after_quiet
from homeroom.notify.wording import Text
from homeroom.settings import NotifySettings, Settings
from homeroom.store import Connection, Refused, Transaction, conflict, iso, not_found
from homeroom.store import models as m

BY_STAFF = "by_staff"
OF_USE = timedelta(hours=2)
"""How long what staff send again is worth reading at least, from when it can go."""

_HELD = """
UPDATE notifications SET state = 'waiting', due_at = ?, changed_at = ?
WHERE state = 'held' AND reason = 'limit' AND school_id = ? AND channel = ? RETURNING id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One address of a person on a channel: never whole, only enough to tell it from others.

    `said` is the state by purpose ("" for every one) of which something was said.
    """

    contact_id: str
    channel: str
    hint: str
    said: dict[str, State] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How a person wants to be told; empty channels and no language mean the district's own."""

    language: str | None = None
    channels: Sequence[str] = ()


def resend(tx: Transaction, settings: Settings, message_id: str) -> None:
    """Send a message once more: one of unknown state may then arrive twice.

    Raises Refused 404, and 409 for one that is past sending or would call another day "today" when it arrives.
    """
    row = _there(tx, message_id)
    school = Schools(tx, settings)[row.school_id]
    first, goes = (
        moment if row.purpose == OPERATIONS else after_quiet(moment, school.quiet, school.zone)
        for moment in (row.created_at, tx.now)
    )
    if row.student_id is not None and row.school_day == school.today(first) != school.today(goes):
        raise conflict(
            "no-longer-today",
            "It speaks of its school day as of today, and would arrive on another. Please call the family instead.",
        )
    if not outcomes.send_again(tx, message_id, BY_STAFF, until=goes + OF_USE):
        raise conflict(
            "not-resendable", "Only a message that failed, was held, expired or is unknown can be sent again."
        )


def take_back(tx: Transaction, message_id: str) -> None:
    """Take back a message that has not been sent. Raises Refused 404, or 409 when it is too late."""
    row = _there(tx, message_id)
    if row.state not in ("waiting", "held"):
        raise conflict("already-sent", "This message is on its way or was sent; it cannot be taken back.")
    cancel(tx, [message_id], BY_STAFF)
    data = {"state": "cancelled", "reason": BY_STAFF}
    tx.journal("notification.cancelled", student_id=row.student_id, subject_id=message_id, data=data)


def let_through(tx: Transaction, school_id: str, day: date, channel: str, messages: int) -> int:
    """Let so many more go today than the limit says, those that are held first; gives how many were held."""
    budget.let_through(tx, school_id, day, channel, messages)
    now = iso(tx.now)
    return len(tx.write_sql(_HELD, (now, now, school_id, channel)))


def save_text(tx: Transaction, text: Text) -> Text | None:
    """Keep a district's or school's own text; an empty one gives way to the built-in one (None is given then).

    Raises Refused 422 for a text that cannot be used, and says why.
    """
    table = m.NotificationTemplate
    org_id = text.org_id or ""
    where = (table.org_id == org_id, table.kind == text.kind, table.language == text.language, table.part == text.part)
    old = tx.one(table.select().where(*where))
    data = {"kind": text.kind, "language": text.language, "part": text.part}
    if not text.text.strip():
        tx.run(table.delete().where(*where))
        if old is not None:
            tx.journal("notification.text_removed", subject_id=org_id or None, data=data)
        return None
    try:
        wording.check(text.text, text.language, text.part)
    except wording.BadText as exc:
        raise Refused(422, "bad-text", f"This text cannot be used: {exc}.") from None
    version = 1 if old is None else old.version + 1
    values = {"text": text.text, "version": version, "changed_at": tx.now, "changed_by": tx.origin.actor_id}
    if old is None:
        tx.insert(table, org_id=org_id, kind=text.kind, language=text.language, part=text.part, **values)
    else:
        tx.run(table.update(**values).where(*where))
    tx.journal("notification.text_changed", subject_id=org_id or None, data={**data, "version": version})
    return Text(
        kind=text.kind, language=text.language, part=text.part, text=text.text, version=version, org_id=text.org_id
    )


def wishes_of(connection: Connection, user_id: str) -> Wishes:
    """How the person wants to be told."""
    row = connection.get(m.NotificationPreference, user_id)
    return Wishes() if row is None else Wishes(language=row.language, channels=row.channels)


def wish(tx: Transaction, user_id: str, wishes: Wishes, settings: NotifySettings) -> Wishes:
    """Keep how the person wants to be told. Raises Refused 422 for a language or channel that is not offered."""
    if wishes.language is not None and wishes.language not in settings.languages:
        raise Refused(422, "invalid", f"`language` must be one of {', '.join(settings.languages)}.")
    unknown = [channel for channel in wishes.channels if channel not in settings.channels]
    if unknown:
        raise Refused(422, "invalid", f"`channels` may hold {', '.join(settings.channels)}; not {', '.join(unknown)}.")
    if tx.get(m.User, user_id) is None:
        raise not_found("There is no such person.")
    table = m.NotificationPreference
    values = {"language": wishes.language, "channels": list(wishes.channels), "changed_at": tx.now}
    tx.run(table.insert(user_id=user_id, **values).on_conflict(conflict_target=[table.user_id], update=values))
    tx.journal("user.changed", subject_id=user_id, data={"fields": ["notification_preferences"]})
    return wishes


def addresses_of(connection: Connection, user_id: str, settings: NotifySettings) -> list[Address]:
    """The addresses at which a person can be told, and what was said of each."""
    found: list[Address] = []
    rows = connection.all(m.Contact.select().where(m.Contact.user_id == user_id).order_by(m.Contact.id))
    for channel in settings.channels:
        kinds = kinds_for(channel, text_phones=settings.text_phones)
        for row in rows:
            value = connection.unseal_for(user_id, row.value) if row.kind in kinds else None
            address = normal(channel, value, settings.region) if value else None
            if address is None:
                continue
            told = consent.said(connection, channel, [address]).get(address, {})
            found.append(Address(contact_id=row.id, channel=channel, hint=hint(address), said=dict(told)))
    return found


def say_of(
    tx: Transaction,
    settings: NotifySettings,
    *,
    user_id: str,
    contact_id: str,
    channel: str,
    state: State,
    purpose: str = EVERYTHING,
    source: Source,
) -> None:
    """Keep that a person agrees to messages at one of their addresses, or does not. Raises Refused 404."""
    row = tx.get(m.Contact, contact_id)
    value = tx.unseal_for(user_id, row.value) if row is not None and row.user_id == user_id else None
    kinds = kinds_for(channel, text_phones=settings.text_phones)
    address = normal(channel, value, settings.region) if value and row is not None and row.kind in kinds else None
    if address is None:
        raise not_found("This person has no such address on this channel.")
    consent.say(tx, channel, address, state, purpose=purpose, source=source)


def hint(address: str) -> str:
    """Enough of an address to know one's own: the last digits of a number, the first letter of a mailbox."""
    if "@" in address:
        box, _, domain = address.partition("@")
        return f"{box[:1]}…@{domain}"
    return f"…{address[-4:]}"


def _there(tx: Transaction, message_id: str) -> m.Notification:
    row = tx.get(m.Notification, message_id)
    if row is None:
        raise not_found("There is no such message, or you may not see it.")
    return row
