"""What became of a message whose sending was never answered: looked for among the account's messages to that number.

Twilio keeps nothing of ours but number and text, so those and the time are all there is to know a message by. Sending
twice is worse than not knowing: "not sent" is said only when the whole list was read and nothing in it might be it.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from homeroom import Message, NotSent, Receipt
from homeroom_twilio.client import Client, Row
from homeroom_twilio.delivery import receipt_of_row
from homeroom_twilio.errors import Unreadable

CLOCKS = timedelta(seconds=5)
"""How much earlier than the attempt Twilio may say that it took the message; its times are in whole seconds."""

DOUBT = timedelta(minutes=5)
"""A like message taken this much before the attempt may still be it, should the clocks disagree."""


async def look(client: Client, message: Message) -> Receipt | NotSent | None:
    """The receipt of `message`, `NotSent` where Twilio surely has none, None where it cannot be told."""
    since = message.attempted_at or message.created_at
    found: list[tuple[datetime, Receipt]] = []
    doubtful = False
    try:
        async for row in client.messages_to(message.to):
            if row.get("to") != message.to or not str(row.get("direction", "")).startswith("outbound"):
                continue
            taken_at, receipt = _moment(row.get("date_created")), receipt_of_row(row)
            if taken_at is None or receipt is None:
                doubtful = True
            elif taken_at >= since - CLOCKS and row.get("body") == message.body:
                found.append((taken_at, receipt))
            elif taken_at >= since - DOUBT:
                doubtful = doubtful or _may_be(row, message)
    except Unreadable:
        doubtful = True
    if found:  # of several alike, the one that was taken nearest to the attempt
        return min(found, key=lambda one: abs(one[0] - since))[1]
    return None if doubtful else NotSent()


def _may_be(row: Row, message: Message) -> bool:
    """Whether a record may be this message's, though its text differs.

    Twilio empties texts where redaction is on, exchanges characters (SmartEncoded), and puts a line before those of a
    trial account.
    """
    body = row.get("body")
    return not isinstance(body, str) or not body or _letters(message.body) in _letters(body)


def _letters(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text).casefold() if letter.isalnum())


def _moment(value: object) -> datetime | None:
    """A time as Twilio writes it (RFC 2822)."""
    try:
        moment = parsedate_to_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
