"""Wrong tries and what they lock: a tablet's cards, a tablet's PINs, or one student number at every tablet.

Counted in the transaction that judges the try, so neither several tablets nor several processes can try more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeroom import Connection, Transaction
from homeroom_kiosk.secret_texts import text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How many wrong tries of one kind are borne before it is locked, and for how long. `subject_id` is whose it is."""

    who: str
    subject_id: str | None
    most: int
    within: timedelta
    locked: timedelta


def wait(connection: Connection, limits: Sequence[Limit], now: datetime) -> int:
    """How many seconds the longest of the locks still holds; 0 when none does."""
    longest = 0
    for limit in limits:
        rows = connection.sql("SELECT locked_until FROM kiosk_tries WHERE who = ?", (limit.who,))
        if rows and rows[0][0] is not None:
            left = (datetime.fromisoformat(rows[0][0]) - now).total_seconds()
            longest = max(longest, int(left + 0.999))
    return longest


def count(tx: Transaction, limits: Sequence[Limit]) -> None:
    """Count one wrong try for each, and lock what has had too many."""
    for limit in limits:
        since = text_of(tx.now - limit.within)
        tx.write_sql(
            "INSERT INTO kiosk_tries (who, subject_id, wrong, since) VALUES (?, ?, 1, ?) "
            "ON CONFLICT (who) DO UPDATE SET subject_id = excluded.subject_id, "
            "wrong = CASE WHEN kiosk_tries.since > ? THEN kiosk_tries.wrong + 1 ELSE 1 END, "
            "since = CASE WHEN kiosk_tries.since > ? THEN kiosk_tries.since ELSE excluded.since END, "
            "locked_until = NULL",
            (limit.who, limit.subject_id, text_of(tx.now), since, since),
        )
        locked = tx.write_sql(
            "UPDATE kiosk_tries SET locked_until = ? WHERE who = ? AND wrong >= ? RETURNING 1",
            (text_of(tx.now + limit.locked), limit.who, limit.most),
        )
        if locked:
            tx.journal("kiosk.locked", subject_id=limit.subject_id)


def forget(tx: Transaction, limits: Sequence[Limit]) -> None:
    """Count anew: the right one was shown."""
    for limit in limits:
        tx.write_sql("DELETE FROM kiosk_tries WHERE who = ?", (limit.who,))


def locked(connection: Connection, subject_id: str, now: datetime) -> bool:
    """Whether anything of a student or a tablet is locked."""
    text = "SELECT 1 FROM kiosk_tries WHERE subject_id = ? AND locked_until > ?"
    return bool(connection.sql(text, (subject_id, text_of(now))))


def release(tx: Transaction, subject_id: str) -> None:
    """Lock nothing of a student or a tablet any more, and count anew."""
    tx.write_sql("DELETE FROM kiosk_tries WHERE subject_id = ?", (subject_id,))
    tx.journal("kiosk.released", subject_id=subject_id)


def tidy(tx: Transaction, before: datetime) -> None:
    """Drop what was counted before a moment and locks nothing."""
    tx.write_sql(
        "DELETE FROM kiosk_tries WHERE since < ? AND (locked_until IS NULL OR locked_until < ?)",
        (text_of(before), text_of(tx.now)),
    )
