"""What was put off while the clock was ahead, once it has been set right: it would wait for as long as it was wrong."""

from __future__ import annotations

from datetime import datetime, timedelta

from homeroom.settings import Settings
from homeroom.store import Connection, Transaction, iso, now_utc

APART = timedelta(seconds=5)
"""How far the clocks of two hosts may be apart."""

ASK_EVERY = 900.0
"""The most seconds between two questions to a vendor about one message."""

_CASES = """
SELECT student_id, school_id, school_day, due_at, changed_at FROM notification_cases
WHERE state = 'waiting' AND changed_at > ?
"""
_CASE = """
UPDATE notification_cases SET due_at = ?, changed_at = ? WHERE student_id = ? AND school_id = ? AND school_day = ?
"""
_MESSAGES = """
SELECT id, due_at, changed_at FROM notifications WHERE state IN ('waiting', 'unknown') AND changed_at > ?
"""
_QUESTIONS = "SELECT 1 FROM notifications WHERE state = 'unknown' AND due_at > ?"
_QUESTION = "UPDATE notifications SET due_at = ? WHERE state = 'unknown' AND due_at > ?"
_MESSAGE = "UPDATE notifications SET due_at = ?, changed_at = ? WHERE id = ?"


def are_wrong(connection: Connection, settings: Settings) -> bool:
    """Whether anything waits that was changed at a moment to come, or a question for longer than any may."""
    now = now_utc()
    moment = (iso(now + APART),)
    if any(connection.sql(f"{text} LIMIT 1", moment) for text in (_CASES, _MESSAGES)):
        return True
    return bool(connection.sql(f"{_QUESTIONS} LIMIT 1", (iso(_last_question(now, settings)),)))


def put_right(tx: Transaction, settings: Settings) -> None:
    """Let each wait as long as it was meant to, counted from now; a question is asked at once."""
    moment, now = (iso(tx.now + APART),), iso(tx.now)
    for *key, due_at, changed_at in tx.sql(_CASES, moment):
        tx.write_sql(_CASE, (_sooner(due_at, changed_at, tx.now), now, *key))
    for message_id, due_at, changed_at in tx.sql(_MESSAGES, moment):
        tx.write_sql(_MESSAGE, (_sooner(due_at, changed_at, tx.now), now, message_id))
    tx.write_sql(_QUESTION, (now, iso(_last_question(tx.now, settings))))


def _last_question(now: datetime, settings: Settings) -> datetime:
    """When the next question about a message is asked at the latest."""
    return now + APART + timedelta(seconds=max(ASK_EVERY, settings.notify.ask_after_seconds))


def _sooner(due_at: str, changed_at: str, now: datetime) -> str:
    return iso(datetime.fromisoformat(due_at) - (datetime.fromisoformat(changed_at) - now))
