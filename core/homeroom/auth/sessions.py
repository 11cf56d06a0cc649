"""Sign-in sessions: one for each person and device, listed and ended by their owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from homeroom.auth.tokens import fingerprint
from homeroom.store import Connection, Transaction
from homeroom.store import models as m

ENDED = "auth.session_ended"
_LONGEST_DEVICE = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What became of a refresh: a live session's user, or why not. A reuse has ended the session."""

    outcome: Literal["rotated", "unknown", "reused"]
    user_id: str | None = None


def start(
    tx: Transaction,
    *,
    session_id: str,
    user_id: str,
    refresh_token: str,
    device: str,
    days: int = 0,
    until: datetime | None = None,
) -> None:
    """Begin a session that lives `days` after its last refresh, or `until` a moment.

    `device` is what its owner will know it by.
    """
    fresh = tx.insert_new(
        m.SignInSession,
        id=session_id,
        user_id=user_id,
        device="".join(character for character in device if character.isprintable())[:_LONGEST_DEVICE],
        created_at=tx.now,
        last_used_at=tx.now,
        expires_at=until or tx.now + timedelta(days=days),
        refresh_hash=fingerprint(refresh_token),
    )
    if fresh:
        tx.journal("auth.session_started", subject_id=user_id, data={"session": session_id})


def rotate(tx: Transaction, *, token: str, genuine: bool, session_id: str, new_token: str, days: int) -> Rotation:
    """Exchange a refresh token that names `session_id` for `new_token`.

    A `genuine` token that is not the newest has been used before: either its owner or a thief holds a newer one, so the
    session ends for both. One that is not known to be ours ends nothing, and is good only if it is the newest.
    """
    row = tx.get(m.SignInSession, session_id)
    if row is None or row.ended_at is not None or row.expires_at <= tx.now:
        return Rotation(outcome="unknown")
    user = tx.get(m.User, row.user_id)
    if user is None or user.ended or not user.enabled:
        return Rotation(outcome="unknown")
    if row.refresh_hash not in (fingerprint(token), fingerprint(new_token)):  # the latter when the unit runs again
        if not genuine:
            return Rotation(outcome="unknown")
        end(tx, session_id, reason="refresh token used twice")
        return Rotation(outcome="reused", user_id=row.user_id)
    changes = {
        "refresh_hash": fingerprint(new_token),
        "last_used_at": tx.now,
        "expires_at": _until(tx, row, days),
    }
    tx.run(m.SignInSession.update(changes).where(m.SignInSession.id == session_id))
    return Rotation(outcome="rotated", user_id=row.user_id)


def is_live(connection: Connection, session_id: str, now: datetime) -> bool:
    """Whether there is such a session, and it has not ended."""
    row = connection.get(m.SignInSession, session_id)
    return row is not None and row.ended_at is None and bool(row.expires_at > now)


def _until(tx: Transaction, row: m.SignInSession, days: int) -> datetime:
    """When a session ends that was just refreshed: a substitute's as it would have, with its day."""
    table = m.Substitution
    by_link = tx.one(table.select(table.id).where(table.user_id == row.user_id)) is not None
    expires_at: datetime = row.expires_at
    return expires_at if by_link else tx.now + timedelta(days=days)


def end(tx: Transaction, session_id: str, *, reason: str, owner: str | None = None) -> bool:
    """End a session (of `owner`, if given) in every process; whether there was such a one."""
    row = tx.get(m.SignInSession, session_id)
    if row is None or (owner is not None and row.user_id != owner):
        return False
    if row.ended_at is None:
        _end(tx, row, reason)
    return True


def end_all(tx: Transaction, user_id: str, *, reason: str, but: str | None = None) -> list[str]:
    """End all of a person's sessions (but one); gives their ids."""
    table = m.SignInSession
    rows = [row for row in tx.all(table.select().where(_live(user_id, tx.now))) if row.id != but]
    for row in rows:
        _end(tx, row, reason)
    return [row.id for row in rows]


def sessions_of(connection: Connection, user_id: str, now: datetime) -> list[m.SignInSession]:
    """A person's live sessions, the last used one first."""
    table = m.SignInSession
    return connection.all(table.select().where(_live(user_id, now)).order_by(table.last_used_at.desc(), table.id))


def ended_since(connection: Connection, moment: datetime) -> list[str]:
    """Ids of the sessions that were ended since `moment`."""
    table = m.SignInSession
    return connection.values(table.select(table.id).where(table.ended_at > moment))


def _live(user_id: str, now: datetime) -> object:
    table = m.SignInSession
    return (table.user_id == user_id) & table.ended_at.is_null() & (table.expires_at > now)


def _end(tx: Transaction, row: m.SignInSession, reason: str) -> None:
    table = m.SignInSession
    tx.run(table.update(ended_at=tx.now, end_reason=reason).where(table.id == row.id))
    tx.journal(ENDED, subject_id=row.user_id, data={"session": row.id, "reason": reason})
