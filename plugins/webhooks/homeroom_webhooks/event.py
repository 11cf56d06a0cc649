"""What is sent of an event, and how it is signed: the convention of https://www.standardwebhooks.com, version 1."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from homeroom import Event

NOTICE_HEADER = "Homeroom-Redisclosure-Notice"
"""As in what an API key reads."""

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
_PLACES = ("class_id", "session_id", "student_id", "subject_id")


def key_of(secret: str) -> bytes | None:
    """The bytes that a secret stands for, or None when it is none."""
    if not secret.startswith(_PREFIX):
        return None
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if _SHORTEST <= len(key) <= _LONGEST else None


def message_id(event: Event) -> str:
    """The same at every attempt, and another for every event.

    The moment is in it because ids are given anew after the database was put back to a backup.
    """
    return f"{event.id}-{int(event.at.timestamp() * 1000)}"


def body_of(event: Event) -> str:
    """The JSON that is sent: what happened, when, and to whom by ids.

    Who did it and why stays here: that is for the district's own record.
    """
    places = {name: value for name in _PLACES if (value := getattr(event, name)) is not None}
    at = event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {"id": message_id(event), "type": event.kind, "at": at, "data": {**event.data, **places}}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def told_by(body: str) -> tuple[str, str | None]:
    """The kind of the event that a body tells, and the student whom it concerns, if it does one."""
    told = json.loads(body)
    return told["type"], told["data"].get("student_id")


def headers_for(
    sent_id: str, body: bytes, *, at: datetime, secrets: Sequence[str], notice: str | None = None
) -> Mapping[str, str]:
    """The headers of one attempt at the moment `at`, with a signature for each of `secrets`.

    `notice` is the notice against passing it on, where one is due.
    """
    moment = str(int(at.timestamp()))
    signatures = [sign(secret, sent_id, moment, body) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": "Homeroom-Webhooks/1",
        "webhook-id": sent_id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(signatures),
        **({NOTICE_HEADER: notice} if notice else {}),
    }


def sign(secret: str, sent_id: str, moment: str, body: bytes) -> str:
    """One signature. Raises ValueError for a secret that is none."""
    key = key_of(secret)
    if key is None:
        raise ValueError("this is no secret")
    signed = hmac.digest(key, f"{sent_id}.{moment}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"
