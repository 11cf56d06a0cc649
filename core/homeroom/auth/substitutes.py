"""Standing in for a teacher: a link that is good for one class on one school day, and whoever holds it.

Each link has a person of its own, who has the role `substitute` on that day and nothing else: no address, no password,
no second link. What they do is entered under that person, whose name whoever makes the link has chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from homeroom.auth import sessions
from homeroom.auth.tokens import fingerprint
from homeroom.roster import people
from homeroom.roster.calendar import bounds, school_day, zone_of
from homeroom.store import Connection, Refused, Transaction, not_found
from homeroom.store import models as m

AHEAD = timedelta(days=60)
_NOT_GOOD = "This link is not valid, or not today. Please ask the school's office for a new one."


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One link as staff see it: whom it is for, on which day, who made it, and whether it still opens."""

    id: str
    user_id: str
    name: str
    class_id: str
    day: date
    created_by: str | None
    created_at: datetime
    ends_at: datetime
    revoked_at: datetime | None


def make(
    tx: Transaction, *, link_id: str, user_id: str, token: str, class_id: str, name: str, day: date | None, zone: str
) -> Standing:
    """A link for a class and a day (today at the school when None); only its token's hash is kept.

    Raises Refused 422 for a day that is over or far ahead, 409 for an archived class.
    """
    group = tx.get(m.Class, class_id)
    if group is None:
        raise not_found()
    if group.archived or group.ended:
        raise Refused(409, "class-archived", "This class is archived, so nobody stands in for it.")
    where = zone_of(tx, group.school_id, zone)
    today = school_day(tx.now, where)
    day = day or today
    if not today <= day <= today + AHEAD:
        raise Refused(422, "invalid", f"Choose a day from today on, and at most {AHEAD.days} days ahead.")
    begins_at, ends_at = bounds(day, where)
    if tx.get(m.Substitution, link_id) is None:  # else the same unit runs again
        shown = f"{name} (substitute for {group.title})"
        people.create_person(tx, person_id=user_id, roles=(), given_name="", family_name=shown)
        days = {"begins_on": day, "ends_on": day + timedelta(days=1)}
        tx.insert(m.RoleAssignment, user_id=user_id, role="substitute", org_id=group.school_id, **days)
        tx.insert(
            m.Substitution,
            id=link_id,
            token_hash=fingerprint(token),
            user_id=user_id,
            class_id=class_id,
            day=day,
            begins_at=begins_at,
            ends_at=ends_at,
            created_by=tx.origin.actor_id,
            created_at=tx.now,
        )
        data = {"substitution": link_id, "day": day.isoformat()}
        tx.journal("substitute.invited", class_id=class_id, subject_id=user_id, data=data)
    return _one(tx, link_id)


def of_class(connection: Connection, class_id: str, since: date) -> list[Standing]:
    """The links of a class for `since` and later days, the first day first."""
    table = m.Substitution
    query = table.select().where((table.class_id == class_id) & (table.day >= since)).order_by(table.day, table.id)
    return _told(connection, connection.all(query))


def revoke(tx: Transaction, class_id: str, link_id: str) -> list[str]:
    """End a link of a class: it opens no more, and whoever came in by it is out. Gives the sign-ins that ended.

    Raises Refused 404 when the class has no such link.
    """
    row = tx.get(m.Substitution, link_id)
    if row is None or row.class_id != class_id:
        raise not_found()
    if row.revoked_at is None:
        table = m.Substitution
        tx.run(table.update(revoked_at=tx.now, revoked_by=tx.origin.actor_id).where(table.id == link_id))
        tx.run(m.User.update(enabled=False, changed_at=tx.now).where(m.User.id == row.user_id))
        tx.journal("user.changed", subject_id=row.user_id, data={"fields": ["enabled"]})
        data = {"substitution": link_id}
        tx.journal("substitute.revoked", class_id=class_id, subject_id=row.user_id, data=data)
    return sessions.end_all(tx, row.user_id, reason="the substitute's link was revoked")


def come_in(tx: Transaction, *, token: str, session_id: str, refresh_token: str, device: str) -> str:
    """Begin a sign-in by a link, until its day ends; gives the person. Raises Refused 403 when it is not good now."""
    row = tx.one(m.Substitution.select().where(m.Substitution.token_hash == fingerprint(token)))
    if row is None or row.revoked_at is not None or not row.begins_at <= tx.now < row.ends_at:
        raise Refused(403, "link-invalid", _NOT_GOOD)
    sessions.start(
        tx, session_id=session_id, user_id=row.user_id, refresh_token=refresh_token, device=device, until=row.ends_at
    )
    return str(row.user_id)


def _one(connection: Connection, link_id: str) -> Standing:
    return _told(connection, connection.all(m.Substitution.select().where(m.Substitution.id == link_id)))[0]


def _told(connection: Connection, rows: Sequence[m.Substitution]) -> list[Standing]:
    users = m.User.select(m.User.id, m.User.family_name).where(m.User.id.in_([row.user_id for row in rows]))
    names = {row.id: row.family_name for row in connection.all(users)}
    return [
        Standing(
            id=row.id,
            user_id=row.user_id,
            name=names.get(row.user_id, ""),
            class_id=row.class_id,
            day=row.day,
            created_by=row.created_by,
            created_at=row.created_at,
            ends_at=row.ends_at,
            revoked_at=row.revoked_at,
        )
        for row in rows
    ]
