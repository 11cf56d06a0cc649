"""A message as a channel's plugin gets it, from what the outbox holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from homeroom.notify.wording import as_html
from homeroom.types import Message


def compose(
    *,
    message_id: str,
    channel: str,
    to: str,
    said: Mapping[str, str],
    language: str,
    sender: str,
    created_at: datetime,
    attempted_at: datetime,
    expires_at: datetime,
) -> Message:
    """The message for one address; `said` holds its texts by part. E-mail is told more than a text message."""
    is_email = channel == "email"
    body = said["email"] if is_email else said["sms"]
    return Message(
        id=message_id,
        channel=channel,
        to=to,
        subject=said.get("subject", "") if is_email else "",
        body=body,
        html=as_html(body, language) if is_email else "",
        sender=sender,
        language=language,
        created_at=created_at,
        attempted_at=attempted_at,
        expires_at=expires_at,
    )
